/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file sqlite_fixture.h For the tests of the SQLite back end: a folder with a store, and a look at its file from outside. */

#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define RING 5
#define PATIENCE 2000 /* times 10 ms */

struct fixture {
	char folder[64], path[128];
	struct sonde_store *store;
	struct sonde_store_opts opts;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "%s", test_folder());
	snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
	f->opts.path = f->path;
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	sonde_store_close(&f->store);
	test_remove(f->folder);
	free(f);
	return 0;
}

static inline void open_store(struct fixture *f)
{
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_add_type(f->store, &test_type), 0);
}

/* Rows first to first + n - 1, with the checkpoint that says so. */
static inline int store_rows(struct fixture *f, uint64_t first, uint64_t n)
{
	struct sonde_checkpoint checkpoint = {.program = TEST_PROGRAM, .ring_id = RING, .consumed = first + n,
					      .stored = first + n, .position = first + n};
	int r = n ? test_append(f->store, &test_type, first, n, sonde_clock_wall_ns(), 1) : 0;

	return r ? r : sonde_store_commit(f->store, &checkpoint, 1);
}

static inline void make_store(struct fixture *f, uint64_t n)
{
	open_store(f);
	assert_int_equal(store_rows(f, 0, n), 0);
	sonde_store_close(&f->store);
}

static inline void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static inline uint64_t rows_of(struct fixture *f)
{
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	uint64_t n = 0;
	int r = sonde_store_query(f->store, &query, test_count_rows, &n, &answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	return n;
}

static inline size_t set_aside_count(struct fixture *f)
{
	char pattern[160];
	glob_t found;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s.damaged-*Z", f->path);
	n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
	if (n)
		globfree(&found);
	return n;
}

static inline int64_t number_in(const char *path, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t number = -1;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return number;
}

static inline void run_in(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static inline int64_t blocks_in(struct fixture *f)
{
	return number_in(f->path, "SELECT count(*) FROM sonde_blocks");
}

static inline void expire(struct fixture *f)
{
	assert_int_equal(sonde_store_expire(f->store, sonde_clock_wall_ns()), 0);
}

/* ---- a disk of its own ---- */

/* The store's path is on it. In a mount namespace of our own, so that nothing is left whatever happens. */
static inline void small_disk(struct fixture *f, char *disk, size_t size)
{
	snprintf(disk, size, "%s/disk", f->folder);
	mkdir(disk, 0700);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", disk, "tmpfs", 0, "size=8m")) {
		print_message("skipped: cannot mount a small disk here (%s)\n", strerror(errno));
		skip();
	}
	snprintf(f->path, sizeof(f->path), "%s/events.db", disk);
}

/* @return a file of all the room there was. */
static inline int disk_fill(const char *disk, char *name, size_t size)
{
	static uint8_t bytes[1 << 12];
	int fd;

	snprintf(name, size, "%s/other", disk);
	fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	return fd;
}

/* Until so few blocks are left. */
static inline void merge_until(struct fixture *f, int64_t blocks)
{
	for (int i = 0; blocks_in(f) > blocks; i++) {
		if (i == PATIENCE)
			fail_msg("%" PRId64 " blocks, not %" PRId64, blocks_in(f), blocks);
		expire(f);
		usleep(10000);
	}
}
