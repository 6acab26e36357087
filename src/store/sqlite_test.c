/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end where it differs from the others: what may stand at its path, damage, a full disk, SQL, old files. */
#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define RING 5

struct fixture {
	char folder[64], path[128];
	struct sonde_store *store;
	struct sonde_store_opts opts;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "%s", test_folder());
	snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
	f->opts.path = f->path;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sonde_store_close(&f->store);
	test_remove(f->folder);
	free(f);
	return 0;
}

static void open_store(struct fixture *f)
{
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_add_type(f->store, &test_type), 0);
}

/* Rows first to first + n - 1, with the checkpoint that says so. */
static int store_rows(struct fixture *f, uint64_t first, uint64_t n)
{
	struct sonde_checkpoint checkpoint = {.program = TEST_PROGRAM, .ring_id = RING, .consumed = first + n,
					      .stored = first + n, .position = first + n};
	int r = n ? test_append(f->store, &test_type, first, n, sonde_clock_wall_ns(), 1) : 0;

	return r ? r : sonde_store_commit(f->store, &checkpoint, 1);
}

static void make_store(struct fixture *f, uint64_t n)
{
	open_store(f);
	assert_int_equal(store_rows(f, 0, n), 0);
	sonde_store_close(&f->store);
}

static uint64_t rows_of(struct fixture *f)
{
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	uint64_t n = 0;
	int r = sonde_store_query(f->store, &query, test_count_rows, &n, &answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	return n;
}

static size_t set_aside_count(struct fixture *f)
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

static int64_t number_in(const char *path, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t number = -1;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return number;
}

static void run_in(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* ---- what stands at the path ---- */

static void test_mode(void **state)
{
	struct fixture *f = *state;
	mode_t before = umask(0077);
	char name[160];
	struct stat st;

	open_store(f);
	umask(before);
	assert_int_equal(store_rows(f, 0, 1), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	snprintf(name, sizeof(name), "%s-wal", f->path);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void check_refused(struct fixture *f, int error)
{
	assert_int_equal(sonde_store_open(&f->opts, &f->store), error);
	assert_null(f->store);
	assert_true(strlen(sonde_store_error(NULL)) > 10);
	assert_int_equal(set_aside_count(f), 0);
}

static void test_traps(void **state)
{
	static const char *const names[] = {"", "-wal", "-shm", "-journal"};
	struct fixture *f = *state;
	char victim[160], trap[160];
	int64_t size;

	snprintf(victim, sizeof(victim), "%s/victim", f->folder);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = open(victim, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
		struct stat st;

		assert_int_equal(write(fd, "precious", 8), 8);
		close(fd);
		snprintf(trap, sizeof(trap), "%s%s", f->path, names[i]);
		assert_int_equal(symlink(victim, trap), 0);
		check_refused(f, -ELOOP);
		unlink(trap);
		assert_int_equal(link(victim, trap), 0);
		check_refused(f, -EMLINK);
		unlink(trap);
		assert_int_equal(mkfifo(trap, 0600), 0);
		check_refused(f, -EINVAL);
		unlink(trap);
		assert_int_equal(mkdir(trap, 0700), 0);
		check_refused(f, -EISDIR);
		rmdir(trap);
		assert_int_equal(stat(victim, &st), 0);
		size = st.st_size;
		assert_int_equal(size, 8);
		unlink(victim);
	}
	f->opts.path = "/nonexistent/folder/events.db";
	check_refused(f, -ENOENT);
	f->opts.path = f->path;
	f->opts.read_only = true;
	check_refused(f, -ENOENT);
}

/* A folder reached over a link is fine: only the file itself must not be one. */
static void test_folder_link(void **state)
{
	struct fixture *f = *state;
	char link_path[128], path[160];

	snprintf(link_path, sizeof(link_path), "%s/link", f->folder);
	assert_int_equal(symlink(f->folder, link_path), 0);
	snprintf(path, sizeof(path), "%s/linked.db", link_path);
	f->opts.path = path;
	make_store(f, 3);
}

/* ---- damage ---- */

static void check_begun_anew(struct fixture *f, const char *reason)
{
	struct sonde_store_status status;

	open_store(f);
	sonde_store_status(f->store, &status);
	if (!status.set_aside[0])
		fail_msg("%s: not set aside", reason);
	assert_int_equal(access(status.set_aside, F_OK), 0);
	assert_int_equal(rows_of(f), 0);
	assert_int_equal(store_rows(f, 0, 5), 0);
	assert_int_equal(rows_of(f), 5);
	sonde_store_close(&f->store);
	unlink(status.set_aside);
	open_store(f);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.set_aside, "");
	assert_int_equal(rows_of(f), 5);
	sonde_store_close(&f->store);
	unlink(f->path);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void test_not_a_store(void **state)
{
	struct fixture *f = *state;
	char text[5000];

	memset(text, 'x', sizeof(text));
	write_file(f->path, text, sizeof(text));
	check_begun_anew(f, "text");
	write_file(f->path, text, 1);
	check_begun_anew(f, "one byte");
	write_file(f->path, "", 0);
	check_begun_anew(f, "empty");
	run_in(f->path, "CREATE TABLE mine (a); INSERT INTO mine VALUES (1)");
	check_begun_anew(f, "another program's database");
	make_store(f, 3);
	run_in(f->path, "PRAGMA user_version = 99");
	check_begun_anew(f, "a newer version");
	make_store(f, 3);
	run_in(f->path, "DROP TABLE sonde_checkpoints");
	check_begun_anew(f, "a table is missing");
	make_store(f, 3);
	run_in(f->path, "UPDATE sonde_columns SET value = 'nonsense'");
	check_begun_anew(f, "a type that cannot be");
	make_store(f, 3);
	run_in(f->path, "UPDATE sonde_types SET name = 'x\"; DROP TABLE sample; --'");
	check_begun_anew(f, "a hostile name");
}

static void test_stray_log(void **state)
{
	struct fixture *f = *state;
	char name[160];

	snprintf(name, sizeof(name), "%s-wal", f->path);
	write_file(name, "stray", 5);
	open_store(f);
	assert_int_equal(store_rows(f, 0, 5), 0);
	assert_int_equal(rows_of(f), 5);
}

static int any_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	test_row_text(type, values, &text); /* touches every byte */
	return 0;
}

/* A damaged file opens, as it is or as a new one; it takes events; it never ends the process. */
static void check_survives(struct fixture *f, const char *what, size_t at)
{
	struct sonde_store_status status;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	int r = sonde_store_open(&f->opts, &f->store);

	if (r || sonde_store_add_type(f->store, &test_type))
		fail_msg("%s at %zu: %s", what, at, sonde_store_error(NULL));
	(void)sonde_store_query(f->store, &query, any_row, NULL, &answer);
	r = store_rows(f, 1000, 5);
	if (r)
		r = sonde_store_commit(f->store, NULL, 0); /* damage found while writing: the next one has a new file */
	if (r)
		fail_msg("%s at %zu: no commit: %s", what, at, sonde_store_error(NULL));
	query.limit = 5;
	sonde_store_status(f->store, &status);
	(void)sonde_store_query(f->store, &query, any_row, NULL, &answer);
	sonde_store_close(&f->store);
}

static void test_damage(void **state)
{
	struct fixture *f = *state;
	static uint8_t original[1 << 20], copy[1 << 20];
	unsigned seed = 1;
	ssize_t size;
	int fd;

	make_store(f, 300);
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	size = read(fd, original, sizeof(original));
	close(fd);
	assert_true(size > 20000 && size < (ssize_t)sizeof(original));
	sonde_log_set_level(SONDE_LOG_ERROR);
	/* each byte of the header, and some of everywhere */
	for (size_t i = 0; i < 300; i++) {
		size_t at = i < 100 ? i : (size_t)rand_r(&seed) % (size_t)size;

		memcpy(copy, original, (size_t)size);
		copy[at] ^= (uint8_t)(1 + rand_r(&seed) % 255);
		write_file(f->path, copy, (size_t)size);
		check_survives(f, "flip", at);
	}
	for (size_t i = 0; i < 100; i++) {
		size_t at = i < 20 ? i * 512 : (size_t)rand_r(&seed) % (size_t)size;

		write_file(f->path, original, at);
		check_survives(f, "truncated", at);
	}
	for (size_t i = 0; i < 100; i++) {
		size_t at = (size_t)rand_r(&seed) % (size_t)size / 4096 * 4096;

		memcpy(copy, original, (size_t)size);
		for (size_t j = 0; j < 4096 && at + j < (size_t)size; j++)
			copy[at + j] = (uint8_t)rand_r(&seed);
		write_file(f->path, copy, (size_t)size);
		check_survives(f, "garbage page", at);
	}
	assert_true(set_aside_count(f) > 0 && set_aside_count(f) <= 5); /* and not hundreds */
}

/* Damage under a running store: the events that wait go into a new file, and the ledger knows of the others. */
static void test_damage_while_open(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	static uint8_t garbage[200000];
	int fd;

	make_store(f, 1000);
	open_store(f);
	memset(garbage, 0x5a, sizeof(garbage));
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 4096), sizeof(garbage));
	/* closed only at the end: closing it would drop SQLite's locks */
	assert_int_equal(sonde_store_query(f->store, &query, any_row, NULL, &answer), -EUCLEAN);
	assert_int_equal(store_rows(f, 1000, 10), 0);
	assert_int_equal(store_rows(f, 1010, 10), 0);
	sonde_store_status(f->store, &status);
	assert_true(status.set_aside[0]);
	assert_string_equal(status.error, "");
	assert_int_equal(rows_of(f), 20);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored, 1020);
	assert_int_equal(checkpoint.expired, 1000);
	sonde_store_close(&f->store);
	close(fd);
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.expired, 1000);
	assert_int_equal(rows_of(f), 20);
}

