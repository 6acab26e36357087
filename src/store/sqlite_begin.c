/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file the store writes to: at start, and again when it has none: the disk was full, the file was lost, or it was damaged and
 * moved away. Memory may know something by then: types of running programs, gaps, how far rings were read. What the file knows is
 * added to it; then the next commit writes what the file does not have. Invariant: without a database, no total in memory is of a file.
 */
#include <store/sqlite.h>

#include <base/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beside SQLite's codes. */
#define STALE (-ESTALE)

/* ---- what memory knew ---- */

struct memory {
	struct sonde_gaps gaps;
	struct sqlite_own_run run;
	struct sonde_retention retention;
	size_t n_rings, n_types;
	struct sqlite_ring rings[SQLITE_RINGS_MAX];
	const struct sonde_stored_type *types[SONDE_TYPES_MAX];
};

static struct memory *remember(struct sqlite_store *store)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->gaps = store->gaps;
	memory->run = store->run;
	memory->retention = store->retention;
	memory->n_rings = store->n_rings;
	memcpy(memory->rings, store->rings, sizeof(memory->rings));
	memory->n_types = sonde_types_count(&store->types);
	for (size_t i = 0; i < memory->n_types; i++)
		memory->types[i] = sonde_types_get(&store->types, i);
	return memory;
}

/* A file that cannot be used has been read in part. */
static void forget_file(struct sqlite_store *store, const struct memory *memory)
{
	store->gaps = memory->gaps;
	store->run = memory->run;
	store->retention = memory->retention;
	store->n_rings = memory->n_rings;
	memcpy(store->rings, memory->rings, sizeof(memory->rings));
	sqlite_slots_reset(store);
	/* Nobody has them yet at start; later on they stay, as types without events. */
	if (!memory->n_types && store->starting) {
		sonde_types_free(&store->types);
		sonde_types_init(&store->types);
	}
}

/* The file may have the types of running programs as they were once: the newest version is the running one. */
static int types_restore(struct sqlite_store *store, const struct memory *memory)
{
	for (size_t i = 0; i < memory->n_types; i++) {
		const struct sonde_stored_type *ours = memory->types[i];
		size_t slot;

		if (sonde_types_get(&store->types, i) == ours)
			continue;
		if (sonde_types_add(&store->types, &ours->type, ours->program, &slot) < 0)
			return SQLITE_NOMEM;
		store->slots[i].unsynced = true;
	}
	return SQLITE_OK;
}

/* ---- open ---- */

static int load(struct sqlite_store *store, const struct memory *memory)
{
	int code = sqlite_schema_load(store, store->db);

	if (code)
		return code;
	code = types_restore(store, memory);
	if (!code)
		code = sqlite_meta_load(store, store->db);
	if (!code)
		code = sqlite_meta_start_run(store);
	if (code) {
		sqlite_fail(store->db, code, "cannot read the store's own tables");
		return code;
	}
	if (!sqlite_rings_join(store, memory->n_rings))
		return STALE;
	code = sqlite_blocks_load(store);
	if (code)
		sqlite_fail(store->db, code, "cannot read the blocks");
	return code;
}

static int try_file(struct sqlite_store *store, const struct memory *memory)
{
	int code = sqlite_open_writer(store);

	if (!code) {
		code = sqlite_schema_migrate(store->db);
		if (code)
			sqlite_fail(store->db, code, "cannot add to the store's own tables");
	}
	if (!code) {
		pthread_mutex_lock(&store->lock);
		code = load(store, memory);
		if (code)
			forget_file(store, memory);
		store->has_file = !code;
		pthread_mutex_unlock(&store->lock);
	}
	if (code)
		sqlite_close_writer(store);
	return code == SQLITE_ERROR ? SQLITE_CORRUPT : code; /* the marks are right, so the tables should be there */
}

/* Also when there was no room for a new file at first. */
static int create(struct sqlite_store *store)
{
	int r = sqlite_file_create(store->path, store->salvages ? store->set_aside : NULL);

	if (!r)
		store->salvages = false;
	return r;
}

/* That a disk is read-only is found out here: SQLite cannot always say why it does not open a file. */
static int file_there(struct sqlite_store *store)
{
	int r = sqlite_file_check(store->path);

	if (r == -ENOENT)
		return create(store);
	if (r || !access(store->path, R_OK | W_OK))
		return r;
	if (errno == EROFS)
		return sonde_store_fail(-EROFS, "cannot open the store: its disk is read-only");
	return sonde_store_fail(-errno, "the user %u, who writes the store, may not write '%s': %s; chown the file", geteuid(), store->path,
				strerror(errno));
}

