/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loadable extension: `.load build/sonde` in the sqlite3 shell on a store makes each type of event a table. The file is foreign
 * input: its description of types is checked before a table is made of it.
 */
#ifdef SONDE_EXTENSION

#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include <store/description.h>
#include <store/types.h>
#include <store/vtab.h>

int sqlite3_sonde_init(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api);

/* In temp, which shows only here, and is writable also where the store is not. */
static int table_make(sqlite3 *db, const char *name)
{
	char *sql = sqlite3_mprintf("CREATE VIRTUAL TABLE IF NOT EXISTS temp.\"%w\" USING \"%w\"", name, name);
	int code = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return code;
}

static int type_add(const struct sonde_description *description, void *db)
{
	char why[128];
	int code;

	if (!sonde_type_check(&description->type, why, sizeof(why)))
		return SQLITE_CORRUPT;
	code = sonde_vtab_add(db, db, &description->type, NULL);
	return code ? code : table_make(db, description->type.name);
}

__attribute__((visibility("default"))) int sqlite3_sonde_init(sqlite3 *db, char **ret_error, const sqlite3_api_routines *api)
{
	char why[160] = "";
	int code;

	SQLITE_EXTENSION_INIT2(api);
	code = sonde_description_marks(db, why, sizeof(why));
	if (!code)
		code = sonde_description_each(db, type_add, db, why, sizeof(why));
	if (!code)
		return SQLITE_OK;
	*ret_error = sqlite3_mprintf("the database that was opened cannot be read as a store: %s", why);
	return SQLITE_ERROR;
}

#endif
