/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default directories are made for the worker. A store somewhere else, in a directory that the worker may not write, gets
 * its three files (database, -wal, -shm) made here and given to it. Nothing is followed that is a symbolic link.
 */
#include <agent/prepare.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>

/* Directory of `path`, made if it is not there (its parents too); what we make belongs to the worker. */
static int prepare_directory(const char *path, const struct sonde_user *user, mode_t mode)
{
	char directory[512];
	int r = 0;

	if (snprintf(directory, sizeof(directory), "%s", path) >= (int)sizeof(directory))
		return -ENAMETOOLONG;
	dirname(directory);
	for (char *slash = directory + 1; !r && (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		r = mkdir(directory, 0755) && errno != EEXIST ? -errno : 0;
		*slash = '/';
	}
	if (!r && !mkdir(directory, mode))
		r = lchown(directory, user->uid, user->gid) ? -errno : 0;
	else if (!r && errno != EEXIST)
		r = -errno;
	return r < 0 ? sonde_log_err(r, "cannot make the directory '%s'", directory) : 0;
}

static bool may_write(const char *path, const struct sonde_user *user)
{
	char directory[512];
	struct stat st;

	snprintf(directory, sizeof(directory), "%s", path);
	if (stat(dirname(directory), &st))
		return false;
	return (st.st_uid == user->uid && st.st_mode & S_IWUSR) || (st.st_gid == user->gid && st.st_mode & S_IWGRP) ||
	       st.st_mode & S_IWOTH || user->uid == 0;
}

static int prepare_file(const char *path, const char *suffix, const struct sonde_user *user)
{
	CLEANUP_CLOSE int fd = -1;
	char name[300];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0640);
	if (fd < 0 || fstat(fd, &st))
		return sonde_log_err(-errno, "cannot make the store's file '%s'", name);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return sonde_log_err(-EINVAL, "'%s' is not a plain file of its own: choose another --store", name);
	if (fchown(fd, user->uid, user->gid))
		return sonde_log_err(-errno, "cannot give '%s' to the worker", name);
	return 0;
}

int sonde_prepare_paths(const struct sonde_config *config, const struct sonde_user *user)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	int r = 0;

	if (geteuid() != 0)
		return 0; /* the worker then runs as the user we are */
	if (config->listen.socket[0])
		r = prepare_directory(config->listen.socket, user, 0755);
	if (r < 0 || !strcmp(config->store.path, "memory"))
		return r;
	r = prepare_directory(config->store.path, user, 0750);
	for (size_t i = 0; !r && !may_write(config->store.path, user) && i < ARRAY_SIZE(suffixes); i++)
		r = prepare_file(config->store.path, suffixes[i], user);
	return r;
}
