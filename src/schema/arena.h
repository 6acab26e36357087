/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file arena.h
 * Many small objects with one life: all are freed together.
 *
 * Threads: an arena belongs to one thread while it is filled.
 */

#include <stddef.h>

struct sonde_arena_block;

struct sonde_arena {
	struct sonde_arena_block *blocks;
	size_t left; /* bytes free at the end of the newest block */
};

/** Zeroed and aligned for any object. @return NULL: out of memory. */
void *sonde_arena_alloc(struct sonde_arena *arena, size_t size);
/** A NUL-terminated copy of `length` bytes. */
char *sonde_arena_text(struct sonde_arena *arena, const char *bytes, size_t length);
char *sonde_arena_printf(struct sonde_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sonde_arena_free(struct sonde_arena *arena);
