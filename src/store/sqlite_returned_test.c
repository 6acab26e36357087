/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One wrong bit in a page of SQLite's lists a row that was deleted: a small block is there again beside the one it was merged into, and its
 * checksums are right. Each event is served once, whoever asks, and the file is said to be damaged.
 */
#include <store/sqlite_fixture.h>

#include <store/inspect.h>

#define COMMIT_ROWS 50u
#define COMMITS 40u
#define ROWS (COMMITS * COMMIT_ROWS)
#define COLUMNS "type, first, count, weight, oldest_ns, newest_ns, pid_min, pid_max, head, checksum, filter, data"

static int add_up(const struct sonde_group *group, void *userdata)
{
	*(uint64_t *)userdata += group->count;
	return 0;
}

/* The weights of all rows. */
static uint64_t counted_of(struct fixture *f)
{
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_count_opts opts = {.by = {"command"}};
	struct sonde_answer answer;
	uint64_t counted = 0;

	assert_int_equal(sonde_store_count(f->store, &query, &opts, add_up, &counted, &answer), 0);
	assert_int_equal(answer.lost, 0);
	return counted;
}

static uint64_t counted; /* of what make_merged() stored */

/* Merged, with the blocks of before in a table beside. */
static void make_merged(struct fixture *f)
{
	f->opts.merge_cpu_pct = 100;
	open_store(f);
	for (uint64_t at = 0; at < ROWS; at += COMMIT_ROWS)
		assert_int_equal(store_rows(f, at, COMMIT_ROWS), 0);
	sonde_store_close(&f->store);
	run_in(f->path, "CREATE TABLE before AS SELECT * FROM sonde_blocks");
	open_store(f);
	merge_until(f, 8);
	counted = counted_of(f);
	sonde_store_close(&f->store);
}

static int take_number(int n, const char *const *names, const struct sonde_value *row, void *userdata)
{
	if (row)
		*(int64_t *)userdata = row[0].i;
	return 0;
}

static int64_t number_asked(struct fixture *f, const char *sql)
{
	struct sonde_answer answer;
	const char *error = NULL;
	int64_t number = -1;

	if (sonde_store_sql(f->store, sql, 0, 10 * SONDE_NS_PER_S, take_number, &number, &answer, &error))
		fail_msg("%s", error ?: sonde_store_error(f->store));
	return number;
}

/* By all ways of reading, from outside. */
static void check_asked(struct fixture *f)
{
	struct sonde_query query = test_query(TEST_PROGRAM), late = test_query(TEST_PROGRAM);
	struct sonde_answer answer;
	char plain[160];
	uint64_t n = 0;

	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(rows_of(f), ROWS);
	late.limit = 70;
	assert_int_equal(sonde_store_query(f->store, &late, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, 70);
	assert_int_equal(answer.lost, 0); /* nothing is */
	assert_int_equal(counted_of(f), counted);
	assert_int_equal(number_asked(f, "SELECT count(*) FROM sample"), ROWS);
	assert_int_equal(number_asked(f, "SELECT sum(number) FROM sample"), (ROWS - 1) * ROWS / 2);
	assert_int_equal(number_asked(f, "SELECT count(DISTINCT a.number) FROM sample a JOIN sample b ON a.number = b.number"), ROWS);
	snprintf(plain, sizeof(plain), "%s/plain.db", f->folder);
	assert_int_equal(sonde_store_export(f->store, plain, &query, &answer), 0);
	assert_int_equal(number_in(plain, "SELECT count(*) FROM sample"), ROWS);
	unlink(plain);
	sonde_store_close(&f->store);
	f->opts.read_only = false;
}

static void check_verified(struct fixture *f, uint64_t returned)
{
	struct sonde_store_report *report CLEANUP_FREE = calloc(1, sizeof(*report));

	assert_int_equal(sonde_store_inspect(f->path, true, report), 0);
	assert_int_equal(report->n, 1);
	assert_int_equal(report->types[0].events, ROWS);
	assert_int_equal(report->types[0].bad_blocks, returned);
	assert_int_equal(report->types[0].bad_events, 0);
	assert_int_equal(report->bad_facts, 0);
}

/* A page that lists what was deleted is not written to: all that is good goes into a new file. */
static void check_written(struct fixture *f, uint64_t blocks)
{
	struct sonde_store_status status;

	f->opts.merge_cpu_pct = 0;
	open_store(f);
	sonde_store_status(f->store, &status);
	assert_true(status.set_aside[0]);
	assert_int_equal(status.stored, ROWS);
	assert_int_equal(status.readable, ROWS);
	assert_int_equal(rows_of(f), ROWS);
	assert_int_equal(blocks_in(f), blocks);
	assert_int_equal(store_rows(f, ROWS, COMMIT_ROWS), 0);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(set_aside_count(f), 1);
	assert_int_equal(rows_of(f), ROWS + COMMIT_ROWS);
}

static void check(struct fixture *f, uint64_t returned, uint64_t blocks)
{
	assert_int_equal(blocks_in(f), blocks + returned);
	check_asked(f);
	check_verified(f, returned);
	check_written(f, blocks);
}

static void test_one(void **state)
{
	struct fixture *f = *state;
	uint64_t blocks;

	make_merged(f);
	blocks = (uint64_t)blocks_in(f);
	run_in(f->path, "INSERT INTO sonde_blocks SELECT * FROM before WHERE first = 50 * 10");
	check(f, 1, blocks);
}

static void test_all(void **state)
{
	struct fixture *f = *state;
	uint64_t blocks;

	make_merged(f);
	blocks = (uint64_t)blocks_in(f);
	run_in(f->path, "INSERT OR IGNORE INTO sonde_blocks SELECT * FROM before");
	check(f, (uint64_t)blocks_in(f) - blocks, blocks);
}

/* A pointer of a page that leads to the row of another one. */
static void test_twice(void **state)
{
	struct fixture *f = *state;
	uint64_t blocks;

	make_merged(f);
	blocks = (uint64_t)blocks_in(f);
	run_in(f->path, "INSERT INTO sonde_blocks (" COLUMNS ") SELECT " COLUMNS " FROM sonde_blocks");
	check(f, blocks, blocks);
}

/* Under a running agent: who asks has each event once, and what comes is taken. */
static void test_while_open(void **state)
{
	struct fixture *f = *state;

	make_merged(f);
	open_store(f);
	run_in(f->path, "INSERT INTO sonde_blocks SELECT * FROM before WHERE first = 50 * 10");
	assert_int_equal(rows_of(f), ROWS);
	assert_int_equal(store_rows(f, ROWS, COMMIT_ROWS), 0);
	expire(f);
	assert_int_equal(rows_of(f), ROWS + COMMIT_ROWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_open, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
