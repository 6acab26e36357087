/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of `process`: numbers of its types, redaction, the process table, and records that lie about their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/embedded.h>
#include <enrich/enrich.h>
#include <schema/schema.h>

#include "event.h"

union record {
	struct sonde_header header;
	struct process process;
	struct control_group control_group;
	char bytes[SONDE_RECORD_MAX];
};

static const struct sonde_embedded *program(void)
{
	const struct sonde_embedded *e = sonde_embedded;

	while (e->name && strcmp(e->name, "process"))
		e++;
	assert_non_null(e->name);
	return e;
}

static int setup(void **state)
{
	const struct sonde_enrich_opts opts = {.kallsyms_fd = -1};

	return sonde_enrich_new(&opts, (struct sonde_enrich **)state);
}

static int teardown(void **state)
{
	sonde_enrich_free((struct sonde_enrich **)state);
	return 0;
}

static int run(void **state, union record *record, size_t *length)
{
	return program()->hooks->record(sonde_enrich_hook_context(*state), &record->header, length);
}

static union record process_record(enum process_kind kind, uint32_t pid)
{
	union record r = {.process = {.header = {.type = PROCESS_TYPE_PROCESS, .pid = pid, .tid = pid, .start_time_ns = pid * 10,
						 .time_ns = 5000, .command = "name"},
				      .kind = kind, .parent_pid = 1, .exit_code = -1}};

	return r;
}

static void send_exec(void **state, uint32_t pid, const char *path, const char *arguments, size_t arguments_length)
{
	union record r = process_record(PROCESS_KIND_EXEC, pid);
	size_t length = sizeof(r.process);

	strcpy(r.process.path, path);
	memcpy(r.process.arguments, arguments, arguments_length);
	r.process.arguments_kept = (uint16_t)arguments_length;
	assert_int_equal(run(state, &r, &length), 1);
}

static void test_types_have_the_numbers_of_the_header(void **state)
{
	const struct sonde_embedded *e = program();
	struct sonde_schema *schema = NULL;
	const char *error = "";

	assert_int_equal(sonde_schema_new("process", e->object, (size_t)(e->object_end - e->object), NULL, &error, &schema), 0);
	assert_int_equal(schema->n_types, 2);
	assert_string_equal(sonde_schema_type(schema, PROCESS_TYPE_PROCESS)->name, "process");
	assert_int_equal(sonde_schema_type(schema, PROCESS_TYPE_PROCESS)->size, sizeof(struct process));
	assert_string_equal(sonde_schema_type(schema, PROCESS_TYPE_CONTROL_GROUP)->name, "control_group");
	assert_int_equal(sonde_schema_type(schema, PROCESS_TYPE_CONTROL_GROUP)->size, sizeof(struct control_group));
	sonde_schema_free(&schema);
}

static void test_secrets_are_hidden_in_record_and_table(void **state)
{
	static const char arguments[] = "login\0--password=hunter2";
	union record r = process_record(PROCESS_KIND_EXEC, 7);
	struct sonde_known_process known;
	size_t length = sizeof(r.process);

	strcpy(r.process.path, "/bin/login");
	memcpy(r.process.arguments, arguments, sizeof(arguments));
	r.process.arguments_kept = sizeof(arguments);
	assert_int_equal(run(state, &r, &length), 1);
	assert_int_equal(length, sizeof(r.process));
	assert_null(memmem(r.process.arguments, r.process.arguments_kept, "hunter2", 7));
	assert_int_equal(sonde_known_process_get(sonde_enrich_hook_context(*state), 7, 70, &known), 0);
	assert_string_equal(known.path, "/bin/login");
	assert_null(memmem(known.arguments, known.arguments_length, "hunter2", 7));
}

static void test_exit_of_a_fork_names_what_its_origin_ran(void **state)
{
	union record fork = process_record(PROCESS_KIND_FORK, 8), exit = process_record(PROCESS_KIND_EXIT, 8);
	size_t length = offsetof(struct process, path);

	send_exec(state, 7, "/usr/sbin/nginx", "nginx", 6);
	fork.process.origin_pid = 7;
	fork.process.origin_start_time_ns = 70;
	assert_int_equal(run(state, &fork, &length), 1);
	assert_int_equal(length, offsetof(struct process, path));
	assert_int_equal(run(state, &exit, &length), 1);
	assert_int_equal(length, offsetof(struct process, arguments));
	assert_string_equal(exit.process.path, "/usr/sbin/nginx");
}

static void test_exit_of_an_unknown_process_has_no_path(void **state)
{
	union record exit = process_record(PROCESS_KIND_EXIT, 9);
	size_t length = offsetof(struct process, path);

	send_exec(state, 9, "/bin/other", "other", 6);
	exit.header.start_time_ns++; /* the same pid, used again */
	assert_int_equal(run(state, &exit, &length), 1);
	assert_int_equal(length, offsetof(struct process, path));
}

static void test_what_is_not_known_is_null(void **state)
{
	union record r = process_record(PROCESS_KIND_RUNNING, 2);
	size_t length = sizeof(r.process);

	assert_int_equal(run(state, &r, &length), 1);
	assert_int_equal(length, offsetof(struct process, path));
	strcpy(r.process.path, "/bin/x");
	length = sizeof(r.process);
	assert_int_equal(run(state, &r, &length), 1);
	assert_int_equal(length, offsetof(struct process, arguments));
}

static void test_new_cgroup_names_its_container(void **state)
{
	union record r = {.control_group = {.header = {.type = PROCESS_TYPE_CONTROL_GROUP},
					    .kind = CONTROL_GROUP_KIND_CREATE, .version = 1, .id = 1ull << 40,
					    .path = "/system.slice/sonde-test.service"}};
	size_t length = sizeof(r.control_group);

	assert_int_equal(run(state, &r, &length), 1);
	assert_string_equal(sonde_enrich_container(*state, 1ull << 40 | SONDE_CGROUP_V1), "sonde-test.service");
}

static void test_records_that_break_the_rules_are_invalid(void **state)
{
	union record r = process_record(PROCESS_KIND_EXEC, 3);
	size_t length = sizeof(r.process) - 1;

	assert_int_equal(run(state, &r, &length), -EINVAL);
	length = sizeof(r.process);
	r.process.arguments_kept = PROCESS_ARGUMENTS_SIZE + 1;
	assert_int_equal(run(state, &r, &length), -EINVAL);
	r.process.kind = (enum process_kind)99;
	assert_int_equal(run(state, &r, &length), -EINVAL);
	r.header.type = PROCESS_TYPE_CONTROL_GROUP;
	length = sizeof(r.control_group) - 1;
	assert_int_equal(run(state, &r, &length), -EINVAL);
	r.header.type = 99;
	assert_int_equal(run(state, &r, &length), -EINVAL);
	/* Text that fills its field has no NUL: the hook sets one before anybody looks for it. */
	r = process_record(PROCESS_KIND_EXEC, 3);
	memset(r.process.path, 'x', sizeof(r.process.path));
	length = sizeof(r.process);
	assert_int_equal(run(state, &r, &length), 1);
	assert_int_equal(strlen(r.process.path), PROCESS_PATH_SIZE - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_types_have_the_numbers_of_the_header), TEST(test_secrets_are_hidden_in_record_and_table),
		TEST(test_exit_of_a_fork_names_what_its_origin_ran), TEST(test_exit_of_an_unknown_process_has_no_path),
		TEST(test_what_is_not_known_is_null), TEST(test_new_cgroup_names_its_container),
		TEST(test_records_that_break_the_rules_are_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
