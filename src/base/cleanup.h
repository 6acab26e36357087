/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file cleanup.h
 * Ownership by attribute: an owner is released when its scope ends, unless it was handed over with TAKE_PTR/TAKE_FD.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

static inline void cleanup_free_(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose_(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define CLEANUP_FREE CLEANUP(cleanup_free_)
#define CLEANUP_CLOSE CLEANUP(cleanup_close_)
#define CLEANUP_FCLOSE CLEANUP(cleanup_fclose_)

#define TAKE_PTR(pointer)                            \
	({                                           \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                    \
		taken_;                              \
	})
#define TAKE_FD(fd)               \
	({                        \
		int taken_ = (fd); \
		(fd) = -1;        \
		taken_;           \
	})

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
