/* SPDX-License-Identifier: Apache-2.0 */
/* Enrich as the agent and the programs see it. */
#include <enrich/enrich.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_hooks_and_events_share_the_tables(void **state)
{
	const struct sonde_enrich_opts opts = {.kallsyms_fd = -1};
	struct sonde_enrich *enrich = NULL;
	struct sonde_enrich_status before, status;
	struct sonde_hook_context *context;
	struct sonde_known_process process = {.pid = 9, .start_time_ns = 90, .parent_pid = 1, .command = "nginx",
					      .path = "/usr/sbin/nginx", .arguments = "nginx", .arguments_length = 5};

	assert_int_equal(sonde_enrich_new(&opts, &enrich), 0);
	sonde_enrich_status(enrich, &before); /* the cgroups of this machine */
	context = sonde_enrich_hook_context(enrich);
	sonde_known_process_set(context, &process);
	sonde_known_process_exit(context, 9, 90, (uint64_t)sonde_clock_boot_ns());
	memset(&process, 0, sizeof(process));
	assert_int_equal(sonde_known_process_get(context, 9, 90, &process), 0);
	assert_string_equal(process.path, "/usr/sbin/nginx");
	assert_int_equal(sonde_known_process_get(context, 9, 91, &process), -ENOENT);
	sonde_known_cgroup_set(context, 1ull << 40, "/system.slice/sonde-test.service");
	assert_string_equal(sonde_enrich_container(enrich, 1ull << 40), "sonde-test.service");
	sonde_enrich_status(enrich, &status);
	assert_int_equal(status.processes, 1);
	assert_int_equal(status.cgroups, before.cgroups + 1);
	assert_int_equal(status.cgroup_walks, 2);
	assert_int_equal(status.strings, before.strings + 1);
	assert_int_equal(status.string_bytes, before.string_bytes + 19);
	assert_int_equal(status.symbols, 0);
	sonde_enrich_free(&enrich);
	assert_null(enrich);
}

static void test_symbols_of_the_running_kernel(void **state)
{
	CLEANUP_CLOSE int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	CLEANUP_FCLOSE FILE *file = fopen("/proc/kallsyms", "re");
	const struct sonde_enrich_opts opts = {.kallsyms_fd = fd};
	const struct sonde_names *names;
	struct sonde_enrich *enrich = NULL;
	unsigned long long address = 0;
	char line[1024], symbol[512], type;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %c %511s", &address, &type, symbol) == 3 && !strcmp(symbol, "kfree_skbmem"))
			break;
	if (!address || feof(file)) {
		print_message("addresses are hidden from this user\n");
		skip();
	}
	assert_int_equal(sonde_enrich_new(&opts, &enrich), 0);
	names = sonde_enrich_names(enrich);
	assert_string_equal(names->symbol(names->userdata, address + 1), "kfree_skbmem");
	assert_null(names->symbol(names->userdata, 1));
	sonde_enrich_free(&enrich);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hooks_and_events_share_the_tables),
		cmocka_unit_test(test_symbols_of_the_running_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
