/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup table, on cgroups that the test makes in the mounted hierarchies and removes again. */
#include <enrich/cgroups.h>

#include <base/cleanup.h>
#include <enrich/hierarchy.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <sonde/types.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ID "4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a"

struct fixture {
	struct sonde_intern *names;
	struct sonde_cgroups *cgroups;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	*state = &fixture;
	return sonde_intern_new(1000, 100000, &fixture.names) || sonde_cgroups_new(8, fixture.names, &fixture.cgroups);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	sonde_cgroups_free(&fixture->cgroups);
	sonde_intern_free(&fixture->names);
	return 0;
}

static void test_set_is_known_without_a_walk(void **state)
{
	struct fixture *fixture = *state;
	struct sonde_cgroups_status status;
	uint64_t id = 1ull << 40; /* no such cgroup */

	sonde_cgroups_set(fixture->cgroups, id, "/system.slice/nginx.service");
	sonde_cgroups_set(fixture->cgroups, id | SONDE_CGROUP_V1, "/docker/" ID);
	sonde_cgroups_set(fixture->cgroups, id + 1, "/");
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, id), "nginx.service");
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, id | SONDE_CGROUP_V1), ID);
	assert_null(sonde_cgroups_container(fixture->cgroups, id + 1));
	assert_null(sonde_cgroups_container(fixture->cgroups, 0));
	sonde_cgroups_status(fixture->cgroups, &status);
	assert_int_equal(status.walks, 0);
	assert_int_equal(status.cgroups, 3);
}

/* Two tables must not see each other's answers through what the thread remembers. */
static void test_tables_are_apart(void **state)
{
	struct fixture *fixture = *state;
	struct sonde_cgroups *other = NULL;
	uint64_t id = 1ull << 40;

	sonde_cgroups_set(fixture->cgroups, id, "/lxc/one");
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, id), "one");
	assert_int_equal(sonde_cgroups_new(8, fixture->names, &other), 0);
	sonde_cgroups_set(other, id, "/lxc/two");
	assert_string_equal(sonde_cgroups_container(other, id), "two");
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, id), "one");
	sonde_cgroups_free(&other);
}

static void test_limit(void **state)
{
	struct fixture *fixture = *state;
	struct sonde_cgroups_status status;

	for (uint64_t id = 1; id <= 20; id++)
		sonde_cgroups_set(fixture->cgroups, 1ull << 40 | id, "/lxc/x");
	sonde_cgroups_status(fixture->cgroups, &status);
	assert_int_equal(status.cgroups, 8);
	assert_int_equal(status.evicted, 12);
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, 1ull << 40 | 20), "x");
}

/* One walk looks for the first; the next ones, within a second, do not walk again nor remember anything wrong. */
static void test_unknown_ids_do_not_walk_each_time(void **state)
{
	struct fixture *fixture = *state;
	struct sonde_cgroups_status status;

	for (uint64_t i = 0; i < 1000; i++)
		assert_null(sonde_cgroups_container(fixture->cgroups, 1ull << 50 | i));
	for (uint64_t i = 0; i < 1000; i++)
		assert_null(sonde_cgroups_container(fixture->cgroups, 1ull << 50));
	sonde_cgroups_status(fixture->cgroups, &status);
	assert_true(status.walks >= 1);
	assert_true(status.unknown >= 1 && status.unknown <= 3);
	/* Made after it was looked for: known at once. */
	sonde_cgroups_set(fixture->cgroups, 1ull << 50, "/lxc/late");
	assert_string_equal(sonde_cgroups_container(fixture->cgroups, 1ull << 50), "late");
}

static void test_learn(void **state)
{
	struct fixture *fixture = *state;
	struct sonde_cgroups_status status;

	sonde_cgroups_learn(fixture->cgroups);
	sonde_cgroups_learn(fixture->cgroups);
	sonde_cgroups_status(fixture->cgroups, &status);
	assert_int_equal(status.walks, 2); /* one in each hierarchy, and not again at once */
	assert_int_equal(status.unknown, 0);
}

/* A cgroup path that the test makes under `hierarchy` (its parents too), removed with remove_cgroup(). */
static uint64_t make_cgroup(const struct sonde_hierarchy *hierarchy, const char *path)
{
	char part[PATH_MAX];
	struct stat st = {0};

	for (const char *end = path; *end; end++) {
		end += strcspn(end + 1, "/") + 1;
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		assert_true(!mkdirat(hierarchy->fd, part, 0755) || errno == EEXIST);
		end--;
	}
	assert_int_equal(fstatat(hierarchy->fd, path, &st, 0), 0);
	return st.st_ino;
}

static void remove_cgroup(const struct sonde_hierarchy *hierarchy, const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	do
		unlinkat(hierarchy->fd, part, AT_REMOVEDIR);
	while (strrchr(part, '/') && (*strrchr(part, '/') = '\0', *part));
}

static void open_or_skip(bool v1, struct sonde_hierarchy *hierarchy)
{
	if (geteuid()) {
		print_message("only root may make cgroups\n");
		skip();
	}
	if (sonde_hierarchy_open("/proc/self/mountinfo", v1, hierarchy) < 0) {
		print_message("cgroup %s is not mounted here\n", v1 ? "v1 memory" : "v2");
		skip();
	}
}

