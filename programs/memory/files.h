/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file files.h
 * Small files, read whole with one read() so that their numbers belong together; and files that are kept open, as opening one
 * costs several times what reading it does.
 */

#include <stddef.h>

/** @param folder_fd What `path` is below, or AT_FDCWD. `text` ends with a NUL. @return 0 or a negative errno. */
int sonde_memory_file_read(int folder_fd, const char *path, char *text, size_t size);

/** A file that is read again and again. */
struct sonde_memory_kept {
	int fd; /* -1: not open now */
};

#define SONDE_MEMORY_NOT_KEPT ((struct sonde_memory_kept){-1})

/**
 * As sonde_memory_file_read(), of a file that stays open; while it is, the path is not looked at. What cannot be read (its cgroup or process is gone) is closed, and looked
 * for by its path the next time.
 */
int sonde_memory_kept_read(struct sonde_memory_kept *kept, int folder_fd, const char *path, char *text, size_t size);
void sonde_memory_kept_close(struct sonde_memory_kept *kept);
