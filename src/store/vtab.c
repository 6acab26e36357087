/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual tables. Nothing of them stands in the file: they exist by being asked for (eponymous). Invariant: a row is given
 * only if all its columns that the statement uses are whole.
 */
#include <store/vtab.h>

#include <store/block_scan.h>

#include <base/buffer.h>
#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a connection knows of a type: a copy, freed with its module. */
struct module {
	sqlite3 *source;
	struct sonde_vtab_use *use;
	struct sonde_type type;
	struct sonde_column columns[SONDE_COLUMNS_MAX];
	char texts[];
};

struct table {
	sqlite3_vtab base;
	const struct module *module;
	sqlite3 *db;
	char *name; /* in SQL */
	uint64_t events, blocks; /* at the last look */
	unsigned cursors; /* while there is one, a statement goes on, and all that is kept for it */
	struct sonde_vtab_lookup *lookups;
	bool damage_said;
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct sonde_block_source source;
	struct sonde_block_scan scan;
	struct sonde_vtab_asked asked;
	bool grouped; /* the rows are those of `groups`, not of `scan` */
	struct sonde_vtab_groups groups;
	struct sonde_vtab_rows *rows; /* or, if not NULL, these */
	size_t row, n_rows; /* the current one, and how many are left with it */
	bool newest_first, at_end;
};

/* For a block that is not opened, in rows of one that is. */
#define BLOCK_COST 32
/* Rows that are passed over between two looks at it. */
#define LOOK_AT_CLOCK 65536

static int fail(sqlite3_vtab *table, int code, const char *text)
{
	sqlite3_free(table->zErrMsg);
	table->zErrMsg = sqlite3_mprintf("%s", text);
	return code;
}

/* ---- table ---- */

static void declare(const struct sonde_type *type, struct sonde_buffer *sql)
{
	sonde_buffer_add_text(sql, "CREATE TABLE x (");
	for (uint32_t i = 0; i < type->n_columns; i++) {
		const char *kind = "INTEGER";

		if (type->columns[i].type == SONDE_ADDRESS || type->columns[i].type == SONDE_TEXT)
			kind = "TEXT";
		if (type->columns[i].type == SONDE_BOOL)
			kind = "BOOLEAN";
		sonde_buffer_printf(sql, "\"%s\" %s, ", type->columns[i].name, kind);
	}
	sonde_buffer_add_text(sql, "sonde_sequence INTEGER HIDDEN)");
}

/* How many events the file says there are, for plans; a million if it says nothing. */
static uint64_t events_known(const struct module *module)
{
	char *sql = sqlite3_mprintf("SELECT readable FROM main.sonde_types WHERE name = %Q", module->type.name);
	sqlite3_stmt *row = NULL;
	uint64_t events = 1000000;

	if (sql && !sqlite3_prepare_v2(module->source, sql, -1, &row, NULL) && sqlite3_step(row) == SQLITE_ROW &&
	    sqlite3_column_int64(row, 0) >= 0)
		events = (uint64_t)sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_free(sql);
	return events;
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **ret_table, char **ret_error)
{
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const struct module *module = aux;
	struct table *table;
	int code;

	declare(&module->type, &sql);
	code = sql.failed ? SQLITE_NOMEM : sqlite3_declare_vtab(db, sql.data);
	if (code)
		return code;
	table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){.module = module, .db = db, .name = sqlite3_mprintf("\"%w\".\"%w\"", argv[1], argv[2]),
				.events = events_known(module)};
	if (!table->name) {
		sqlite3_free(table);
		return SQLITE_NOMEM;
	}
	*ret_table = &table->base;
	return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(((struct table *)table)->name);
	sqlite3_free(table);
	return SQLITE_OK;
}

/* ---- cursor ---- */

static struct table *table_of(const struct cursor *cursor)
{
	return (struct table *)cursor->base.pVtab;
}

static int cursor_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
	struct cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	((struct table *)table)->cursors++;
	cursor->source.db = ((struct table *)table)->module->source;
	*ret_cursor = &cursor->base;
	return SQLITE_OK;
}