/* A file that is lost while the agent is down, but not the ring: the second copy of the checkpoint knows where it was. */
static void test_lost_file(void **state)
{
	struct fixture *f = *state;
	static char shared[4096];
	struct sonde_checkpoint checkpoint;

	f->opts.checkpoints = shared;
	f->opts.checkpoints_size = sizeof(shared);
	make_store(f, 50);
	unlink(f->path);
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.position, 50);
	assert_int_equal(checkpoint.stored, 50);
	assert_int_equal(checkpoint.expired, 50);
	assert_int_equal(store_rows(f, 50, 7), 0);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored - checkpoint.expired, 7);
}

/* ---- no space ---- */

static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;
	char disk[96], path[128], other[128];
	static uint8_t bytes[1 << 16];
	uint64_t n = 100, committed = 100;
	int fd, r = 0;

	snprintf(disk, sizeof(disk), "%s/disk", f->folder);
	mkdir(disk, 0700);
	/* in a mount namespace of our own, so that nothing is left whatever happens */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", disk, "tmpfs", 0, "size=8m")) {
		print_message("skipped: cannot mount a small disk here (%s)\n", strerror(errno));
		skip();
	}
	snprintf(path, sizeof(path), "%s/events.db", disk);
	snprintf(other, sizeof(other), "%s/other", disk);
	f->opts.path = path;
	open_store(f);
	assert_int_equal(store_rows(f, 0, 100), 0);
	fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	for (int failed = 0; failed < 5; n += 500) {
		assert_true(n < 100000); /* the log takes some before it is full */
		r = store_rows(f, n, 500);
		if (r)
			failed++;
		else
			committed = n + 500;
	}
	sonde_store_status(f->store, &status);
	assert_int_equal(r, -ENOSPC);
	assert_true(n - committed >= 2500);
	assert_true(status.failed_commits > 0);
	assert_non_null(strstr(status.error, "no space"));
	assert_int_equal(rows_of(f), committed); /* reading goes on */
	close(fd);
	unlink(other);
	assert_int_equal(store_rows(f, n, 0), 0);
	assert_int_equal(rows_of(f), n); /* all that waited, each once */
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_int_equal(status.stored, n);
	sonde_store_close(&f->store);
	assert_int_equal(umount(disk), 0);
}

