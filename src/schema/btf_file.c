/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/btf_file.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

#define FILE_MAX (256u << 20)

void sonde_btf_file_close(struct sonde_btf_file *file)
{
	if (file->data)
		munmap(file->data, file->size);
	file->data = NULL;
}

/* Kernels before 6.16 cannot map this file, and give at most a page for each read. */
static int file_read(int fd, struct sonde_btf_file *file)
{
	size_t done = 0;

	file->data = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (file->data == MAP_FAILED) {
		file->data = NULL;
		return -errno;
	}
	while (done < file->size) {
		ssize_t n = read(fd, (char *)file->data + done, file->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int sonde_btf_file_open(const char *path, struct sonde_btf_file *ret_file)
{
	CLEANUP(sonde_btf_file_close) struct sonde_btf_file file = {0};
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	int r = 0;

	if (fd < 0 || fstat(fd, &status))
		return -errno;
	if (status.st_size <= 0 || status.st_size > FILE_MAX)
		return -EFBIG;
	file.size = (size_t)status.st_size;
	/* Only sysfs: any other file could be cut while it is mapped. */
	file.data = strncmp(path, "/sys/", 5) ? MAP_FAILED : mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file.data == MAP_FAILED) {
		file.data = NULL;
		r = file_read(fd, &file);
	}
	if (r < 0)
		return r;
	*ret_file = file;
	file.data = NULL;
	return 0;
}
