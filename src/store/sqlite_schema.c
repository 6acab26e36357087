/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of the file. The types' descriptions stand beside their events, so that a file reads back without the program that
 * wrote it. A file is foreign input: what it says about types is checked like any other type.
 */
#include <store/sqlite.h>

#include <errno.h>
#include <string.h>

#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

/* Space freed by retention is used again; what a smaller limit frees is given back in steps (incremental). */
static const char create_sql[] =
	"PRAGMA page_size = 4096;"
	"PRAGMA auto_vacuum = INCREMENTAL;"
	"PRAGMA application_id = " TEXT_OF(SONDE_STORE_APPLICATION_ID) ";"
	"PRAGMA user_version = " TEXT_OF(SONDE_STORE_VERSION) ";"
	"BEGIN;"
	"CREATE TABLE sonde_types (name TEXT PRIMARY KEY, program TEXT NOT NULL, doc TEXT, stored INTEGER NOT NULL,"
	" expired INTEGER NOT NULL, readable INTEGER NOT NULL, dropped_until_ns INTEGER, checksum INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE sonde_columns (type TEXT, position INTEGER, name TEXT NOT NULL, value TEXT NOT NULL,"
	" semantic TEXT NOT NULL, unit TEXT, doc TEXT, PRIMARY KEY (type, position)) WITHOUT ROWID;"
	"CREATE TABLE sonde_checkpoints (program TEXT, ring_id INTEGER, updated INTEGER NOT NULL, position INTEGER NOT NULL,"
	" consumed INTEGER NOT NULL, stored INTEGER NOT NULL, invalid INTEGER NOT NULL, limited INTEGER NOT NULL,"
	" queue_dropped INTEGER NOT NULL, base INTEGER NOT NULL, PRIMARY KEY (program, ring_id)) WITHOUT ROWID;"
	"CREATE TABLE sonde_gaps (program TEXT NOT NULL, cause TEXT NOT NULL, from_ns INTEGER NOT NULL,"
	" to_ns INTEGER NOT NULL, count INTEGER NOT NULL);"
	"CREATE TABLE sonde_runs (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, started_ns INTEGER NOT NULL,"
	" last_seen_ns INTEGER NOT NULL, stopped_ns INTEGER, trail_ns INTEGER, boot_ns INTEGER, waited_ns INTEGER);"
	/* The facts first: they are read without what follows. */
	"CREATE TABLE sonde_blocks (id INTEGER PRIMARY KEY, type TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
	" weight INTEGER NOT NULL, oldest_ns INTEGER NOT NULL, newest_ns INTEGER NOT NULL, pid_min INTEGER NOT NULL,"
	" pid_max INTEGER NOT NULL, head INTEGER NOT NULL, checksum INTEGER NOT NULL, filter BLOB NOT NULL, data BLOB NOT NULL);"
	"COMMIT;";

int sqlite_schema_create(sqlite3 *db)
{
	return sqlite_run(db, create_sql);
}

/* What files of this version did not have at first. */
int sqlite_schema_migrate(sqlite3 *db)
{
	static const char *const columns[] = {"trail_ns", "boot_ns", "waited_ns"};
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < ARRAY_SIZE(columns); i++) {
		char sql[80];

		if (!sqlite3_table_column_metadata(db, "main", "sonde_runs", columns[i], NULL, NULL, NULL, NULL, NULL))
			continue;
		snprintf(sql, sizeof(sql), "ALTER TABLE sonde_runs ADD COLUMN %s INTEGER", columns[i]);
		code = sqlite_run(db, sql);
	}
	return code;
}

/* One row of sonde_types. */
static int load_type(const struct sonde_description *description, void *userdata)
{
	struct sqlite_store *store = userdata;
	struct sqlite_slot *slot;
	size_t place;
	int r = sonde_types_add(&store->types, &description->type, description->program, &place);

	if (r < 0)
		return r == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
	slot = &store->slots[place];
	slot->unsynced = false;
	slot->stored = description->stored;
	slot->expired = description->expired;
	slot->readable = description->readable;
	slot->dropped_until_ns = description->dropped_until_ns;
	return SQLITE_OK;
}

int sqlite_schema_load(struct sqlite_store *store, sqlite3 *db)
{
	char why[160] = "";
	int code = sonde_description_each(db, load_type, store, why, sizeof(why));

	if (code)
		sonde_store_fail(sqlite_errno(code), "%s", why);
	return code;
}

/* One statement with texts as parameters; NULL binds null. */
static int run_texts(sqlite3 *db, const char *sql, const char *const *texts, int n, int64_t number)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	for (int i = 0; !code && i < n; i++)
		code = sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
	if (!code && sqlite3_bind_parameter_count(statement) > n)
		code = sqlite3_bind_int64(statement, n + 1, number);
	if (!code)
		code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int describe(sqlite3 *db, const struct sonde_stored_type *stored)
{
	const struct sonde_type *type = &stored->type;
	const char *texts[] = {type->name, stored->program, type->doc};
	int code = run_texts(db, "INSERT INTO sonde_types (name, program, doc, stored, expired, readable, checksum)"
				 " VALUES (?, ?, ?, 0, 0, 0, ?) ON CONFLICT (name) DO UPDATE SET program = excluded.program,"
				 " doc = excluded.doc, checksum = excluded.checksum", texts, 3, sonde_description_checksum(type));

	if (!code)
		code = run_texts(db, "DELETE FROM sonde_columns WHERE type = ?", texts, 1, 0);
	for (uint32_t i = 0; !code && i < type->n_columns; i++) {
		const struct sonde_column *column = &type->columns[i];
		const char *values[] = {type->name, column->name, sonde_value_type_name(column->type),
					sonde_semantic_word(column->semantic), column->unit, column->doc};

		code = run_texts(db, "INSERT INTO sonde_columns (type, name, value, semantic, unit, doc, position)"
				     " VALUES (?, ?, ?, ?, ?, ?, ?)", values, 6, i);
	}
	return code;
}

int sqlite_schema_sync(struct sqlite_store *store)
{
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < store->types.n; i++) {
		const struct sonde_stored_type *stored = sonde_types_get(&store->types, i);

		if (store->slots[i].unsynced)
			code = describe(store->db, stored);
	}
	return code;
}
