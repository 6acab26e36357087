/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of numbers that have no name. A value only borrows its text, so the text must stay: each is kept once for the
 * life of the process. Kernels choose these numbers, so the table is bounded; the numbers it has no room for are written
 * to a ring of their thread, which holds several events' worth of them.
 */
#include <schema/names.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8192 /* a power of two */
#define KEPT_MAX 4096
#define RING_SIZE 256
#define TEXT_SIZE 24

static _Atomic(char *) slots[SLOTS];
static atomic_uint n_kept;
static _Thread_local char ring[RING_SIZE][TEXT_SIZE];
static _Thread_local unsigned ring_next;

static const char *ring_text(const char *text)
{
	char *room = ring[ring_next++ % RING_SIZE];

	return memcpy(room, text, TEXT_SIZE);
}

const char *sonde_kept_text(const char *text, uint64_t number)
{
	size_t size = strlen(text) + 1;
	uint32_t slot = (uint32_t)((number * 0x9e3779b97f4a7c15u) >> 51);
	char *mine = NULL;

	for (unsigned i = 0; i < SLOTS; i++, slot++) {
		char *there = atomic_load_explicit(&slots[slot % SLOTS], memory_order_acquire);

		if (!there) {
			if (!mine && atomic_fetch_add(&n_kept, 1) < KEPT_MAX)
				mine = malloc(size);
			if (!mine) {
				atomic_store(&n_kept, KEPT_MAX); /* so that the counter never wraps */
				return NULL;
			}
			memcpy(mine, text, size);
			if (atomic_compare_exchange_strong(&slots[slot % SLOTS], &there, mine))
				return mine;
		}
		if (!strcmp(there, text)) {
			free(mine);
			return there;
		}
	}
	free(mine);
	return NULL;
}

/* `text` has TEXT_SIZE bytes. */
static const char *text_keep(const char *text, uint64_t number)
{
	return sonde_kept_text(text, number) ?: ring_text(text);
}

const char *sonde_number_text(int64_t number)
{
	char text[TEXT_SIZE] = "";

	snprintf(text, sizeof(text), "%lld", (long long)number);
	return text_keep(text, (uint64_t)number);
}

const char *sonde_hex_text(uint64_t number)
{
	char text[TEXT_SIZE] = "";

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)number);
	return text_keep(text, ~number);
}