/* As the worker runs: neither root nor any capability. */
static int in_child_as_nobody(int (*fn)(void *userdata), void *userdata)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(99);
		_exit(fn(userdata));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct question {
	struct sonde_cgroups *cgroups;
	uint64_t id;
	const char *container;
};

static int ask(void *userdata)
{
	const struct question *question = userdata;
	const char *container = sonde_cgroups_container(question->cgroups, question->id);

	return !container || strcmp(container, question->container);
}

static void check_real(struct fixture *fixture, bool v1)
{
	CLEANUP(sonde_hierarchy_close) struct sonde_hierarchy hierarchy = SONDE_HIERARCHY_INIT;
	char path[PATH_MAX];
	struct question question = {.cgroups = fixture->cgroups, .container = ID};
	struct sonde_cgroups_status status;

	open_or_skip(v1, &hierarchy);
	snprintf(path, sizeof(path), "sonde-test-%d/docker/" ID "/inner", (int)getpid());
	question.id = make_cgroup(&hierarchy, path) | (v1 ? SONDE_CGROUP_V1 : 0);
	int as_nobody = in_child_as_nobody(ask, &question), as_root = ask(&question);
	const char *in_other_hierarchy = sonde_cgroups_container(fixture->cgroups, question.id ^ SONDE_CGROUP_V1);

	remove_cgroup(&hierarchy, path);
	assert_int_equal(as_nobody, 0);
	assert_int_equal(as_root, 0);
	assert_true(!in_other_hierarchy || strcmp(in_other_hierarchy, ID));
	/* It is gone, its events may still come. */
	assert_int_equal(ask(&question), 0);
	sonde_cgroups_status(fixture->cgroups, &status);
	assert_true(status.walks >= 1);
}

static void test_real_v1(void **state)
{
	check_real(*state, true);
}

static void test_real_v2(void **state)
{
	check_real(*state, false);
}

static void count(uint64_t id, const char *path, void *userdata)
{
	if (strstr(path, "sonde-deep"))
		++*(int *)userdata;
}

static void test_walk_is_bounded_in_depth(void **state)
{
	CLEANUP(sonde_hierarchy_close) struct sonde_hierarchy hierarchy = SONDE_HIERARCHY_INIT;
	char path[PATH_MAX];
	int n, seen = 0, r;

	open_or_skip(false, &hierarchy);
	n = snprintf(path, sizeof(path), "sonde-deep-%d", (int)getpid());
	for (int i = 1; i < SONDE_HIERARCHY_DEPTH_MAX + 5; i++)
		n += snprintf(path + n, sizeof(path) - (size_t)n, "/%d", i);
	make_cgroup(&hierarchy, path);
	r = sonde_hierarchy_walk(&hierarchy, count, &seen);
	remove_cgroup(&hierarchy, path);
	assert_true(r > 0);
	assert_int_equal(seen, SONDE_HIERARCHY_DEPTH_MAX);
}

static void write_mountinfo(char *name, const char *text)
{
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_mountinfo(void **state)
{
	char name[] = "/tmp/sonde-mountinfo-XXXXXX", line[2 * PATH_MAX], real[PATH_MAX], fd_path[64];
	struct sonde_hierarchy hierarchy = SONDE_HIERARCHY_INIT;
	ssize_t length;

	open_or_skip(false, &hierarchy);
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", hierarchy.fd);
	length = readlink(fd_path, real, sizeof(real) - 1);
	sonde_hierarchy_close(&hierarchy);
	assert_true(length > 0);
	real[length] = '\0';
	/* Nonsense, a tmpfs that calls itself cgroup2, a mount of a part, one with a tag. */
	snprintf(line, sizeof(line),
		 "nonsense\n\n1 2 3\n"
		 "30 1 0:1 / /tmp rw - cgroup2 cgroup2 rw\n"
		 "31 1 0:1 / /no\\040such\\134dir rw - cgroup2 cgroup2 rw\n"
		 "32 1 0:1 /docker/" ID " %s rw shared:1 - cgroup2 cgroup2 rw\n",
		 real);
	write_mountinfo(name, line);
	assert_int_equal(sonde_hierarchy_open(name, true, &hierarchy), -ENOENT);
	assert_int_equal(hierarchy.fd, -1);
	assert_int_equal(sonde_hierarchy_open(name, false, &hierarchy), 0);
	assert_string_equal(hierarchy.prefix, "/docker/" ID);
	sonde_hierarchy_close(&hierarchy);
	unlink(name);
	assert_int_equal(sonde_hierarchy_open("/no/such/file", false, &hierarchy), -ENOENT);
}

static void *look_up(void *userdata)
{
	struct fixture *fixture = userdata;
	uintptr_t wrong = 0;

	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t id = 1ull << 40 | i % 40;
		char path[32], name[32];
		const char *container;

		snprintf(name, sizeof(name), "c%d", (int)(i % 40));
		snprintf(path, sizeof(path), "/lxc/%s", name);
		sonde_cgroups_set(fixture->cgroups, id, path);
		container = sonde_cgroups_container(fixture->cgroups, id);
		/* Another thread may have evicted it meanwhile. */
		wrong += container && strcmp(container, name);
	}
	return (void *)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	void *wrong;

	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, look_up, *state), 0);
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], &wrong);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_is_known_without_a_walk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_are_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_ids_do_not_walk_each_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_learn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_real_v1, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_real_v2, set_up, tear_down),
		cmocka_unit_test(test_walk_is_bounded_in_depth),
		cmocka_unit_test(test_mountinfo),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
