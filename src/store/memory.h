/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file memory.h
 * Inside of the store in memory: the same blocks as in a file, in lists. Events live as long as the process; their checkpoints
 * live in shared memory that outlives it, so that the next process goes on where this one ended and counts what died with it as
 * expired.
 *
 * Threads: a block never changes. The writer adds, drops and merges them under the lock; a query takes references to what is
 * there and reads without it.
 */

#include <store/backend.h>
#include <store/block_index.h>
#include <store/checkpoints.h>
#include <store/gaps.h>
#include <store/intake.h>
#include <store/retention.h>
#include <store/types.h>

#include <stdlib.h>

#define MEMORY_RINGS_MAX 128

struct memory_type {
	struct sonde_block_index blocks; /* an id is an address */
	uint64_t stored, expired;
	int64_t dropped_until_ns;
};

struct memory_ring {
	struct sonde_checkpoint checkpoint;
	int64_t base; /* sonde_checkpoint_expired() */
};

struct memory_store {
	struct sonde_store base;
	uint64_t max_bytes;
	int64_t max_age_ns, started_ns;
	struct sonde_types types;
	struct sonde_intake intake; /* the writer's */
	struct sonde_checkpoints shared;
	struct sonde_retention retention;
	pthread_mutex_t lock; /* of all below */
	struct memory_type slots[SONDE_TYPES_MAX]; /* the writer, who alone changes them, also reads them without it */
	struct memory_ring rings[MEMORY_RINGS_MAX];
	size_t n_rings;
	struct sonde_gaps gaps;
	uint64_t bytes, commits;
};

static inline struct sonde_block *memory_block_of(const struct sonde_indexed_block *indexed)
{
	return (struct sonde_block *)(intptr_t)indexed->id;
}

static inline void memory_block_unref(struct sonde_block *block)
{
	if (atomic_fetch_sub(&block->references, 1) == 1)
		free(block);
}

/* memory_query.c */
int memory_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer);
int memory_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
		 sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer);
void memory_status(struct sonde_store *base, struct sonde_store_status *ret_status);
