/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of age and size. The oldest events go, over all types alike, in short transactions, so that no reader and no commit
 * waits long. The pages that become free are used again; the file only shrinks when it is above its limit.
 */
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <string.h>

#define SLICE_ROWS 2048
#define SLICES_AT_ONCE 256 /* of one call; the rest has time */

/* An eighth of the limit is for the write-ahead log. */
uint64_t sqlite_limit(const struct sqlite_store *store)
{
	return store->max_bytes - store->max_bytes / 8;
}

/* Time of the row number `rows` of the table, from its oldest on. SQLITE_DONE: it has fewer. */
static int table_boundary(sqlite3 *db, const char *table, int rows, int64_t *ret_time_ns)
{
	char sql[160];

	snprintf(sql, sizeof(sql), "SELECT time FROM \"%s\" ORDER BY time, sonde_sequence LIMIT 1 OFFSET %d", table, rows - 1);
	return sqlite_number(db, sql, ret_time_ns);
}

/* The time up to which events may go so that no table loses more than about `rows`. */
static int slice_boundary(struct sqlite_store *store, int rows, int64_t *ret_time_ns)
{
	int64_t boundary = INT64_MAX, time_ns;

	for (size_t i = 0; i < store->types.n; i++) {
		int code = store->slots[i].unsynced ? SQLITE_DONE :
			   table_boundary(store->db, store->types.items[i]->type.name, rows, &time_ns);

		if (code && code != SQLITE_DONE)
			return code;
		if (!code && time_ns < boundary)
			boundary = time_ns;
	}
	*ret_time_ns = boundary;
	return SQLITE_OK;
}

struct slice {
	int64_t until_ns; /* inclusive */
	uint32_t deleted[SONDE_TYPES_MAX];
	uint64_t sum;
};

static int delete_from(struct sqlite_store *store, size_t slot, int64_t until_ns)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	char sql[160];
	int code;

	snprintf(sql, sizeof(sql), "DELETE FROM \"%s\" WHERE time <= ?", store->types.items[slot]->type.name);
	code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
	if (!code)
		code = sqlite3_bind_int64(statement, 1, until_ns);
	if (!code)
		code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static void totals_move(struct sqlite_store *store, const struct slice *slice, bool back)
{
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->types.n; i++) {
		uint64_t n = back ? -(uint64_t)slice->deleted[i] : slice->deleted[i];

		if (!n)
			continue;
		store->slots[i].expired += n;
		store->slots[i].readable -= n;
		store->slots[i].changed = true;
	}
	pthread_mutex_unlock(&store->lock);
}

static int delete_slice(struct sqlite_store *store, void *userdata)
{
	struct slice *slice = userdata;
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < store->types.n; i++) {
		if (store->slots[i].unsynced)
			continue;
		code = delete_from(store, i, slice->until_ns);
		if (code)
			break;
		slice->deleted[i] = (uint32_t)sqlite3_changes(store->db);
		slice->sum += slice->deleted[i];
		if (slice->deleted[i] && slice->until_ns > store->slots[i].dropped_until_ns)
			store->slots[i].dropped_until_ns = slice->until_ns;
	}
	totals_move(store, slice, false);
	return code ? code : sqlite_meta_write_totals(store);
}

static int delete_until(struct sqlite_store *store, int64_t until_ns, uint64_t *ret_deleted)
{
	struct slice slice = {.until_ns = until_ns};
	int code = sqlite_transaction(store, delete_slice, &slice);

	if (code)
		totals_move(store, &slice, true);
	*ret_deleted = code ? 0 : slice.sum;
	return code;
}

static int expire_age(struct sqlite_store *store, int64_t cutoff_ns)
{
	uint64_t deleted = 1;
	int64_t boundary;
	int code = SQLITE_OK;

	for (int i = 0; !code && deleted && i < SLICES_AT_ONCE; i++) {
		int64_t oldest;

		code = slice_boundary(store, 1, &oldest);
		if (code || oldest >= cutoff_ns)
			break;
		code = slice_boundary(store, SLICE_ROWS, &boundary);
		if (!code)
			code = delete_until(store, boundary < cutoff_ns ? boundary : cutoff_ns - 1, &deleted);
	}
	return code;
}

static int used_bytes(struct sqlite_store *store, uint64_t *ret_used, uint64_t *ret_size)
{
	int64_t pages, unused;
	int code = sqlite_number(store->db, "PRAGMA page_count", &pages);

	if (!code)
		code = sqlite_number(store->db, "PRAGMA freelist_count", &unused);
	if (code)
		return code;
	*ret_size = (uint64_t)pages * 4096;
	*ret_used = (uint64_t)(pages - unused) * 4096;
	return SQLITE_OK;
}

/* Few rows are left where even a small slice is found in no table. */
static int delete_oldest(struct sqlite_store *store, uint64_t *ret_deleted)
{
	int64_t boundary = INT64_MAX;
	int code = SQLITE_OK;

	for (int rows = SLICE_ROWS; !code && boundary == INT64_MAX && rows; rows /= 16)
		code = slice_boundary(store, rows, &boundary);
	*ret_deleted = 0;
	if (code || boundary == INT64_MAX)
		return code;
	return delete_until(store, boundary, ret_deleted);
}

int sqlite_make_room(struct sqlite_store *store, uint64_t bytes)
{
	uint64_t limit = sqlite_limit(store), used, size, deleted = 1;
	int code;

	if (!limit)
		return SQLITE_OK;
	if (bytes > limit / 2)
		bytes = limit / 2;
	while (!(code = used_bytes(store, &used, &size)) && deleted && used + bytes > limit) {
		code = delete_oldest(store, &deleted);
		if (code)
			return code;
	}
	if (!code && size > limit)
		code = sqlite_run(store->db, "PRAGMA incremental_vacuum(2048)");
	return code;
}

int sqlite_expire(struct sonde_store *base, int64_t now_ns)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	int64_t cutoff;
	int code = SQLITE_OK;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	if (store->max_age_ns) {
		pthread_mutex_lock(&store->lock);
		cutoff = sonde_retention_cutoff(&store->retention, now_ns, sonde_clock_boot_ns(), store->max_age_ns);
		pthread_mutex_unlock(&store->lock);
		if (store->db)
			code = expire_age(store, cutoff);
	}
	if (!code && store->db)
		code = sqlite_make_room(store, 0);
	if (code)
		return sqlite_failed(store, code, "cannot drop old events");
	return sqlite_meta_due(store) && !store->pending.n ? sqlite_commit(base, NULL, 0) : 0;
}
