/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/object_file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <base/cleanup.h>

#define FILE_MAX (16u << 20) /* as the schema reads at most */

bool sonde_file_is_roots_alone(const struct stat *status)
{
	return geteuid() != 0 || (status->st_uid == 0 && !(status->st_mode & (S_IWGRP | S_IWOTH)));
}

static int fail(int r, const char *path, const char *why, char *error, size_t error_size)
{
	snprintf(error, error_size, "cannot read '%s': %s", path, why);
	return r;
}

int sonde_object_file_read(const char *path, bool roots_alone, void **ret_bytes, size_t *ret_size, char *error, size_t error_size)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP_FREE void *bytes = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return fail(-errno, path, strerror(errno), error, error_size);
	if (S_ISDIR(st.st_mode))
		return fail(-EISDIR, path, strerror(EISDIR), error, error_size);
	if (!S_ISREG(st.st_mode))
		return fail(-EINVAL, path, "it is no plain file", error, error_size);
	if (roots_alone && !sonde_file_is_roots_alone(&st)) {
		snprintf(error, error_size, "'%s' " SONDE_NOT_ROOTS_ALONE, path);
		return -EPERM;
	}
	if (st.st_size > FILE_MAX)
		return fail(-EFBIG, path, "it is larger than 16 MiB", error, error_size);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return fail(-ENOMEM, path, strerror(ENOMEM), error, error_size);
	n = pread(fd, bytes, (size_t)st.st_size, 0);
	if (n != st.st_size)
		return n < 0 ? fail(-errno, path, strerror(errno), error, error_size) :
			       fail(-EIO, path, "it changes meanwhile", error, error_size);
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = (size_t)n;
	return 0;
}
