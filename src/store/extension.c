/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loadable extension: `.load build/sonde` in the sqlite3 shell on a store makes each type of event a table. The file is foreign
 * input: its description of types is checked before a table is made of it.
 */
#ifdef SONDE_EXTENSION

#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include <store/types.h>
#include <store/vtab.h>

#include <string.h>

int sqlite3_sonde_init(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api);

static int columns_read(sqlite3 *db, const char *name, struct sonde_type *type, struct sonde_column *columns, char (*names)[48])
{
	sqlite3_stmt *row = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT name, value, semantic FROM main.sonde_columns WHERE type = ? ORDER BY position", -1,
				      &row, NULL);

	if (!code)
		code = sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
	while (!code && (code = sqlite3_step(row)) == SQLITE_ROW) {
		const char *column = (const char *)sqlite3_column_text(row, 0), *value = (const char *)sqlite3_column_text(row, 1),
			   *semantic = (const char *)sqlite3_column_text(row, 2);
		uint32_t i = type->n_columns;

		code = SQLITE_OK;
		if (i == SONDE_COLUMNS_MAX || !column || !value || !semantic || strlen(column) >= 48 || strchr(column, '"') ||
		    sonde_value_type_parse(value, &columns[i].type) || sonde_semantic_parse(semantic, &columns[i].semantic)) {
			code = SQLITE_CORRUPT;
			break;
		}
		strcpy(names[i], column);
		columns[i].name = names[i];
		type->n_columns++;
	}
	sqlite3_finalize(row);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* In temp, which shows only here, and is writable also where the store is not. */
static int table_make(sqlite3 *db, const char *name)
{
	char *sql = sqlite3_mprintf("CREATE VIRTUAL TABLE IF NOT EXISTS temp.\"%w\" USING \"%w\"", name, name);
	int code = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return code;
}

static int type_add(sqlite3 *db, const char *name)
{
	char names[SONDE_COLUMNS_MAX][48];
	struct sonde_column columns[SONDE_COLUMNS_MAX] = {};
	struct sonde_type type = {.name = name, .columns = columns};
	int code = columns_read(db, name, &type, columns, names);

	if (code)
		return code;
	if (type.n_columns < SONDE_COLUMN_COMMON_MAX || strcmp(names[SONDE_COLUMN_TIME], "time") ||
	    strcmp(names[SONDE_COLUMN_PID], "pid") || strcmp(names[SONDE_COLUMN_COMMAND], "command") ||
	    strcmp(names[SONDE_COLUMN_CONTAINER], "container"))
		return SQLITE_CORRUPT;
	code = sonde_vtab_add(db, db, &type, NULL);
	return code ? code : table_make(db, name);
}

__attribute__((visibility("default"))) int sqlite3_sonde_init(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api)
{
	sqlite3_stmt *row = NULL;
	int code;

	SQLITE_EXTENSION_INIT2(api);
	code = sqlite3_prepare_v2(db, "SELECT name FROM main.sonde_types ORDER BY name", -1, &row, NULL);
	if (code) {
		*ret_error = sqlite3_mprintf("the database that was opened is no store of sonde: %s", sqlite3_errmsg(db));
		return SQLITE_ERROR;
	}
	while (!code && (code = sqlite3_step(row)) == SQLITE_ROW)
		code = type_add(db, (const char *)sqlite3_column_text(row, 0) ?: "");
	sqlite3_finalize(row);
	if (code == SQLITE_DONE)
		return SQLITE_OK;
	*ret_error = sqlite3_mprintf("cannot read the types of the store: %s", sqlite3_errstr(code));
	return SQLITE_ERROR;
}

#endif
