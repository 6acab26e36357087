/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of the small files, also as nobody should write them, and the files of this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void test_cgroup_of_a_process(void **state)
{
	static const char v1[] = "9:name=systemd:/a\n8:cpu,cpuacct:/b\n7:memoryx,memory:/c/d:memory:/e\n0::/f\n";
	char path[SONDE_MEMORY_PATH_SIZE], text[2 * SONDE_MEMORY_PATH_SIZE];

	assert_true(sonde_memory_parse_cgroup(v1, true, path));
	assert_string_equal(path, "/c/d:memory:/e");
	assert_true(sonde_memory_parse_cgroup(v1, false, path));
	assert_string_equal(path, "/f");
	assert_true(sonde_memory_parse_cgroup("4:memory:/", true, path));
	assert_string_equal(path, "/");
	assert_false(sonde_memory_parse_cgroup("4:cpu:/:memory:/x\n0::/f\n", true, path));
	assert_false(sonde_memory_parse_cgroup("4:memoryx:/x\n5:emory:/y\n", true, path));
	assert_false(sonde_memory_parse_cgroup("memory\n:memory\n4:memory\n4:memory:x\n", true, path));
	assert_false(sonde_memory_parse_cgroup("", true, path));
	assert_false(sonde_memory_parse_cgroup("::", false, path));
	snprintf(text, sizeof(text), "0::/%0*d", SONDE_MEMORY_PATH_SIZE - 2, 0);
	assert_true(sonde_memory_parse_cgroup(text, false, path));
	assert_int_equal(strlen(path), SONDE_MEMORY_PATH_SIZE - 1);
	snprintf(text, sizeof(text), "0::/%0*d", SONDE_MEMORY_PATH_SIZE - 1, 0);
	assert_false(sonde_memory_parse_cgroup(text, false, path));
}

static void test_this_process(void **state)
{
	struct sonde_memory_process p;
	struct sonde_memory_kept kept = SONDE_MEMORY_NOT_KEPT;
	uint64_t resident, own, ticks;

	assert_int_equal(sonde_memory_read_process((uint32_t)getpid(), &p), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.uid, getuid());
	assert_true(p.command[0] && !p.command[15]);
	assert_in_range(p.oom_score_adj, 0, 1000);
	assert_true(p.anon_bytes > 0 && p.anon_bytes < 1ull << 40);
	assert_int_equal(sonde_memory_read_resident((uint32_t)getpid(), &resident), 0);
	assert_true(resident >= 4096 && resident < 1ull << 40);
	assert_int_equal(sonde_memory_read_anonymous(&kept, (uint32_t)getpid(), &own), 0);
	assert_true(kept.fd >= 0);
	sonde_memory_kept_close(&kept);
	assert_in_range(own, 4096, resident - 1);
	assert_int_equal(sonde_memory_read_start((uint32_t)getpid(), &ticks), 0);
	assert_int_equal(ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)), p.start_time_ns);
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
	struct sonde_memory_kept kept = SONDE_MEMORY_NOT_KEPT;
	struct sonde_memory_node node;

	assert_int_equal(sonde_memory_read_node(&kept, &node), 0);
	sonde_memory_kept_close(&kept);
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

/* A folder with files of the names that a cgroup has. Removed by folder_remove(). */
static char folder[] = "/tmp/sonde-memory-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int folder_make(void **state)
{
	static const char *const folders[] = {"", "/a", "/a/b", "/c"};
	char path[128];

	strcpy(folder, "/tmp/sonde-memory-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	for (size_t i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", folder, folders[i]);
		if (mkdir(path, 0755))
			return -1;
	}
	return 0;
}

static int folder_remove(void **state)
{
	static const char *const names[] = {"/a/memory.max", "/a/memory.current", "/a/memory.stat", "/a/memory.pressure",
					    "/a/cgroup.procs", "/a/memory.limit_in_bytes", "/a/memory.usage_in_bytes",
					    "/a/b", "/a", "/c", ""};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s%s", folder, names[i]);
		(void)remove(path);
	}
	return access(folder, F_OK) ? 0 : -1;
}

