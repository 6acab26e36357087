/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and their settings. A file is foreign input: nothing in it may run code, and its marks and pages are checked. */
#include <store/sqlite.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <base/clock.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK_NS (300 * SONDE_NS_PER_MS)
#define BUSY_MS 2000
#define BUSY_STOPPING_MS 200
#define BUSY_PAUSE_MS 5
#define LOG_BUSY_MS 200
/* Neither a query (what it sorts is in temporary files), nor a damaged file's lies, must take the node's memory. */
#define HEAP_BYTES (64ll << 20)

static int guard(sqlite3 *db)
{
	int on;

	sqlite3_extended_result_codes(db, 0);
	sqlite3_busy_timeout(db, BUSY_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, &on);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, &on);
	sqlite3_hard_heap_limit64(HEAP_BYTES);
	/* No mmap: a file that shrinks under it is a signal, not an error. */
	return sqlite_run(db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;");
}

static int late(void *deadline_ns)
{
	return sonde_clock_boot_ns() > *(const int64_t *)deadline_ns;
}

/* As much of the file as can be checked in no time; the rest is checked by being read. */
static int check_pages(sqlite3 *db)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int64_t deadline_ns = sonde_clock_boot_ns() + CHECK_NS;
	const char *text;
	int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);

	if (code)
		return code;
	sqlite3_progress_handler(db, 1000, late, &deadline_ns);
	code = sqlite3_step(statement);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	if (code == SQLITE_INTERRUPT)
		return SQLITE_OK;
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? SQLITE_OK : code;
	text = (const char *)sqlite3_column_text(statement, 0);
	if (text && !strcmp(text, "ok"))
		return SQLITE_OK;
	sonde_store_fail(-EUCLEAN, "%s", text ? text : "quick_check found damage");
	return SQLITE_CORRUPT;
}

static int check_marks(sqlite3 *db)
{
	char why[96] = "";
	int code = sonde_description_marks(db, why, sizeof(why));

	if (code)
		sonde_store_fail(sqlite_errno(code), "%s", why);
	return code;
}

/* A header that names a format of the future makes SQLite open the file for reading only; we never write such. */
static int check_writable(sqlite3 *db, const char *path)
{
	if (!sqlite3_db_readonly(db, "main"))
		return SQLITE_OK;
	if (access(path, W_OK)) {
		sonde_store_fail(-errno, "'%s' cannot be written: %s", path, strerror(errno));
		return SQLITE_READONLY;
	}
	sonde_store_fail(-EUCLEAN, "its header names an unknown format");
	return SQLITE_FORMAT;
}

static int configure_writer(struct sqlite_store *store, sqlite3 *db)
{
	uint64_t log_bytes = store->max_bytes ? store->max_bytes / 32 : 4u << 20;
	char sql[320];

	if (log_bytes > 4u << 20)
		log_bytes = 4u << 20;
	snprintf(sql, sizeof(sql), "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
				   "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d;"
				   "PRAGMA max_page_count = %lld;",
		 (int)(log_bytes / 4096), (int)log_bytes,
		 store->max_bytes ? (long long)(sqlite_limit(store) / 4096) : 1073741823ll);
	return sqlite_run(db, sql);
}

/* As sqlite3_busy_timeout(), but when the agent stops there is less time. */
static int writer_busy(void *userdata, int calls)
{
	const struct sqlite_store *store = userdata;
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * SONDE_NS_PER_MS};

	if (calls * BUSY_PAUSE_MS >= (store->base.interrupted ? BUSY_STOPPING_MS : BUSY_MS))
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

/* "Unable to open" says nothing: if no file can be made beside the database, that is why, and mostly it passes. */
static int cannot_open(const char *path, int code)
{
	int r = code == SQLITE_CANTOPEN ? sqlite_file_probe(path) : 0;

	if (!r)
		return code;
	sonde_store_fail(r, "cannot open the store: no file can be made beside it: %s", strerror(-r));
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return SQLITE_FULL;
	case -EROFS:
		return SQLITE_READONLY;
	case -EACCES:
	case -EPERM:
		return code;
	default:
		return SQLITE_IOERR;
	}
}

