/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file intern.h
 * Names kept once and for good: equal names are the same pointer, valid until the table is freed. Bounded in number and bytes;
 * what comes after that is SONDE_INTERN_FULL and is counted.
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

#define SONDE_INTERN_FULL "(too many names)"

struct sonde_intern;

struct sonde_intern_status {
	uint64_t strings, bytes;
	uint64_t refused; /* calls that got SONDE_INTERN_FULL */
};

/** @param max_bytes Of the names with their NUL. */
int sonde_intern_new(uint32_t max_strings, size_t max_bytes, struct sonde_intern **ret_intern);
void sonde_intern_free(struct sonde_intern **intern);
/** The kept copy of `length` bytes (up to the first NUL), or SONDE_INTERN_FULL: no room or no memory. Never NULL. */
const char *sonde_intern_get(struct sonde_intern *intern, const char *text, size_t length);
void sonde_intern_status(struct sonde_intern *intern, struct sonde_intern_status *ret_status);
