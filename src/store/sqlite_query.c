/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries: a statement for each type, walked in the order of its key, under one snapshot with what judges the answer. Span,
 * pid, command and container go down to SQLite; the condition is evaluated on the values, like everywhere else.
 */
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_NS (60 * SONDE_NS_PER_S)
#define RUNS_MAX 256
#define RUN_ALIVE_NS (15 * SONDE_NS_PER_S) /* three beats */

struct type_rows {
	struct sonde_rows rows;
	struct sqlite_store *store;
	struct sqlite_reader *reader;
	sqlite3_stmt *statement;
	uint64_t columns; /* that are read; the others are null */
	struct sqlite_scratch scratch;
};

struct view {
	struct sqlite_store *store;
	struct sqlite_reader *reader;
	struct sonde_rows *rows[SONDE_TYPES_MAX];
	size_t n;
};

static int rows_failed(struct type_rows *rows, int code)
{
	sqlite_note(rows->store, code);
	if (code == SQLITE_INTERRUPT)
		return sonde_store_fail(-ETIMEDOUT, "the query took longer than %d s; narrow it",
					(int)(QUERY_NS / SONDE_NS_PER_S));
	return sqlite_fail(rows->reader->db, code, "cannot read");
}

static int rows_next(struct sonde_rows *base)
{
	struct type_rows *rows = (struct type_rows *)base;
	int code;

	if (!rows->statement)
		return 0;
	/* The caller's time counts too: an open snapshot keeps the log from being emptied. */
	code = sonde_clock_boot_ns() > rows->reader->deadline_ns ? SQLITE_INTERRUPT : sqlite3_step(rows->statement);
	if (code == SQLITE_DONE)
		return 0;
	if (code != SQLITE_ROW)
		return rows_failed(rows, code);
	rows->rows.key.time_ns = sqlite3_column_int64(rows->statement, 0);
	rows->rows.key.sequence = sqlite3_column_int64(rows->statement, 1);
	return 1;
}

static int rows_values(struct sonde_rows *base, struct sonde_value *values)
{
	struct type_rows *rows = (struct type_rows *)base;
	const struct sonde_type *type = base->type;
	int at = 2;

	rows->scratch.n_arguments = 0;
	for (uint32_t i = 0; i < type->n_columns; i++) {
		values[i] = (struct sonde_value){.type = SONDE_NULL};
		if (i == SONDE_COLUMN_TIME)
			values[i] = (struct sonde_value){.type = SONDE_INT, .i = base->key.time_ns};
		else if (i == SONDE_COLUMN_TYPE)
			values[i] = (struct sonde_value){.type = SONDE_TEXT, .text = type->name,
							 .length = (uint32_t)strlen(type->name)};
		else if (rows->columns & 1ull << i)
			sqlite_value_read(rows->statement, at++, i, &type->columns[i], &rows->scratch, &values[i]);
	}
	return 0;
}

/* Named parameters: each stands only where its condition does. */
static void select_text(struct sonde_buffer *sql, const struct type_rows *rows, const struct sonde_query *query,
			const struct sonde_span *span)
{
	const struct sonde_type *type = rows->rows.type;
	const char *order = query->oldest_first ? "" : " DESC";

	sonde_buffer_add_text(sql, "SELECT time, sonde_sequence");
	for (uint32_t i = SONDE_COLUMN_PID; i < type->n_columns; i++)
		if (rows->columns & 1ull << i)
			sonde_buffer_printf(sql, ", \"%s\"", type->columns[i].name);
	sonde_buffer_printf(sql, " FROM \"%s\" WHERE time >= :since AND time < :until", type->name);
	if (span->has_edge)
		sonde_buffer_printf(sql, " AND (time <> :edge OR sonde_sequence %s%s :sequence)",
				    query->oldest_first ? ">" : "<", span->edge_included ? "=" : "");
	if (query->pid >= 0)
		sonde_buffer_add_text(sql, " AND pid = :pid");
	if (query->command)
		sonde_buffer_add_text(sql, " AND command = :command");
	if (query->container)
		sonde_buffer_add_text(sql, sonde_query_container_prefix(query) ?
					   " AND substr(container, 1, length(:container)) = :container" :
					   " AND container = :container");
	sonde_buffer_printf(sql, " ORDER BY time%s, sonde_sequence%s", order, order);
}

static void bind_number(sqlite3_stmt *statement, const char *name, int64_t number)
{
	int i = sqlite3_bind_parameter_index(statement, name);

	if (i)
		sqlite3_bind_int64(statement, i, number);
}

