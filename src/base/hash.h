/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file hash.h Hashes for tables in memory. Seeded where the keys come from anybody. Threads: any. */

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
static inline uint64_t sonde_hash_bytes(uint64_t seed, const void *key, size_t length)
{
	const unsigned char *bytes = key;
	uint64_t hash = seed ^ length * 0x9e3779b97f4a7c15ull, factor = sonde_hash_u64(seed) | 1, word;

	for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = sonde_hash_mix(hash ^ word, factor);
	}
	for (word = 0; length; length--)
		word = word << 8 | *bytes++;
	return sonde_hash_u64(sonde_hash_mix(hash ^ word, factor));
}

/** The process's, different at every start, so that nobody can choose keys that collide. */
uint64_t sonde_hash_seed(void);