/* Beyond what may wait a batch is refused, whole; what waits is written once it can be. */
static void test_waiting_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;
	sqlite3 *lock;
	int r;

	f->opts.max_bytes = 8 << 20; /* a thirty-second of it may wait */
	open_store(f);
	assert_int_equal(sqlite3_open(f->path, &lock), SQLITE_OK);
	for (; n < 100000; n += 500) {
		r = test_append(f->store, &test_type, n, 500, sonde_clock_wall_ns(), 1);
		if (r)
			break;
	}
	assert_int_equal(r, -ENOBUFS);
	assert_true(n >= 500 && n < 100000);
	assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), -EBUSY);
	assert_int_equal(test_append(f->store, &test_type, n, 500, sonde_clock_wall_ns(), 1), -ENOBUFS);
	assert_non_null(strstr(sonde_store_error(f->store), "wait"));
	assert_int_equal(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(lock);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	assert_int_equal(rows_of(f), n);
}

/* ---- SQL ---- */

static int sql_row(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	struct sonde_buffer *text = userdata;

	for (int i = 0; i < n; i++) {
		sonde_buffer_printf(text, "%s=", names[i]);
		if (values[i].type == SONDE_TEXT)
			sonde_buffer_add(text, values[i].text, values[i].length);
		else
			test_value_text(&values[i], text);
		sonde_buffer_add_char(text, ';');
	}
	return 0;
}

