/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: the waiting events and all about them in one transaction. If it fails, nothing of it happened, the events keep
 * waiting, and the next commit tries again; if the file turns out damaged, a new one takes them.
 */
#include <store/sqlite.h>

#include <errno.h>
#include <string.h>

/* Pages that are not full, and the tables beside the blocks. */
#define ROOM_FOR(bytes, blocks) ((bytes) + (blocks) * 8192 + 65536)

/* Bytes that what waits needs in the log at most. */
static uint64_t room_waiting(const struct sqlite_store *store)
{
	return ROOM_FOR(store->intake.bytes, store->intake.n_blocks);
}

/* Of the limit the log may have what the database leaves; an eighth, if that was larger before the limit was set. */
static bool log_fits(const struct sqlite_store *store)
{
	uint64_t log = sqlite_file_log_bytes(store->path), file = sqlite_file_bytes(store->path) - log;
	uint64_t most = file < sqlite_limit(store) ? store->max_bytes - file : store->max_bytes / 8;

	return log + room_waiting(store) <= most;
}

int sqlite_log_check(struct sqlite_store *store)
{
	int code;

	store->log_kept = false;
	if (!store->max_bytes || log_fits(store))
		return SQLITE_OK;
	code = sqlite_log_empty(store);
	if (!code || log_fits(store))
		return SQLITE_OK;
	if (code != SQLITE_BUSY)
		return code;
	store->log_kept = true;
	return SQLITE_FULL;
}

int sqlite_transaction(struct sqlite_store *store, int (*write)(struct sqlite_store *store, void *userdata), void *userdata)
{
	int code = sqlite_log_check(store);

	if (!code)
		code = sqlite_run(store->db, "BEGIN IMMEDIATE");
	if (code)
		return code;
	code = write(store, userdata);
	if (!code)
		code = sqlite_run(store->db, "COMMIT");
	if (code && !sqlite3_get_autocommit(store->db))
		sqlite_run(store->db, "ROLLBACK");
	return code;
}

int sqlite_failed_now(struct sqlite_store *store, int r)
{
	pthread_mutex_lock(&store->lock);
	store->failed_commits++;
	snprintf(store->error, sizeof(store->error), "%s", sonde_store_error(&store->base));
	pthread_mutex_unlock(&store->lock);
	return r;
}

static int fail_log_kept(const struct sqlite_store *store, const char *what)
{
	char who[48] = "";
	int pid = sqlite_file_reader(store->path);

	if (pid > 0)
		snprintf(who, sizeof(who), " (process %d)", pid);
	return sonde_store_fail(-ENOSPC, "%s: a reader%s keeps the log from being emptied, and file and log have reached the limit of the"
					 " store", what, who);
}

int sqlite_failed(struct sqlite_store *store, int code, const char *what)
{
	int r = code == SQLITE_FULL && store->log_kept ? fail_log_kept(store, what) : sqlite_fail(store->db, code, what);

	sqlite_note(store, code);
	/* Our statements are right, so tables that refuse them are not as we made them. */
	if (code == SQLITE_ERROR || code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH)
		store->damaged = true;
	return sqlite_failed_now(store, r);
}

/* ---- blocks ---- */

