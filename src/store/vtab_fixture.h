/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file vtab_fixture.h
 * For the tests of the tables in SQL: a store with the extension loaded, and beside it an export of the same events as plain tables.
 */

#include <store/sqlite_fixture.h>

#include <inttypes.h>
#include <store/inspect.h>

#define EVENTS 4000

static inline void no_error(sqlite3 *db, int code, const char *sql)
{
	if (code != SQLITE_OK && code != SQLITE_DONE)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static inline void text_of(sqlite3 *db, const char *sql, struct sonde_buffer *out)
{
	sqlite3_stmt *statement = NULL;
	int code;

	sonde_buffer_clear(out);
	no_error(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL), sql);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			const char *bytes = sqlite3_column_blob(statement, i);

			sonde_buffer_printf(out, "%d:", sqlite3_column_type(statement, i));
			sonde_buffer_add(out, bytes ?: "", (size_t)sqlite3_column_bytes(statement, i));
			sonde_buffer_add_char(out, i + 1 < sqlite3_column_count(statement) ? ' ' : '\n');
		}
	no_error(db, code, sql);
	sqlite3_finalize(statement);
}

static inline int64_t make_events(struct fixture *f)
{
	int64_t start_ns = sonde_clock_wall_ns() - 3600 * SONDE_NS_PER_S;

	f->opts.merge_cpu_pct = 100;
	open_store(f);
	for (uint64_t i = 0; i < EVENTS; i += 250) {
		uint64_t at = i ^ 250; /* neighbours are swapped: times overlap */

		assert_int_equal(test_append(f->store, &test_type, at, 250, start_ns + (int64_t)at * 1000, 1700), 0);
		assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	}
	merge_until(f, EVENTS / 250 - 10);
	sonde_store_close(&f->store);
	return start_ns;
}

static inline sqlite3 *open_both(struct fixture *f, uint64_t events)
{
	struct sonde_query all = test_query(NULL);
	struct sonde_answer answer;
	char plain[160], sql[256], *error = NULL;
	sqlite3 *db;
	int on;

	snprintf(plain, sizeof(plain), "%s/plain.db", f->folder);
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	if (sonde_store_export(f->store, plain, &all, &answer))
		fail_msg("%s", sonde_store_error(NULL));
	assert_int_equal(answer.rows, events);
	assert_int_equal(sonde_store_export(f->store, plain, &all, &answer), -EEXIST);
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, &on);
	if (sqlite3_load_extension(db, SONDE_BUILD_DIR "/sonde.so", NULL, &error))
		fail_msg("%s", error);
	snprintf(sql, sizeof(sql), "ATTACH '%s' AS plain; ATTACH '%s' AS other", plain, f->path);
	no_error(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
	/* Another store's events are not given as this one's, nor these as that one's. */
	assert_int_equal(sqlite3_exec(db, "SELECT * FROM other.sample", NULL, NULL, NULL), SQLITE_ERROR);
	return db;
}

/* Each %s, at most eight, stands for the name of a database. */
static inline void text_in(sqlite3 *db, const char *name, const char *format, struct sonde_buffer *out)
{
	char sql[4096];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(sql, sizeof(sql), format, name, name, name, name, name, name, name, name);
#pragma GCC diagnostic pop
	text_of(db, sql, out);
}

/* The tables are in "temp". */
static inline void check_same(sqlite3 *db, const char *format)
{
	struct sonde_buffer tables CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT, plain CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	text_in(db, "plain", format, &plain);
	text_in(db, "temp", format, &tables);
	if (strcmp(tables.data ?: "", plain.data ?: ""))
		fail_msg("%s: '%.200s' is not '%.200s'", format, tables.data ?: "", plain.data ?: "");
}
