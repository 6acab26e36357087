/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file hash.h Hashes of the tables in this folder. Seeded where foreign names are the keys. Threads: any. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sonde_hash_u64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static inline uint64_t sonde_hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes at once, each time multiplied by what nobody knows. */
static inline uint64_t sonde_hash_bytes(uint64_t seed, const char *bytes, size_t length)
{
	uint64_t hash = seed ^ length * 0x9e3779b97f4a7c15ull, factor = sonde_hash_u64(seed) | 1, word;

	for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = sonde_hash_mix(hash ^ word, factor);
	}
	for (word = 0; length; length--)
		word = word << 8 | (unsigned char)*bytes++;
	return sonde_hash_u64(sonde_hash_mix(hash ^ word, factor));
}

/** Different at every start, so that nobody can choose names that collide. */
uint64_t sonde_hash_seed(void);