static void check_sql(struct fixture *f, const char *sql, const char *expected)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const char *error = "";

	if (sonde_store_sql(f->store, sql, 100, 0, sql_row, &text, &error))
		fail_msg("%s: %s", sql, error);
	assert_string_equal(text.data ? text.data : "", expected);
}

static void check_sql_refused(struct fixture *f, const char *sql, int expected)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const char *error = "";
	int r = sonde_store_sql(f->store, sql, 100, 200 * SONDE_NS_PER_MS, sql_row, &text, &error);

	if (r != expected)
		fail_msg("%s: %d %s", sql, r, error);
	assert_true(strlen(error) > 3);
}

static void test_sql(void **state)
{
	struct fixture *f = *state;
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const char *error;

	open_store(f);
	assert_int_equal(store_rows(f, 0, 300), 0);
	check_sql(f, "SELECT count(*) AS n FROM sample", "n= 1:300;");
	check_sql(f, "SELECT type, command, address, arguments, flag, offset FROM sample WHERE address = '10.0.0.7'; -- end",
		  "type=sample;command=sh;address=10.0.0.7;arguments=run -n 'it'\\''s 1';flag= 1:1;offset= 1:-7;");
	check_sql(f, "SELECT 0.5 AS half, NULL AS none", "half=0.5;none= 0:;");
	assert_int_equal(sonde_store_sql(f->store, "SELECT 1 AS a FROM sample", 2, 0, sql_row, &text, &error), 0);
	assert_string_equal(text.data, "a= 1:1;a= 1:1;");
	check_sql_refused(f, "SELEC 1", -EINVAL);
	check_sql_refused(f, "", -EINVAL);
	check_sql_refused(f, "SELECT nothing FROM sample", -EINVAL);
	check_sql_refused(f, "SELECT 1; SELECT 2", -EINVAL);
	check_sql_refused(f, "DELETE FROM sample", -EPERM);
	check_sql_refused(f, "DROP TABLE sample", -EPERM);
	check_sql_refused(f, "CREATE TEMP TABLE t (a)", -EPERM);
	check_sql_refused(f, "PRAGMA journal_mode = DELETE", -EPERM);
	check_sql_refused(f, "PRAGMA query_only = OFF", -EPERM);
	check_sql_refused(f, "ATTACH '/etc/passwd' AS p", -EPERM);
	check_sql_refused(f, "VACUUM INTO '/tmp/sonde-should-not-be'", -EPERM);
	check_sql_refused(f, "BEGIN", -EPERM);
	check_sql_refused(f, "SELECT load_extension('x')", -EPERM);
	check_sql_refused(f, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r", -ETIMEDOUT);
	check_sql_refused(f, "SELECT length(zeroblob(1000000000))", -EINVAL);
	/* and the store goes on */
	assert_int_equal(store_rows(f, 300, 5), 0);
	assert_int_equal(rows_of(f), 305);
}

/* ---- files of other times ---- */

/* A file reads back without the program that wrote it. */
static void test_old_file(void **state)
{
	struct fixture *f = *state;
	const struct sonde_type *types[4];
	int column;

	make_store(f, 10);
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0); /* no type added */
	assert_int_equal(sonde_store_types(f->store, types, ARRAY_SIZE(types)), 1);
	assert_string_equal(types[0]->name, TEST_PROGRAM);
	assert_int_equal(types[0]->n_columns, test_type.n_columns);
	column = sonde_type_find_column(types[0], "address");
	assert_true(column >= 0);
	assert_int_equal(types[0]->columns[column].type, SONDE_ADDRESS);
	assert_int_equal(types[0]->columns[column].semantic, SONDE_SEMANTIC_ADDRESS);
	assert_int_equal(rows_of(f), 10);
	assert_int_equal(test_append(f->store, &test_type, 0, 1, 1, 1), -EROFS);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), -EROFS);
	assert_int_equal(sonde_store_expire(f->store, 0), -EROFS);
}

