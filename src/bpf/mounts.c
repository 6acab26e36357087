/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/mounts.h>

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>

int sonde_mount_point(const char *type, char *ret_path, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char buffer[4096];
	int r = -ENOENT;

	if (!mounts)
		return -errno;
	while (r && getmntent_r(mounts, &entry, buffer, sizeof(buffer))) {
		if (strcmp(entry.mnt_type, type) || strlen(entry.mnt_dir) >= size)
			continue;
		strcpy(ret_path, entry.mnt_dir);
		r = 0;
	}
	endmntent(mounts);
	return r;
}

int sonde_cgroup2_open(void)
{
	char path[4096];
	int fd;

	if (sonde_mount_point("cgroup2", path, sizeof(path)))
		return -ENODEV;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
