/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list, and which blocks to merge: eight neighbours of one size class or below become one of the next class, so that an
 * event is written again once for each class, of which there are four. Invariant: items are in the order of `first`.
 */
#include <store/block_index.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUN_LEAST 8
#define CLASSES 4		/* of 8, 64, 512 and 4096 rows */
#define GROWN_ROWS 4096		/* such blocks stay as they are: from here on the encoder compresses well */
#define GROWN_BYTES (256u << 10)
#define ENOUGH_ROWS 16384	/* a run of so many is not made longer: what a merge takes in memory */

int sonde_block_index_add(struct sonde_block_index *index, const struct sonde_indexed_block *block)
{
	size_t at = index->n;

	if (index->n == index->capacity) {
		size_t more = index->capacity ? index->capacity * 2 : 32;
		struct sonde_indexed_block *items = reallocarray(index->items, more, sizeof(*items));

		if (!items)
			return -ENOMEM;
		index->items = items;
		index->capacity = more;
	}
	while (at && index->items[at - 1].first > block->first)
		at--;
	memmove(&index->items[at + 1], &index->items[at], (index->n++ - at) * sizeof(*index->items));
	index->items[at] = *block;
	return 0;
}

void sonde_block_index_remove(struct sonde_block_index *index, size_t at, size_t n)
{
	memmove(&index->items[at], &index->items[at + n], (index->n - at - n) * sizeof(*index->items));
	index->n -= n;
}

void sonde_block_index_free(struct sonde_block_index *index)
{
	free(index->items);
	*index = (struct sonde_block_index){};
}

static unsigned class_of(const struct sonde_indexed_block *block)
{
	if (block->stays || block->count >= GROWN_ROWS || block->bytes >= GROWN_BYTES)
		return CLASSES;
	return (31 - (unsigned)__builtin_clz(block->count)) / 3;
}

/* How many from `at` on follow each other without a hole, in class `most` or below, and fit together. */
static size_t run_length(const struct sonde_block_index *index, size_t at, unsigned most, int64_t max_span_ns)
{
	int64_t oldest_ns = INT64_MAX, newest_ns = INT64_MIN;
	uint64_t rows = 0, bytes = 0;
	size_t n = 0;

	for (; at + n < index->n && n < SONDE_BLOCK_RUN_MAX; n++) {
		const struct sonde_indexed_block *block = &index->items[at + n];

		if (class_of(block) > most || (n && block->first != block[-1].first + block[-1].count) ||
		    (n >= RUN_LEAST && rows >= ENOUGH_ROWS))
			break;
		rows += block->count;
		bytes += block->bytes;
		oldest_ns = block->oldest_ns < oldest_ns ? block->oldest_ns : oldest_ns;
		newest_ns = block->newest_ns > newest_ns ? block->newest_ns : newest_ns;
		if (rows > SONDE_BLOCK_ROWS_MAX || bytes > 4 * GROWN_BYTES ||
		    (max_span_ns && (uint64_t)newest_ns - (uint64_t)oldest_ns > (uint64_t)max_span_ns))
			break;
	}
	return n;
}

size_t sonde_block_index_run(const struct sonde_block_index *index, int64_t max_span_ns, size_t *ret_at)
{
	for (unsigned most = 0; index->n >= RUN_LEAST && most < CLASSES; most++)
		for (size_t at = 0; at + RUN_LEAST <= index->n; at++) {
			size_t n = run_length(index, at, most, max_span_ns);

			if (n >= RUN_LEAST) {
				*ret_at = at;
				return n;
			}
			at += n ? n - 1 : 0;
		}
	return 0;
}
