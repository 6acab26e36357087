/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file encode_text.h
 * What the encoders share: looking at foreign bytes, and times, addresses and arguments as text.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buffer.h>
#include <schema/schema.h>

#define SONDE_TEXT_TIME_SIZE 32
#define SONDE_TEXT_ADDRESS_SIZE 48
#define SONDE_TEXT_REAL_SIZE 32

/** Decode one UTF-8 sequence. @return its bytes (1 to 4); 0: the first byte begins no valid sequence. */
size_t sonde_text_decode(const char *bytes, size_t length, uint32_t *ret_code);
/** Bytes at the start that every encoder copies as they are: printable ASCII without `"` and `\`. */
size_t sonde_text_plain(const char *bytes, size_t length);
/** A character that a terminal acts on, or that changes or hides what a reader sees: C0, DEL, C1, format characters. */
bool sonde_text_unsafe(uint32_t code);
/** Do these bytes look like an escape of ours, a backslash, `x` and two hex digits? Then the backslash needs one itself. */
bool sonde_text_looks_escaped(const char *bytes, size_t length);
/** Columns of a terminal that safe text takes. */
size_t sonde_text_width(const char *bytes, size_t length);
/** Bytes of the longest start of safe text that takes at most `width` columns; never splits a character. */
size_t sonde_text_fit(const char *bytes, size_t length, size_t width);

void sonde_text_add_escape(struct sonde_buffer *out, unsigned char byte);
/** "2026-11-20T22:52:54.000000123Z"; NUL-terminated. @return its length. */
size_t sonde_text_time(int64_t time_ns, char text[SONDE_TEXT_TIME_SIZE]);
/** As short as it can be without losing anything, always with a point or an exponent; "inf", "-inf", "nan". @return its length. */
size_t sonde_text_real(double real, char text[SONDE_TEXT_REAL_SIZE]);
/** "10.0.0.1", "2001:db8::1"; NUL-terminated. @return its length. */
size_t sonde_text_address(const uint8_t address[16], char text[SONDE_TEXT_ADDRESS_SIZE]);
bool sonde_address_is_ipv4(const uint8_t address[16]);
/** Foreign text with what is not safe as escapes. `literal`: its backslashes are its own, not to be told from these. */
void sonde_text_add_safe(struct sonde_buffer *out, const char *bytes, size_t length, bool literal);
/** Words with a NUL between them as one line for the shell; nothing is one word, an empty one. The result has only safe characters. */
void sonde_text_add_arguments(struct sonde_buffer *out, const char *bytes, size_t length);

static inline enum sonde_semantic sonde_semantic_of(const struct sonde_column *column)
{
	return column ? column->semantic : SONDE_SEMANTIC_NONE;
}
