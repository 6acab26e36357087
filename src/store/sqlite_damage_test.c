/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not, or no longer, a store: whatever the bytes, the store opens, takes events, and says what it did. */
#include <store/sqlite_fixture.h>

#include <store/damage.h>

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

/* Several blocks of events 0 to n - 1, one every nanosecond. */
static void make_known(struct fixture *f, int64_t start_ns, uint64_t n)
{
	open_store(f);
	for (uint64_t i = 0; i < n; i += n / 5) {
		assert_int_equal(test_append(f->store, &test_type, i, n / 5, start_ns + (int64_t)i, 1), 0);
		assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	}
	sonde_store_close(&f->store);
}

/* A writer that finds blocks damaged says so once, keeps the sums, and goes on. */
static void test_lost_block(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_answer answer;
	uint64_t n = 0;

	make_known(f, sonde_clock_wall_ns() - 1000000, 500);
	run_in(f->path, "UPDATE sonde_blocks SET count = 99 WHERE id = 2");
	open_store(f);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, 400);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 100);
	sonde_store_status(f->store, &status);
	assert_int_equal(status.stored, 500);
	assert_int_equal(status.readable, 400);
	assert_int_equal(status.expired, 100);
	assert_string_equal(status.set_aside, "");
	sonde_store_close(&f->store);
	assert_int_equal(number_in(f->path, "SELECT count(*) FROM sonde_blocks"), 4);
	/* the data of one: known by its facts, found when it is read */
	run_in(f->path, "UPDATE sonde_blocks SET data = zeroblob(length(data)) WHERE id = 3");
	open_store(f);
	n = 0;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, 300);
	assert_int_equal(answer.lost, 200);
	assert_non_null(strstr(answer.reason, "100 events lost in damaged blocks"));
}

/* The row of a type is lost, and with it what its blocks have: they are told as lost, before and after a start. */
static void test_lost_type(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	uint64_t n = 0;

	open_store(f);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
	assert_int_equal(test_append(f->store, &other_type, 0, 30, sonde_clock_wall_ns() - 1000, 1), 0);
	assert_int_equal(store_rows(f, 0, 100), 0);
	sonde_store_close(&f->store);
	run_in(f->path, "DELETE FROM sonde_types WHERE name = 'other'");
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, 100);
	assert_int_equal(answer.lost, 30);
	assert_non_null(strstr(answer.reason, "30 events lost in damaged blocks"));
	sonde_store_close(&f->store);
	f->opts.read_only = false;
	open_store(f);
	n = 0;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, 100);
	assert_int_equal(answer.lost, 30);
	assert_int_equal(blocks_in(f), 1);
}

/* Asked for in pages, each meets the damaged blocks at its edges again: each counts once. */
static void test_lost_block_in_pages(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_damage damage = {};
	char cursor[SONDE_CURSOR_MAX];
	struct sonde_answer answer;
	uint64_t n = 0;

	make_known(f, sonde_clock_wall_ns() - 1000000, 500);
	run_in(f->path, "UPDATE sonde_blocks SET data = zeroblob(length(data)) WHERE id IN (1, 3, 4)");
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	query.oldest_first = true;
	query.limit = 7;
	query.damage = &damage;
	do {
		assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
		strcpy(cursor, answer.cursor);
		query.cursor = cursor;
	} while (answer.more);
	assert_int_equal(n, 200);
	assert_int_equal(answer.lost, 300);
	assert_false(answer.complete);
	sonde_damage_free(&damage);
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
	uint64_t n = 0;
	int fd;

	make_store(f, 1000);
	open_store(f);
	memset(garbage, 0x5a, sizeof(garbage));
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 4096), sizeof(garbage));
	/* closed only at the end: closing it would drop SQLite's locks */
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), -EUCLEAN);
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

#define PAGE 4096
#define BLOCKS 100u
#define BLOCK_ROWS 200u
#define ROWS (BLOCKS * BLOCK_ROWS)

