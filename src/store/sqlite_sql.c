/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL from people, perhaps over HTTP: one statement, only reading (by the connection, by the authorizer, and by what SQLite says
 * of the statement), in bounded time, memory and size.
 */
#include <store/sqlite.h>
#include <store/vtab.h>

#include <base/clock.h>

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_TIMEOUT_NS (10 * SONDE_NS_PER_S)

static const int limits[][2] = {
	{SQLITE_LIMIT_LENGTH, 4 << 20},	   {SQLITE_LIMIT_SQL_LENGTH, 65536},  {SQLITE_LIMIT_COLUMN, 256},
	{SQLITE_LIMIT_EXPR_DEPTH, 100},	   {SQLITE_LIMIT_COMPOUND_SELECT, 50}, {SQLITE_LIMIT_VDBE_OP, 100000},
	{SQLITE_LIMIT_FUNCTION_ARG, 32},   {SQLITE_LIMIT_ATTACHED, 0},	      {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200},
	{SQLITE_LIMIT_VARIABLE_NUMBER, 0}, {SQLITE_LIMIT_TRIGGER_DEPTH, 0},   {SQLITE_LIMIT_WORKER_THREADS, 0},
};
/*
 * instr(), replace(), trim() and the like take time with the product of two lengths, and no limit of time ends them in the middle: what
 * is asked of an agent has short texts.
 */
#define ASKED_LENGTH 65536
/* Of SQLite between two looks at the clock: one of them may be such a function. */
#define STEPS 20

struct permission {
	const struct sqlite_store *store;
	bool denied; /* SQLite calls it an error like any other */
};

static bool may_call(const struct sqlite_store *store, const char *function)
{
	if (!strcasecmp(function, "load_extension") || !strcasecmp(function, "fts3_tokenizer"))
		return false;
	/* printf('%.*c', 2000000000, 'x') takes 11 s whatever the limits */
	return store->read_only || (strcasecmp(function, "printf") && strcasecmp(function, "format"));
}

/* What a table has, as a statement of its own or inside a SELECT (pragma_table_info()). */
static bool is_description(const char *pragma)
{
	static const char *const pragmas[] = {"table_info", "table_xinfo", "table_list"};

	for (size_t i = 0; i < ARRAY_SIZE(pragmas); i++)
		if (!strcasecmp(pragma, pragmas[i]))
			return true;
	return false;
}

static int authorize(void *userdata, int action, const char *a, const char *b, const char *c, const char *d)
{
	struct permission *permission = userdata;

	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_READ:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_FUNCTION:
		if (b && may_call(permission->store, b))
			return SQLITE_OK;
		break;
	case SQLITE_PRAGMA:
		if (a && is_description(a))
			return SQLITE_OK;
	}
	permission->denied = true;
	return SQLITE_DENY;
}

struct row {
	int n;
	const char *names[256];
	struct sonde_value values[256];
};

static void row_read(sqlite3_stmt *statement, struct row *row)
{
	for (int i = 0; i < row->n; i++) {
		struct sonde_value *value = &row->values[i];

		switch (sqlite3_column_type(statement, i)) {
		case SQLITE_NULL:
			*value = (struct sonde_value){.type = SONDE_NULL};
			break;
		case SQLITE_INTEGER:
			*value = (struct sonde_value){.type = SONDE_INT, .i = sqlite3_column_int64(statement, i)};
			break;
		case SQLITE_BLOB:
			*value = (struct sonde_value){.type = SONDE_TEXT, .text = sqlite3_column_blob(statement, i) ?: ""};
			value->length = (uint32_t)sqlite3_column_bytes(statement, i);
			break;
		case SQLITE_FLOAT:
			*value = (struct sonde_value){.type = SONDE_REAL, .real = sqlite3_column_double(statement, i)};
			break;
		default:
			value->type = SONDE_TEXT;
			value->text = (const char *)sqlite3_column_text(statement, i) ?: "";
			value->length = (uint32_t)sqlite3_column_bytes(statement, i);
		}
	}
}

