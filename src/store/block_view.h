/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_view.h
 * A query over the blocks of one or more types, wherever they are. A back end adds the types, offers the blocks of its snapshot,
 * and asks.
 *
 * Threads: one for each view.
 */

#include <store/block_scan.h>
#include <store/types.h>

struct sonde_block_view {
	struct sonde_block_source source; /* set by the back end */
	int64_t deadline_ns;		  /* boot clock; by the back end */
	const atomic_bool *interrupted;	  /* by the back end */
	struct sonde_rows *rows[SONDE_TYPES_MAX];
	size_t n;
	bool all_types; /* a block of a type that was not added is lost: the file no longer says what is in it */
	uint64_t unknown_blocks, unknown_events; /* of these */
	bool failed; /* the last error came from reading blocks: -EIO with the source's code, -ETIMEDOUT, -ENOMEM */
};

/** Of a query: what it names must live as long as the view. */
int sonde_block_view_add(struct sonde_block_view *view, const struct sonde_type *type, const struct sonde_query *query,
			 const struct sonde_cursor *cursor);
/** A block of any type. @return 0 or -ENOMEM. */
int sonde_block_view_offer(struct sonde_block_view *view, const struct sonde_block_facts *facts);
/** It was offered, and does not count. */
void sonde_block_view_drop(struct sonde_block_view *view, const char *type, const struct sonde_block_place *place);
/** How many events all blocks of a type should have together; what is missing counts as lost. */
void sonde_block_view_expect(struct sonde_block_view *view, const char *type, uint64_t events);
void sonde_block_view_close(struct sonde_block_view *view);

/** As the calls of the store; of the answer, what is known already stays, and what damaged blocks lost is added. */
int sonde_block_view_query(struct sonde_block_view *view, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
			   struct sonde_answer *answer);
int sonde_block_view_count(struct sonde_block_view *view, const struct sonde_count_opts *opts, sonde_group_fn fn, void *userdata,
			   struct sonde_answer *answer);
