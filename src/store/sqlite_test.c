/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end where it differs from the others: what may stand at its path, a full disk, SQL, old files. */
#include <store/sqlite_fixture.h>

#include <grp.h>
#include <pthread.h>

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

static void open_as_nobody(unsigned process, void *userdata)
{
	assert_int_equal(setgroups(0, NULL) || setgid(65534) || setuid(65534), 0);
	check_refused(userdata, -EACCES);
	assert_non_null(strstr(sonde_store_error(NULL), "chown"));
}

/* The worker's user may write in the folder, but the file is root's, as after a backup was put back. */
static void test_not_ours(void **state)
{
	struct fixture *f = *state;
	static const mode_t modes[] = {0600, 0644};

	if (geteuid()) {
		print_message("skipped: there is only one user\n");
		skip();
	}
	make_store(f, 10);
	assert_int_equal(chown(f->folder, 65534, 65534), 0);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(f->path, modes[i]), 0);
		test_in_parallel(1, open_as_nobody, f);
	}
	open_store(f);
	assert_int_equal(rows_of(f), 10);
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

/* ---- no space ---- */

static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;
	char disk[96], other[128];
	uint64_t n = 100, committed = 100;
	int fd, r = 0;

	small_disk(f, disk, sizeof(disk));
	open_store(f);
	assert_int_equal(store_rows(f, 0, 100), 0);
	fd = disk_fill(disk, other, sizeof(other));
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

/* @return rows that were taken until one is refused */
static uint64_t append_until_refused(struct fixture *f, uint64_t first)
{
	for (uint64_t n = 0; n < 200000; n++) {
		int r = test_append_noise(f->store, first + n, 1, sonde_clock_wall_ns(), 1);

		if (r) {
			assert_int_equal(r, -ENOBUFS);
			assert_non_null(strstr(sonde_store_error(f->store), "wait"));
			return n;
		}
	}
	fail_msg("nothing bounds what waits");
	return 0;
}

/* Beyond what may wait a batch is refused, whole; what waits is written once it can be. */
static void test_waiting_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t n;
	sqlite3 *lock;

	f->opts.max_bytes = 8 << 20; /* a thirty-second of it may wait */
	open_store(f);
	assert_int_equal(sqlite3_open(f->path, &lock), SQLITE_OK);
	assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	n = append_until_refused(f, 0);
	assert_true(n > 1000);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), -EBUSY); /* packs what waits, so that more may */
	n += append_until_refused(f, n);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), -EBUSY);
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
		if (!values)
			sonde_buffer_add_text(text, "?");
		else if (values[i].type == SONDE_TEXT)
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
	struct sonde_answer answer;
	const char *error = "";

	if (sonde_store_sql(f->store, sql, 100, 0, sql_row, &text, &answer, &error))
		fail_msg("%s: %s", sql, error);
	assert_string_equal(text.data ? text.data : "", expected);
}

static void check_sql_refused(struct fixture *f, const char *sql, int expected)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_answer answer;
	const char *error = "";
	int r = sonde_store_sql(f->store, sql, 100, 2 * SONDE_NS_PER_S, sql_row, &text, &answer, &error);

	if (r != expected)
		fail_msg("%s: %d %s", sql, r, error);
	assert_true(strlen(error) > 3);
}

static void test_sql(void **state)
{
	struct fixture *f = *state;
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_answer answer;
	const char *error;

	open_store(f);
	assert_int_equal(store_rows(f, 0, 300), 0);
	check_sql(f, "SELECT count(*) AS n FROM sample", "n= 1:300;");
	check_sql(f, "SELECT type, command, address, arguments, flag, offset FROM sample WHERE address = '10.0.0.7'; -- end",
		  "type=sample;command=sh;address=10.0.0.7;arguments=run -n 'it'\\''s 1';flag= 1:1;offset= 1:-7;");
	check_sql(f, "SELECT 0.5 AS half, NULL AS none", "half= 6:0.5;none= 0:;");
	assert_int_equal(sonde_store_sql(f->store, "SELECT 1 AS a FROM sample", 2, 0, sql_row, &text, &answer, &error), 0);
	assert_string_equal(text.data, "a= 1:1;a= 1:1;");
	assert_true(answer.complete);
	assert_int_equal(answer.rows, 2);
	check_sql(f, "SELECT number AS a, name FROM sample WHERE number > 1000000", "a=?;name=?;"); /* the names all the same */
	check_sql_refused(f, "SELEC 1", -EINVAL);
	check_sql_refused(f, "", -EINVAL);
	check_sql_refused(f, "SELECT nothing FROM sample", -EINVAL);
	check_sql_refused(f, "SELECT 1; SELECT 2", -EINVAL);
	check_sql_refused(f, "DELETE FROM sample", -EPERM);
	check_sql_refused(f, "DROP TABLE sample", -EPERM);
	check_sql_refused(f, "CREATE TEMP TABLE t (a)", -EPERM);
	check_sql_refused(f, "PRAGMA journal_mode = DELETE", -EPERM);
	check_sql_refused(f, "PRAGMA query_only = OFF", -EPERM);
	check_sql_refused(f, "SELECT * FROM pragma_page_count", -EPERM);
	check_sql_refused(f, "UPDATE json_each SET value = 1", -EPERM);
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

static struct sonde_answer sql_answer_within(struct fixture *f, const char *sql, int64_t timeout_ns)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_answer answer;
	const char *error;

	if (sonde_store_sql(f->store, sql, 0, timeout_ns, sql_row, &text, &answer, &error))
		fail_msg("%s: %s", sql, error);
	return answer;
}