/* A statement may scan a table many times: what is lost is lost once. */
static void use_note(struct cursor *cursor)
{
	struct sonde_vtab_use *use = table_of(cursor)->module->use;

	if (cursor->scan.lost_blocks && !table_of(cursor)->damage_said)
		sqlite3_log(SQLITE_WARNING, "sonde: %llu events of %s are lost in damaged blocks",
			    (unsigned long long)cursor->scan.lost_events, cursor->scan.want.type->name);
	table_of(cursor)->damage_said |= cursor->scan.lost_blocks;
	if (!use || !cursor->scan.lost_blocks)
		return;
	use->damaged = true;
	if (use->lost < cursor->scan.lost_events)
		use->lost = cursor->scan.lost_events;
}

static void use_begin(struct sonde_vtab_use *use, const struct sonde_span *span)
{
	use->since_ns = use->used && use->since_ns < span->since_ns ? use->since_ns : span->since_ns;
	use->until_ns = use->used && use->until_ns > span->until_ns ? use->until_ns : span->until_ns;
	use->used = true;
}

static void cursor_clear(struct cursor *cursor)
{
	use_note(cursor);
	sonde_vtab_groups_end(&cursor->groups);
	sonde_vtab_rows_unref(&cursor->rows);
	sonde_block_scan_free(&cursor->scan);
	cursor->scan.lost_blocks = 0;
	sonde_vtab_asked_clear(&cursor->asked);
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	struct table *table = table_of(cursor);

	cursor_clear(cursor);
	sonde_block_source_close(&cursor->source);
	free(cursor);
	if (!--table->cursors) {
		sonde_vtab_lookups_free(&table->lookups);
		table->damage_said = false;
	}
	return SQLITE_OK;
}

/* Damage that the reading meets is left out; what SQLite itself cannot read is an error. */
static int cursor_code(struct cursor *cursor, int r)
{
	if (r >= 0)
		return SQLITE_OK;
	if (r == -ENOMEM)
		return SQLITE_NOMEM;
	if (r == -ETIMEDOUT)
		return SQLITE_INTERRUPT;
	return fail(cursor->base.pVtab, cursor->source.code ?: SQLITE_ERROR, "cannot read a block");
}

/* The next row with one of the pids. What cannot be read is left out. */
static int scan_next(struct cursor *cursor)
{
	struct sonde_value pid = {};
	int r, n = 0;

	while ((r = sonde_block_scan_next(&cursor->scan)) > 0 && cursor->asked.pids) {
		if (!(++n % LOOK_AT_CLOCK) && sonde_block_want_late(&cursor->scan.want))
			return -ETIMEDOUT;
		r = sonde_block_scan_value(&cursor->scan, SONDE_COLUMN_PID, &pid);
		if (r < 0)
			return r;
		if (!r && sonde_vtab_pids_have(&cursor->asked, &pid))
			return 1;
	}
	return r;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	int r;

	if (cursor->grouped) {
		r = sonde_vtab_groups_next(&cursor->groups);
		cursor->at_end = r <= 0;
		return r < 0 ? -r : SQLITE_OK;
	}
	if (cursor->rows) {
		cursor->row += cursor->newest_first ? (size_t)-1 : 1;
		cursor->at_end = !--cursor->n_rows;
		return SQLITE_OK;
	}
	r = scan_next(cursor);
	cursor->at_end = r <= 0;
	return cursor_code(cursor, r);
}

/* ---- which rows ---- */

static int take_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct cursor *cursor = userdata;
	struct table *table = table_of(cursor);
	struct sonde_vtab_use *use = table->module->use;

	table->blocks++;
	if (!facts && use)
		use->damaged = true; /* perhaps another type's: nobody knows */
	if (!facts || strcmp(facts->type, cursor->scan.want.type->name))
		return 0;
	table->events += facts->count;
	if (!sonde_vtab_pids_may(&cursor->asked, facts))
		return 0;
	return sonde_block_scan_offer(&cursor->scan, facts);
}

static int drop_block(const char *type, const struct sonde_block_place *place, void *userdata)
{
	struct cursor *cursor = userdata;
	struct table *table = table_of(cursor);

	if (strcmp(type, cursor->scan.want.type->name))
		return 0;
	table->events -= place->count;
	sonde_block_scan_drop(&cursor->scan, place);
	return 0;
}

static int blocks_take(struct cursor *cursor, const struct sonde_block_want *want)
{
	struct table *table = table_of(cursor);
	int code;

	table->blocks = table->events = 0;
	sonde_block_scan_init(&cursor->scan, &cursor->source, want);
	code = sonde_blocks_each(cursor->source.db, take_block, drop_block, cursor);
	if (table->module->use)
		table->module->use->found = table->events;
	return code < 0 ? SQLITE_NOMEM : code;
}