static int failed(struct sqlite_store *store, sqlite3 *db, int code)
{
	sqlite_note(store, code);
	switch (code) {
	case SQLITE_INTERRUPT:
		if (store->base.interrupted)
			return sonde_store_fail(-ECANCELED, "the agent is stopping");
		return sonde_store_fail(-ETIMEDOUT, "the statement took too long; ask for a shorter span of time");
	case SQLITE_NOMEM:
		(void)sqlite3_db_release_memory(db);
		(void)malloc_trim(0);
		return sonde_store_fail(-ENOMEM, "the statement needs too much memory");
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
		if (sonde_store_error(&store->base)[0]) /* what sonde_temporary says */
			return sqlite_errno(code);
		return sqlite_fail(db, code, "cannot read");
	case SQLITE_ERROR:
		/* said of a virtual table before the authorizer is asked */
		if (strstr(sqlite3_errmsg(db), "may not be modified"))
			return sonde_store_fail(-EPERM, "only SELECT is allowed (%s)", sqlite3_errmsg(db));
		if (!strncmp(sqlite3_errmsg(db), "no such table", 13) || !strncmp(sqlite3_errmsg(db), "no such column", 14))
			return sonde_store_fail(-EINVAL, "%s: 'sonde schema' lists the tables and their columns", sqlite3_errmsg(db));
		__attribute__((fallthrough));
	case SQLITE_TOOBIG:
	case SQLITE_MISUSE:
		return sonde_store_fail(-EINVAL, "%s", sqlite3_errmsg(db));
	default:
		return sqlite_fail(db, code, "cannot read");
	}
}

static int run_statement(struct sqlite_store *store, struct sqlite_reader *reader, sqlite3_stmt *statement, uint32_t limit,
			 int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
			 void *userdata, uint64_t *ret_rows)
{
	struct row row = {.n = sqlite3_column_count(statement)};
	int code, r = 0;

	for (int i = 0; i < row.n; i++)
		row.names[i] = sqlite3_column_name(statement, i) ?: "";
	while (!r && (!limit || *ret_rows < limit)) {
		code = sonde_clock_boot_ns() > reader->deadline_ns ? SQLITE_INTERRUPT : sqlite3_step(statement);
		if (code == SQLITE_DONE && !*ret_rows) /* the columns all the same */
			r = fn(row.n, row.names, NULL, userdata);
		if (code == SQLITE_DONE)
			break;
		if (code != SQLITE_ROW)
			return failed(store, reader->db, code);
		row_read(statement, &row);
		(*ret_rows)++;
		r = fn(row.n, row.names, row.values, userdata);
	}
	return r < 0 ? r : 0;
}

static int run_sql(struct sqlite_store *store, struct sqlite_reader *reader, const char *sql, uint32_t limit,
		   int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata), void *userdata,
		   uint64_t *ret_rows)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL, *more CLEANUP(sqlite_finalize) = NULL;
	const char *tail = "";
	int code = sqlite3_prepare_v2(reader->db, sql, -1, &statement, &tail);

	if (code)
		return failed(store, reader->db, code);
	if (!statement)
		return sonde_store_fail(-EINVAL, "no statement");
	/* What follows may be space and comments only. */
	if (sqlite3_prepare_v2(reader->db, tail, -1, &more, NULL) || more)
		return sonde_store_fail(-EINVAL, "only one statement at a time");
	if (!sqlite3_stmt_readonly(statement))
		return sonde_store_fail(-EPERM, "only SELECT is allowed");
	return run_statement(store, reader, statement, limit, fn, userdata, ret_rows);
}

/*
 * Anew each time: a type may have come, or changed, since. A table comes to life with the first statement that names it, which is
 * here because the authorizer would refuse SQLite its own bookkeeping.
 */
static int table_touch(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;

	return sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
}

static int table_add(sqlite3 *db, const struct sonde_type *type, struct sonde_vtab_use *use)
{
	char sql[96];
	int code = sonde_vtab_add(db, db, type, use);

	snprintf(sql, sizeof(sql), "SELECT 1 FROM \"%s\"", type->name);
	return code ?: table_touch(db, sql);
}

static int tables_add(struct sqlite_store *store, struct sqlite_reader *reader)
{
	int code = SQLITE_OK;

	/* SQLite's own; without them it goes, too. */
	(void)table_touch(reader->db, "SELECT 1 FROM pragma_table_info, pragma_table_xinfo, pragma_table_list");
	(void)table_touch(reader->db, "SELECT 1 FROM json_each, json_tree");
	memset(reader->uses, 0, sizeof(reader->uses));
	for (size_t i = 0; i < sonde_types_count(&store->types) && !code; i++) {
		reader->uses[i].deadline_ns = reader->deadline_ns;
		reader->uses[i].interrupted = reader->interrupted;
		code = table_add(reader->db, &sonde_types_get(&store->types, i)->type, &reader->uses[i]);
	}
	return code ? sqlite_fail(reader->db, code, "cannot make the tables") : 0;
}

