/* SPDX-License-Identifier: Apache-2.0 */
/* Small blocks that become large ones beside the writer: nothing that is asked or counted changes by it. */
#include <store/sqlite_fixture.h>

#define COMMIT_ROWS 50u

/* Each event once, with the sequence that it got. */
static void check_rows(struct fixture *f, uint64_t n)
{
	assert_int_equal(number_in(f->path, "SELECT stored FROM sonde_types"), n);
	assert_int_equal(number_in(f->path, "SELECT stored - expired - readable FROM sonde_types"), 0);
	assert_int_equal(number_in(f->path, "SELECT readable - (SELECT sum(count) FROM sonde_blocks) FROM sonde_types"), 0);
	/* Blocks lie one behind the other. */
	assert_int_equal(number_in(f->path, "SELECT count(*) FROM sonde_blocks a WHERE first > 0 AND NOT EXISTS "
					    "(SELECT 1 FROM sonde_blocks b WHERE b.first + b.count = a.first)"), 0);
	assert_int_equal(rows_of(f), n);
}

static void fill(struct fixture *f, uint64_t first, uint64_t n)
{
	for (uint64_t at = first; at < first + n; at += COMMIT_ROWS)
		assert_int_equal(store_rows(f, at, COMMIT_ROWS), 0);
}

/* What the writer has kept count of is what somebody finds who looks at each block. */
static void check_span(struct fixture *f)
{
	static const char oldest[] = "SELECT min(oldest_ns) FROM sonde_blocks", newest[] = "SELECT max(newest_ns) FROM sonde_blocks";
	struct sonde_store_status status;

	sonde_store_status(f->store, &status);
	assert_int_equal(status.oldest_ns, number_in(f->path, oldest));
	assert_int_equal(status.newest_ns, number_in(f->path, newest));
}

static void test_merge(void **state)
{
	struct fixture *f = *state;

	f->opts.merge_cpu_pct = 100;
	open_store(f);
	fill(f, 0, 100 * COMMIT_ROWS);
	assert_int_equal(blocks_in(f), 100);
	merge_until(f, 8);
	check_rows(f, 100 * COMMIT_ROWS);
	sonde_store_close(&f->store);
	open_store(f);
	check_rows(f, 100 * COMMIT_ROWS);
	check_span(f);
}

static void test_never(void **state)
{
	struct fixture *f = *state;

	open_store(f);
	fill(f, 0, 20 * COMMIT_ROWS);
	expire(f);
	sonde_store_close(&f->store);
	assert_int_equal(blocks_in(f), 20);
}

/* Written and merged at once, and the oldest are dropped meanwhile. */
static void test_beside_the_writer(void **state)
{
	struct fixture *f = *state;
	static const char readable[] = "SELECT readable FROM sonde_types", sum[] = "SELECT sum(count) FROM sonde_blocks";

	f->opts.merge_cpu_pct = 100;
	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (uint64_t i = 0; i < 3000; i++) {
		assert_int_equal(test_append_noise(f->store, i * 100, 100, sonde_clock_wall_ns(), 1), 0);
		assert_int_equal(store_rows(f, (i + 1) * 100, 0), 0);
		if (i % 8 == 0)
			expire(f);
		if (i % 100 == 0)
			check_span(f);
	}
	expire(f);
	check_span(f);
	sonde_store_close(&f->store);
	assert_int_equal(number_in(f->path, "SELECT stored FROM sonde_types"), 300000);
	assert_true(number_in(f->path, "SELECT expired FROM sonde_types") > 0);
	assert_int_equal(number_in(f->path, readable), number_in(f->path, sum));
	assert_true(number_in(f->path, "SELECT max(count) FROM sonde_blocks") > 100);
}

/* The file becomes another one while the old one's blocks are merged. */
static void test_file_replaced(void **state)
{
	struct fixture *f = *state;

	f->opts.merge_cpu_pct = 100;
	open_store(f);
	for (uint64_t i = 0; i < 5; i++) {
		uint64_t n = 64 * COMMIT_ROWS;

		fill(f, 0, n);
		expire(f);
		run_in(f->path, "DROP TABLE sonde_checkpoints");
		assert_int_equal(store_rows(f, n, COMMIT_ROWS), 0); /* sets it aside */
		assert_int_equal(set_aside_count(f), i + 1);
		assert_int_equal(rows_of(f), COMMIT_ROWS);
		expire(f);
		sonde_store_close(&f->store);
		unlink(f->path);
		open_store(f);
	}
}

/* A block whose facts are not what the writer wrote stays as it is, and the others are merged around it. */
static void test_damaged_block(void **state)
{
	struct fixture *f = *state;

	f->opts.merge_cpu_pct = 100;
	open_store(f);
	fill(f, 0, 40 * COMMIT_ROWS);
	run_in(f->path, "UPDATE sonde_blocks SET checksum = checksum + 1 WHERE first = 20 * 50");
	merge_until(f, 20);
	assert_int_equal(number_in(f->path, "SELECT count FROM sonde_blocks WHERE first = 20 * 50"), COMMIT_ROWS);
	assert_int_equal(rows_of(f), 39 * COMMIT_ROWS);
	assert_int_equal(set_aside_count(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never, setup, teardown),
		cmocka_unit_test_setup_teardown(test_beside_the_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_block, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