static int scan_begin(struct cursor *cursor, const struct sonde_block_want *want, struct sonde_vtab_lookup *lookup)
{
	int code = blocks_take(cursor, want);

	if (code)
		return code;
	lookup->spent += BLOCK_COST * table_of(cursor)->blocks;
	for (size_t i = 0; i < cursor->scan.n; i++)
		lookup->spent += cursor->scan.refs[i].count;
	sonde_block_scan_start(&cursor->scan);
	return cursor_next(&cursor->base);
}

/*
 * Reading all rows pays as soon as look-ups have cost as much. @return SQLite's code; afterwards the look-up has rows, or does not:
 * they cannot be kept.
 */
static int rows_make(struct cursor *cursor, const struct sonde_block_want *one, struct sonde_vtab_lookup *lookup)
{
	static const int by_time = SONDE_VTAB_SINCE | SONDE_VTAB_AFTER | SONDE_VTAB_UNTIL | SONDE_VTAB_BEFORE | SONDE_VTAB_AT |
				   SONDE_VTAB_OLDEST_FIRST | SONDE_VTAB_NEWEST_FIRST;
	struct sonde_block_want want = *one;
	int64_t *pids = cursor->asked.pids;
	int r;

	if (lookup->rows || lookup->refused || !lookup->spent || lookup->spent < table_of(cursor)->events)
		return SQLITE_OK;
	sonde_vtab_lookup_want(lookup, &want);
	cursor->asked.pids = NULL; /* the next look-up may have others */
	r = blocks_take(cursor, &want);
	cursor->asked.pids = pids;
	if (r)
		return r;
	r = sonde_vtab_rows_new(&cursor->scan, sonde_vtab_columns(lookup->plan), &cursor->asked.keys, lookup->terms & by_time, &lookup->rows);
	lookup->refused = r == -ENOSPC || r == -EDOM;
	use_note(cursor);
	sonde_block_scan_free(&cursor->scan);
	return lookup->refused ? SQLITE_OK : cursor_code(cursor, r);
}

static int lookup_begin(struct cursor *cursor, int terms, const char *plan, const struct sonde_block_want *want)
{
	struct sonde_vtab_lookup *lookup = sonde_vtab_lookup_get(&table_of(cursor)->lookups, terms, plan);
	size_t end;
	int code;

	if (!lookup || sonde_vtab_lookup_ask(lookup, want))
		return SQLITE_NOMEM;
	code = cursor->asked.by_value ? SQLITE_OK : rows_make(cursor, want, lookup);
	if (code)
		return code;
	if (cursor->asked.by_value || !lookup->rows)
		return scan_begin(cursor, want, lookup);
	sonde_block_scan_init(&cursor->scan, &cursor->source, want);
	cursor->rows = sonde_vtab_rows_ref(lookup->rows);
	sonde_vtab_rows_find(cursor->rows, cursor->asked.hash, &want->span, &cursor->row, &end);
	cursor->n_rows = end - cursor->row;
	cursor->newest_first = terms & SONDE_VTAB_NEWEST_FIRST;
	if (cursor->newest_first)
		cursor->row = end - 1;
	cursor->at_end = !cursor->n_rows;
	return SQLITE_OK;
}

static int groups_begin(struct cursor *cursor, int terms, const char *plan, const struct sonde_block_want *want)
{
	int code = blocks_take(cursor, want);

	if (!code)
		code = sonde_vtab_groups_begin(&cursor->groups, table_of(cursor)->db, table_of(cursor)->name, plan, terms, &cursor->scan);
	if (code)
		return code < 0 ? cursor_code(cursor, code) : code;
	return cursor_next(&cursor->base);
}

static int cursor_filter(sqlite3_vtab_cursor *base, int terms, const char *plan, int argc, sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct module *module = table_of(cursor)->module;
	struct sonde_block_want want = {
		.type = &module->type, .pid = -1, .deadline_ns = INT64_MAX,
		.span = {.since_ns = INT64_MIN, .until_ns = INT64_MAX}, .oldest_first = terms & SONDE_VTAB_OLDEST_FIRST,
		.unordered = !(terms & (SONDE_VTAB_OLDEST_FIRST | SONDE_VTAB_NEWEST_FIRST)),
		.whole_columns = sonde_vtab_columns(plan),
	};
	int code;

	cursor_clear(cursor);
	code = sonde_vtab_terms_read(terms, argc, argv, &want, &cursor->asked);
	if (code)
		return code;
	if (module->use) {
		use_begin(module->use, &want.span);
		want.deadline_ns = module->use->deadline_ns ?: INT64_MAX;
		want.interrupted = module->use->interrupted;
	}
	cursor->at_end = cursor->asked.never;
	if (cursor->at_end)
		return SQLITE_OK;
	cursor->grouped = terms & SONDE_VTAB_GROUPED;
	if (cursor->grouped)
		return groups_begin(cursor, terms, plan, &want);
	return lookup_begin(cursor, terms, plan, &want);
}

