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
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static void db_close(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* Text in a column of numbers (2^64 - 1, or what was text in an older version of its program) would be made a number: rounded, or another
 * value. As bytes it stays. */
static void columns_add(struct sonde_buffer *sql, const struct sonde_type *type)
{
	for (uint32_t i = 0; i < type->n_columns; i++) {
		const char *name = type->columns[i].name;

		if (type->columns[i].type == SONDE_TEXT || type->columns[i].type == SONDE_ADDRESS)
			sonde_buffer_printf(sql, "%s\"%s\"", i ? ", " : "", name);
		else
			sonde_buffer_printf(sql, "%siif(typeof(\"%s\") = 'text', CAST(\"%s\" AS BLOB), \"%s\")", i ? ", " : "", name, name, name);
	}
}

/* ":container" stands in twice: the whole name, or the beginning of an id. */
static void select_add(struct sonde_buffer *sql, const struct sonde_type *type, const struct sonde_query *query)
{
	sonde_buffer_add_text(sql, "SELECT ");
	columns_add(sql, type);
	sonde_buffer_printf(sql, " FROM temp.\"source_%s\" WHERE time >= %" PRId64 " AND time < %" PRId64, type->name, query->since_ns,
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
	if (query->limit)
		sonde_buffer_printf(sql, " LIMIT %" PRIu32, query->limit);
}

static int bind_text(sqlite3_stmt *statement, const char *name, const char *text)
{
	int i = sqlite3_bind_parameter_index(statement, name);

	return i ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC) : SQLITE_OK;
}

static int copy_type(sqlite3 *target, const struct sonde_type *type, const struct sonde_query *query, uint64_t *rows)
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
	select_add(&sql, type, query);
	code = sql.failed ? SQLITE_NOMEM : sqlite3_prepare_v2(target, sql.data, -1, &statement, NULL);
	if (!code)
		code = bind_text(statement, ":command", query->command);
	if (!code)
		code = bind_text(statement, ":container", query->container);
	if (!code)
		code = sqlite3_step(statement);
	if (code != SQLITE_DONE)
		return code;
	*rows += (uint64_t)sqlite3_changes64(target);
	return SQLITE_OK;
}

/* Inside transactions of both. */
static int copy_all(struct sqlite_store *store, sqlite3 *source, sqlite3 *target, const struct sonde_query *query,
		    struct sonde_answer *answer)
{
	struct sonde_vtab_use all = {};
	int code = SQLITE_OK;

	for (size_t i = 0; i < sonde_types_count(&store->types) && !code; i++) {
		const struct sonde_type *type = &sonde_types_get(&store->types, i)->type;
		struct sonde_vtab_use use = {}; /* only statements look at it, and they end in copy_type() */

		if (query->type && strcmp(type->name, query->type))
			continue;
		code = sonde_vtab_add(target, source, type, &use);
		if (!code)
			code = copy_type(target, type, query, &answer->rows);
		if (!code)
			code = sqlite_use_missing(source, type->name, &use);
		all.lost += use.lost;
		all.damaged = all.damaged || use.damaged;
	}
	if (all.damaged)
		sonde_answer_damaged(answer, all.lost);
	return code;
}

static int export_into(struct sqlite_store *store, const char *target_path, const struct sonde_query *query,
		       struct sonde_answer *answer)
{
	sqlite3 *source CLEANUP(db_close) = NULL, *target CLEANUP(db_close) = NULL;
	int r, code = sqlite_open_reader(store->path, store->read_only, NULL, &source);

	if (code)
		return sqlite_errno(code);
	code = sqlite_run(source, "BEGIN");
	if (code)
		return sqlite_fail(source, code, "cannot read");
	r = sqlite_judge(store, source, NULL, query, answer);
	if (r)
		return r;
	answer->rows = 0;
	code = sqlite3_open_v2(target_path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (!code)
		code = sqlite_run(target, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; BEGIN");
	if (!code)
		code = copy_all(store, source, target, query, answer);
	if (!code)
		code = sqlite_run(target, "COMMIT");
	if (code == SQLITE_FULL)
		return sonde_store_fail(-ENOSPC, "cannot export: no space is left on the disk");
	return code ? sqlite_fail(target, code, "cannot export") : 0;
}

int sonde_store_export(struct sonde_store *base, const char *target_path, const struct sonde_query *query,
		       struct sonde_answer *ret_answer)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct sonde_answer answer = {};
	int fd, r;

	if (base->ops != &sonde_store_sqlite)
		return sonde_store_fail(-ENOTSUP, "a store in memory has no file");
	if (query->type && sonde_types_find(&store->types, query->type) < 0)
		return sonde_store_fail(-ENOENT, "no type '%s'", query->type);
	fd = open(target_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return sonde_store_fail(-errno, "cannot make '%s': %s", target_path, strerror(errno));
	close(fd);
	r = export_into(store, target_path, query, &answer);
	if (r)
		unlink(target_path);
	else
		*ret_answer = answer;
	return r;
}
