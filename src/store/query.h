/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file query.h
 * What is alike in all queries: the order of rows over several types, the limit, the cursor. Each type gives one source of rows.
 *
 * Order: by time, then sequence, then name of the type; newest first is exactly the reverse of oldest first. No two rows share
 * a place in it, so a cursor (the place of the last row) goes on rightly whatever was stored in between.
 *
 * Threads: one for each query.
 */

#include <store/store.h>

struct sonde_key {
	int64_t time_ns;
	int64_t sequence;
	const char *type; /* borrowed */
};

struct sonde_cursor {
	bool set;
	int64_t time_ns;
	int64_t sequence;
	char type[48];
};

/** Rows of one type in the order of the query; already limited to its span, conditions and cursor. */
struct sonde_rows {
	const struct sonde_type *type;
	struct sonde_key key; /* of the current row */
	/** @return 1 there is a (next) row, 0 the end, or an error. */
	int (*next)(struct sonde_rows *source);
	const struct sonde_value *values; /* of the current row */
	bool at_row; /* used by the functions below only */
};

/** @return 0 or -EINVAL: not a cursor of such a query. */
int sonde_cursor_parse(const struct sonde_query *query, struct sonde_cursor *ret_cursor);
/** The span that a type's rows must lie in, and the least (greatest, newest first) sequence at the cursor's time. */
struct sonde_span {
	int64_t since_ns, until_ns; /* until exclusive */
	bool has_edge;		    /* rows at edge_ns must lie beyond edge_sequence */
	int64_t edge_ns, edge_sequence;
	bool edge_included;
};
void sonde_query_span(const struct sonde_query *query, const struct sonde_cursor *cursor, const char *type,
		      struct sonde_span *ret_span);
static inline bool sonde_span_holds(const struct sonde_span *span, bool oldest_first, int64_t time_ns, int64_t sequence)
{
	if (time_ns < span->since_ns || time_ns >= span->until_ns)
		return false;
	if (!span->has_edge || time_ns != span->edge_ns)
		return true;
	if (sequence == span->edge_sequence)
		return span->edge_included;
	return oldest_first ? sequence > span->edge_sequence : sequence < span->edge_sequence;
}

/** Is a container asked for by a prefix of its id? */
bool sonde_query_container_prefix(const struct sonde_query *query);

/** Fills rows, more and cursor of the answer. */
int sonde_rows_query(struct sonde_rows **sources, size_t n, const struct sonde_query *query, sonde_row_fn fn,
			void *userdata, struct sonde_answer *answer);
