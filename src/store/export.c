/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events as plain tables in a new SQLite file, for whoever has SQLite only. The virtual tables stand on the new file's
 * connection and read over another, so that the store stays open for reading only.
 */
#include <store/inspect.h>
#include <store/sqlite.h>
#include <store/vtab.h>

#include <base/buffer.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void db_close(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* ":container" stands in twice: the whole name, or the beginning of an id. */
static void select_add(struct sonde_buffer *sql, const char *type, const struct sonde_query *query)
{
	sonde_buffer_printf(sql, "SELECT * FROM temp.\"source_%s\" WHERE time >= %" PRId64 " AND time < %" PRId64, type, query->since_ns,
			    query->until_ns);
	if (query->pid >= 0)
		sonde_buffer_printf(sql, " AND pid = %" PRId64, query->pid);
	if (query->command)
		sonde_buffer_add_text(sql, " AND command = :command");
	if (query->container)
		sonde_buffer_add_text(sql, sonde_query_container_prefix(query) ?
					   " AND substr(container, 1, length(:container)) = :container" :
					   " AND container = :container");
	sonde_buffer_add_text(sql, " ORDER BY time");
}

static int bind_text(sqlite3_stmt *statement, const char *name, const char *text)
{
	int i = sqlite3_bind_parameter_index(statement, name);

	return i ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC) : SQLITE_OK;
}

static int copy_type(sqlite3 *target, const struct sonde_type *type, const struct sonde_query *query)
{
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code;

	sonde_buffer_printf(&sql, "CREATE VIRTUAL TABLE temp.\"source_%s\" USING \"%s\"", type->name, type->name);
	code = sql.failed ? SQLITE_NOMEM : sqlite_run(target, sql.data);
	if (code)
		return code;
	/* A copy of no rows first: it takes the columns' names and kinds. */
	sonde_buffer_clear(&sql);
	sonde_buffer_printf(&sql, "CREATE TABLE main.\"%s\" AS SELECT * FROM temp.\"source_%s\" WHERE 0", type->name, type->name);
	code = sql.failed ? SQLITE_NOMEM : sqlite_run(target, sql.data);
	if (code)
		return code;
	sonde_buffer_clear(&sql);
	sonde_buffer_printf(&sql, "INSERT INTO main.\"%s\" ", type->name);
	select_add(&sql, type->name, query);
	code = sql.failed ? SQLITE_NOMEM : sqlite3_prepare_v2(target, sql.data, -1, &statement, NULL);
	if (!code)
		code = bind_text(statement, ":command", query->command);
	if (!code)
		code = bind_text(statement, ":container", query->container);
	if (!code)
		code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int copy_all(struct sonde_store *store, sqlite3 *source, sqlite3 *target, const struct sonde_query *query)
{
	const struct sonde_type *types[SONDE_TYPES_MAX];
	size_t n = sonde_store_types(store, types, SONDE_TYPES_MAX);
	int code = sqlite_run(target, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; BEGIN");

	for (size_t i = 0; i < n && !code; i++) {
		if (query->type && strcmp(types[i]->name, query->type))
			continue;
		code = sonde_vtab_add(target, source, types[i], NULL);
		if (!code)
			code = copy_type(target, types[i], query);
	}
	return code ?: sqlite_run(target, "COMMIT");
}

int sonde_store_export(const char *path, const char *target_path, const struct sonde_query *query)
{
	struct sonde_store_opts opts = {.path = path, .read_only = true};
	sqlite3 *source CLEANUP(db_close) = NULL, *target CLEANUP(db_close) = NULL;
	struct sonde_store *store CLEANUP(sonde_store_close) = NULL;
	int code, r;

	if (!access(target_path, F_OK))
		return sonde_store_fail(-EEXIST, "'%s' is there already", target_path);
	r = sonde_store_open(&opts, &store);
	if (r)
		return r;
	code = sqlite_open_reader(((struct sqlite_store *)store)->path, &source);
	if (!code)
		code = sqlite3_open_v2(target_path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (!code)
		code = sqlite_run(source, "BEGIN");
	if (!code)
		code = copy_all(store, source, target, query);
	r = code ? sqlite_fail(target ?: source, code, "cannot export") : 0;
	if (r)
		unlink(target_path);
	return r;
}
