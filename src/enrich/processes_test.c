/* SPDX-License-Identifier: Apache-2.0 */
#include <enrich/processes.h>

#include <base/clock.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void set(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns, const char *command)
{
	const struct sonde_known_process process = {
		.pid = pid,
		.start_time_ns = start_time_ns,
		.parent_pid = 1,
		.uid = 1000,
		.command = command,
		.path = "/usr/bin/tool",
		.arguments = "tool\0-x",
		.arguments_length = 7,
	};

	assert_int_equal(sonde_processes_set(processes, &process), 0);
}

static bool is_known(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns)
{
	struct sonde_known_process process;
	int r = sonde_processes_get(processes, pid, start_time_ns, &process);

	assert_true(!r || r == -ENOENT);
	return !r;
}

static void test_all_fields_come_back(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_known_process process = {.uid = 7};

	assert_int_equal(sonde_processes_new(16, &processes), 0);
	assert_int_equal(sonde_processes_get(processes, 5, 100, &process), -ENOENT);
	assert_int_equal(process.uid, 7);
	set(processes, 5, 100, "tool");
	assert_int_equal(sonde_processes_get(processes, 5, 100, &process), 0);
	assert_int_equal(process.pid, 5);
	assert_int_equal(process.start_time_ns, 100);
	assert_int_equal(process.parent_pid, 1);
	assert_int_equal(process.uid, 1000);
	assert_string_equal(process.command, "tool");
	assert_string_equal(process.path, "/usr/bin/tool");
	assert_int_equal(process.arguments_length, 7);
	assert_memory_equal(process.arguments, "tool\0-x", 8);
	set(processes, 5, 100, "a name longer than sixteen bytes");
	assert_int_equal(sonde_processes_get(processes, 5, 100, &process), 0);
	assert_string_equal(process.command, "a name longer t");
	sonde_processes_free(&processes);
	assert_null(processes);
}

static void test_long_texts_are_cut(void **state)
{
	static char text[5000];
	struct sonde_known_process process = {.pid = 1, .start_time_ns = 1, .command = text, .path = text,
					      .arguments = text, .arguments_length = 4999};
	struct sonde_processes *processes = NULL;

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(sonde_processes_new(100, &processes), 0);
	assert_int_equal(sonde_processes_set(processes, &process), 0);
	assert_int_equal(sonde_processes_get(processes, 1, 1, &process), 0);
	assert_int_equal(strlen(process.command), SONDE_COMMAND_LENGTH - 1);
	assert_int_equal(strlen(process.path), SONDE_PROCESS_PATH_MAX);
	assert_int_equal(process.arguments_length, SONDE_PROCESS_ARGUMENTS_MAX);
	assert_int_equal(strlen(process.arguments), SONDE_PROCESS_ARGUMENTS_MAX);
	sonde_processes_free(&processes);
}

/* The bearers of one pid keep their own names, and an unseen exit is no reason to confuse them. */
static void test_pid_used_again(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_known_process first, second;

	assert_int_equal(sonde_processes_new(16, &processes), 0);
	set(processes, 5, 100, "first");
	set(processes, 5, 200, "second");
	assert_int_equal(sonde_processes_get(processes, 5, 100, &first), 0);
	assert_int_equal(sonde_processes_get(processes, 5, 200, &second), 0);
	assert_string_equal(first.command, "first");
	assert_string_equal(second.command, "second");
	assert_false(is_known(processes, 5, 150));
	sonde_processes_free(&processes);
}

static void test_exited_is_known_for_a_while(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_processes_status status;
	uint64_t now = (uint64_t)sonde_clock_boot_ns();

	assert_int_equal(sonde_processes_new(16, &processes), 0);
	set(processes, 1, 1, "long gone");
	set(processes, 2, 2, "just gone");
	set(processes, 3, 3, "alive");
	sonde_processes_exit(processes, 1, 1, now > SONDE_PROCESS_KEPT_NS ? now - SONDE_PROCESS_KEPT_NS - 1 : 1);
	sonde_processes_exit(processes, 2, 2, now);
	sonde_processes_exit(processes, 3, 99, now); /* another bearer of that pid */
	set(processes, 4, 4, "new");
	if (now > SONDE_PROCESS_KEPT_NS)
		assert_false(is_known(processes, 1, 1));
	assert_true(is_known(processes, 2, 2));
	assert_true(is_known(processes, 3, 3));
	/* A late report of a process that is gone does not bring it back to life: it still goes before the living. */
	set(processes, 2, 2, "reported late");
	sonde_processes_status(processes, &status);
	assert_int_equal(status.evicted, 0);
	sonde_processes_free(&processes);
}

