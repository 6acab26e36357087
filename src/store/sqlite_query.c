/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries: a scan over the blocks of each type, under one snapshot with what judges the answer.
 */
#include <store/sqlite.h>
#include <store/tally.h>

#include <base/clock.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_NS (60 * SONDE_NS_PER_S)
#define RUNS_MAX 256
#define RUN_ALIVE_NS (15 * SONDE_NS_PER_S) /* three beats */

struct type_rows {
	struct sonde_rows rows;
	struct view *view;
	struct sonde_block_scan scan;
	uint64_t readable, found; /* events that the totals say are there, and those of the good blocks */
	struct sonde_value values[SONDE_COLUMNS_MAX];
};

struct view {
	struct sqlite_store *store;
	struct sqlite_reader *reader;
	struct sonde_block_source source;
	struct sonde_rows *rows[SONDE_TYPES_MAX];
	size_t n;
};

static int failed(struct view *view, int r)
{
	if (r == -ETIMEDOUT)
		return sonde_store_fail(r, "the query took longer than %d s; narrow it", (int)(QUERY_NS / SONDE_NS_PER_S));
	if (r != -EIO)
		return r;
	sqlite_note(view->store, view->source.code);
	return sqlite_fail(view->reader->db, view->source.code, "cannot read");
}

/* A row of which a column turns out damaged is not there. @return 1 the row is whole, 0 it is lost, or an error */
static int row_read(struct type_rows *rows)
{
	for (uint32_t i = 0; i < rows->rows.type->n_columns; i++) {
		int r = sonde_block_scan_value(&rows->scan, i, &rows->values[i]);

		if (r)
			return r < 0 ? r : 0;
	}
	return 1;
}

static int rows_next(struct sonde_rows *base)
{
	struct type_rows *rows = (struct type_rows *)base;
	int r, whole = 0;

	while (!whole) {
		/* The caller's time counts too: an open snapshot keeps the log from being emptied. */
		r = sonde_clock_boot_ns() > rows->view->reader->deadline_ns ? -ETIMEDOUT : sonde_block_scan_next(&rows->scan);
		if (r <= 0)
			return r ? failed(rows->view, r) : 0;
		whole = row_read(rows);
		if (whole < 0)
			return failed(rows->view, whole);
	}
	rows->rows.key.time_ns = rows->values[SONDE_COLUMN_TIME].i;
	rows->rows.key.sequence = sonde_block_scan_sequence(&rows->scan);
	return 1;
}

static int rows_values(struct sonde_rows *base, struct sonde_value *values)
{
	const struct type_rows *rows = (const struct type_rows *)base;

	memcpy(values, rows->values, base->type->n_columns * sizeof(*values));
	return 0;
}

static int view_add(struct view *view, const struct sonde_type *type, const struct sonde_query *query,
		    const struct sonde_cursor *cursor)
{
	struct type_rows *rows = calloc(1, sizeof(*rows));
	struct sonde_block_want want = {
		.type = type, .oldest_first = query->oldest_first, .pid = query->pid, .command = query->command,
		.container = query->container, .container_prefix = sonde_query_container_prefix(query), .where = query->where,
		.where_columns = query->where ? sonde_filter_columns(query->where, type) : 0,
		.deadline_ns = view->reader->deadline_ns,
	};

	if (!rows)
		return -ENOMEM;
	rows->rows = (struct sonde_rows){.type = type, .key.type = type->name, .next = rows_next, .values = rows_values};
	rows->view = view;
	sonde_query_span(query, cursor, type->name, &want.span);
	sonde_block_scan_init(&rows->scan, &view->source, &want);
	view->rows[view->n++] = &rows->rows;
	return 0;
}

static struct type_rows *view_type(struct view *view, const char *name)
{
	for (size_t i = 0; i < view->n; i++)
		if (!strcmp(view->rows[i]->type->name, name))
			return (struct type_rows *)view->rows[i];
	return NULL;
}

static int view_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct type_rows *rows = facts ? view_type(userdata, facts->type) : NULL;

	if (!rows)
		return 0;
	rows->found += facts->count;
	return sonde_block_scan_offer(&rows->scan, facts);
}

