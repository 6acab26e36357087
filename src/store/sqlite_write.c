/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: the waiting events and all about them in one transaction. If it fails, nothing of it happened, the events keep
 * waiting, and the next commit tries again; if the file turns out damaged, a new one takes them.
 */
#include <store/sqlite.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Rows on disk are larger than waiting ones: addresses and numbers as text, pages that are not full. */
#define ROOM_FOR(bytes) ((bytes) * 2 + 65536)

int sqlite_transaction(struct sqlite_store *store, int (*write)(struct sqlite_store *store, void *userdata), void *userdata)
{
	int code = sqlite_run(store->db, "BEGIN IMMEDIATE");

	if (code)
		return code;
	code = write(store, userdata);
	if (!code)
		code = sqlite_run(store->db, "COMMIT");
	if (code && !sqlite3_get_autocommit(store->db))
		sqlite_run(store->db, "ROLLBACK");
	return code;
}

int sqlite_failed(struct sqlite_store *store, int code, const char *what)
{
	int r = sqlite_fail(store->db, code, what);

	sqlite_note(store, code);
	/* Our statements are right, so tables that refuse them are not as we made them. */
	if (code == SQLITE_ERROR || code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH)
		store->damaged = true;
	pthread_mutex_lock(&store->lock);
	store->failed_commits++;
	snprintf(store->error, sizeof(store->error), "%s", sonde_store_error(&store->base));
	pthread_mutex_unlock(&store->lock);
	return r;
}

/* ---- rows ---- */

static int insert_prepare(struct sqlite_store *store, size_t place, const struct sonde_type *type)
{
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	sonde_buffer_printf(&sql, "INSERT INTO \"%s\" (sonde_sequence", type->name);
	for (uint32_t i = 0; i < type->n_columns; i++)
		if (i != SONDE_COLUMN_TYPE)
			sonde_buffer_printf(&sql, ", \"%s\"", type->columns[i].name);
	sonde_buffer_add_text(&sql, ") VALUES (?");
	for (uint32_t i = 1; i < type->n_columns; i++)
		sonde_buffer_add_text(&sql, ", ?");
	sonde_buffer_add_char(&sql, ')');
	if (sql.failed)
		return SQLITE_NOMEM;
	return sqlite3_prepare_v3(store->db, sql.data, -1, SQLITE_PREPARE_PERSISTENT, &store->slots[place].insert, NULL);
}

/* Parameter 1 is the sequence, then come the columns without the type. */
static int parameter_of(uint32_t column)
{
	return (int)column + (column > SONDE_COLUMN_TYPE ? 1 : 2);
}

/* Where the last row's values went: rows of one type come in a row. */
struct layout {
	const struct sonde_type *from, *to;
	uint8_t map[SONDE_COLUMNS_MAX];
};

static int insert_step(sqlite3_stmt *insert)
{
	int code = sqlite3_step(insert);

	/* Another event has this time and sequence (the clock was set back over a restart): the event counts, not its number. */
	for (int i = 0; code == SQLITE_CONSTRAINT && i < 16; i++) {
		int64_t sequence;

		sqlite3_reset(insert);
		sqlite3_randomness(sizeof(sequence), &sequence);
		sqlite3_bind_int64(insert, 1, sequence);
		code = sqlite3_step(insert);
	}
	sqlite3_reset(insert);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int insert_row(struct sqlite_store *store, const struct sonde_pending_row *row, const char *bytes,
		      struct layout *layout)
{
	const struct sonde_pending_source *source = &store->pending.sources[row->source];
	const struct sonde_type *to = &store->types.items[source->slot]->type;
	char addresses[SONDE_COLUMNS_MAX][INET6_ADDRSTRLEN];
	struct sonde_value values[SONDE_COLUMNS_MAX];
	sqlite3_stmt *insert = store->slots[source->slot].insert;
	int code = insert ? SQLITE_OK : insert_prepare(store, source->slot, to);

	if (code)
		return code;
	insert = store->slots[source->slot].insert;
	if (layout->from != source->type || layout->to != to) {
		sonde_types_map(source->type, to, layout->map);
		layout->from = source->type;
		layout->to = to;
	}
	sonde_row_values(bytes, values, source->type->n_columns);
	sqlite3_clear_bindings(insert);
	sqlite3_bind_int64(insert, 1, row->sequence);
	sqlite3_bind_int64(insert, 2, row->time_ns);
	for (uint32_t i = SONDE_COLUMN_PID; !code && i < source->type->n_columns; i++)
		if (layout->map[i] != SONDE_COLUMN_NONE)
			code = sqlite_value_bind(insert, parameter_of(layout->map[i]), &source->type->columns[i], &values[i],
						 addresses[i], sizeof(addresses[i]));
	return code ? code : insert_step(insert);
}

struct work {
	const struct sonde_checkpoint *checkpoints;
	size_t n;
	uint32_t *added; /* rows by slot */
	uint32_t *found; /* of these, what SQLite says it inserted */
};

static int write_rows(struct sqlite_store *store, struct work *work)
{
	struct sonde_pending_row row;
	struct layout layout = {};
	const char *bytes;
	size_t offset = 0;
	int code = SQLITE_OK;

	while (!code && sonde_pending_next(&store->pending, &offset, &row, &bytes)) {
		size_t slot = store->pending.sources[row.source].slot;

		code = insert_row(store, &row, bytes, &layout);
		work->added[slot]++;
		work->found[slot] += code ? 0 : (uint32_t)sqlite3_changes(store->db);
	}
	return code;
}

static void totals_add(struct sqlite_store *store, const struct work *work, bool back)
{
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->types.n; i++) {
		struct sqlite_slot *slot = &store->slots[i];

		if (!work->added[i])
			continue;
		slot->stored += back ? -(uint64_t)work->added[i] : work->added[i];
		slot->readable += back ? -(uint64_t)work->found[i] : work->found[i];
		slot->changed = true;
	}
	pthread_mutex_unlock(&store->lock);
}

