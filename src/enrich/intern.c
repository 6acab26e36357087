/* SPDX-License-Identifier: Apache-2.0 */
/* Interned names: an open hash table of pointers into blocks that only ever grow.
 *
 * Invariant: a pointer that was given out stays valid and its text unchanged until the table is freed, so events may
 * carry it through any number of threads without a count. The price is that nothing is ever removed: hence the limits. */
#include <enrich/intern.h>

#include <base/cleanup.h>
#include <base/hash.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (16 * 1024)
#define SLOTS_FIRST 256

struct block {
	struct block *next;
	char bytes[];
};

struct sonde_intern {
	pthread_mutex_t lock;
	uint64_t seed;
	const char **slots; /* a power of two, at most three quarters in use */
	uint32_t n_slots;
	uint32_t max_strings;
	size_t max_bytes;
	struct sonde_intern_status status;
	struct block *blocks; /* the first one is being filled */
	size_t block_used, block_size;
};

int sonde_intern_new(uint32_t max_strings, size_t max_bytes, struct sonde_intern **ret_intern)
{
	CLEANUP(sonde_intern_free) struct sonde_intern *intern = calloc(1, sizeof(*intern));

	if (!intern)
		return -ENOMEM;
	pthread_mutex_init(&intern->lock, NULL);
	intern->seed = sonde_hash_seed();
	intern->max_strings = max_strings;
	intern->max_bytes = max_bytes;
	intern->slots = calloc(SLOTS_FIRST, sizeof(*intern->slots));
	if (!intern->slots)
		return -ENOMEM;
	intern->n_slots = SLOTS_FIRST;
	*ret_intern = TAKE_PTR(intern);
	return 0;
}

void sonde_intern_free(struct sonde_intern **intern)
{
	struct block *block, *next;

	if (!*intern)
		return;
	for (block = (*intern)->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	free((*intern)->slots);
	pthread_mutex_destroy(&(*intern)->lock);
	free(TAKE_PTR(*intern));
}

/* The slot that holds the text, or the empty one where it belongs. */
static const char **intern_slot(const struct sonde_intern *intern, const char **slots, uint32_t n_slots,
				const char *text, size_t length)
{
	uint32_t i = (uint32_t)sonde_hash_bytes(intern->seed, text, length) & (n_slots - 1);

	while (slots[i] && (strncmp(slots[i], text, length) || slots[i][length]))
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static bool intern_grow(struct sonde_intern *intern)
{
	uint32_t n_slots = intern->n_slots * 2;
	const char **slots;

	if (intern->status.strings + 1 <= intern->n_slots / 4 * 3)
		return true;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return false;
	for (uint32_t i = 0; i < intern->n_slots; i++)
		if (intern->slots[i])
			*intern_slot(intern, slots, n_slots, intern->slots[i], strlen(intern->slots[i])) =
				intern->slots[i];
	free(intern->slots);
	intern->slots = slots;
	intern->n_slots = n_slots;
	return true;
}

static char *intern_copy(struct sonde_intern *intern, const char *text, size_t length)
{
	struct block *block;
	char *copy;

	if (!intern->blocks || intern->block_size - intern->block_used <= length) {
		size_t size = length < BLOCK_BYTES ? BLOCK_BYTES : length + 1;

		block = malloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		block->next = intern->blocks;
		intern->blocks = block;
		intern->block_used = 0;
		intern->block_size = size;
	}
	copy = intern->blocks->bytes + intern->block_used;
	memcpy(copy, text, length);
	copy[length] = '\0';
	intern->block_used += length + 1;
	return copy;
}

static const char *intern_add(struct sonde_intern *intern, const char *text, size_t length)
{
	char *copy;

	if (intern->status.strings >= intern->max_strings || intern->status.bytes + length + 1 > intern->max_bytes ||
	    !intern_grow(intern))
		return NULL;
	copy = intern_copy(intern, text, length);
	if (!copy)
		return NULL;
	*intern_slot(intern, intern->slots, intern->n_slots, text, length) = copy;
	intern->status.strings++;
	intern->status.bytes += length + 1;
	return copy;
}

const char *sonde_intern_get(struct sonde_intern *intern, const char *text, size_t length)
{
	const char *known;

	length = strnlen(text, length);
	pthread_mutex_lock(&intern->lock);
	known = *intern_slot(intern, intern->slots, intern->n_slots, text, length);
	if (!known)
		known = intern_add(intern, text, length);
	if (!known) {
		intern->status.refused++;
		known = SONDE_INTERN_FULL;
	}
	pthread_mutex_unlock(&intern->lock);
	return known;
}

void sonde_intern_status(struct sonde_intern *intern, struct sonde_intern_status *ret_status)
{
	pthread_mutex_lock(&intern->lock);
	*ret_status = intern->status;
	pthread_mutex_unlock(&intern->lock);
}