int sqlite_use_missing(sqlite3 *db, const char *type, struct sonde_vtab_use *use)
{
	char sql[128];
	int64_t readable = 0;
	int code;

	snprintf(sql, sizeof(sql), "SELECT readable FROM main.sonde_types WHERE name = '%s'", type);
	code = sqlite_number(db, sql, &readable);
	if (code || readable < 0 || (uint64_t)readable <= use->found)
		return code == SQLITE_DONE ? SQLITE_OK : code;
	use->damaged = true;
	use->lost += (uint64_t)readable - use->found;
	return SQLITE_OK;
}

/* A gap is a program's: it counts once for all its types that were asked for the same time. */
static bool gaps_counted(struct sqlite_store *store, const struct sqlite_reader *reader, size_t type)
{
	const struct sonde_vtab_use *use = &reader->uses[type], *other;
	const char *program = sonde_types_get(&store->types, type)->program;

	for (size_t i = 0; i < type; i++) {
		other = &reader->uses[i];
		if (other->used && other->since_ns == use->since_ns && other->until_ns == use->until_ns &&
		    !strcmp(sonde_types_get(&store->types, i)->program, program))
			return true;
	}
	return false;
}

/*
 * Of each table that was asked, for the spans of time that were asked; after the statement, so that its time is no matter, and
 * under the same snapshot.
 */
static int judge(struct sqlite_store *store, struct sqlite_reader *reader, struct sonde_answer *answer)
{
	int r = 0;

	for (size_t i = 0; i < sonde_types_count(&store->types) && !r; i++) {
		struct sonde_vtab_use *use = &reader->uses[i];
		struct sonde_query query = {.type = sonde_types_get(&store->types, i)->type.name, .since_ns = use->since_ns,
					    .until_ns = use->until_ns};
		struct sonde_answer one;

		if (!use->used)
			continue;
		r = sqlite_use_missing(reader->db, query.type, use);
		if (r)
			return sqlite_fail(reader->db, r, "cannot read");
		r = sqlite_judge(store, reader->db, &reader->waiting, &query, &one);
		if (!r && gaps_counted(store, reader, i))
			one.lost = 0;
		if (!r && use->damaged)
			sonde_answer_damaged(&one, use->lost);
		if (!r)
			sonde_answer_join(answer, &one);
	}
	return r;
}

int sqlite_sql(struct sonde_store *base, const char *sql, uint32_t limit, int64_t timeout_ns,
	       int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata), void *userdata,
	       struct sonde_answer *ret_answer)
{
	struct sonde_answer answer = {.complete = true};
	struct sqlite_store *store = (struct sqlite_store *)base;
	int before[ARRAY_SIZE(limits)];
	struct sqlite_reader *reader;
	struct permission permission = {.store = store};
	int r = sqlite_reader_get(store, timeout_ns > 0 ? timeout_ns : DEFAULT_TIMEOUT_NS, &reader);

	if (r)
		return r;
	r = tables_add(store, reader);
	if (!r && sqlite_run(reader->db, "BEGIN"))
		r = sqlite_fail(reader->db, sqlite3_errcode(reader->db), "cannot read");
	if (r) {
		sqlite_reader_put(store, reader);
		return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		before[i] = sqlite3_limit(reader->db, limits[i][0], limits[i][1]);
	if (!store->read_only)
		sqlite3_limit(reader->db, SQLITE_LIMIT_LENGTH, ASKED_LENGTH);
	sqlite3_set_authorizer(reader->db, authorize, &permission);
	sqlite_reader_watch(reader, STEPS);
	r = run_sql(store, reader, sql, limit, fn, userdata, &answer.rows);
	sqlite_reader_watch(reader, 0); /* what is left to do is little */
	if (permission.denied)
		r = sonde_store_fail(-EPERM, "only SELECT is allowed (%s)", sqlite3_errmsg(reader->db));
	sqlite3_set_authorizer(reader->db, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		sqlite3_limit(reader->db, limits[i][0], before[i]);
	if (r == -ETIMEDOUT && answer.rows) {
		sonde_answer_incomplete(&answer, "the statement took too long and was ended");
		r = 0;
	}
	if (!r)
		r = judge(store, reader, &answer);
	sqlite_reader_put(store, reader);
	if (!r)
		*ret_answer = answer;
	return r;
}
