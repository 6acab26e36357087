/* SPDX-License-Identifier: Apache-2.0 */
/* The same events as rows of plain SQLite, for comparison. */
#include "store.h"

#include <base/clock.h>
#include <base/cleanup.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL)) {
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
		exit(1);
	}
}

/* One table for each type, its columns as they are, indexes on time, (pid, time) and (command, time). */
static sqlite3_stmt *plain_table(sqlite3 *db, const struct sonde_type *type)
{
	char create[8192], insert[2048], index[400];
	size_t c = 0, v = 0;
	sqlite3_stmt *statement;

	c += (size_t)snprintf(create, sizeof(create), "CREATE TABLE \"%s\" (", type->name);
	v += (size_t)snprintf(insert, sizeof(insert), "INSERT INTO \"%s\" VALUES (", type->name);
	for (uint32_t i = 0; i < type->n_columns; i++) {
		c += (size_t)snprintf(create + c, sizeof(create) - c, "%s\"%s\"", i ? ", " : "", type->columns[i].name);
		v += (size_t)snprintf(insert + v, sizeof(insert) - v, "%s?", i ? ", " : "");
	}
	snprintf(create + c, sizeof(create) - c, ")");
	snprintf(insert + v, sizeof(insert) - v, ")");
	run(db, create);
	snprintf(index, sizeof(index), "CREATE INDEX \"%s_1\" ON \"%s\"(time); CREATE INDEX \"%s_2\" ON \"%s\"(pid, time);"
				       "CREATE INDEX \"%s_3\" ON \"%s\"(command, time)",
		 type->name, type->name, type->name, type->name, type->name, type->name);
	run(db, index);
	if (sqlite3_prepare_v2(db, insert, -1, &statement, NULL))
		bench_die("prepare");
	return statement;
}

static void plain_bind(sqlite3_stmt *statement, uint32_t n, const struct sonde_value *values)
{
	for (uint32_t i = 0; i < n; i++)
		switch (values[i].type) {
		case SONDE_NULL:
			sqlite3_bind_null(statement, (int)i + 1);
			break;
		case SONDE_TEXT:
			sqlite3_bind_text(statement, (int)i + 1, values[i].text, (int)values[i].length, SQLITE_STATIC);
			break;
		case SONDE_ADDRESS:
			sqlite3_bind_blob(statement, (int)i + 1, values[i].address, 16, SQLITE_STATIC);
			break;
		case SONDE_BOOL:
			sqlite3_bind_int(statement, (int)i + 1, values[i].b);
			break;
		default:
			sqlite3_bind_int64(statement, (int)i + 1, values[i].i);
		}
}

static sqlite3_stmt *plain_insert(sqlite3 *db, const struct sonde_type *type)
{
	static struct {
		const struct sonde_type *type;
		sqlite3_stmt *statement;
	} known[64];
	size_t i = 0;

	while (i < ARRAY_SIZE(known) - 1 && known[i].type && known[i].type != type)
		i++;
	if (!known[i].type) {
		known[i].type = type;
		known[i].statement = plain_table(db, type);
	}
	return known[i].statement;
}

static void plain_fill(sqlite3 *db, uint64_t n, const struct sonde_names *names)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];

	for (uint64_t at = 0; at < n; at++) {
		struct sonde_event event = bench_event_at(at);
		sqlite3_stmt *insert = plain_insert(db, event.type);

		if (at % 10000 == 0)
			run(db, at ? "COMMIT; BEGIN" : "BEGIN");
		sonde_event_values(&event, names, values);
		plain_bind(insert, event.type->n_columns, values);
		if (sqlite3_step(insert) != SQLITE_DONE)
			bench_die("insert");
		sqlite3_reset(insert);
	}
	run(db, "COMMIT");
}

void bench_plain(const char *folder, uint64_t n, const struct sonde_names *names)
{
	char path[256];
	struct stat st;
	int64_t cpu;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/plain.db", folder);
	if (sqlite3_open(path, &db))
		bench_die("open");
	run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
	cpu = bench_cpu_ns();
	plain_fill(db, n, names);
	bench_figure("CPU, plain SQLite with 3 indexes", (double)(bench_cpu_ns() - cpu) / (double)n, "ns/event");
	run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	if (stat(path, &st))
		bench_die("stat");
	bench_figure("size, plain SQLite with 3 indexes", (double)st.st_size / (double)n, "bytes/event");
	cpu = sonde_clock_boot_ns();
	run(db, "SELECT command, count(*) FROM connection GROUP BY command");
	bench_figure("group by command, connection, plain SQLite (a tenth of the events)", (double)(sonde_clock_boot_ns() - cpu) / 1e6, "ms");
}
