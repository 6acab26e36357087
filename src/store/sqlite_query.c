/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries: a scan over the blocks of each type, under one snapshot with what judges the answer.
 */
#include <store/block_view.h>
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 256
#define RUN_ALIVE_NS (8 * SONDE_NS_PER_S) /* a beat, and time to write it */

struct view {
	struct sqlite_store *store;
	struct sqlite_reader *reader;
	struct sonde_block_view blocks;
};

static int failed(struct view *view, int r)
{
	if (r != -EIO)
		return r;
	sqlite_note(view->store, view->blocks.source.code);
	return sqlite_fail(view->reader->db, view->blocks.source.code, "cannot read");
}

static int view_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	return facts ? sonde_block_view_offer(userdata, facts) : 0;
}

static int view_drop(const char *type, const struct sonde_block_place *place, void *userdata)
{
	sonde_block_view_drop(userdata, type, place);
	return 0;
}

static int view_readable(struct view *view)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(view->reader->db, "SELECT name, readable FROM sonde_types", -1, &statement, NULL);

	while (!code && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		code = SQLITE_OK;
		sonde_block_view_expect(&view->blocks, (const char *)sqlite3_column_text(statement, 0) ?: "",
					(uint64_t)sqlite3_column_int64(statement, 1));
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int view_blocks(struct view *view)
{
	int code = sonde_blocks_each(view->reader->db, view_block, view_drop, &view->blocks);

	if (!code)
		code = view_readable(view);
	if (code <= 0)
		return code;
	view->blocks.source.code = code;
	return failed(view, -EIO);
}

static void view_close(struct view *view)
{
	sonde_block_view_close(&view->blocks);
	if (view->reader)
		sqlite_reader_put(view->store, view->reader);
}

/* ---- what the answer is worth ---- */

struct known {
	struct sonde_gaps gaps;
	struct sonde_run runs[RUNS_MAX];
	size_t n_runs;
	int64_t own_id, own_from_ns; /* id 0: we only read */
};

/* Of a file that somebody else writes. */
static int load_gaps(sqlite3 *db, struct sonde_gaps *gaps)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT program, cause, from_ns, to_ns, count FROM sonde_gaps ORDER BY rowid", -1,
				      &statement, NULL);

	while (!code && (code = sqlite3_step(statement)) == SQLITE_ROW && gaps->n < SONDE_GAPS_MAX) {
		struct sonde_gap *gap = &gaps->items[gaps->n++];

		code = SQLITE_OK;
		snprintf(gap->program, sizeof(gap->program), "%s", (const char *)sqlite3_column_text(statement, 0) ?: "");
		snprintf(gap->cause, sizeof(gap->cause), "%s", (const char *)sqlite3_column_text(statement, 1) ?: "");
		gap->from_ns = sqlite3_column_int64(statement, 2);
		gap->to_ns = sqlite3_column_int64(statement, 3);
		gap->count = (uint64_t)sqlite3_column_int64(statement, 4);
	}
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

/* Of our own file memory knows more: what is not written yet. What came after the snapshot is true as well. */
static void known_unwritten(struct sqlite_store *store, const struct sonde_waiting *waiting, struct known *known)
{
	pthread_mutex_lock(&store->lock);
	known->gaps = store->gaps;
	known->own_id = store->run.id;
	known->own_from_ns = store->run.started_ns;
	pthread_mutex_unlock(&store->lock);
	if (waiting)
		sonde_gaps_add_waiting(&known->gaps, waiting);
}

