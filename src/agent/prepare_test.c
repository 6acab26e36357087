/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker's user can do in the directories that were prepared for it, asked as that user. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <agent/prepare.h>

static struct sonde_config config;
static struct sonde_user user;
static char root[64];

static int setup(void **state)
{
	strcpy(root, "/tmp/sonde-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	sonde_config_default(&config);
	config.listen.socket[0] = '\0';
	return sonde_user_find("sonde", &user);
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* @return 0: that user can make a file at `path` and, if `victim` is not NULL, cannot remove that one. */
static int as_user(const char *path, const char *victim)
{
	pid_t child = fork();
	int status;

	if (!child) {
		if (setgroups(0, NULL) || setgid(user.gid) || setuid(user.uid))
			_exit(1);
		if (open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0)
			_exit(2);
		_exit(victim && !unlink(victim) ? 3 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void store_in(const char *folder)
{
	snprintf(config.store.path, sizeof(config.store.path), "%s/%sevents.db", root, folder);
}

static void test_directory_is_made(void **state)
{
	struct stat st;
	char path[80];

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(root, 0755), 0);
	store_in("a/b/");
	assert_int_equal(sonde_prepare_paths(&config, &user), 0);
	snprintf(path, sizeof(path), "%s/a/b", root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, user.uid);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(as_user(config.store.path, NULL), 0);
}

/* Such as `mktemp -d` makes, with files of others in it. */
static void test_directory_of_root_is_shared(void **state)
{
	char other[80];
	int fd;

	if (geteuid() != 0)
		skip();
	snprintf(other, sizeof(other), "%s/sonde.yaml", root);
	fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	close(fd);
	store_in("");
	assert_int_equal(as_user(config.store.path, NULL), 2);
	assert_int_equal(sonde_prepare_paths(&config, &user), 0);
	assert_int_equal(as_user(config.store.path, other), 0);
	assert_int_equal(access(other, F_OK), 0);
}

static void test_not_of_somebody_else(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(root, 12345, 12345), 0);
	store_in("");
	assert_true(sonde_prepare_paths(&config, &user) < 0);
	assert_int_equal(as_user(config.store.path, NULL), 2);
}

static void test_not_of_the_system(void **state)
{
	char path[] = "/etc/sonde-test-XXXXXX";

	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(path));
	snprintf(config.store.path, sizeof(config.store.path), "%s/events.db", path);
	assert_true(sonde_prepare_paths(&config, &user) < 0);
	assert_int_equal(rmdir(path), 0);
}

/* The store waits for a disk that can be written. */
static void test_disk_read_only(void **state)
{
	char disk[80];

	snprintf(disk, sizeof(disk), "%s/disk", root);
	assert_int_equal(chmod(root, 0755) || mkdir(disk, 0700), 0);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("tmpfs", disk, "tmpfs", 0, "size=1m"))
		skip();
	assert_int_equal(chown(disk, user.uid, user.gid), 0);
	assert_int_equal(mount(NULL, disk, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	store_in("disk/");
	assert_int_equal(sonde_prepare_paths(&config, &user), 0);
	snprintf(config.listen.socket, sizeof(config.listen.socket), "%s/sonde.sock", disk);
	assert_int_equal(sonde_prepare_paths(&config, &user), -EROFS);
	assert_int_equal(umount(disk), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_directory_is_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory_of_root_is_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_of_somebody_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_of_the_system, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_read_only, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
