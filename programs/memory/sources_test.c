/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of the small files, also as nobody should write them, and the files of this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sources.h"

static void test_numbers(void **state)
{
	static const char *const refused[] = {"", "\n", "-1", "+1", " 1", "x", "1x", "0x10", "18446744073709551616", "1.5"};
	uint64_t number;

	assert_true(sonde_memory_parse_number("33554432\n", &number));
	assert_int_equal(number, 33554432);
	assert_true(sonde_memory_parse_number("0", &number));
	assert_int_equal(number, 0);
	assert_true(sonde_memory_parse_number("max\n", &number));
	assert_true(number == SONDE_MEMORY_UNLIMITED);
	number = 7;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		assert_false(sonde_memory_parse_number(refused[i], &number));
	assert_int_equal(number, 7);
}

static void test_fields(void **state)
{
	static const char text[] = "cache 1\ninactive_file 20\ntotal_inactive_file 300\nMemTotal:       24683 kB\nUid:\t5\t6\t7\t8\nlast 9";
	uint64_t number = 0;

	assert_true(sonde_memory_parse_field(text, "inactive_file", &number));
	assert_int_equal(number, 20);
	assert_true(sonde_memory_parse_field(text, "total_inactive_file", &number));
	assert_int_equal(number, 300);
	assert_true(sonde_memory_parse_field(text, "MemTotal", &number));
	assert_int_equal(number, 24683);
	assert_true(sonde_memory_parse_field(text, "Uid", &number));
	assert_int_equal(number, 5);
	assert_true(sonde_memory_parse_field(text, "last", &number));
	assert_int_equal(number, 9);
	assert_false(sonde_memory_parse_field(text, "file", &number));
	assert_false(sonde_memory_parse_field(text, "inactive", &number));
	assert_false(sonde_memory_parse_field("", "cache", &number));
	assert_false(sonde_memory_parse_field("cache", "cache", &number));
	assert_false(sonde_memory_parse_field("cache \n", "cache", &number));
	assert_int_equal(number, 9);
}

static void pressure(const char *text, int some, int full)
{
	struct sonde_memory_pressure p;

	sonde_memory_parse_pressure(text, &p);
	assert_int_equal(p.some_pct, some);
	assert_int_equal(p.full_pct, full);
}

static void test_pressure(void **state)
{
	pressure("some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=0.49 avg60=0.00 avg300=0.00 total=5\n", 13, 0);
	pressure("some avg10=100.00 avg60=1.00\n", 100, -1);
	pressure("", -1, -1);
	pressure("some avg10=nan\nfull avg10=101\n", -1, -1);
}

static void test_start_time_behind_any_command(void **state)
{
	uint64_t ticks;

	assert_true(sonde_memory_parse_start("7 (a) b) (c 9 9) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 519563 12 3", &ticks));
	assert_int_equal(ticks, 519563);
	assert_false(sonde_memory_parse_start("7 (a) S 1 7 7", &ticks));
	assert_false(sonde_memory_parse_start("7 a", &ticks));
	assert_false(sonde_memory_parse_start("", &ticks));
}

static void test_this_process(void **state)
{
	struct sonde_memory_process p;
	uint64_t resident;

	assert_int_equal(sonde_memory_read_process((uint32_t)getpid(), &p), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.uid, getuid());
	assert_true(p.command[0] && !p.command[15]);
	assert_in_range(p.oom_score_adj, 0, 1000);
	assert_true(p.anon_bytes > 0 && p.anon_bytes < 1ull << 40);
	assert_int_equal(sonde_memory_read_resident((uint32_t)getpid(), &resident), 0);
	assert_true(resident >= 4096 && resident < 1ull << 40);
	assert_true(sonde_memory_read_process(0x7ffffff0, &p) < 0);
	assert_true(sonde_memory_read_resident(0x7ffffff0, &resident) < 0);
}

static void test_pids_are_bounded(void **state)
{
	uint32_t pids[4] = {0, 0, 0, 77};

	assert_int_equal(sonde_memory_read_pids(NULL, NULL, pids, 3), 3);
	assert_int_equal(pids[3], 77);
}

static void test_node(void **state)
{
	struct sonde_memory_node node;

	assert_int_equal(sonde_memory_read_node(&node), 0);
	assert_true(node.total_bytes > 1 << 20);
	assert_in_range(node.available_bytes, 1, node.total_bytes);
}

static void test_no_hierarchy(void **state)
{
	struct sonde_memory_hierarchy h = {.fd = 99};

	assert_int_equal(sonde_memory_hierarchy_open("/nonexistent", &h), -ENOENT);
	assert_int_equal(sonde_memory_hierarchy_open("/dev/null", &h), -ENOENT);
	assert_int_equal(sonde_memory_hierarchy_open("/proc/self/status", &h), -ENOENT);
	assert_int_equal(h.fd, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_fields), cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_start_time_behind_any_command), cmocka_unit_test(test_this_process),
		cmocka_unit_test(test_pids_are_bounded), cmocka_unit_test(test_node), cmocka_unit_test(test_no_hierarchy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
