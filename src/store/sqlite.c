/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: open, close, types; and small helpers for the files beside it. */
#include <store/sqlite.h>

#include <base/log.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_BYTES (8ull << 20)
#define PENDING_MAX (64u << 20)
#define BLOCK_BYTES (4u << 20) /* of open columns: some 30,000 rows, some 300 KB in the file */
/* Blocks of one max_age: what is dropped by age is dropped at most this part of it late. */
#define BLOCKS_OF_AGE 8
#define TEMPORARY_BYTES (512ull << 20) /* beside the store; less if it is smaller itself */
#define TEMPORARY_READ_ONLY_BYTES (4096ull << 20)

int sqlite_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT:
		return -ETIMEDOUT;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

int sqlite_fail(sqlite3 *db, int code, const char *what)
{
	int r = sqlite_errno(code), system = db && (code & 0xff) == SQLITE_IOERR ? sqlite3_system_errno(db) : 0;
	const char *text;

	switch (r) {
	case -ENOSPC:
		text = "no space is left on the disk, or the limit of the store is reached";
		break;
	case -EROFS:
		text = "the file or its disk is read-only";
		break;
	case -EBUSY:
		text = "another program keeps the file locked";
		break;
	default:
		/* Some codes are our own judgement of what was read. */
		text = db && sqlite3_errcode(db) == code ? sqlite3_errmsg(db) : sqlite3_errstr(code);
	}
	return sonde_store_fail(r, "%s: %s%s%s", what, text, system ? ": " : "", system ? strerror(system) : "");
}

bool sqlite_is_damage(int code)
{
	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_FORMAT;
}

void sqlite_note(struct sqlite_store *store, int code)
{
	if (sqlite_is_damage(code) && !store->read_only)
		store->damaged = true;
}

int sqlite_run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

void sqlite_finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
	*statement = NULL;
}

int sqlite_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (!code)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW)
		return code;
	*ret_number = sqlite3_column_int64(statement, 0);
	return SQLITE_OK;
}

/* ---- open ---- */

/* The folder may be reached over links, the file itself may not (SQLITE_OPEN_NOFOLLOW looks at the whole path). */
static int resolve(const char *path, char **ret_path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX], real[PATH_MAX], *result;

	if (strlen(path) >= sizeof(folder))
		return sonde_store_fail(-ENAMETOOLONG, "the path of the store is too long");
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
	if (!realpath(folder, real))
		return sonde_store_fail(-errno, "the folder '%s' of the store: %s", folder, strerror(errno));
	if (asprintf(&result, "%s%s%s", real, real[1] ? "/" : "", slash ? slash + 1 : path) < 0)
		return -ENOMEM;
	*ret_path = result;
	return 0;
}

/* The agent can do much without its file: it starts, and the first commit that can opens it. */
static bool may_wait(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EROFS || r == -EIO;
}

static int open_for_writing(struct sqlite_store *store)
{
	int r;

	store->run.started_ns = sonde_clock_wall_ns();
	sonde_retention_init(&store->retention, INT64_MIN);
	store->starting = true;
	r = sqlite_begin(store);
	store->starting = false;
	if (may_wait(r)) {
		sonde_log_err(0, "cannot open the store '%s' yet, events wait: %s", store->path, sonde_store_error(&store->base));
		(void)sqlite_failed_now(store, r);
		return 0;
	}
	if (r)
		return r;
	/* Whatever keeps this from being written now, the first commit says it. */
	if (sqlite_commit(&store->base, NULL, 0))
		sonde_log_debug("the store cannot be written yet: %s", sonde_store_error(&store->base));
	store->commits = 0;
	return 0;
}

static int open_for_reading(struct sqlite_store *store)
{
	struct sqlite_reader *reader;
	int code, r = sqlite_file_check(store->path);

	if (r == -ENOENT)
		return sonde_store_fail(r, "there is no store '%s'; is the agent running?", store->path);
	if (!r)
		r = sqlite_reader_get(store, INT64_MAX / 2, &reader);
	if (r)
		return r;
	code = sqlite_schema_load(store, reader->db);
	if (!code) {
		code = sqlite_meta_load(store, reader->db);
		if (code)
			sqlite_fail(reader->db, code, "cannot read the store's own tables");
	}
	sqlite_reader_put(store, reader);
	return code ? sqlite_errno(code) : 0;
}

static void sqlite_close(struct sonde_store *base)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	sqlite_compactor_stop(&store->compactor);
	sqlite_readers_close(store);
	sqlite3_close(store->status_reader.db);
	if (store->db) {
		sqlite_meta_stop_run(store);
		sqlite_close_writer(store);
	}
	sonde_temporary_free(&store->temporary);
	sonde_intake_free(&store->intake);
	for (size_t i = 0; i < SONDE_TYPES_MAX; i++)
		sonde_block_index_free(&store->slots[i].index);
	sonde_types_free(&store->types);
	pthread_cond_destroy(&store->reader_free);
	pthread_mutex_destroy(&store->status_lock);
	pthread_mutex_destroy(&store->lock);
	sonde_store_done(base);
	free(store->path);
	free(store);
}