static struct sonde_answer sql_answer(struct fixture *f, const char *sql)
{
	return sql_answer_within(f, sql, 60 * SONDE_NS_PER_S);
}

/* SQL says what its answer is worth: of the tables and times that it names. */
static void test_sql_complete(void **state)
{
	struct fixture *f = *state;
	struct sonde_gap gap = {.program = "other", .cause = "ring_full", .count = 12, .from_ns = sonde_clock_wall_ns()};
	struct sonde_answer answer;
	char sql[128];

	open_store(f);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(store_rows(f, i * 10, 10), 0);
	gap.to_ns = gap.from_ns;
	assert_int_equal(sonde_store_gap(f->store, &gap), 0);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	assert_true(sql_answer(f, "SELECT 1").complete);
	assert_true(sql_answer(f, "SELECT count(*) FROM sample").complete);
	answer = sql_answer(f, "SELECT count(*) FROM sample a, other b");
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 12);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM other WHERE time > %lld", (long long)gap.to_ns + 1);
	assert_true(sql_answer(f, sql).complete);
	answer = sql_answer(f, "SELECT count(*) FROM sample WHERE time > 5");
	assert_non_null(strstr(answer.reason, "nothing was recorded before"));
	/* the last row never comes */
	answer = sql_answer_within(f, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
				      " SELECT number FROM sample UNION ALL SELECT count(*) FROM r", 2 * SONDE_NS_PER_S);
	assert_false(answer.complete);
	assert_int_equal(answer.rows, 100);
	assert_non_null(strstr(answer.reason, "took too long"));
	run_in(f->path, "UPDATE sonde_blocks SET data = zeroblob(length(data)) WHERE id = 3");
	answer = sql_answer(f, "SELECT count(*) FROM sample a JOIN sample b ON a.time = b.time");
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 10);
	assert_non_null(strstr(answer.reason, "damaged blocks"));
}

static void *run_forever(void *userdata)
{
	struct fixture *f = userdata;
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_answer answer;
	const char *error;
	int r = sonde_store_sql(f->store, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r", 0,
				INT64_MAX / 4, sql_row, &text, &answer, &error);

	return (void *)(intptr_t)r;
}

static void test_sql_interrupt(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *result;

	open_store(f);
	assert_int_equal(pthread_create(&thread, NULL, run_forever, f), 0);
	usleep(20000);
	sonde_store_interrupt(f->store);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, -ECANCELED);
	assert_int_equal(store_rows(f, 0, 10), 0); /* the writer goes on */
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
	static const char sum[] = "SELECT sum(count) FROM sonde_blocks";

	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (uint64_t i = 0; i < 400; i++) {
		assert_int_equal(test_append_noise(f->store, i * 1000, 1000, sonde_clock_wall_ns(), 1), 0);
		assert_int_equal(store_rows(f, (i + 1) * 1000, 0), 0);
	}
	sonde_store_close(&f->store);
	assert_true(number_in(f->path, "SELECT expired FROM sonde_types") > 0);
	assert_int_equal(number_in(f->path, "SELECT readable FROM sonde_types"), number_in(f->path, sum));
	assert_int_equal(number_in(f->path, "SELECT stored - expired - readable FROM sonde_types"), 0);
	assert_int_equal(number_in(f->path, "SELECT stored FROM sonde_types"), 400000);
	/* A smaller limit gives the space back. */
	f->opts.max_bytes = 0;
	open_store(f);
	for (uint64_t i = 400; i < 800; i++) {
		assert_int_equal(test_append_noise(f->store, i * 1000, 1000, sonde_clock_wall_ns(), 1), 0);
		assert_int_equal(store_rows(f, (i + 1) * 1000, 0), 0);
	}
	sonde_store_close(&f->store);
	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (int i = 0; i < 20; i++)
		assert_int_equal(sonde_store_expire(f->store, sonde_clock_wall_ns()), 0);
	sonde_store_close(&f->store);
	assert_true(number_in(f->path, "SELECT page_count * 4096 FROM pragma_page_count") <= 8 << 20);
	assert_int_equal(number_in(f->path, "SELECT readable FROM sonde_types"), number_in(f->path, sum));
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
		cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folder_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sql, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sql_complete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sql_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_totals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