int sqlite_open_writer(struct sqlite_store *store)
{
	CLEANUP_CLOSE int lock_fd = sqlite_file_lock(store->path);
	sqlite3 *db = NULL;
	int code;

	if (lock_fd < 0)
		return lock_fd == -EBUSY ? SQLITE_BUSY : SQLITE_CANTOPEN;
	code = sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	sonde_store_fail(0, "%s", "");
	if (!code)
		code = guard(db);
	if (!code)
		code = check_marks(db);
	if (!code)
		code = check_writable(db, store->path);
	if (!code)
		code = check_pages(db);
	if (!code)
		code = configure_writer(store, db);
	if (!code)
		code = sqlite3_busy_handler(db, writer_busy, store);
	if (!code) {
		store->db = db;
		store->lock_fd = TAKE_FD(lock_fd);
		sqlite_file_log(store->path, &store->log);
		store->log_lost_said = false;
		return SQLITE_OK;
	}
	code = cannot_open(store->path, code);
	if (!sonde_store_error(&store->base)[0])
		sqlite_fail(db, code, "cannot open the store");
	sqlite3_close(db);
	return code == SQLITE_ERROR ? SQLITE_FORMAT : code; /* the statements are right, so it is the file */
}

static int try_reader(const char *name, int flags, const struct sonde_temporary *temporary, sqlite3 **ret_db)
{
	sqlite3 *db = NULL;
	int code = sqlite3_open_v2(name, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | flags,
				   temporary ? sonde_temporary_vfs(temporary) : NULL);

	sonde_store_fail(0, "%s", "");
	if (!code)
		code = guard(db);
	if (!code)
		code = sqlite_run(db, "PRAGMA query_only = ON; PRAGMA cache_size = -2048;");
	if (!code && temporary)
		code = sqlite_run(db, "PRAGMA temp_store = FILE");
	if (!code)
		code = check_marks(db);
	if (!code) {
		*ret_db = db;
		return SQLITE_OK;
	}
	if (!sonde_store_error(NULL)[0])
		sqlite_fail(db, code, "cannot open the store");
	sqlite3_close(db);
	return code;
}

/* The name of a file that SQLite may take as it is: no locks, no log, nothing is written beside it. */
static void immutable_name(const char *path, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "file:");
	for (const char *c = path; *c; c++) {
		if (*c == '%' || *c == '?' || *c == '#')
			sonde_buffer_printf(out, "%%%02x", (unsigned char)*c);
		else
			sonde_buffer_add_char(out, *c);
	}
	sonde_buffer_add_text(out, "?immutable=1");
}

/* Somebody writes to it, or it was not closed in order. Closing it drops no locks of ours: where it comes to this there are none. */
static bool is_in_use(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char name[PATH_MAX];
	struct stat st;

	snprintf(name, sizeof(name), "%s-wal", path);
	return (!stat(name, &st) && st.st_size) || (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK);
}

int sqlite_open_reader(const char *path, bool unchanging, const struct sonde_temporary *temporary, sqlite3 **ret_db)
{
	struct sonde_buffer name CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	int code = try_reader(path, 0, temporary, ret_db);

	/* SQLite wants to make the log's files even to read. */
	if (!unchanging || (code != SQLITE_CANTOPEN && code != SQLITE_READONLY && code != SQLITE_IOERR && code != SQLITE_FULL))
		return code;
	if (is_in_use(path)) {
		sonde_store_fail(sqlite_errno(code), "it cannot be read without writing beside it, for its log (-wal) is in use: be "
				 "allowed to, or copy all its files to a place of yours");
		return code;
	}
	immutable_name(path, &name);
	return name.failed ? SQLITE_NOMEM : try_reader(name.data, SQLITE_OPEN_URI, temporary, ret_db);
}

/* Who reads a block or two (the compactor too) is soon done; who asks for long is not waited for. */
static int log_busy(void *userdata, int calls)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * SONDE_NS_PER_MS};

	if (calls * BUSY_PAUSE_MS >= LOG_BUSY_MS)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

int sqlite_log_empty(struct sqlite_store *store)
{
	int code;

	sqlite3_busy_handler(store->db, log_busy, NULL);
	code = sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_handler(store->db, writer_busy, store);
	return code;
}

void sqlite_close_writer(struct sqlite_store *store)
{
	sqlite_finalize(&store->insert);
	sqlite_finalize(&store->delete);
	sqlite3_close(store->db);
	store->db = NULL;
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	store->lock_fd = -1;
}
