/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read of a damaged file goes into the new one: what describes the events whole or not at all, then each block that
 * reads, newest first, as far as the time and the disk go: half of its room is for what comes. Nothing is repaired: a block's
 * checksums tell later whether it is right. Totals are taken over as they are, so that sqlite_blocks_load() finds what is missing,
 * as in any other file.
 */
#include <store/sqlite.h>

#include <base/clock.h>
#include <base/log.h>

#include <errno.h>
#include <sys/statvfs.h>

/* The writer waits, and the rings for it. */
#define SALVAGE_NS (4 * SONDE_NS_PER_S)
#define BLOCK_COLUMNS "id, type, first, count, weight, oldest_ns, newest_ns, pid_min, pid_max, head, checksum, filter, data"
#define BLOCK_DATA 12 /* the place of the last one */

static const struct {
	const char *name, *columns;
	bool needed; /* without it an event would be false, or there twice */
} tables[] = {
	{"sonde_types", "name, program, doc, stored, expired, readable, dropped_until_ns, checksum", true},
	{"sonde_columns", "type, position, name, value, semantic, unit, doc", true},
	{"sonde_checkpoints", "program, ring_id, updated, position, consumed, stored, invalid, limited, queue_dropped, base", true},
	{"sonde_gaps", "program, cause, from_ns, to_ns, count", false},
	{"sonde_runs", "id, boot_id, started_ns, last_seen_ns, stopped_ns, trail_ns, boot_ns, waited_ns", false},
};

struct salvage {
	sqlite3 *from, *to;
	sqlite3_stmt *below, *read, *write; /* the next block's id, the block, its copy */
	int64_t deadline_ns;
	uint64_t taken, bytes, bytes_max;
};