static int table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
	const struct table *table = (const struct table *)base;

	return sonde_vtab_plan(&table->module->type, (double)table->events, info);
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->at_end;
}

static int64_t cursor_sequence(const struct cursor *cursor)
{
	return cursor->rows ? sonde_vtab_rows_sequence(cursor->rows, cursor->row) : sonde_block_scan_sequence(&cursor->scan);
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct sonde_type *type = cursor->scan.want.type;
	struct sonde_value value;
	int r;

	if (cursor->grouped) {
		sonde_vtab_groups_column(&cursor->groups, context, column);
		return SQLITE_OK;
	}
	if (column >= (int)type->n_columns) {
		sqlite3_result_int64(context, cursor_sequence(cursor));
		return SQLITE_OK;
	}
	if (cursor->rows) {
		sonde_vtab_rows_value(cursor->rows, cursor->row, (uint32_t)column, &value);
		sonde_vtab_result(context, &type->columns[column], &value);
		return SQLITE_OK;
	}
	r = sonde_block_scan_value(&cursor->scan, (uint32_t)column, &value);
	if (r > 0) /* after its checksum was right, and the row has begun: it cannot be left out any more */
		return fail(base->pVtab, SQLITE_CORRUPT_VTAB,
			    "a block is damaged; ask for a span of time without it ('sonde store verify' names it)");
	if (!r)
		sonde_vtab_result(context, &type->columns[column], &value);
	return cursor_code(cursor, r);
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	if (((struct cursor *)base)->grouped)
		return fail(base->pVtab, SQLITE_ERROR, "rowid does not go with GROUP BY: use sonde_sequence");
	*ret_rowid = cursor_sequence((struct cursor *)base);
	return SQLITE_OK;
}

/* xCreate is xConnect: nothing is made, so the table is there under the module's name, and may be made under others. */
#ifdef SONDE_EXTENSION
/*
 * Another function than xConnect, so that a table must be made (in temp). One that exists by being asked for would also be what
 * `other.connection` finds, in whatever database `other` is.
 */
static int table_create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **ret_table, char **ret_error)
{
	return table_connect(db, aux, argc, argv, ret_table, ret_error);
}
#else
#define table_create table_connect
#endif

static const sqlite3_module methods = {
	.xCreate = table_create, .xDestroy = table_disconnect, .xConnect = table_connect, .xBestIndex = table_plan, .xDisconnect = table_disconnect, .xOpen = cursor_open,
	.xClose = cursor_close, .xFilter = cursor_filter, .xNext = cursor_next, .xEof = cursor_eof, .xColumn = cursor_column,
	.xRowid = cursor_rowid,
};

/* ---- module ---- */

static char *text_copy(char **at, const char *text)
{
	char *copy = *at;

	strcpy(copy, text);
	*at += strlen(text) + 1;
	return copy;
}

int sonde_vtab_add(sqlite3 *db, sqlite3 *source, const struct sonde_type *type, struct sonde_vtab_use *use)
{
	size_t bytes = strlen(type->name) + 1;
	struct module *module;
	char *at;

	for (uint32_t i = 0; i < type->n_columns; i++)
		bytes += strlen(type->columns[i].name) + 1;
	module = calloc(1, sizeof(*module) + bytes);
	if (!module)
		return SQLITE_NOMEM;
	at = module->texts;
	module->source = source;
	module->use = use;
	module->type = (struct sonde_type){.name = text_copy(&at, type->name), .n_columns = type->n_columns,
					   .columns = module->columns};
	for (uint32_t i = 0; i < type->n_columns; i++)
		module->columns[i] = (struct sonde_column){.name = text_copy(&at, type->columns[i].name), .length_offset = -1,
							   .type = type->columns[i].type, .semantic = type->columns[i].semantic};
	return sqlite3_create_module_v2(db, module->type.name, &methods, module, free);
}
