/* SPDX-License-Identifier: Apache-2.0 */
/* Reading small files. Invariant: no kept file takes a descriptor from the upper half of what every process may have. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "files.h"

#define KEPT_FD_MAX 512 /* a process may usually have 1,024: the rest is for the agent's other work */

static int read_from_start(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

int sonde_memory_file_read(int folder_fd, const char *path, char *text, size_t size)
{
	int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = read_from_start(fd, text, size);
	close(fd);
	return r;
}

int sonde_memory_kept_read(struct sonde_memory_kept *kept, int folder_fd, const char *path, char *text, size_t size)
{
	int r;

	if (kept->fd < 0)
		kept->fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC);
	if (kept->fd < 0)
		return -errno;
	r = read_from_start(kept->fd, text, size);
	if (r < 0 || kept->fd >= KEPT_FD_MAX)
		sonde_memory_kept_close(kept);
	return r;
}

void sonde_memory_kept_close(struct sonde_memory_kept *kept)
{
	if (kept->fd >= 0)
		close(kept->fd);
	kept->fd = -1;
}
