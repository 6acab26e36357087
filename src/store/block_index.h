/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_index.h
 * What the writer knows of the blocks in its file, by type and in the order of their first rows: what to drop and what to merge is
 * found without reading.
 *
 * Threads: the writer's.
 */

#include <store/block.h>

#define SONDE_BLOCK_RUN_MAX 64 /* blocks that become one at once */

struct sonde_indexed_block {
	int64_t id;
	uint64_t first;
	uint32_t count;
	bool stays; /* was found damaged or unlike its neighbours: not merged again */
	int64_t oldest_ns, newest_ns;
	size_t bytes;
};

struct sonde_block_index {
	struct sonde_indexed_block *items;
	size_t n, capacity;
};

/** In its place by `first`. @return 0 or -ENOMEM. */
int sonde_block_index_add(struct sonde_block_index *index, const struct sonde_indexed_block *block);
void sonde_block_index_remove(struct sonde_block_index *index, size_t at, size_t n);
void sonde_block_index_free(struct sonde_block_index *index);
/** Blocks that follow each other and should be one: from *ret_at on. @return how many, 0: none. */
size_t sonde_block_index_run(const struct sonde_block_index *index, int64_t max_span_ns, size_t *ret_at);