static int write_all(struct sqlite_store *store, void *userdata)
{
	struct work *work = userdata;
	int code = sqlite_schema_sync(store);

	if (!code)
		code = write_rows(store, work);
	totals_add(store, work, false);
	return code ? code : sqlite_meta_write(store, work->checkpoints, work->n);
}

/* ---- commit ---- */

/* A small write: while nothing can be written, trying with all that waits would cost much of a CPU. */
static int probe(struct sqlite_store *store, void *userdata)
{
	return sqlite_meta_write(store, NULL, 0);
}

static int commit_once(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	uint32_t added[SONDE_TYPES_MAX] = {}, found[SONDE_TYPES_MAX] = {};
	struct work work = {.checkpoints = checkpoints, .n = n, .added = added, .found = found};
	int code = store->error[0] && store->pending.n ? sqlite_transaction(store, probe, NULL) : SQLITE_OK;

	if (!code)
		code = sqlite_make_room(store, ROOM_FOR(store->pending.rows.length) * store->room_factor);
	if (!code)
		code = sqlite_transaction(store, write_all, &work);
	if (!code) {
		store->room_factor = 1;
		return 0;
	}
	totals_add(store, &work, true);
	if (code == SQLITE_FULL && store->room_factor < 16)
		store->room_factor *= 2; /* if it is our own limit, the guess was too small */
	return code;
}

/* The file is damaged: away with it, and a new one in its place. */
static int commit_replace(struct sqlite_store *store)
{
	char reason[256], name[sizeof(store->set_aside)];
	int code, r;

	pthread_mutex_lock(&store->lock);
	snprintf(reason, sizeof(reason), "%s", store->error[0] ? store->error : "a read found it damaged");
	store->generation++; /* readers go on with the old file and are closed when they are done */
	pthread_mutex_unlock(&store->lock);
	sqlite_close_writer(store);
	r = sqlite_file_set_aside(store->path, reason, name, sizeof(name));
	if (!r)
		r = sqlite_file_create(store->path);
	if (r)
		return r;
	code = sqlite_open_writer(store);
	if (code)
		return sqlite_failed(store, code, "cannot open the new store");
	pthread_mutex_lock(&store->lock);
	snprintf(store->set_aside, sizeof(store->set_aside), "%s", name);
	sqlite_meta_reset(store);
	store->damaged = false;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static bool unchanged(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool same = false;

		for (size_t j = 0; j < store->n_rings && !same; j++)
			same = !memcmp(&store->rings[j].checkpoint, &checkpoints[i], sizeof(checkpoints[i]));
		if (!same)
			return false;
	}
	return true;
}

static void committed(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	pthread_mutex_lock(&store->lock);
	sqlite_meta_committed(store, checkpoints, n);
	store->commits++;
	store->error[0] = '\0';
	/* A second copy, for the case that the file is lost before the ring is. The file is what counts. */
	for (size_t i = 0; i < n; i++)
		(void)sonde_checkpoints_save(&store->shared, &checkpoints[i]);
	pthread_mutex_unlock(&store->lock);
	sonde_pending_clear(&store->pending);
}

int sqlite_commit(struct sonde_store *base, const struct sonde_checkpoint *checkpoints, size_t n)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	int code = SQLITE_OK, r;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	if (!store->pending.n && !store->damaged && unchanged(store, checkpoints, n) && !sqlite_meta_due(store))
		return 0;
	for (int i = 0; i < 2; i++) {
		if (store->damaged || !store->db) {
			r = commit_replace(store);
			if (r)
				return r;
		}
		code = commit_once(store, checkpoints, n);
		if (!code) {
			committed(store, checkpoints, n);
			return 0;
		}
		r = sqlite_failed(store, code, "cannot write");
		if (!store->damaged)
			return r;
	}
	return sqlite_fail(store->db, code, "cannot write");
}