static int bind_text(sqlite3_stmt *statement, const char *name, const char *text)
{
	struct sonde_value value = {.type = SONDE_TEXT, .text = text, .length = text ? (uint32_t)strlen(text) : 0};
	static const struct sonde_column column = {.type = SONDE_TEXT};
	int i = sqlite3_bind_parameter_index(statement, name);

	return i && text ? sqlite_value_bind(statement, i, &column, &value, NULL, 0) : SQLITE_OK;
}

static int rows_open(struct type_rows *rows, const struct sonde_query *query, const struct sonde_cursor *cursor)
{
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_span span;
	int64_t exists;
	int code;

	sonde_query_span(query, cursor, rows->rows.type->name, &span);
	select_text(&sql, rows, query, &span);
	if (sql.failed)
		return -ENOMEM;
	code = sqlite3_prepare_v2(rows->reader->db, sql.data, -1, &rows->statement, NULL);
	if (code == SQLITE_ERROR) {
		/* A type that could not be written yet has no table: no rows. */
		sonde_buffer_clear(&sql);
		sonde_buffer_printf(&sql, "SELECT 1 FROM sqlite_schema WHERE name = '%s'", rows->rows.type->name);
		if (sqlite_number(rows->reader->db, sql.data, &exists) == SQLITE_DONE)
			return 0;
		code = sqlite3_prepare_v2(rows->reader->db, "SELECT 0 FROM no_such_column", -1, &rows->statement, NULL);
	}
	if (code)
		return rows_failed(rows, code);
	bind_number(rows->statement, ":since", span.since_ns);
	bind_number(rows->statement, ":until", span.until_ns);
	bind_number(rows->statement, ":edge", span.edge_ns);
	bind_number(rows->statement, ":sequence", span.edge_sequence);
	bind_number(rows->statement, ":pid", query->pid);
	code = bind_text(rows->statement, ":command", query->command);
	if (!code)
		code = bind_text(rows->statement, ":container", query->container);
	return code ? rows_failed(rows, code) : 0;
}

static int view_add(struct view *view, const struct sonde_type *type, const struct sonde_query *query,
		    const struct sonde_cursor *cursor, uint64_t columns)
{
	struct type_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	rows->rows = (struct sonde_rows){.type = type, .key.type = type->name, .next = rows_next, .values = rows_values};
	rows->store = view->store;
	rows->reader = view->reader;
	rows->columns = columns;
	view->rows[view->n++] = &rows->rows;
	return rows_open(rows, query, cursor);
}

static void view_close(struct view *view)
{
	for (size_t i = 0; i < view->n; i++) {
		struct type_rows *rows = (struct type_rows *)view->rows[i];

		sqlite_finalize(&rows->statement);
		for (size_t j = 0; j < ARRAY_SIZE(rows->scratch.arguments); j++)
			sonde_buffer_free(&rows->scratch.arguments[j]);
		free(rows);
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

static int view_open(struct view *view, const struct sonde_query *query, bool count, const char *group_by,
		     struct sonde_answer *answer)
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
	r = sqlite_run(view->reader->db, "BEGIN");
	if (r)
		return sqlite_fail(view->reader->db, r, "cannot read");
	r = judge(view, query, only >= 0 ? sonde_types_get(&store->types, (size_t)only)->program : NULL, answer);
	for (size_t i = 0; i < sonde_types_count(&store->types) && !r; i++) {
		const struct sonde_type *type = &sonde_types_get(&store->types, i)->type;

		if (only < 0 || i == (size_t)only)
			r = view_add(view, type, query, &cursor, sonde_query_columns(query, type, count, group_by));
	}
	return r;
}

int sqlite_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_answer answer;
	int r = view_open(&view, query, false, NULL, &answer);

	if (!r)
		r = sonde_rows_query(view.rows, view.n, query, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}

int sqlite_count(struct sonde_store *base, const struct sonde_query *query, const char *group_by,
		 int (*fn)(const struct sonde_value *group, uint64_t count, void *userdata), void *userdata,
		 struct sonde_answer *ret_answer)
{
	struct view view CLEANUP(view_close) = {.store = (struct sqlite_store *)base};
	struct sonde_query all = *query;
	struct sonde_answer answer;
	int r;

	all.cursor = NULL;
	r = view_open(&view, &all, true, group_by, &answer);
	if (!r)
		r = sonde_rows_count(view.rows, view.n, &all, group_by, fn, userdata, &answer);
	if (!r)
		*ret_answer = answer;
	return r;
}
