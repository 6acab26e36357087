/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file segments.h
 * The rows of one type in memory: a list of segments of fixed size, filled one after the other and dropped whole.
 *
 * Threads: everything under the store's lock, but the rows of a snapshot: what was published never changes, so they are
 * read without it.
 */

#include <store/pending.h>
#include <store/query.h>

#include <stdatomic.h>

struct sonde_segment {
	atomic_uint references; /* the list's and each snapshot's */
	const struct sonde_type *type; /* as the events carried it */
	int64_t oldest_ns, newest_ns;
	size_t bytes;	 /* of this allocation */
	size_t used;	 /* of data, by rows from the start */
	uint32_t n;	 /* rows; their entries stand at the end of data, the first one last */
	size_t capacity; /* of data */
	char data[] __attribute__((aligned(8)));
};

struct sonde_segments {
	struct sonde_segment **items; /* oldest first */
	size_t n, capacity;
};

void sonde_segments_free(struct sonde_segments *segments);
/**
 * @brief Add a row.
 * @param max_span_ns Of the times in one segment, so that age can drop segments; 0: any.
 * @return bytes newly allocated, or -ENOMEM.
 */
int64_t sonde_segments_add(struct sonde_segments *segments, const struct sonde_type *type,
			   const struct sonde_pending_row *row, const char *values, int64_t max_span_ns);
/** Drop the oldest segment. */
void sonde_segments_drop(struct sonde_segments *segments);

/**
 * @brief The published rows, as an ordered source for a query. Call under the lock, use without it.
 * @param type The stored type, which the values follow.
 */
int sonde_segments_rows(const struct sonde_segments *segments, const struct sonde_type *type,
			const struct sonde_query *query, const struct sonde_cursor *cursor, struct sonde_rows **ret_rows);
void sonde_segments_rows_free(struct sonde_rows **rows);
