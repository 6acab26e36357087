/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file testdata.h For tests: the objects that the build makes of src/schema/testdata. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct testdata {
	char *data;
	size_t size;
};

/** Reads a whole file; ends the test if it cannot. A NUL follows the data. */
static inline struct testdata testdata_read(const char *path)
{
	struct testdata file = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) || !(file.data = calloc(1, (size_t)status.st_size + 1)) ||
	    read(fd, file.data, (size_t)status.st_size) != status.st_size) {
		perror(path);
		exit(1);
	}
	close(fd);
	file.size = (size_t)status.st_size;
	return file;
}

/** "valid", "broken_no_doc", ... */
static inline struct testdata testdata_object(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), SONDE_BUILD_DIR "/testdata_%s.bpf.o", name);
	return testdata_read(path);
}