int sqlite_replace(struct sqlite_store *store, const char *reason)
{
	char name[sizeof(store->set_aside)];
	int r = sqlite_file_set_aside(store->path, reason, name, sizeof(name));

	if (r)
		return r;
	pthread_mutex_lock(&store->lock);
	memcpy(store->set_aside, name, sizeof(name));
	store->damaged = false;
	pthread_mutex_unlock(&store->lock);
	store->salvages = true;
	return create(store);
}

static int begin(struct sqlite_store *store, const struct memory *memory)
{
	int r = file_there(store), code;

	if (r)
		return r;
	code = try_file(store, memory);
	if (sqlite_is_damage(code)) {
		r = sqlite_replace(store, sonde_store_error(&store->base));
		if (r)
			return r;
		code = try_file(store, memory);
	}
	if (sqlite_is_damage(code)) { /* what was taken over from it is no better */
		if (unlink(store->path))
			return sonde_store_fail(-errno, "cannot remove '%s': %s", store->path, strerror(errno));
		r = create(store);
		if (r)
			return r;
		code = try_file(store, memory);
	}
	if (code == STALE)
		return sonde_store_fail(-ESTALE, "the file has more of a ring than was known when the agent went on with it");
	return code ? sqlite_errno(code) : 0;
}

int sqlite_begin(struct sqlite_store *store)
{
	struct memory *memory CLEANUP_FREE = remember(store);

	return memory ? begin(store, memory) : -ENOMEM;
}

/* ---- leave ---- */

/* Under the lock. */
static void forget(struct sqlite_store *store)
{
	store->has_file = false;
	sqlite_slots_reset(store);
	sqlite_meta_reset(store);
}

void sqlite_leave(struct sqlite_store *store)
{
	pthread_mutex_lock(&store->lock);
	store->generation++; /* who reads goes on with the old file, and is closed before the next use */
	sqlite_readers_close(store);
	pthread_mutex_unlock(&store->lock);
	sqlite_close_writer(store);
	pthread_mutex_lock(&store->lock);
	forget(store);
	pthread_mutex_unlock(&store->lock);
}

int sqlite_lost(struct sqlite_store *store)
{
	bool emptied = !sqlite_log_empty(store); /* what was moved is whole */
	int r;

	r = sonde_store_fail(-ENOENT, "the file of the store was deleted or moved while the agent ran; a new one begins");
	(void)sqlite_failed_now(store, r);
	sonde_log_err(0, "'%s': %s", store->path, sonde_store_error(&store->base));
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < sonde_types_count(&store->types); i++)
		if (store->slots[i].readable)
			sqlite_blocks_lose(store, i, store->slots[i].readable, "file_lost");
	pthread_mutex_unlock(&store->lock);
	sqlite_leave(store);
	return sqlite_file_clean(store->path, !emptied);
}

/*
 * All connections of this process share one index of the log as long as one of them is open. So all are closed, and what stands beside
 * the file is gone, before one is opened again. @return -EBUSY: somebody reads.
 */
static int leave_whole(struct sqlite_store *store)
{
	bool busy;
	int r = -EBUSY;

	pthread_mutex_lock(&store->status_lock);
	pthread_mutex_lock(&store->lock);
	busy = store->compactor.reader.busy;
	for (size_t i = 0; i < SQLITE_READERS_MAX; i++)
		busy |= store->readers[i].busy;
	if (!busy) {
		sqlite_readers_close(store);
		sqlite_reader_close(&store->compactor.reader);
		sqlite_reader_close(&store->status_reader);
		sqlite_close_writer(store);
		forget(store);
		store->generation++;
		store->damaged = false; /* so it seemed to who read it with another log */
		r = sqlite_file_clean(store->path, true);
	}
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_unlock(&store->status_lock);
	return r;
}

/* SQLite still writes to what was deleted, but who opens the file finds another log beside it, or none. */
int sqlite_log_lost(struct sqlite_store *store)
{
	static const char lost[] = "the log of the store (-wal, -shm) was deleted or moved while the agent ran";

	int r = sqlite_log_empty(store) ? -EBUSY : leave_whole(store);

	if (r != -EBUSY)
		sonde_log_warning("'%s': %s; what was in it is in the file, and a new one begins", store->path, lost);
	else if (!store->log_lost_said)
		sonde_log_warning("'%s': %s; a new one begins when nobody reads", store->path, lost);
	store->log_lost_said = true;
	return r == -EBUSY ? 0 : r;
}
