/* SPDX-License-Identifier: Apache-2.0 */
/* Programs one by one: what fails says why and leaves the others alone. With root the real kernel loads them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/embedded.h>
#include <bpf/libbpf.h>
#include <runtime/manager.h>

#define FLOOD SONDE_BUILD_DIR "/flood.bpf.o"

static int setup(void **state)
{
	return sonde_manager_new((struct sonde_manager **)state);
}

static int teardown(void **state)
{
	sonde_manager_free((struct sonde_manager **)state);
	return 0;
}

static int add(struct sonde_manager *manager, const char *name, const char *path)
{
	struct sonde_program_spec spec = {.name = name, .object_path = path, .enabled = true};

	return sonde_manager_register(manager, &spec);
}

static void test_register(void **state)
{
	struct sonde_manager *manager = *state;
	const char *names[8];

	assert_int_equal(add(manager, "flood", FLOOD), 0);
	assert_int_equal(add(manager, "flood", FLOOD), -EEXIST);
	assert_int_equal(add(manager, "no_such_program", NULL), -ENOENT);
	assert_int_equal(add(manager, "", FLOOD), -EINVAL);
	assert_int_equal(add(manager, "9lives", FLOOD), -EINVAL);
	assert_int_equal(add(manager, "../evil", FLOOD), -EINVAL);
	assert_int_equal(add(manager, "a_name_that_is_longer_than_it_may_be", FLOOD), -EINVAL);
	assert_int_equal(add(manager, sonde_embedded[0].name, NULL), 0);
	assert_int_equal(sonde_manager_list(manager, names, 8), 2);
	assert_string_equal(names[0], "flood");
	assert_int_equal(sonde_manager_status(manager, "flood")->state, SONDE_PROGRAM_STOPPED);
	assert_null(sonde_manager_status(manager, "other"));
	assert_null(sonde_manager_object(manager, "flood"));
	assert_int_equal(sonde_manager_attach(manager, "flood"), -EINVAL);
	assert_int_equal(sonde_manager_attach(manager, "other"), -ENOENT);
	assert_int_equal(sonde_manager_unregister(manager, "flood"), 0);
	assert_int_equal(sonde_manager_unregister(manager, "flood"), -ENOENT);
	assert_int_equal(sonde_manager_list(manager, names, 8), 1);
}

static void write_file(char *path, const char *content, size_t length)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, length), length);
	close(fd);
}

/* A name that will not do is no reason to end: it is there, and says why not. */
static void test_refused(void **state)
{
	struct sonde_program_spec spec = {.name = "UP PER", .object_path = FLOOD, .enabled = true, .refused = "a bad name"};
	struct sonde_manager *manager = *state;

	assert_int_equal(sonde_manager_register(manager, &spec), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sonde_manager_load(manager, "UP PER"), -EINVAL);
		assert_int_equal(sonde_manager_status(manager, "UP PER")->state, SONDE_PROGRAM_FAILED);
		assert_string_equal(sonde_manager_status(manager, "UP PER")->reason, "a bad name");
	}
}

/* Each of them fails with a reason, none of them takes the next one with it. */
static void test_broken_objects(void **state)
{
	char text[] = "/tmp/sonde-test-XXXXXX", half[] = "/tmp/sonde-test-XXXXXX";
	size_t size = (size_t)(sonde_embedded[0].object_end - sonde_embedded[0].object);
	struct sonde_manager *manager = *state;
	const char *const names[] = {"text", "half", "missing", "folder", "fifo", "others"};
	char fifo[] = "/tmp/sonde-test-XXXXXX";
	struct sonde_program_spec others = {.name = "others", .object_path = text, .enabled = true, .roots_alone = true};

	write_file(text, "this is no object", 17);
	write_file(half, sonde_embedded[0].object, size / 2);
	assert_int_equal(add(manager, "text", text), 0);
	assert_int_equal(add(manager, "half", half), 0);
	assert_int_equal(add(manager, "missing", "/tmp/sonde-there-is-no-such-file.bpf.o"), 0);
	assert_int_equal(add(manager, "folder", "/tmp"), 0);
	write_file(fifo, "", 0);
	assert_true(!unlink(fifo) && !mkfifo(fifo, 0600)); /* nobody writes to it: reading would wait for ever */
	assert_int_equal(add(manager, "fifo", fifo), 0);
	assert_int_equal(chmod(text, 0666), 0);
	assert_int_equal(sonde_manager_register(manager, &others), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(sonde_manager_load(manager, names[i]) < 0);
		assert_int_equal(sonde_manager_status(manager, names[i])->state, SONDE_PROGRAM_FAILED);
		assert_true(strlen(sonde_manager_status(manager, names[i])->reason) > 10);
		assert_null(sonde_manager_object(manager, names[i]));
	}
	assert_non_null(strstr(sonde_manager_status(manager, "fifo")->reason, "no plain file"));
	if (geteuid() == 0) {
		assert_non_null(strstr(sonde_manager_status(manager, "others")->reason, "not root's alone"));
		assert_int_equal(add(manager, "flood", FLOOD), 0);
		assert_int_equal(sonde_manager_load(manager, "flood"), 0);
		assert_int_equal(sonde_manager_attach(manager, "flood"), 0);
	}
	unlink(text);
	unlink(half);
	unlink(fifo);
}

