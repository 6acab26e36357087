/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file units.h
 * Numbers as people write them, mostly with units, in the configuration and on the command line; and the nearest of some words.
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

/**
 * @brief "10s", "1h30m", "200ms", "1.5s", "7d". Units ns us ms s m h d w, each at most once, largest first.
 * A number without a unit is an error (but 0): nobody should have to guess.
 * @return 0, -EINVAL, -ERANGE (beyond some 290 years).
 */
int sonde_duration_parse(const char *text, int64_t *ret_ns);
/** "16MiB", "1GiB", "4096", "1.5MB". Units B KiB MiB GiB TiB and kB MB GB TB (1000). @return 0, -EINVAL, -ERANGE. */
int sonde_size_parse(const char *text, uint64_t *ret_bytes);
/** A whole decimal number with an optional sign, nothing else. @return 0, -EINVAL, -ERANGE. */
int sonde_integer_parse(const char *text, int64_t *ret_number);

/** @return 0 to 15, -1: it is none. */
int sonde_hex_digit(char c);

#define SONDE_UNITS_TEXT_MAX 48
/** The shortest exact text that the parsers above read back: 16MiB, 200ms. */
const char *sonde_size_text(uint64_t bytes, char text[SONDE_UNITS_TEXT_MAX]);
const char *sonde_duration_text(int64_t ns, char text[SONDE_UNITS_TEXT_MAX]);

/** Keeps the best candidate for "did you mean": feed it all known words. */
struct sonde_nearest {
	const char *word; /* the best so far, or NULL: none is near */
	unsigned distance;
};
void sonde_nearest_try(struct sonde_nearest *nearest, const char *typed, const char *candidate);