/* A run without an end still goes on if it is ours, or if it was seen a moment ago. */
static int load_runs(sqlite3 *db, int64_t now_ns, struct known *known)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT id, started_ns, last_seen_ns, stopped_ns IS NULL FROM (SELECT * FROM sonde_runs"
					  " ORDER BY id DESC LIMIT 256) ORDER BY started_ns", -1, &statement, NULL);

	while (!code && known->n_runs < RUNS_MAX && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t seen_ns = sqlite3_column_int64(statement, 2);
		bool own = known->own_id && sqlite3_column_int64(statement, 0) == known->own_id;
		bool alive = sqlite3_column_int(statement, 3) && (known->own_id ? own : now_ns - seen_ns < RUN_ALIVE_NS);

		code = SQLITE_OK;
		known->runs[known->n_runs++] = (struct sonde_run){
			.from_ns = own ? known->own_from_ns : sqlite3_column_int64(statement, 1),
			.to_ns = alive ? INT64_MAX : seen_ns};
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int load_dropped(sqlite3 *db, const char *type, int64_t *ret_ns)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT max(dropped_until_ns) FROM sonde_types WHERE ?1 IS NULL OR name = ?1", -1,
				      &statement, NULL);

	if (!code)
		code = sqlite3_bind_text(statement, 1, type, -1, SQLITE_STATIC);
	if (!code)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
		*ret_ns = sqlite3_column_int64(statement, 0);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int sqlite_judge(struct sqlite_store *store, sqlite3 *db, const struct sonde_waiting *waiting, const struct sonde_query *query,
		 struct sonde_answer *answer)
{
	struct known *known CLEANUP_FREE = calloc(1, sizeof(*known));
	struct sonde_coverage coverage = {.dropped_until_ns = INT64_MIN, .waiting = waiting,
					  .now_ns = sonde_clock_wall_ns()};
	int slot = query->type ? sonde_types_find(&store->types, query->type) : -1, code = 0;

	if (!known)
		return -ENOMEM;
	if (store->read_only)
		code = load_gaps(db, &known->gaps);
	else
		known_unwritten(store, waiting, known);
	if (!code)
		code = load_runs(db, coverage.now_ns, known);
	if (!code)
		code = load_dropped(db, query->type, &coverage.dropped_until_ns);
	if (code) {
		sqlite_note(store, code);
		return sqlite_fail(db, code, "cannot read");
	}
	if (slot >= 0)
		coverage.program = sonde_types_get(&store->types, (size_t)slot)->program;
	coverage.gaps = known->gaps.items;
	coverage.n_gaps = known->gaps.n;
	coverage.runs = known->runs;
	coverage.n_runs = known->n_runs;
	sonde_coverage_judge(&coverage, query, answer);
	return 0;
}

static int view_open(struct view *view, const struct sonde_query *query, struct sonde_answer *answer)
{
	struct sqlite_store *store = view->store;
	int only = query->type ? sonde_types_find(&store->types, query->type) : -1;
	struct sonde_cursor cursor;
	int r = sonde_cursor_parse(query, &cursor);

	if (r)
		return r;
	if (query->type && only < 0)
		return sonde_store_fail(-ENOENT, "no type '%s'", query->type);
	r = sqlite_reader_get(store, SONDE_QUERY_NS, &view->reader);
	if (r)
		return r;
	view->blocks.source.db = view->reader->db;
	view->blocks.all_types = !query->type;
	view->blocks.deadline_ns = query->deadline_ns ?: view->reader->deadline_ns;
	view->blocks.interrupted = &store->base.interrupted;
	r = sqlite_run(view->reader->db, "BEGIN");
	if (r)
		return sqlite_fail(view->reader->db, r, "cannot read");
	r = sqlite_judge(store, view->reader->db, &view->reader->waiting, query, answer);
	for (size_t i = 0; i < sonde_types_count(&store->types) && !r; i++)
		if (only < 0 || i == (size_t)only)
			r = sonde_block_view_add(&view->blocks, &sonde_types_get(&store->types, i)->type, query, &cursor);
	return r ?: view_blocks(view);
}

int sqlite_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_answer answer;
	int r = view_open(&view, query, &answer);

	if (!r)
		r = sonde_block_view_query(&view.blocks, query, fn, userdata, &answer);
	if (r)
		return view.blocks.failed ? failed(&view, r) : r;
	*ret_answer = answer;
	return 0;
}

int sqlite_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
		 sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_query all = *query;
	struct sonde_answer answer;
	int r;

	all.cursor = NULL;
	r = view_open(&view, &all, &answer);
	if (!r)
		r = sonde_block_view_count(&view.blocks, opts, fn, userdata, &answer);
	if (r)
		return view.blocks.failed ? failed(&view, r) : r;
	*ret_answer = answer;
	return 0;
}
