/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small filters: which pids, commands and containers a block has. Few are kept as sorted hashes, more as a Bloom filter, a
 * thousand and more not at all. Invariant: what is in the block is never denied.
 */
#include <store/block.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SET_MAX 1024
#define SORTED_MAX 24
#define BLOOM_BYTES_MAX 1024u
#define BLOOM_HASHES 4
#define CONTAINER_PREFIX 12

enum { KIND_SORTED = 1, KIND_BLOOM, KIND_ANY };

/* Stands in files: never to be changed. FNV-1a, and a mix so that all bits of the result are good. */
uint64_t sonde_block_hash(const void *bytes, size_t length)
{
	const uint8_t *in = bytes;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ in[i]) * 0x100000001b3ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	hash ^= hash >> 32;
	return hash ?: 1; /* 0 is a free bucket */
}

uint64_t sonde_block_hash_number(uint64_t number)
{
	uint64_t bytes = htole64(number);

	return sonde_block_hash(&bytes, sizeof(bytes));
}

uint64_t sonde_block_hash_container(const char *text, size_t length)
{
	return sonde_block_hash(text, length < CONTAINER_PREFIX ? length : CONTAINER_PREFIX);
}

void sonde_block_set_add(struct sonde_block_set *set, uint64_t hash)
{
	size_t i = hash % 2048;

	if (set->any)
		return;
	while (set->buckets[i] && set->buckets[i] != hash)
		i = (i + 1) % 2048;
	if (set->buckets[i])
		return;
	if (set->n == SET_MAX) {
		set->any = true;
		return;
	}
	set->buckets[i] = hash;
	set->n++;
}

static int hash_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t bloom_bit(uint64_t hash, unsigned i, uint32_t bytes)
{
	return ((uint32_t)hash + i * (uint32_t)(hash >> 32 | 1)) & (bytes * 8 - 1);
}

/* u8 kind, u16 length, the bytes */
uint32_t sonde_block_filter_write(const struct sonde_block_set *set, uint8_t *out)
{
	uint32_t sorted[SORTED_MAX], length = 0, n = 0;
	uint8_t kind = set->any ? KIND_ANY : set->n <= SORTED_MAX ? KIND_SORTED : KIND_BLOOM;

	if (kind == KIND_SORTED) {
		for (size_t i = 0; i < 2048; i++)
			if (set->buckets[i])
				sorted[n++] = (uint32_t)set->buckets[i];
		qsort(sorted, n, sizeof(*sorted), hash_order);
		for (uint32_t i = 0; i < n; i++)
			sorted[i] = htole32(sorted[i]);
		length = n * sizeof(*sorted);
		memcpy(out + 3, sorted, length);
	} else if (kind == KIND_BLOOM) {
		for (length = 32; length < set->n && length < BLOOM_BYTES_MAX;)
			length *= 2;
		memset(out + 3, 0, length);
		for (size_t i = 0; i < 2048; i++)
			for (unsigned j = 0; set->buckets[i] && j < BLOOM_HASHES; j++) {
				uint32_t bit = bloom_bit(set->buckets[i], j, length);

				out[3 + bit / 8] |= (uint8_t)(1u << bit % 8);
			}
	}
	out[0] = kind;
	out[1] = (uint8_t)length;
	out[2] = (uint8_t)(length >> 8);
	return 3 + length;
}

static bool sorted_holds(const uint8_t *at, uint32_t length, uint32_t hash)
{
	for (uint32_t i = 0; i + 4 <= length; i += 4) {
		uint32_t entry;

		memcpy(&entry, at + i, sizeof(entry));
		if (le32toh(entry) == hash)
			return true;
	}
	return false;
}

static bool bloom_holds(const uint8_t *at, uint32_t length, uint64_t hash)
{
	if (!length || length & (length - 1))
		return true;
	for (unsigned i = 0; i < BLOOM_HASHES; i++) {
		uint32_t bit = bloom_bit(hash, i, length);

		if (!(at[bit / 8] & 1u << bit % 8))
			return false;
	}
	return true;
}

bool sonde_block_filter_holds(const struct sonde_block_facts *facts, enum sonde_block_filter which, uint64_t hash)
{
	const uint8_t *at = facts->filter, *end = at + facts->n_filter;
	uint32_t length;

	for (unsigned i = 0; end - at >= 3; i++, at += 3 + length) {
		length = at[1] | (uint32_t)at[2] << 8;
		if ((size_t)(end - at - 3) < length)
			return true;
		if (i != which)
			continue;
		if (at[0] == KIND_SORTED)
			return sorted_holds(at + 3, length, (uint32_t)hash);
		return at[0] != KIND_BLOOM || bloom_holds(at + 3, length, hash);
	}
	return true;
}

uint32_t sonde_block_facts_checksum(const struct sonde_block_facts *facts)
{
	const uint64_t numbers[] = {
		htole64(facts->first), htole64(facts->count), htole64(facts->weight), htole64((uint64_t)facts->oldest_ns),
		htole64((uint64_t)facts->newest_ns), htole64((uint64_t)facts->pid_min), htole64((uint64_t)facts->pid_max),
		htole64(facts->head),
	};
	uLong crc = crc32(0, (const Bytef *)facts->type, (uInt)strlen(facts->type) + 1);

	crc = crc32(crc, (const Bytef *)numbers, sizeof(numbers));
	return (uint32_t)crc32(crc, facts->filter, facts->n_filter);
}
