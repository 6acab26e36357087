/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over entries that stand one after the other. */
#include <store/dictionary.h>

#include <base/hash.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_LEAST 64
#define KEEP_BUCKETS 65536
#define KEEP_BYTES (1u << 20)

static const char *entry(const struct sonde_dictionary *dictionary, uint32_t i, uint32_t *ret_length)
{
	*ret_length = dictionary->offsets[i + 1] - dictionary->offsets[i];
	return dictionary->bytes + dictionary->offsets[i];
}

static void place(struct sonde_dictionary *dictionary, uint32_t i)
{
	uint32_t length, mask = dictionary->n_buckets - 1;
	const char *bytes = entry(dictionary, i, &length);
	uint64_t at = sonde_hash_bytes(sonde_hash_seed(), bytes, length) & mask;

	while (dictionary->buckets[at])
		at = (at + 1) & mask;
	dictionary->buckets[at] = i + 1;
}

static int grow_entries(struct sonde_dictionary *dictionary)
{
	uint32_t n = dictionary->n_max ? dictionary->n_max * 2 : BUCKETS_LEAST / 2;
	uint32_t *offsets = reallocarray(dictionary->offsets, n + 1, sizeof(*offsets));
	uint32_t *buckets = offsets ? calloc(n * 2, sizeof(*buckets)) : NULL;

	if (offsets)
		dictionary->offsets = offsets;
	if (!buckets)
		return -ENOMEM;
	free(dictionary->buckets);
	dictionary->buckets = buckets;
	dictionary->n_buckets = n * 2;
	dictionary->n_max = n;
	for (uint32_t i = 0; i < dictionary->n; i++)
		place(dictionary, i);
	return 0;
}

static int grow_bytes(struct sonde_dictionary *dictionary, uint32_t more)
{
	size_t need = dictionary->length + more, capacity = dictionary->capacity ?: 4096;
	char *bytes;

	if (need > UINT32_MAX / 2)
		return -ENOMEM;
	while (capacity < need)
		capacity *= 2;
	bytes = realloc(dictionary->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	dictionary->bytes = bytes;
	dictionary->capacity = capacity;
	return 0;
}

int64_t sonde_dictionary_add(struct sonde_dictionary *dictionary, const void *bytes, uint32_t length)
{
	uint64_t at;

	if (dictionary->n == dictionary->n_max && grow_entries(dictionary))
		return -ENOMEM;
	if (dictionary->length + length > dictionary->capacity && grow_bytes(dictionary, length))
		return -ENOMEM;
	at = sonde_hash_bytes(sonde_hash_seed(), bytes, length) & (dictionary->n_buckets - 1);
	for (; dictionary->buckets[at]; at = (at + 1) & (dictionary->n_buckets - 1)) {
		uint32_t i = dictionary->buckets[at] - 1, n;
		const char *there = entry(dictionary, i, &n);

		if (n == length && !memcmp(there, bytes, length))
			return i;
	}
	if (!dictionary->n)
		dictionary->offsets[0] = 0;
	if (length)
		memcpy(dictionary->bytes + dictionary->length, bytes, length);
	dictionary->length += length;
	dictionary->offsets[dictionary->n + 1] = (uint32_t)dictionary->length;
	dictionary->buckets[at] = ++dictionary->n;
	return dictionary->n - 1;
}

void sonde_dictionary_clear(struct sonde_dictionary *dictionary)
{
	if (dictionary->n_buckets > KEEP_BUCKETS || dictionary->capacity > KEEP_BYTES) {
		sonde_dictionary_free(dictionary);
		return;
	}
	if (dictionary->n)
		memset(dictionary->buckets, 0, dictionary->n_buckets * sizeof(*dictionary->buckets));
	dictionary->n = 0;
	dictionary->length = 0;
}

void sonde_dictionary_free(struct sonde_dictionary *dictionary)
{
	free(dictionary->bytes);
	free(dictionary->offsets);
	free(dictionary->buckets);
	*dictionary = (struct sonde_dictionary){};
}
