/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file object_file.h The file of a program of the user's own, read as a whole. What is in it is checked by those who read it. */

#include <stdbool.h>
#include <stddef.h>

/**
 * @brief Read a plain file of at most 16 MiB. Does not wait for the other side of a fifo.
 * @param roots_alone Refuse one that somebody else than root could change, if we are root.
 * @param ret_bytes To be freed.
 * @return 0; -EPERM, -EINVAL no plain file, -EFBIG, or as open() and read(), with `error` in words.
 */
int sonde_object_file_read(const char *path, bool roots_alone, void **ret_bytes, size_t *ret_size, char *error, size_t error_size);

struct stat;
/** Whether nobody but root can change it; true for everything if we are not root. */
bool sonde_file_is_roots_alone(const struct stat *status);
#define SONDE_NOT_ROOTS_ALONE "is not root's alone: chown root:root and chmod go-w it, or move it"