static int view_readable(struct view *view)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(view->reader->db, "SELECT name, readable FROM sonde_types", -1, &statement, NULL);

	while (!code && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct type_rows *rows = view_type(view, (const char *)sqlite3_column_text(statement, 0) ?: "");

		code = SQLITE_OK;
		if (rows)
			rows->readable = (uint64_t)sqlite3_column_int64(statement, 1);
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int view_blocks(struct view *view)
{
	int code = sonde_blocks_each(view->reader->db, view_block, view);

	if (!code)
		code = view_readable(view);
	for (size_t i = 0; !code && i < view->n; i++)
		sonde_block_scan_start(&((struct type_rows *)view->rows[i])->scan);
	if (code <= 0)
		return code;
	view->source.code = code;
	return failed(view, -EIO);
}

static void view_close(struct view *view)
{
	sonde_block_source_close(&view->source);
	for (size_t i = 0; i < view->n; i++) {
		sonde_block_scan_free(&((struct type_rows *)view->rows[i])->scan);
		free(view->rows[i]);
	}
	if (view->reader)
		sqlite_reader_put(view->store, view->reader);
}

/* ---- what the answer is worth ---- */

struct known {
	struct sonde_gaps gaps;
	struct sonde_run runs[RUNS_MAX];
};

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

/* A run without an end still goes on if it is ours, or if it was seen a moment ago. */
static int load_runs(const struct sqlite_store *store, sqlite3 *db, int64_t now_ns, struct sonde_run *runs, size_t *ret_n)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	size_t n = 0;
	int code = sqlite3_prepare_v2(db, "SELECT id, started_ns, last_seen_ns, stopped_ns IS NULL FROM (SELECT * FROM sonde_runs"
					  " ORDER BY id DESC LIMIT 256) ORDER BY started_ns", -1, &statement, NULL);

	while (!code && n < RUNS_MAX && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t seen_ns = sqlite3_column_int64(statement, 2);
		bool alive = sqlite3_column_int(statement, 3) && (store->read_only ? now_ns - seen_ns < RUN_ALIVE_NS :
								 sqlite3_column_int64(statement, 0) == store->run.id);

		code = SQLITE_OK;
		runs[n++] = (struct sonde_run){.from_ns = sqlite3_column_int64(statement, 1),
					       .to_ns = alive ? INT64_MAX : seen_ns};
	}
	*ret_n = n;
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

static int judge(struct view *view, const struct sonde_query *query, const char *program, struct sonde_answer *answer)
{
	struct known *known CLEANUP_FREE = calloc(1, sizeof(*known));
	struct sonde_coverage coverage = {.dropped_until_ns = INT64_MIN, .program = program, .now_ns = sonde_clock_wall_ns()};
	int code;

	if (!known)
		return -ENOMEM;
	code = load_gaps(view->reader->db, &known->gaps);
	if (!code)
		code = load_runs(view->store, view->reader->db, coverage.now_ns, known->runs, &coverage.n_runs);
	if (!code)
		code = load_dropped(view->reader->db, query->type, &coverage.dropped_until_ns);
	if (code) {
		sqlite_note(view->store, code);
		return sqlite_fail(view->reader->db, code, "cannot read");
	}
	coverage.gaps = known->gaps.items;
	coverage.n_gaps = known->gaps.n;
	coverage.runs = known->runs;
	sonde_coverage_judge(&coverage, query, answer);
	return 0;
}

/* Blocks that are damaged, or gone, as far as this answer met them. */
static void judge_damage(const struct view *view, struct sonde_answer *answer)
{
	uint64_t lost = 0, blocks = 0;
	size_t length = strlen(answer->reason);

	for (size_t i = 0; i < view->n; i++) {
		const struct type_rows *rows = (const struct type_rows *)view->rows[i];

		blocks += rows->scan.lost_blocks;
		lost += rows->scan.lost_events;
		if (rows->readable > rows->found && rows->readable <= INT64_MAX) {
			blocks++;
			lost += rows->readable - rows->found;
		}
	}
	if (!blocks)
		return;
	answer->complete = false;
	answer->lost += lost;
	snprintf(answer->reason + length, sizeof(answer->reason) - length, "%s%" PRIu64 " events lost in damaged blocks of the file",
		 length ? "; " : "", lost);
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
	r = sqlite_reader_get(store, QUERY_NS, &view->reader);
	if (r)
		return r;
	view->source.db = view->reader->db;
	r = sqlite_run(view->reader->db, "BEGIN");
	if (r)
		return sqlite_fail(view->reader->db, r, "cannot read");
	r = judge(view, query, only >= 0 ? sonde_types_get(&store->types, (size_t)only)->program : NULL, answer);
	for (size_t i = 0; i < sonde_types_count(&store->types) && !r; i++)
		if (only < 0 || i == (size_t)only)
			r = view_add(view, &sonde_types_get(&store->types, i)->type, query, &cursor);
	return r ?: view_blocks(view);
}

int sqlite_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_query rest = *query;
	struct sonde_answer answer;
	int r = view_open(&view, query, &answer);

	rest.where = NULL; /* the scans have seen to it */
	if (!r)
		r = sonde_rows_query(view.rows, view.n, &rest, fn, userdata, &answer);
	if (r)
		return r;
	judge_damage(&view, &answer);
	*ret_answer = answer;
	return 0;
}

static int count_types(struct view *view, struct sonde_tally *tally)
{
	int r = 0;

	for (size_t i = 0; i < view->n && !r; i++)
		r = sonde_block_scan_count(&((struct type_rows *)view->rows[i])->scan, tally);
	return r ? failed(view, r) : 0;
}

int sqlite_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
		 sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_tally tally CLEANUP(sonde_tally_free) = {};
	const struct sonde_type *types[SONDE_TYPES_MAX] = {};
	struct sonde_query all = *query;
	struct sonde_answer answer;
	int r;

	all.cursor = NULL;
	r = view_open(&view, &all, &answer);
	for (size_t i = 0; i < view.n; i++)
		types[i] = view.rows[i]->type;
	if (!r)
		r = sonde_tally_begin(&tally, opts, types, view.n);
	if (!r)
		r = count_types(&view, &tally);
	if (!r)
		r = sonde_tally_end(&tally, fn, userdata, &answer);
	if (r < 0)
		return r;
	judge_damage(&view, &answer);
	*ret_answer = answer;
	return 0;
}