static void test_files_of_both_versions(void **state)
{
	struct sonde_memory_hierarchy h = {.fd = open(folder, O_RDONLY | O_DIRECTORY), .v1 = false};
	struct sonde_memory_kept_cgroup kept = SONDE_MEMORY_CGROUP_NOT_KEPT;
	struct sonde_memory_pressure p;
	uint32_t pids[4];
	uint64_t bytes = 0;

	put("a/memory.max", "max\n");
	assert_int_equal(sonde_memory_read_limit(&h, "/a", &bytes), 0);
	assert_true(bytes == SONDE_MEMORY_UNLIMITED);
	put("a/memory.max", "4096\n");
	assert_int_equal(sonde_memory_read_limit(&h, "/a", &bytes), 0);
	assert_int_equal(bytes, 4096);
	put("a/memory.current", "1000\n");
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), -ENOENT);
	put("a/memory.stat", "anon 1\ninactive_anon 2\ninactive_file 300\ntotal_inactive_file 400\n");
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 700);
	put("a/memory.current", "200\n"); /* read at another moment */
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 0);
	put("a/memory.stat", "inactive_file 20\n"); /* looked into, as it is not calm, and again when it is, but has changed */
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 180);
	put("a/memory.current", "140\n");
	put("a/memory.stat", "inactive_file 30\n");
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 110);
	put("a/memory.stat", "inactive_file 40\n");
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 110);
	put("a/memory.current", "200\n");
	put("a/memory.stat", "anon 1\n");
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), -EINVAL);
	put("a/memory.pressure", "some avg10=7.00 avg60=0.00\nfull avg10=3.00 avg60=0.00\n");
	sonde_memory_read_pressure(&h, "/a", &p);
	assert_int_equal(p.some_pct, 7);
	assert_int_equal(p.full_pct, 3);
	put("a/cgroup.procs", "12\n0\n13\n");
	assert_int_equal(sonde_memory_read_pids(&h, "/a", pids, 4), 2);
	assert_int_equal(pids[1], 13);
	assert_int_equal(sonde_memory_read_pids(&h, "/a", pids, 1), 1);
	assert_int_equal(sonde_memory_read_pids(&h, "/gone", pids, 4), 0);

	sonde_memory_kept_close(&kept.used);
	sonde_memory_kept_close(&kept.stat);
	h.v1 = true;
	put("a/memory.limit_in_bytes", "8192\n");
	put("a/memory.usage_in_bytes", "1000\n");
	put("a/memory.stat", "inactive_file 300\ntotal_inactive_file 400\n");
	assert_int_equal(sonde_memory_read_limit(&h, "/a", &bytes), 0);
	assert_int_equal(bytes, 8192);
	assert_int_equal(sonde_memory_read_working_set(&kept, &h, "/a", 150, &bytes), 0);
	assert_int_equal(bytes, 600);
	assert_int_equal(sonde_memory_read_limit(&h, "/c", &bytes), -ENOENT);
	sonde_memory_kept_close(&kept.used);
	sonde_memory_kept_close(&kept.stat);
	close(h.fd);
}

static void note(void *userdata, const char *path, uint64_t inode)
{
	char *seen = userdata;

	assert_true(inode > 0);
	assert_true(strlen(seen) + strlen(path) + 2 < 100);
	strcat(strcat(seen, path), ";");
}

static void test_walk(void **state)
{
	struct sonde_memory_hierarchy h = {.fd = open(folder, O_RDONLY | O_DIRECTORY)};
	char seen[100] = "", long_path[2 * SONDE_MEMORY_PATH_SIZE];

	assert_int_equal(sonde_memory_walk(&h, "", 100, note, seen), 3);
	assert_non_null(strstr(seen, "/a;/a/b;"));
	assert_non_null(strstr(seen, "/c;"));
	seen[0] = '\0';
	assert_int_equal(sonde_memory_walk(&h, "/a", 100, note, seen), 1);
	assert_string_equal(seen, "/a/b;");
	seen[0] = '\0';
	assert_int_equal(sonde_memory_walk(&h, "", 2, note, seen), 2);
	assert_int_equal(sonde_memory_walk(&h, "/gone", 100, note, seen), 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(sonde_memory_walk(&h, long_path, 100, note, seen), 0);
	close(h.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_fields), cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_start_time_behind_any_command), cmocka_unit_test(test_cgroup_of_a_process),
		cmocka_unit_test(test_this_process),
		cmocka_unit_test(test_pids_are_bounded), cmocka_unit_test(test_node), cmocka_unit_test(test_no_hierarchy),
		cmocka_unit_test_setup_teardown(test_files_of_both_versions, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_walk, folder_make, folder_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