/* @return rows that are served when a page of the file is lost; what is not is said, and the ledger is right. */
static uint64_t rows_without_page(struct fixture *f, const uint8_t *bytes, size_t size, size_t page, int64_t until_ns)
{
	static const uint8_t zero[PAGE];
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;
	struct sonde_answer answer;
	uint64_t n = 0;
	int fd;

	query.until_ns = until_ns;
	write_file(f->path, bytes, size);
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, zero, PAGE, (off_t)(page * PAGE)), PAGE);
	close(fd);
	open_store(f);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	sonde_store_status(f->store, &status);
	assert_int_equal(status.stored, status.readable + status.expired);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	if (n && n < ROWS) {
		assert_int_equal(n + answer.lost, ROWS);
		assert_false(answer.complete);
	}
	if (n) {
		assert_int_equal(checkpoint.stored, ROWS);
		assert_int_equal(checkpoint.stored - checkpoint.expired, status.readable);
	}
	/* and it goes on, with the numbers that follow */
	assert_int_equal(store_rows(f, ROWS, 10), 0);
	assert_int_equal(rows_of(f), n + 10);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(rows_of(f), n + 10);
	assert_true(set_aside_count(f) <= 1); /* none: the data of a block alone */
	sonde_store_status(f->store, &status);
	assert_string_equal(status.set_aside, "");
	sonde_store_close(&f->store);
	test_remove(f->folder);
	mkdir(f->folder, 0700);
	return n;
}

static void make_blocks(struct fixture *f)
{
	open_store(f);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(test_append_noise(f->store, i * BLOCK_ROWS, BLOCK_ROWS, sonde_clock_wall_ns(), 1), 0);
		assert_int_equal(store_rows(f, (i + 1) * BLOCK_ROWS, 0), 0);
	}
}

/* The same under a running store, with events that wait. */
static void test_lost_page_while_open(void **state)
{
	static const uint8_t zero[PAGE];
	struct fixture *f = *state;
	struct sonde_checkpoint checkpoint;
	struct sonde_store_status status;
	struct sonde_answer answer;
	struct sonde_query query = test_query(NULL);
	uint64_t n = 0;
	int fd;

	make_blocks(f);
	sonde_store_close(&f->store);
	open_store(f);
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	for (off_t page = 100; page < 104; page++)
		assert_int_equal(pwrite(fd, zero, PAGE, page * PAGE), PAGE);
	assert_int_equal(test_append_noise(f->store, ROWS, 50, sonde_clock_wall_ns(), 1), 0);
	(void)sonde_store_query(f->store, &query, test_count_rows, &n, &answer); /* finds it */
	assert_int_equal(store_rows(f, ROWS + 50, 10), 0);
	assert_int_equal(set_aside_count(f), 1);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_int_equal(status.stored, ROWS + 60);
	assert_int_equal(status.stored, status.readable + status.expired);
	assert_int_equal(rows_of(f), status.readable);
	assert_true(status.readable > ROWS * 9 / 10);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored - checkpoint.expired, status.readable);
	close(fd);
}

/* No room for a new file when the damage is found: what is good comes along when there is. */
static void test_lost_page_full(void **state)
{
	static const uint8_t zero[PAGE];
	struct fixture *f = *state;
	char disk[96], other[128];
	uint64_t n;
	int fd, full;

	small_disk(f, disk, sizeof(disk));
	make_blocks(f);
	sonde_store_close(&f->store);
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, zero, PAGE, 100 * PAGE), PAGE);
	close(fd);
	full = disk_fill(disk, other, sizeof(other));
	open_store(f);
	assert_true(store_rows(f, ROWS, 10) < 0);
	close(full);
	unlink(other);
	assert_int_equal(store_rows(f, ROWS + 10, 10), 0);
	n = rows_of(f);
	assert_true(n > ROWS * 9 / 10 && n < ROWS + 20);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(rows_of(f), n);
	sonde_store_close(&f->store);
	assert_int_equal(umount(disk), 0);
}

/* One page that is lost takes few blocks with it: what is good is served on. */
static void test_lost_page(void **state)
{
	struct fixture *f = *state;
	size_t size, most = 0, none = 0, pages = 0;
	int64_t until_ns;
	static uint8_t bytes[8 << 20];
	int fd;

	make_blocks(f);
	until_ns = sonde_clock_wall_ns(); /* nobody writes until the next start */
	sonde_store_close(&f->store);
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	size = (size_t)read(fd, bytes, sizeof(bytes));
	close(fd);
	unlink(f->path);
	assert_true(size > 100 * PAGE && size < sizeof(bytes));
	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	for (size_t page = 0; page < size / PAGE; page += 1 + page / 20, pages++) {
		uint64_t n = rows_without_page(f, bytes, size, page, until_ns);

		most += n >= ROWS * 9 / 10;
		none += !n;
	}
	print_message("%zu pages, each lost once: %zu times at least nine tenths are served, %zu times nothing\n", pages, most, none);
	assert_true(none <= 10); /* the header, and the first pages of tables */
	assert_true(most + none >= pages - 2);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_a_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stray_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_type, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_block_in_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_while_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_page_while_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_page_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
