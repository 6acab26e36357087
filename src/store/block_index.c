/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list, and which blocks to merge: eight neighbours of one size class or below become one of the next class, so that an
 * event is written again once for each class, of which there are four. Fewer do if they make a block that is grown; a run is not
 * longer than that takes, so that a merge needs little memory. Invariant: items are in the order of `first`.
 */
#include <store/block_index.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUN_LEAST 8
#define CLASSES 4		/* of 8, 64, 512 and 4096 rows */
#define GROWN_ROWS 4096		/* such blocks stay as they are: from here on the encoder compresses well */
#define GROWN_BYTES (256u << 10)

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

struct run {
	size_t n;
	uint64_t rows, bytes, largest;
	int64_t oldest_ns, newest_ns;
};

/* Is it worth a merge? Not to make a large block only a little larger. */
static bool is_enough(const struct run *run)
{
	return run->n >= RUN_LEAST || (run->rows >= GROWN_ROWS && run->largest <= run->rows / 2);
}

static struct run run_with(const struct run *run, const struct sonde_indexed_block *block)
{
	return (struct run){
		.n = run->n + 1,
		.rows = run->rows + block->count,
		.bytes = run->bytes + block->bytes,
		.largest = block->count > run->largest ? block->count : run->largest,
		.oldest_ns = !run->n || block->oldest_ns < run->oldest_ns ? block->oldest_ns : run->oldest_ns,
		.newest_ns = !run->n || block->newest_ns > run->newest_ns ? block->newest_ns : run->newest_ns,
	};
}

/* Those from `at` on that follow each other without a hole, in class `most` or below, and fit together. */
static struct run run_at(const struct sonde_block_index *index, size_t at, unsigned most, int64_t max_span_ns)
{
	struct run run = {};

	while (at + run.n < index->n && run.n < SONDE_BLOCK_RUN_MAX && !(run.rows >= GROWN_ROWS && is_enough(&run))) {
		const struct sonde_indexed_block *block = &index->items[at + run.n];
		struct run next = run_with(&run, block);

		if (class_of(block) > most || (run.n && block->first != block[-1].first + block[-1].count) ||
		    next.rows > SONDE_BLOCK_ROWS_MAX || next.bytes > 4 * GROWN_BYTES ||
		    (max_span_ns && (uint64_t)next.newest_ns - (uint64_t)next.oldest_ns > (uint64_t)max_span_ns))
			break;
		run = next;
	}
	return run;
}

size_t sonde_block_index_run(const struct sonde_block_index *index, int64_t max_span_ns, size_t *ret_at)
{
	for (unsigned most = 0; most < CLASSES; most++)
		for (size_t at = 0; at < index->n; at++) {
			struct run run = run_at(index, at, most, max_span_ns);

			if (is_enough(&run)) {
				*ret_at = at;
				return run.n;
			}
			at += run.n ? run.n - 1 : 0;
		}
	return 0;
}