/* The row that a statement stands on. @return the code of writing it. */
static int copy_row(sqlite3_stmt *from, sqlite3_stmt *to)
{
	int code = SQLITE_OK;

	for (int i = 0; !code && i < sqlite3_column_count(from); i++)
		code = sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
	if (!code)
		code = sqlite3_step(to);
	sqlite3_reset(to);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int prepare_insert(sqlite3 *to, const char *table, const char *columns, sqlite3_stmt **ret)
{
	char sql[400];
	int length = snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO %s (%s) VALUES (?", table, columns);

	for (const char *c = columns; *c; c++)
		if (*c == ',')
			length += snprintf(sql + length, sizeof(sql) - (size_t)length, ", ?");
	snprintf(sql + length, sizeof(sql) - (size_t)length, ")");
	return sqlite3_prepare_v2(to, sql, -1, ret, NULL);
}

static int copy_table(struct salvage *salvage, const char *table, const char *columns)
{
	sqlite3_stmt *from CLEANUP(sqlite_finalize) = NULL, *to CLEANUP(sqlite_finalize) = NULL;
	char sql[300];
	int code;

	snprintf(sql, sizeof(sql), "SELECT %s FROM %s", columns, table);
	code = sqlite3_prepare_v2(salvage->from, sql, -1, &from, NULL);
	if (!code)
		code = prepare_insert(salvage->to, table, columns, &to);
	while (!code && (code = sqlite3_step(from)) == SQLITE_ROW)
		code = copy_row(from, to);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* ---- blocks ---- */

/* The largest id below `id`. @return SQLite's code: SQLITE_DONE: there is none. */
static int block_below(struct salvage *salvage, int64_t id, int64_t *ret_id)
{
	int code = sqlite3_bind_int64(salvage->below, 1, id);

	if (!code)
		code = sqlite3_step(salvage->below);
	if (code == SQLITE_ROW)
		*ret_id = sqlite3_column_int64(salvage->below, 0);
	sqlite3_reset(salvage->below);
	return code;
}

/* Where to begin if the newest page cannot be read: about the largest id below which something is found. */
static int64_t newest_found(struct salvage *salvage)
{
	int64_t good = 0, bad = INT64_MAX, id;

	if (block_below(salvage, INT64_MAX, &id) == SQLITE_ROW)
		return INT64_MAX;
	for (int64_t at = 2; at > 0 && at < INT64_MAX / 2; at *= 2)
		if (block_below(salvage, at, &id) == SQLITE_ROW)
			good = at;
		else if (bad == INT64_MAX && good)
			bad = at;
	bad = good < INT64_MAX / 2 ? good * 2 : bad;
	while (good && bad - good > 1) {
		int64_t middle = good + (bad - good) / 2;

		if (block_below(salvage, middle, &id) == SQLITE_ROW)
			good = middle;
		else
			bad = middle;
	}
	return good;
}

/* @return the code of writing; a block that cannot be read is left out. */
static int copy_block(struct salvage *salvage, int64_t id)
{
	int code = sqlite3_bind_int64(salvage->read, 1, id);

	if (!code && sqlite3_step(salvage->read) == SQLITE_ROW) {
		code = copy_row(salvage->read, salvage->write);
		salvage->taken += !code;
		salvage->bytes += (uint64_t)sqlite3_column_bytes(salvage->read, BLOCK_DATA);
	}
	sqlite3_reset(salvage->read);
	return code;
}

/* A page that leads to blocks and cannot be read costs a step for each id below it. */
static int copy_blocks(struct salvage *salvage)
{
	int64_t at = newest_found(salvage), id;
	int code = SQLITE_OK, found;

	while (!code && at > 0 && salvage->bytes < salvage->bytes_max && sonde_clock_boot_ns() < salvage->deadline_ns) {
		found = block_below(salvage, at, &id);
		if (found == SQLITE_DONE)
			break;
		at = found == SQLITE_ROW ? id : at - 1;
		if (found == SQLITE_ROW)
			code = copy_block(salvage, id);
	}
	return code;
}

/* A block that was deleted, and came back by what damaged the file. */
static int drop_block(const char *type, const struct sonde_block_place *place, void *userdata)
{
	struct salvage *salvage = userdata;
	char sql[80];

	snprintf(sql, sizeof(sql), "DELETE FROM sonde_blocks WHERE id = %lld", (long long)place->id);
	salvage->taken--;
	return sqlite_run(salvage->to, sql) ? -EIO : 0;
}

/* ---- all ---- */

static int copy_all(struct salvage *salvage)
{
	/* Nobody sees the new file before it is complete; if this fails, it is made again. */
	int code = sqlite_run(salvage->to, "PRAGMA journal_mode = OFF; BEGIN");

	for (size_t i = 0; !code && i < ARRAY_SIZE(tables); i++) {
		code = copy_table(salvage, tables[i].name, tables[i].columns);
		if (!tables[i].needed)
			code = SQLITE_OK;
	}
	if (!code)
		code = sqlite3_prepare_v2(salvage->from, "SELECT id FROM sonde_blocks WHERE id < ? ORDER BY id DESC LIMIT 1", -1,
					  &salvage->below, NULL);
	if (!code)
		code = sqlite3_prepare_v2(salvage->from, "SELECT " BLOCK_COLUMNS " FROM sonde_blocks WHERE id = ?", -1, &salvage->read,
					  NULL);
	if (!code)
		code = prepare_insert(salvage->to, "sonde_blocks", BLOCK_COLUMNS, &salvage->write);
	if (!code)
		code = copy_blocks(salvage);
	if (!code)
		code = sonde_blocks_each(salvage->to, NULL, drop_block, salvage);
	if (code < 0)
		code = SQLITE_IOERR;
	return code ? code : sqlite_run(salvage->to, "COMMIT");
}

int sqlite_salvage(const char *from, const char *to)
{
	struct salvage salvage = {.deadline_ns = sonde_clock_boot_ns() + SALVAGE_NS};
	int code = sqlite_open_reader(from, false, NULL, &salvage.from);
	bool opened = !code;
	struct statvfs disk;

	if (!statvfs(to, &disk))
		salvage.bytes_max = (uint64_t)disk.f_bavail * disk.f_frsize / 2;
	if (!code)
		code = sqlite3_open_v2(to, &salvage.to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (!code)
		code = copy_all(&salvage);
	sqlite_finalize(&salvage.below);
	sqlite_finalize(&salvage.read);
	sqlite_finalize(&salvage.write);
	sqlite3_close(salvage.to);
	sqlite3_close(salvage.from);
	if (code)
		sonde_log_warning("nothing can be taken over from '%s': %s", from, opened ? sqlite3_errstr(code) : sonde_store_error(NULL));
	else
		sonde_log_info("%llu blocks of '%s' are taken over", (unsigned long long)salvage.taken, from);
	return code;
}