static void limits_set(struct sqlite_store *store, const struct sonde_store_opts *opts)
{
	store->max_bytes = opts->max_bytes;
	if (opts->max_bytes && opts->max_bytes < LEAST_BYTES) {
		store->max_bytes = LEAST_BYTES;
		sonde_log_warning("the store '%s': max_bytes is %llu MiB, the least for a file", opts->path, LEAST_BYTES >> 20);
	}
	store->max_age_ns = opts->max_age_ns;
	store->intake.names = opts->names;
	store->intake.max_bytes = PENDING_MAX;
	store->intake.block_bytes = BLOCK_BYTES;
	store->intake.max_span_ns = opts->max_age_ns / BLOCKS_OF_AGE;
	if (store->max_bytes && store->max_bytes / 32 < PENDING_MAX)
		store->intake.max_bytes = (size_t)(store->max_bytes / 32);
	if (store->intake.block_bytes > store->intake.max_bytes)
		store->intake.block_bytes = store->intake.max_bytes;
}

/* The agent may write beside its store, and to no other disk; who only reads a store may perhaps not, and has the usual place. */
static int temporary_new(struct sqlite_store *store)
{
	const char *usual = getenv("TMPDIR") ?: (access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp");
	char *folder CLEANUP_FREE = strdup(store->path);
	uint64_t max_bytes = store->max_bytes && store->max_bytes < TEMPORARY_BYTES ? store->max_bytes : TEMPORARY_BYTES;

	if (!folder)
		return -ENOMEM;
	if (store->read_only)
		return sonde_temporary_new(usual, TEMPORARY_READ_ONLY_BYTES, &store->temporary);
	return sonde_temporary_new(dirname(folder), max_bytes, &store->temporary);
}

static int sqlite_open(const struct sonde_store_opts *opts, struct sonde_store **ret_store)
{
	struct sqlite_store *store = calloc(1, sizeof(*store));
	struct sonde_store *base;
	int r;

	if (!store)
		return -ENOMEM;
	base = &store->base;
	sonde_store_init(base, &sonde_store_sqlite);
	sqlite_compactor_init(&store->compactor, opts->merge_cpu_pct);
	store->read_only = opts->read_only;
	store->room_factor = 1;
	store->lock_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->status_lock, NULL);
	pthread_cond_init(&store->reader_free, NULL);
	sonde_types_init(&store->types);
	sqlite_slots_reset(store);
	limits_set(store, opts);
	sonde_checkpoints_attach(&store->shared, opts->checkpoints, opts->checkpoints_size);
	r = sonde_intake_init(&store->intake);
	if (!r)
		r = resolve(opts->path, &store->path);
	if (!r)
		r = temporary_new(store);
	if (!r)
		r = store->read_only ? open_for_reading(store) : open_for_writing(store);
	if (r) {
		sqlite_close(base);
		return r;
	}
	*ret_store = base;
	return 0;
}

/* ---- types ---- */

static int sqlite_add_type(struct sonde_store *base, const struct sonde_type *type, const char *program)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	size_t slot;
	int r = sonde_types_add(&store->types, type, program, &slot);

	if (r < 0 || store->read_only)
		return r < 0 ? r : 0;
	if (r) {
		store->slots[slot].unsynced = true;
		/* Now, so that it can be asked for; if that fails, with the next commit. */
		if (!store->intake.n)
			(void)sqlite_commit(base, NULL, 0);
	}
	return sonde_intake_add_source(&store->intake, type, slot);
}

static size_t sqlite_types(struct sonde_store *base, const struct sonde_type **types, size_t max)
{
	return sonde_types_list(&((struct sqlite_store *)base)->types, types, max);
}

static int sqlite_append(struct sonde_store *base, const struct sonde_event *events, size_t n)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	return sonde_intake_append(&store->intake, events, n);
}

const struct sonde_store_ops sonde_store_sqlite = {
	.name = "sqlite", .open = sqlite_open, .close = sqlite_close, .add_type = sqlite_add_type,
	.types = sqlite_types, .append = sqlite_append, .commit = sqlite_commit, .checkpoint = sqlite_checkpoint,
	.gap = sqlite_gap, .gap_end = sqlite_gap_end, .expire = sqlite_expire,
	.seen_from = sqlite_seen_from, .query = sqlite_query, .count = sqlite_count, .sql = sqlite_sql,
	.status = sqlite_status,
};