int sqlite_block_delete(struct sqlite_store *store, int64_t id)
{
	int code = store->delete ? SQLITE_OK :
		   sqlite3_prepare_v3(store->db, "DELETE FROM sonde_blocks WHERE id = ?", -1, SQLITE_PREPARE_PERSISTENT, &store->delete,
				      NULL);

	if (!code)
		code = sqlite3_bind_int64(store->delete, 1, id);
	if (code)
		return code;
	code = sqlite3_step(store->delete);
	sqlite3_reset(store->delete);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int sqlite_block_insert(struct sqlite_store *store, struct sonde_block *block, struct sonde_indexed_block *ret_indexed)
{
	const struct sonde_block_facts *facts = &block->facts;
	const int64_t numbers[] = {(int64_t)facts->first, facts->count, (int64_t)facts->weight, facts->oldest_ns, facts->newest_ns,
				   facts->pid_min, facts->pid_max, facts->head, sonde_block_facts_checksum(facts)};
	int code = store->insert ? SQLITE_OK :
		   sqlite3_prepare_v3(store->db, "INSERT INTO sonde_blocks (type, first, count, weight, oldest_ns, newest_ns,"
						 " pid_min, pid_max, head, checksum, filter, data)"
						 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				      -1, SQLITE_PREPARE_PERSISTENT, &store->insert, NULL);

	if (!code)
		code = sqlite3_bind_text(store->insert, 1, facts->type, -1, SQLITE_STATIC);
	for (size_t i = 0; !code && i < ARRAY_SIZE(numbers); i++)
		code = sqlite3_bind_int64(store->insert, (int)i + 2, numbers[i]);
	if (!code)
		code = sqlite3_bind_blob(store->insert, 11, facts->filter, (int)facts->n_filter, SQLITE_STATIC);
	if (!code)
		code = sqlite3_bind_blob64(store->insert, 12, block->data, block->length, SQLITE_STATIC);
	if (code)
		return code;
	code = sqlite3_step(store->insert);
	sqlite3_reset(store->insert);
	sqlite3_clear_bindings(store->insert);
	*ret_indexed = (struct sonde_indexed_block){
		.id = sqlite3_last_insert_rowid(store->db), .first = facts->first, .count = facts->count,
		.oldest_ns = facts->oldest_ns, .newest_ns = facts->newest_ns, .bytes = block->length,
	};
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

struct work {
	const struct sonde_checkpoint *checkpoints;
	size_t n;
	uint32_t *added; /* rows by slot */
	uint32_t *found; /* of these, in blocks that SQLite says it inserted */
	struct sonde_indexed_block *indexed; /* as the waiting blocks */
};

static int write_blocks(struct sqlite_store *store, struct work *work)
{
	int code = SQLITE_OK;
	size_t i = 0;

	for (struct sonde_block *block = store->intake.blocks; block && !code; block = block->next, i++) {
		block->facts.first = store->slots[block->slot].stored + work->added[block->slot];
		code = sqlite_block_insert(store, block, &work->indexed[i]);
		work->added[block->slot] += block->facts.count;
		work->found[block->slot] += code || !sqlite3_changes(store->db) ? 0 : block->facts.count;
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
		code = write_blocks(store, work);
	totals_add(store, work, false);
	return code ? code : sqlite_meta_write(store, work->checkpoints, work->n);
}

/* ---- commit ---- */

/* A small write: while nothing can be written, trying with all that waits would cost much of a CPU. */
static int probe(struct sqlite_store *store, void *userdata)
{
	return sqlite_meta_write(store, NULL, 0);
}

static int commit_write(struct sqlite_store *store, struct work *work)
{
	int code = sqlite_make_room(store, ROOM_FOR(store->intake.bytes, store->intake.n_blocks) * store->room_factor);

	if (!code)
		code = sqlite_transaction(store, write_all, work);
	if (!code) {
		store->room_factor = 1;
		return 0;
	}
	totals_add(store, work, true);
	if (code == SQLITE_FULL && !store->log_kept && store->room_factor < 16)
		store->room_factor *= 2; /* if it is our own limit, the guess was too small */
	return code;
}

/* The file has them: a block that finds no memory in the index is only never merged, and dropped after the next start. */
static void index_blocks(struct sqlite_store *store, const struct sonde_indexed_block *indexed)
{
	for (struct sonde_block *block = store->intake.blocks; block; block = block->next, indexed++) {
		(void)sonde_block_index_add(&store->slots[block->slot].index, indexed);
		pthread_mutex_lock(&store->lock);
		sqlite_span_add(store, indexed);
		pthread_mutex_unlock(&store->lock);
	}
}

static int commit_once(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	uint32_t added[SONDE_TYPES_MAX] = {}, found[SONDE_TYPES_MAX] = {};
	struct sonde_indexed_block *indexed CLEANUP_FREE = NULL;
	struct work work = {.checkpoints = checkpoints, .n = n, .added = added, .found = found};
	int code = store->error[0] && store->intake.n ? sqlite_transaction(store, probe, NULL) : SQLITE_OK;

	if (code)
		return code;
	if (sonde_intake_seal(&store->intake))
		return SQLITE_NOMEM;
	indexed = calloc(store->intake.n_blocks + 1, sizeof(*indexed));
	if (!indexed)
		return SQLITE_NOMEM;
	work.indexed = indexed;
	code = commit_write(store, &work);
	if (!code)
		index_blocks(store, indexed);
	return code;
}

/* There is none, or the one there is damaged. */
static int commit_begin(struct sqlite_store *store)
{
	char reason[sizeof(store->error)];
	int r = 0;

	if (store->db && !sqlite_file_log_is(store->path, &store->log)) {
		store->damaged = false; /* so it seems to who reads it with another log */
		r = sqlite_log_lost(store);
		if (store->db)
			return 0;
	} else if (store->damaged) {
		pthread_mutex_lock(&store->lock);
		snprintf(reason, sizeof(reason), "%s", store->error[0] ? store->error : "a read found it damaged");
		pthread_mutex_unlock(&store->lock);
		sqlite_leave(store);
		r = sqlite_replace(store, reason);
	}
	if (!r)
		r = sqlite_begin(store);
	return r ? sqlite_failed_now(store, r) : 0;
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
	sonde_intake_clear(&store->intake);
}

int sqlite_commit(struct sonde_store *base, const struct sonde_checkpoint *checkpoints, size_t n)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	int code = SQLITE_OK, r;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	if (!store->intake.n && !store->damaged && store->db && unchanged(store, checkpoints, n) && !sqlite_meta_due(store))
		return 0;
	for (int i = 0; i < 2; i++) {
		if (store->damaged || !store->db) {
			r = commit_begin(store);
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