/* Totals are kept in the same transaction as the rows: they are what a count finds. */
static void test_totals(void **state)
{
	struct fixture *f = *state;

	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (uint64_t i = 0; i < 80; i++)
		assert_int_equal(store_rows(f, i * 1000, 1000), 0);
	sonde_store_close(&f->store);
	assert_true(number_in(f->path, "SELECT expired FROM sonde_types") > 0);
	assert_int_equal(number_in(f->path, "SELECT readable FROM sonde_types"), number_in(f->path, "SELECT count(*) FROM sample"));
	assert_int_equal(number_in(f->path, "SELECT stored - expired - readable FROM sonde_types"), 0);
	assert_int_equal(number_in(f->path, "SELECT stored FROM sonde_types"), 80000);
	/* A smaller limit gives the space back. */
	f->opts.max_bytes = 0;
	open_store(f);
	for (uint64_t i = 80; i < 160; i++)
		assert_int_equal(store_rows(f, i * 1000, 1000), 0);
	sonde_store_close(&f->store);
	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (int i = 0; i < 20; i++)
		assert_int_equal(sonde_store_expire(f->store, sonde_clock_wall_ns()), 0);
	sonde_store_close(&f->store);
	assert_true(number_in(f->path, "SELECT page_count * 4096 FROM pragma_page_count") <= 8 << 20);
	assert_int_equal(number_in(f->path, "SELECT readable FROM sonde_types"), number_in(f->path, "SELECT count(*) FROM sample"));
}

/* A time in which nobody wrote, and a restart over which the ring was kept. */
static void test_runs(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_checkpoint checkpoint;
	struct sonde_answer answer;
	uint64_t n = 0;

	make_store(f, 10);
	query.since_ns = sonde_clock_wall_ns() - 3600 * SONDE_NS_PER_S;
	run_in(f->path, "UPDATE sonde_runs SET started_ns = started_ns - 7200000000000, last_seen_ns = last_seen_ns - 600000000000,"
			" stopped_ns = NULL");
	open_store(f);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_false(answer.complete);
	assert_non_null(strstr(answer.reason, "nothing was recorded between"));
	sonde_store_close(&f->store);
	run_in(f->path, "DELETE FROM sonde_runs WHERE id > 1; UPDATE sonde_runs SET stopped_ns = NULL");
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored, 10);
	assert_int_equal(sonde_store_add_type(f->store, &test_type), 0);
	assert_int_equal(store_rows(f, 10, 1), 0);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	if (!answer.complete)
		fail_msg("%s", answer.reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_traps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folder_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stray_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_while_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sql, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_totals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
