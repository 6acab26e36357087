/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that writes nothing to disk. Events live as long as the process; their checkpoints live in shared memory that
 * outlives it, so that the next process goes on where this one ended and counts what died with it as expired.
 */
#include <store/backend.h>
#include <store/checkpoints.h>
#include <store/gaps.h>
#include <store/pending.h>
#include <store/query.h>
#include <store/retention.h>
#include <store/segments.h>
#include <store/types.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BYTES (64ull << 20)
#define PENDING_BYTES (16u << 20)
#define RINGS_MAX 128
/* Segments of one max_age: what is dropped by age is dropped at most this part of it late. */
#define SEGMENTS_OF_AGE 8

struct memory_type {
	struct sonde_segments segments;
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
	struct sonde_pending pending;
	struct sonde_checkpoints shared;
	struct sonde_retention retention;
	pthread_mutex_t lock; /* of all below */
	struct memory_type slots[SONDE_TYPES_MAX];
	struct memory_ring rings[RINGS_MAX];
	size_t n_rings;
	struct sonde_gaps gaps;
	uint64_t bytes, commits;
	int64_t sequence; /* of arrival: unique, unlike the kernel's over restarts */
};

static int memory_open(const struct sonde_store_opts *opts, struct sonde_store **ret_store)
{
	struct memory_store *store;

	if (opts->read_only)
		return sonde_store_fail(-EINVAL, "a store in memory can only be read by the agent that has it");
	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	store->base.ops = &sonde_store_memory;
	store->max_bytes = opts->max_bytes ?: DEFAULT_BYTES;
	store->max_age_ns = opts->max_age_ns;
	store->started_ns = sonde_clock_wall_ns();
	store->pending.names = opts->names;
	store->pending.max_bytes = PENDING_BYTES;
	sonde_types_init(&store->types);
	sonde_checkpoints_attach(&store->shared, opts->checkpoints, opts->checkpoints_size);
	sonde_retention_init(&store->retention, INT64_MIN);
	pthread_mutex_init(&store->lock, NULL);
	for (size_t i = 0; i < SONDE_TYPES_MAX; i++)
		store->slots[i].dropped_until_ns = INT64_MIN;
	*ret_store = &store->base;
	return 0;
}

