/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file buffer.h
 * A growing text buffer. An allocation that fails is remembered (`failed`) and everything after it is a no-op, so
 * that a caller builds a whole text and checks once.
 *
 * Threads: a buffer belongs to one thread.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sonde_buffer {
	char *data; /* NUL-terminated once something was added */
	size_t length, capacity;
	size_t limit; /* bytes it may grow to; 0: no limit */
	bool failed;
};

#define SONDE_BUFFER_INIT {0}

void sonde_buffer_add(struct sonde_buffer *buffer, const void *bytes, size_t length);
void sonde_buffer_add_char(struct sonde_buffer *buffer, char c);
void sonde_buffer_add_u64(struct sonde_buffer *buffer, uint64_t number);
void sonde_buffer_add_i64(struct sonde_buffer *buffer, int64_t number);
void sonde_buffer_printf(struct sonde_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sonde_buffer_vprintf(struct sonde_buffer *buffer, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/** Empty, the memory kept. */
void sonde_buffer_clear(struct sonde_buffer *buffer);
void sonde_buffer_free(struct sonde_buffer *buffer);

static inline void sonde_buffer_add_text(struct sonde_buffer *buffer, const char *text)
{
	sonde_buffer_add(buffer, text, strlen(text));
}

/** 0, or -ENOMEM if anything since the last clear did not fit. */
int sonde_buffer_error(const struct sonde_buffer *buffer);
