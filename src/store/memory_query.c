/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of the store in memory: over the blocks that are there when they begin. */
#include <store/block_view.h>
#include <store/memory.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct memory_view {
	struct sonde_block_view blocks;
	struct sonde_block **held;
	size_t n;
	struct sonde_waiting waiting; /* from before the lock was taken */
	struct sonde_gaps gaps;
};

static void view_free(struct memory_view **pointer)
{
	struct memory_view *view = *pointer;

	if (!view)
		return;
	sonde_block_view_close(&view->blocks);
	for (size_t i = 0; i < view->n; i++)
		memory_block_unref(view->held[i]);
	free(view->held);
	free(view);
}

static int view_hold(struct memory_view *view, const struct sonde_block_index *index)
{
	struct sonde_block **held = reallocarray(view->held, view->n + index->n + 1, sizeof(*held));
	int r = 0;

	if (!held)
		return -ENOMEM;
	view->held = held;
	for (size_t i = 0; i < index->n && !r; i++) {
		struct sonde_block *block = memory_block_of(&index->items[i]);

		atomic_fetch_add(&block->references, 1);
		held[view->n++] = block;
		r = sonde_block_view_offer(&view->blocks, &block->facts);
	}
	return r;
}

/* Under the lock: the answer's worth is judged on the same state as its rows. */
static int view_fill(struct memory_store *store, const struct sonde_query *query, const struct sonde_cursor *cursor,
		     struct memory_view *view, struct sonde_answer *answer)
{
	struct sonde_run run = {.from_ns = store->started_ns, .to_ns = INT64_MAX};
	struct sonde_coverage coverage = {
		.gaps = view->gaps.items, .runs = &run, .n_runs = 1, .waiting = &view->waiting,
		.dropped_until_ns = INT64_MIN, .now_ns = sonde_clock_wall_ns(),
	};
	int only = query->type ? sonde_types_find(&store->types, query->type) : -1, r = 0;

	if (query->type && only < 0)
		return sonde_store_fail(-ENOENT, "no type '%s'", query->type);
	for (size_t i = 0; i < sonde_types_count(&store->types) && !r; i++) {
		const struct sonde_stored_type *stored = sonde_types_get(&store->types, i);

		if (only >= 0 && i != (size_t)only)
			continue;
		if (store->slots[i].dropped_until_ns > coverage.dropped_until_ns)
			coverage.dropped_until_ns = store->slots[i].dropped_until_ns;
		if (only >= 0)
			coverage.program = stored->program;
		r = sonde_block_view_add(&view->blocks, &stored->type, query, cursor);
		if (!r)
			r = view_hold(view, &store->slots[i].blocks);
	}
	view->gaps = store->gaps;
	sonde_gaps_add_waiting(&view->gaps, &view->waiting);
	coverage.n_gaps = view->gaps.n;
	if (!r)
		sonde_coverage_judge(&coverage, query, answer);
	return r;
}

static int view_open(struct memory_store *store, const struct sonde_query *query, struct memory_view *view,
		     struct sonde_answer *answer)
{
	struct sonde_cursor cursor;
	int r = sonde_cursor_parse(query, &cursor);

	if (r < 0)
		return r;
	view->blocks.source.in_memory = true;
	view->blocks.deadline_ns = query->deadline_ns ?: sonde_clock_boot_ns() + SONDE_QUERY_NS;
	view->blocks.interrupted = &store->base.interrupted;
	sonde_store_waiting(&store->base, &view->waiting);
	pthread_mutex_lock(&store->lock);
	r = view_fill(store, query, &cursor, view, answer);
	pthread_mutex_unlock(&store->lock);
	return r;
}

int memory_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer)
{
	struct memory_view *view CLEANUP(view_free) = calloc(1, sizeof(*view));
	struct sonde_answer answer;
	int r = view ? view_open((struct memory_store *)base, query, view, &answer) : -ENOMEM;

	if (!r)
		r = sonde_block_view_query(&view->blocks, query, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}

int memory_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
		 sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer)
{
	struct memory_view *view CLEANUP(view_free) = calloc(1, sizeof(*view));
	struct sonde_query all = *query;
	struct sonde_answer answer;
	int r;

	all.cursor = NULL;
	r = view ? view_open((struct memory_store *)base, &all, view, &answer) : -ENOMEM;
	if (!r)
		r = sonde_block_view_count(&view->blocks, opts, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}

void memory_status(struct sonde_store *base, struct sonde_store_status *ret_status)
{
	struct memory_store *store = (struct memory_store *)base;
	struct sonde_store_status status = {.backend = "memory", .path = "memory", .oldest_ns = INT64_MAX};

	pthread_mutex_lock(&store->lock);
	status.bytes = store->bytes;
	status.commits = store->commits;
	status.clock_jumps = store->retention.jumps;
	for (size_t i = 0; i < SONDE_TYPES_MAX; i++) {
		const struct memory_type *slot = &store->slots[i];

		status.stored += slot->stored;
		status.expired += slot->expired;
		for (size_t j = 0; j < slot->blocks.n; j++) {
			const struct sonde_indexed_block *block = &slot->blocks.items[j];

			status.readable += block->count;
			if (block->oldest_ns < status.oldest_ns)
				status.oldest_ns = block->oldest_ns;
			if (block->newest_ns > status.newest_ns)
				status.newest_ns = block->newest_ns;
		}
	}
	pthread_mutex_unlock(&store->lock);
	if (!status.readable)
		status.oldest_ns = status.newest_ns = 0;
	*ret_status = status;
}
