/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of store and socket are made for the worker where they are not there. One that is there stays as it is; if
 * the worker cannot use it, that is said here, before anything is attached: the worker could only say "permission denied".
 */
#include <agent/prepare.h>

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Asked as that user, by a child: permissions of all the parents, ACLs and read-only mounts count too. */
static int directory_usable(const char *directory, const struct sonde_user *user)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (!child)
		_exit(setgroups(0, NULL) || setgid(user->gid) || setuid(user->uid) || access(directory, W_OK | X_OK) ? errno : 0);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int prepare_check(const char *what, const char *path, const struct sonde_user *user)
{
	char directory[512];
	int r;

	snprintf(directory, sizeof(directory), "%s", path);
	dirname(directory);
	r = directory_usable(directory, user);
	if (!r)
		return 0;
	sonde_log_err(0, "the worker (user %u) cannot use the directory '%s' of the %s: %s. Make a directory for it (install -d -o "
		      "%u -g %u -m 750 PATH), or name one that is not there yet: sonde makes it",
		      user->uid, directory, what, strerror(-r), user->uid, user->gid);
	return r;
}

int sonde_prepare_paths(const struct sonde_config *config, const struct sonde_user *user)
{
	int r = 0;

	if (geteuid() != 0)
		return 0; /* the worker then runs as the user we are */
	if (config->listen.socket[0]) {
		r = prepare_directory(config->listen.socket, user, 0755);
		r = r ?: prepare_check("socket", config->listen.socket, user);
	}
	if (r < 0 || !strcmp(config->store.path, "memory"))
		return r;
	r = prepare_directory(config->store.path, user, 0750);
	return r ?: prepare_check("store", config->store.path, user);
}
