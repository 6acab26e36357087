/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file hash.h Hashes of the tables in this folder. Seeded where foreign names are the keys. Threads: any. */

#include <stddef.h>
#include <stdint.h>

static inline uint64_t sonde_hash_u64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static inline uint64_t sonde_hash_bytes(uint64_t seed, const char *bytes, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325ull ^ seed;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ull;
	return sonde_hash_u64(hash);
}

/** Different at every start, so that nobody can choose names that collide. */
uint64_t sonde_hash_seed(void);