static void test_room_comes_from_the_exited_then_the_unused(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_processes_status status;
	uint64_t now = (uint64_t)sonde_clock_boot_ns();

	assert_int_equal(sonde_processes_new(4, &processes), 0);
	for (uint32_t pid = 1; pid <= 4; pid++)
		set(processes, pid, pid, "x");
	sonde_processes_exit(processes, 3, 3, now);
	sonde_processes_exit(processes, 2, 2, now + 1);
	set(processes, 2, 2, "reported late");
	set(processes, 5, 5, "x");
	assert_false(is_known(processes, 3, 3));
	set(processes, 6, 6, "x");
	assert_false(is_known(processes, 2, 2));
	assert_true(is_known(processes, 1, 1)); /* used: 4 is now the one longest unused */
	set(processes, 7, 7, "x");
	assert_false(is_known(processes, 4, 4));
	assert_true(is_known(processes, 1, 1));
	sonde_processes_status(processes, &status);
	assert_int_equal(status.processes, 4);
	assert_int_equal(status.evicted, 3);
	sonde_processes_free(&processes);
}

static void test_memory_is_bounded(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_processes_status status;
	struct mallinfo2 before = mallinfo2(), after;
	char path[64], arguments[SONDE_PROCESS_ARGUMENTS_MAX];

	assert_int_equal(sonde_processes_new(65536, &processes), 0);
	/* Worst case: nobody shares anything. */
	memset(arguments, 'x', sizeof(arguments));
	for (uint32_t pid = 1; pid <= 100000; pid++) {
		const struct sonde_known_process process = {.pid = pid, .start_time_ns = pid, .command = "x", .path = path,
							    .arguments = arguments,
							    .arguments_length = sizeof(arguments)};

		snprintf(path, sizeof(path), "/usr/bin/tool-%u", pid);
		memcpy(arguments, &pid, sizeof(pid));
		assert_int_equal(sonde_processes_set(processes, &process), 0);
	}
	after = mallinfo2();
	sonde_processes_status(processes, &status);
	print_message("no text shared: %lu processes, %zu KiB\n", status.processes,
		      (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 1024);
	assert_true(status.text_bytes <= 65536 * 144);
	/* Under a sanitizer mallinfo2() tells nothing. */
	assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + (17u << 20));
	assert_true(status.evicted > 100000 - 65536);
	assert_true(is_known(processes, 100000, 100000));
	sonde_processes_free(&processes);

	/* Typical: few executables, arguments of some 60 bytes. */
	assert_int_equal(sonde_processes_new(65536, &processes), 0);
	for (uint32_t pid = 1; pid <= 65536; pid++) {
		const struct sonde_known_process process = {.pid = pid, .start_time_ns = pid, .command = "x", .path = path,
							    .arguments = arguments, .arguments_length = 60};

		snprintf(path, sizeof(path), "/usr/bin/tool-%u", pid % 500);
		snprintf(arguments, sizeof(arguments), "tool --number %u --and something that is the same each time", pid);
		assert_int_equal(sonde_processes_set(processes, &process), 0);
	}
	after = mallinfo2();
	sonde_processes_status(processes, &status);
	print_message("typical: %lu processes, %zu KiB\n", status.processes,
		      (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 1024);
	assert_int_equal(status.processes, 65536);
	assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + (16u << 20));
	assert_int_equal(status.evicted, 0);
	sonde_processes_free(&processes);
}

/* Each thread has its own pids; a small table makes them evict each other all the time. */
struct worker {
	struct sonde_processes *processes;
	uint32_t first_pid;
	int wrong;
};

static void *work(void *userdata)
{
	struct worker *worker = userdata;
	struct sonde_known_process process;
	char command[16], arguments[32];

	for (uint32_t i = 0; i < 50000; i++) {
		uint32_t pid = worker->first_pid + i % 100;

		snprintf(command, sizeof(command), "p%u", pid);
		snprintf(arguments, sizeof(arguments), "arguments of %u", pid);
		process = (struct sonde_known_process){.pid = pid, .start_time_ns = i / 100 + 1, .command = command,
						       .path = command, .arguments = arguments,
						       .arguments_length = (uint32_t)strlen(arguments)};
		sonde_processes_set(worker->processes, &process);
		if (!sonde_processes_get(worker->processes, pid, i / 100 + 1, &process) &&
		    (strcmp(process.command, command) || strcmp(process.path, command) ||
		     strcmp(process.arguments, arguments)))
			worker->wrong++;
		if (i % 3 == 0)
			sonde_processes_exit(worker->processes, pid, i / 100 + 1, (uint64_t)sonde_clock_boot_ns());
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct sonde_processes *processes = NULL;
	struct sonde_processes_status status;
	struct worker workers[4];
	pthread_t threads[4];

	assert_int_equal(sonde_processes_new(250, &processes), 0);
	for (int t = 0; t < 4; t++) {
		workers[t] = (struct worker){processes, (uint32_t)t * 1000 + 1, 0};
		assert_int_equal(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
	}
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], NULL);
		assert_int_equal(workers[t].wrong, 0);
	}
	sonde_processes_status(processes, &status);
	assert_int_equal(status.processes, 250);
	sonde_processes_free(&processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields_come_back),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_pid_used_again),
		cmocka_unit_test(test_exited_is_known_for_a_while),
		cmocka_unit_test(test_room_comes_from_the_exited_then_the_unused),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
