/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as a change of a hierarchy: folders that come and go, limits that are written; nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "changes.h"

struct fixture {
	char root[32];
	struct sonde_memory_hierarchy hierarchy;
	struct sonde_memory_changes changes;
};

static char *below(const struct fixture *f, const char *path)
{
	static char full[128];

	snprintf(full, sizeof(full), "%s%s", f->root, path);
	return full;
}

static void put(const struct fixture *f, const char *path)
{
	FILE *file = fopen(below(f, path), "w");

	assert_non_null(file);
	assert_true(fputs("1\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = *state = &fixture;

	strcpy(f->root, "/tmp/sonde-changes-XXXXXX");
	if (!mkdtemp(f->root) || mkdir(below(f, "/a"), 0755))
		return -1;
	f->hierarchy = (struct sonde_memory_hierarchy){.fd = open(f->root, O_RDONLY | O_DIRECTORY)};
	/* A cgroup's files are there from the start. */
	put(f, "/a/memory.max");
	put(f, "/a/memory.limit_in_bytes");
	put(f, "/a/cgroup.procs");
	sonde_memory_changes_open(&f->changes);
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "");
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "/a");
	return f->changes.fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	static const char *const paths[] = {"/a/memory.max", "/a/memory.limit_in_bytes", "/a/cgroup.procs", "/a/b", "/a", "/c", ""};
	struct fixture *f = *state;

	sonde_memory_changes_close(&f->changes);
	close(f->hierarchy.fd);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		(void)remove(below(f, paths[i]));
	return access(f->root, F_OK) ? 0 : -1;
}

static bool any(struct fixture *f)
{
	return sonde_memory_changes_any(&f->changes, &f->hierarchy);
}

static void test_folders_that_come_and_go(void **state)
{
	struct fixture *f = *state;

	assert_false(any(f));
	assert_int_equal(mkdir(below(f, "/a/b"), 0755), 0);
	assert_true(any(f));
	assert_false(any(f));
	assert_int_equal(rmdir(below(f, "/a/b")), 0);
	assert_true(any(f));
	assert_int_equal(mkdir(below(f, "/c"), 0755), 0);
	assert_true(any(f));
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "/c");
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "/gone"); /* of which the folder above has told */
	assert_false(any(f));
	assert_int_equal(rmdir(below(f, "/c")), 0);
	assert_true(any(f));
	assert_false(any(f));
}

static void test_only_a_limit_counts(void **state)
{
	struct fixture *f = *state;
	char text[8];
	int fd;

	put(f, "/a/cgroup.procs");
	assert_false(any(f));
	put(f, "/a/memory.max");
	assert_true(any(f));
	assert_false(any(f));
	put(f, "/a/memory.limit_in_bytes");
	assert_false(any(f));
	f->hierarchy.v1 = true;
	put(f, "/a/memory.limit_in_bytes");
	assert_true(any(f));
	fd = open(below(f, "/a/memory.limit_in_bytes"), O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 2);
	close(fd);
	assert_false(any(f));
}

static void test_what_cannot_be_known_is_a_change(void **state)
{
	struct fixture *f = *state;

	/* A folder that says no: the next walk tries again. */
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "/a/memory.max");
	assert_true(any(f));
	assert_false(any(f));
	sonde_memory_changes_close(&f->changes);
	assert_true(any(f));
	assert_true(any(f));
	sonde_memory_changes_of(&f->changes, &f->hierarchy, "/a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_folders_that_come_and_go), TEST(test_only_a_limit_counts), TEST(test_what_cannot_be_known_is_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