static uint64_t links_of_this_process(void)
{
	uint64_t n = 0;
	char path[64], target[64];

	for (int fd = 0; fd < 256; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length > 0) {
			target[length] = '\0';
			n += strstr(target, "bpf_link") || strstr(target, "bpf-prog");
		}
	}
	return n;
}

static void test_life(void **state)
{
	struct sonde_manager *manager = *state;
	const struct sonde_program_status *status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(links_of_this_process(), 0);
	assert_int_equal(add(manager, "flood", FLOOD), 0);
	status = sonde_manager_status(manager, "flood");
	for (int round = 0; round < 3; round++) {
		assert_int_equal(sonde_manager_load(manager, "flood"), 0);
		assert_int_equal(status->state, SONDE_PROGRAM_STARTING);
		assert_int_equal(sonde_manager_load(manager, "flood"), -EALREADY);
		assert_int_equal(sonde_manager_attach(manager, "flood"), 0);
		assert_int_equal(status->state, SONDE_PROGRAM_RUNNING);
		assert_int_equal(status->n_hooks, 1);
		assert_true(status->hooks[0].attached);
		assert_string_equal(status->hooks[0].name, "tp_btf/sys_enter");
		assert_true(links_of_this_process() > 0);
		assert_int_equal(sonde_manager_detach(manager, "flood"), 0);
		assert_false(status->hooks[0].attached);
		assert_int_equal(sonde_manager_unload(manager, "flood"), 0);
		assert_int_equal(status->state, SONDE_PROGRAM_STOPPED);
		assert_int_equal(links_of_this_process(), 0);
	}
	/* Unregistering a running one detaches it. */
	assert_int_equal(sonde_manager_load(manager, "flood"), 0);
	assert_int_equal(sonde_manager_attach(manager, "flood"), 0);
	assert_int_equal(sonde_manager_unregister(manager, "flood"), 0);
	assert_int_equal(links_of_this_process(), 0);
}

static void test_settings(void **state)
{
	struct sonde_object_setting good = {"silent", 1}, unknown = {"no_such", 1}, large = {"silent", 4096};
	struct sonde_program_spec spec = {.name = "flood", .object_path = FLOOD, .enabled = true, .n_settings = 1};
	struct sonde_manager *manager = *state;

	if (geteuid() != 0)
		skip();
	spec.settings = &unknown;
	assert_int_equal(sonde_manager_register(manager, &spec), 0);
	assert_int_equal(sonde_manager_load(manager, "flood"), -EINVAL);
	assert_non_null(strstr(sonde_manager_status(manager, "flood")->reason, "no_such"));
	assert_int_equal(sonde_manager_unregister(manager, "flood"), 0);
	spec.settings = &large;
	assert_int_equal(sonde_manager_register(manager, &spec), 0);
	assert_int_equal(sonde_manager_load(manager, "flood"), -EINVAL);
	assert_non_null(strstr(sonde_manager_status(manager, "flood")->reason, "range"));
	assert_int_equal(sonde_manager_unregister(manager, "flood"), 0);
	spec.settings = &good;
	assert_int_equal(sonde_manager_register(manager, &spec), 0);
	assert_int_equal(sonde_manager_load(manager, "flood"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_register, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
