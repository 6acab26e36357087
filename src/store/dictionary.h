/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file dictionary.h
 * Different texts of a column, each once, numbered from 0 in the order in which they came.
 *
 * Threads: one.
 */

#include <stddef.h>
#include <stdint.h>

struct sonde_dictionary {
	char *bytes;
	uint32_t *offsets; /* n + 1 */
	uint32_t n, n_max;
	size_t length, capacity; /* of bytes */
	uint32_t *buckets;	 /* entry + 1; 0: free */
	uint32_t n_buckets;	 /* power of two, at least twice n */
};

/** @return the entry, or -ENOMEM. */
int64_t sonde_dictionary_add(struct sonde_dictionary *dictionary, const void *bytes, uint32_t length);
/** Empty; memory is kept unless it is much. */
void sonde_dictionary_clear(struct sonde_dictionary *dictionary);
void sonde_dictionary_free(struct sonde_dictionary *dictionary);
