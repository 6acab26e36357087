/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of store and socket are made for the worker where they are not there. One that is there is shared with it by an
 * ACL, if it is root's own and no part of the system; if the worker still cannot use it, that is said here, before anything is attached: the worker could only say "permission denied".
 */
#include <agent/prepare.h>

#include <endian.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
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

/* Where a directory belongs to the system, or to something else than one purpose, rights are not given away. */
static bool directory_may_be_shared(const char *directory)
{
	static const char *const not_in[] = {"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/proc", "/sys", "/dev",
					     "/root"};
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(directory, real) || stat(real, &st) || st.st_uid != 0 || !strchr(real + 1, '/'))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(not_in); i++)
		if (!strncmp(real, not_in[i], strlen(not_in[i])) && real[strlen(not_in[i])] == '/')
			return false;
	return true;
}

/*
 * A directory of root's that was named for the store, such as mktemp -d makes: an ACL lets the worker make its files there,
 * and the sticky bit keeps it from the files of others. Format: linux/posix_acl_xattr.h.
 */
static int directory_share(const char *directory, const struct sonde_user *user)
{
	struct {
		__le32 version;
		struct {
			__le16 tag, permissions;
			__le32 id;
		} entries[5];
	} acl;
	struct stat st;

	if (!directory_may_be_shared(directory) || stat(directory, &st))
		return -EACCES;
	if (getxattr(directory, "system.posix_acl_access", NULL, 0) >= 0)
		return -EEXIST; /* somebody's own rules */
	acl.version = htole32(2);
	acl.entries[0].tag = htole16(0x01); /* owner */
	acl.entries[0].permissions = htole16((st.st_mode >> 6) & 7);
	acl.entries[1].tag = htole16(0x02); /* a user */
	acl.entries[1].permissions = htole16(7);
	acl.entries[2].tag = htole16(0x04); /* group */
	acl.entries[2].permissions = htole16((st.st_mode >> 3) & 7);
	acl.entries[3].tag = htole16(0x10); /* mask */
	acl.entries[3].permissions = htole16(7);
	acl.entries[4].tag = htole16(0x20); /* others */
	acl.entries[4].permissions = htole16(st.st_mode & 7);
	for (size_t i = 0; i < ARRAY_SIZE(acl.entries); i++)
		acl.entries[i].id = i == 1 ? htole32(user->uid) : htole32(UINT32_MAX);
	if (chmod(directory, (st.st_mode & 07777) | S_ISVTX) ||
	    setxattr(directory, "system.posix_acl_access", &acl, sizeof(acl), 0))
		return -errno;
	sonde_log_info("the worker (user %u) may now make files in '%s'", user->uid, directory);
	return 0;
}

/* `waits`: for a disk that is read-only now. */
static int prepare_check(const char *what, const char *path, const struct sonde_user *user, bool waits)
{
	char directory[512];
	int r;

	snprintf(directory, sizeof(directory), "%s", path);
	dirname(directory);
	r = directory_usable(directory, user);
	if (r == -EACCES && !directory_share(directory, user))
		r = directory_usable(directory, user);
	if (!r || (r == -EROFS && waits))
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
		r = r ?: prepare_check("socket", config->listen.socket, user, false);
	}
	if (r < 0 || !strcmp(config->store.path, "memory"))
		return r;
	r = prepare_directory(config->store.path, user, 0750);
	return r ?: prepare_check("store", config->store.path, user, true);
}