static void memory_close(struct sonde_store *base)
{
	struct memory_store *store = (struct memory_store *)base;

	for (size_t i = 0; i < store->types.n; i++)
		sonde_segments_free(&store->slots[i].segments);
	sonde_pending_free(&store->pending);
	sonde_types_free(&store->types);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static int memory_add_type(struct sonde_store *base, const struct sonde_type *type, const char *program)
{
	struct memory_store *store = (struct memory_store *)base;
	size_t slot;
	int r = sonde_types_add(&store->types, type, program, &slot);

	return r < 0 ? r : sonde_pending_add_source(&store->pending, type, slot);
}

static size_t memory_types(struct sonde_store *base, const struct sonde_type **types, size_t max)
{
	return sonde_types_list(&((struct memory_store *)base)->types, types, max);
}

static int memory_append(struct sonde_store *base, const struct sonde_event *events, size_t n)
{
	return sonde_pending_append(&((struct memory_store *)base)->pending, events, n);
}

/* ---- limits ---- */

static void memory_drop(struct memory_store *store, struct memory_type *slot)
{
	const struct sonde_segment *segment = slot->segments.items[0];

	if (segment->newest_ns > slot->dropped_until_ns)
		slot->dropped_until_ns = segment->newest_ns;
	slot->expired += segment->n;
	store->bytes -= segment->bytes;
	sonde_segments_drop(&slot->segments);
}

/* @return false: there is nothing to drop. */
static bool memory_drop_oldest(struct memory_store *store)
{
	struct memory_type *oldest = NULL;

	for (size_t i = 0; i < store->types.n; i++) {
		struct memory_type *slot = &store->slots[i];

		if (slot->segments.n &&
		    (!oldest || slot->segments.items[0]->newest_ns < oldest->segments.items[0]->newest_ns))
			oldest = slot;
	}
	if (oldest)
		memory_drop(store, oldest);
	return oldest;
}

static int memory_expire(struct sonde_store *base, int64_t now_ns)
{
	struct memory_store *store = (struct memory_store *)base;
	int64_t cutoff;

	if (!store->max_age_ns)
		return 0;
	pthread_mutex_lock(&store->lock);
	cutoff = sonde_retention_cutoff(&store->retention, now_ns, sonde_clock_boot_ns(), store->max_age_ns);
	for (size_t i = 0; i < store->types.n; i++)
		while (store->slots[i].segments.n && store->slots[i].segments.items[0]->newest_ns < cutoff)
			memory_drop(store, &store->slots[i]);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* ---- commit ---- */

/* Cannot fail, so that a commit is whole: where there is no memory, older events make room, or this one is dropped at once. */
static void memory_add_row(struct memory_store *store, struct sonde_pending_row *row, const char *values)
{
	const struct sonde_pending_source *source = &store->pending.sources[row->source];
	struct memory_type *slot = &store->slots[source->slot];
	int64_t allocated;

	slot->stored++;
	row->sequence = store->sequence++;
	do {
		allocated = sonde_segments_add(&slot->segments, source->type, row, values,
					       store->max_age_ns / SEGMENTS_OF_AGE);
	} while (allocated < 0 && memory_drop_oldest(store));
	if (allocated < 0) {
		slot->expired++;
		if (row->time_ns > slot->dropped_until_ns)
			slot->dropped_until_ns = row->time_ns;
		return;
	}
	store->bytes += (uint64_t)allocated;
	while (store->bytes > store->max_bytes && memory_drop_oldest(store))
		;
}

static void program_totals(struct memory_store *store, const char *program, uint64_t *ret_stored,
			   uint64_t *ret_expired)
{
	*ret_stored = *ret_expired = 0;
	for (size_t i = 0; i < sonde_types_count(&store->types); i++)
		if (!strcmp(sonde_types_get(&store->types, i)->program, program)) {
			*ret_stored += store->slots[i].stored;
			*ret_expired += store->slots[i].expired;
		}
}

static struct memory_ring *ring_find(struct memory_store *store, const char *program, uint64_t ring_id)
{
	for (size_t i = 0; i < store->n_rings; i++)
		if (store->rings[i].checkpoint.ring_id == ring_id && !strcmp(store->rings[i].checkpoint.program, program))
			return &store->rings[i];
	return NULL;
}

static void memory_save(struct memory_store *store, const struct sonde_checkpoint *checkpoint)
{
	struct memory_ring *ring = ring_find(store, checkpoint->program, checkpoint->ring_id);
	uint64_t stored, expired;

	if (!ring) {
		if (store->n_rings == RINGS_MAX) /* rings come with a start of a program; the oldest is long gone */
			memmove(store->rings, store->rings + 1, --store->n_rings * sizeof(*ring));
		ring = &store->rings[store->n_rings++];
		program_totals(store, checkpoint->program, &stored, &expired);
		ring->base = (int64_t)(stored - checkpoint->stored);
	}
	ring->checkpoint = *checkpoint;
}

static int memory_commit(struct sonde_store *base, const struct sonde_checkpoint *checkpoints, size_t n)
{
	struct memory_store *store = (struct memory_store *)base;
	struct sonde_pending_row row;
	const char *values;
	size_t offset = 0;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	while (sonde_pending_next(&store->pending, &offset, &row, &values))
		memory_add_row(store, &row, values);
	sonde_pending_clear(&store->pending);
	for (size_t i = 0; i < n; i++)
		memory_save(store, &checkpoints[i]);
	store->commits++;
	pthread_mutex_unlock(&store->lock);
	for (size_t i = 0; i < n && !r; i++)
		r = sonde_checkpoints_save(&store->shared, &checkpoints[i]);
	return r ? sonde_store_fail(r, "no room for the checkpoints of %zu programs", n) : 0;
}

static int memory_checkpoint(struct sonde_store *base, const char *program, uint64_t ring_id,
			     struct sonde_checkpoint *ret_checkpoint)
{
	struct memory_store *store = (struct memory_store *)base;
	struct sonde_checkpoint checkpoint = {.ring_id = ring_id};
	const struct memory_ring *ring;
	uint64_t stored, expired;

	snprintf(checkpoint.program, sizeof(checkpoint.program), "%s", program);
	pthread_mutex_lock(&store->lock);
	ring = ring_find(store, program, ring_id);
	if (ring) {
		checkpoint = ring->checkpoint;
		program_totals(store, program, &stored, &expired);
		checkpoint.expired = sonde_checkpoint_expired(checkpoint.stored, ring->base, expired);
	} else if (sonde_checkpoints_find(&store->shared, program, ring_id, &checkpoint)) {
		checkpoint.expired = checkpoint.stored;
	}
	pthread_mutex_unlock(&store->lock);
	*ret_checkpoint = checkpoint;
	return 0;
}

static int memory_gap(struct sonde_store *base, const struct sonde_gap *gap)
{
	struct memory_store *store = (struct memory_store *)base;

	pthread_mutex_lock(&store->lock);
	sonde_gaps_add(&store->gaps, gap);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* ---- queries ---- */

struct memory_view {
	struct sonde_rows *rows[SONDE_TYPES_MAX];
	size_t n;
};

static void view_close(struct memory_view *view)
{
	for (size_t i = 0; i < view->n; i++)
		sonde_segments_rows_free(&view->rows[i]);
}

/* Under the lock: the answer's worth is judged on the same state as its rows. */
static int view_fill(struct memory_store *store, const struct sonde_query *query, const struct sonde_cursor *cursor,
		     struct memory_view *view, struct sonde_answer *answer)
{
	struct sonde_run run = {.from_ns = store->started_ns, .to_ns = INT64_MAX};
	struct sonde_coverage coverage = {
		.gaps = store->gaps.items, .n_gaps = store->gaps.n, .runs = &run, .n_runs = 1,
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
		r = sonde_segments_rows(&store->slots[i].segments, &stored->type, query, cursor, &view->rows[view->n]);
		if (!r)
			view->n++;
	}
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
	pthread_mutex_lock(&store->lock);
	r = view_fill(store, query, &cursor, view, answer);
	pthread_mutex_unlock(&store->lock);
	return r;
}

static int memory_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
			struct sonde_answer *ret_answer)
{
	struct memory_view view CLEANUP(view_close) = {};
	struct sonde_answer answer;
	int r = view_open((struct memory_store *)base, query, &view, &answer);

	if (!r)
		r = sonde_rows_query(view.rows, view.n, query, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}

static int memory_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
			sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer)
{
	struct memory_view view CLEANUP(view_close) = {};
	struct sonde_query all = *query;
	struct sonde_answer answer;
	int r;

	all.cursor = NULL;
	r = view_open((struct memory_store *)base, &all, &view, &answer);
	if (!r)
		r = sonde_rows_count(view.rows, view.n, &all, opts, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}

static int memory_sql(struct sonde_store *base, const char *sql, uint32_t limit, int64_t timeout_ns,
		      int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
		      void *userdata)
{
	return sonde_store_fail(-ENOTSUP, "the store in memory has no SQL; use 'sonde events' or a store on disk");
}

static void memory_status(struct sonde_store *base, struct sonde_store_status *ret_status)
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
		for (size_t j = 0; j < slot->segments.n; j++) {
			const struct sonde_segment *segment = slot->segments.items[j];

			status.readable += segment->n;
			if (segment->oldest_ns < status.oldest_ns)
				status.oldest_ns = segment->oldest_ns;
			if (segment->newest_ns > status.newest_ns)
				status.newest_ns = segment->newest_ns;
		}
	}
	pthread_mutex_unlock(&store->lock);
	if (!status.readable)
		status.oldest_ns = status.newest_ns = 0;
	*ret_status = status;
}

const struct sonde_store_ops sonde_store_memory = {
	.name = "memory", .open = memory_open, .close = memory_close, .add_type = memory_add_type,
	.types = memory_types, .append = memory_append, .commit = memory_commit, .checkpoint = memory_checkpoint,
	.gap = memory_gap, .expire = memory_expire, .query = memory_query, .count = memory_count, .sql = memory_sql,
	.status = memory_status,
};
