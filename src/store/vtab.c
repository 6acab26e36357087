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
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct sonde_block_source source;
	struct sonde_block_scan scan;
	char *command, *container;
	bool grouped; /* the rows are those of `groups`, not of `scan` */
	struct sonde_vtab_groups groups;
	bool at_end;
};

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
	*table = (struct table){.module = module, .db = db, .name = sqlite3_mprintf("\"%w\".\"%w\"", argv[1], argv[2])};
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

static int cursor_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
	struct cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	cursor->source.db = ((struct table *)table)->module->source;
	*ret_cursor = &cursor->base;
	return SQLITE_OK;
}

/* A statement may scan a table many times: what is lost is lost once. */
static void use_note(struct cursor *cursor)
{
	struct sonde_vtab_use *use = ((struct table *)cursor->base.pVtab)->module->use;

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
	use->found = 0;
}

static void cursor_clear(struct cursor *cursor)
{
	use_note(cursor);
	sonde_vtab_groups_end(&cursor->groups);
	sonde_block_scan_free(&cursor->scan);
	free(cursor->command);
	free(cursor->container);
	cursor->command = cursor->container = NULL;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;

	cursor_clear(cursor);
	sonde_block_source_close(&cursor->source);
	free(cursor);
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

static int cursor_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	int r;

	if (cursor->grouped) {
		r = sonde_vtab_groups_next(&cursor->groups);
		cursor->at_end = r <= 0;
		return r < 0 ? -r : SQLITE_OK;
	}
	r = sonde_block_scan_next(&cursor->scan);
	if (!r && cursor->scan.lost_blocks)
		sqlite3_log(SQLITE_WARNING, "sonde: %llu events of %s are lost in damaged blocks",
			    (unsigned long long)cursor->scan.lost_events, cursor->scan.want.type->name);
	cursor->at_end = r <= 0;
	return cursor_code(cursor, r);
}

static void want_time(int term, int64_t time_ns, struct sonde_span *span)
{
	int64_t since_ns = INT64_MIN, until_ns = INT64_MAX;

	switch (term) {
	case SONDE_VTAB_AFTER:
	case SONDE_VTAB_SINCE:
		since_ns = time_ns;
		break;
	case SONDE_VTAB_BEFORE:
	case SONDE_VTAB_UNTIL:
		until_ns = time_ns;
		break;
	case SONDE_VTAB_AT:
		since_ns = until_ns = time_ns;
		break;
	}
	/* inclusive and exclusive alike: SQLite looks again */
	if (until_ns != INT64_MAX)
		until_ns++;
	if (since_ns > span->since_ns)
		span->since_ns = since_ns;
	if (until_ns < span->until_ns)
		span->until_ns = until_ns;
}

static int want_text(sqlite3_value *value, char **ret_copy)
{
	const char *text;

	if (sqlite3_value_type(value) != SQLITE_TEXT)
		return SQLITE_OK;
	text = (const char *)sqlite3_value_text(value);
	if (text && strlen(text) != (size_t)sqlite3_value_bytes(value)) /* the blocks are asked for texts that end at a NUL */
		return SQLITE_OK;
	*ret_copy = text ? strdup(text) : NULL;
	return *ret_copy ? SQLITE_OK : SQLITE_NOMEM;
}

static int want_term(struct cursor *cursor, int term, sqlite3_value *value, struct sonde_block_want *want)
{
	bool is_number = sqlite3_value_type(value) == SQLITE_INTEGER;

	switch (term) {
	case SONDE_VTAB_PID:
		if (is_number && sqlite3_value_int64(value) >= 0)
			want->pid = sqlite3_value_int64(value);
		return SQLITE_OK;
	case SONDE_VTAB_COMMAND:
		return want_text(value, &cursor->command);
	case SONDE_VTAB_CONTAINER:
		return want_text(value, &cursor->container);
	}
	if (is_number)
		want_time(term, sqlite3_value_int64(value), &want->span);
	return SQLITE_OK;
}

static int take_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct cursor *cursor = userdata;
	struct sonde_vtab_use *use = ((struct table *)cursor->base.pVtab)->module->use;

	if (!facts && use)
		use->damaged = true; /* perhaps another type's: nobody knows */
	if (!facts || strcmp(facts->type, cursor->scan.want.type->name))
		return 0;
	if (use)
		use->found += facts->count;
	return sonde_block_scan_offer(&cursor->scan, facts);
}

static int table_plan(sqlite3_vtab *table, sqlite3_index_info *info)
{
	return sonde_vtab_plan(&((struct table *)table)->module->type, info);
}

static int cursor_filter(sqlite3_vtab_cursor *base, int terms, const char *plan, int argc, sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct sonde_vtab_use *use = ((struct table *)base->pVtab)->module->use;
	struct sonde_block_want want = {
		.type = &((struct table *)base->pVtab)->module->type, .pid = -1, .deadline_ns = INT64_MAX,
		.span = {.since_ns = INT64_MIN, .until_ns = INT64_MAX}, .oldest_first = terms & SONDE_VTAB_OLDEST_FIRST,
		.unordered = !(terms & (SONDE_VTAB_OLDEST_FIRST | SONDE_VTAB_NEWEST_FIRST)),
		.whole_columns = sonde_vtab_columns(plan),
	};
	int code = SQLITE_OK, at = 0;

	cursor_clear(cursor);
	for (int i = 0; i < SONDE_VTAB_TERMS && !code && at < argc; i++)
		if (terms & 1 << i)
			code = want_term(cursor, 1 << i, argv[at++], &want);
	if (code)
		return code;
	want.command = cursor->command;
	want.container = cursor->container;
	if (use) {
		use_begin(use, &want.span);
		want.deadline_ns = use->deadline_ns ?: INT64_MAX;
		want.interrupted = use->interrupted;
	}
	sonde_block_scan_init(&cursor->scan, &cursor->source, &want);
	code = sonde_blocks_each(cursor->source.db, take_block, cursor);
	if (code)
		return code < 0 ? SQLITE_NOMEM : code;
	cursor->grouped = terms & SONDE_VTAB_GROUPED;
	if (cursor->grouped) {
		code = sonde_vtab_groups_begin(&cursor->groups, ((struct table *)base->pVtab)->db, ((struct table *)base->pVtab)->name, plan,
					       terms, &cursor->scan);
		if (code)
			return code < 0 ? cursor_code(cursor, code) : code;
	}
	sonde_block_scan_start(&cursor->scan);
	return cursor_next(base);
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->at_end;
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
		sqlite3_result_int64(context, sonde_block_scan_sequence(&cursor->scan));
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
	*ret_rowid = sonde_block_scan_sequence(&((struct cursor *)base)->scan);
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
