/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not, or no longer, a store: whatever the bytes, the store opens, takes events, and says what it did. */
#include <store/sqlite_fixture.h>

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

/* ---- no false event ---- */

struct seen {
	int64_t start_ns;
	uint64_t rows;
};

/* An event of store_known() follows from its number, whole. */
static int check_known(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct sonde_buffer got CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT, right CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct test_record record = test_record(values[SONDE_COLUMN_COMMON_MAX].u);
	struct seen *seen = userdata;
	struct sonde_event event = test_event(&test_type, &record, seen->start_ns + (int64_t)record.number);
	struct sonde_value expected[SONDE_COLUMNS_MAX];

	sonde_event_values(&event, NULL, expected);
	test_row_text(&test_type, expected, &right);
	test_row_text(type, values, &got);
	if (strcmp(got.data, right.data)) {
		print_message("false: %snot: %s", got.data, right.data);
		return -EPROTO;
	}
	seen->rows++;
	return 0;
}

/* @return events that are served; it opens for reading, or is refused with a reason */
static int64_t served(struct fixture *f, int64_t start_ns, struct sonde_answer *ret_answer)
{
	struct seen seen = {.start_ns = start_ns};
	struct sonde_query query = test_query(TEST_PROGRAM);
	int r = sonde_store_open(&f->opts, &f->store);

	if (!r)
		r = sonde_store_query(f->store, &query, check_known, &seen, ret_answer);
	sonde_store_close(&f->store);
	assert_int_not_equal(r, -EPROTO); /* a false event */
	return r ? -1 : (int64_t)seen.rows;
}

/* Several blocks of known events. */
static ssize_t make_known(struct fixture *f, int64_t start_ns, uint64_t n, int *ret_fd)
{
	open_store(f);
	for (uint64_t i = 0; i < n; i += n / 5) {
		assert_int_equal(test_append(f->store, &test_type, i, n / 5, start_ns + (int64_t)i, 1), 0);
		assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	}
	sonde_store_close(&f->store);
	f->opts.read_only = true;
	*ret_fd = open(f->path, O_RDWR | O_CLOEXEC);
	return lseek(*ret_fd, 0, SEEK_END);
}

static void flip(int fd, off_t at, uint8_t mask)
{
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Each byte with SONDE_TEST_ALL set, else some: whatever is still served is right, and what is missing is said. */
static void test_flips(void **state)
{
	struct fixture *f = *state;
	int64_t start_ns = sonde_clock_wall_ns(), rows;
	off_t step = getenv("SONDE_TEST_ALL") ? 1 : 97;
	uint64_t n = 500, partly = 0, refused = 0;
	struct sonde_answer answer;
	ssize_t size;
	int fd;

	size = make_known(f, start_ns, n, &fd);
	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	assert_int_equal(served(f, start_ns, &answer), n);
	for (off_t at = 0; at < size; at += step) {
		flip(fd, at, (uint8_t)(1u << at % 8));
		rows = served(f, start_ns, &answer);
		flip(fd, at, (uint8_t)(1u << at % 8));
		refused += rows < 0;
		partly += rows >= 0 && rows < (int64_t)n;
		if (rows > (int64_t)n || (rows >= 0 && rows < (int64_t)n && (answer.complete || answer.lost < n - (uint64_t)rows)))
			fail_msg("byte %ld: %ld events, %lu lost: %s", (long)at, (long)rows, (unsigned long)answer.lost, answer.reason);
	}
	print_message("%zd bytes, step %ld: %lu times some were lost, %lu times refused\n", size, (long)step, partly, refused);
	assert_true(partly > 10);
	assert_int_equal(served(f, start_ns, &answer), n);
	close(fd);
}

static void test_flips_of_large(void **state)
{
	struct fixture *f = *state;
	int64_t start_ns = sonde_clock_wall_ns(), rows;
	uint64_t n = getenv("SONDE_TEST_ALL") ? 60000 : 10000;
	struct sonde_answer answer;
	unsigned seed = 3;
	ssize_t size;
	int fd;

	size = make_known(f, start_ns, n, &fd);
	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	for (int i = 0; i < (getenv("SONDE_TEST_ALL") ? 1000 : 8); i++) {
		off_t at = rand_r(&seed) % size;

		flip(fd, at, 0x10);
		rows = served(f, start_ns, &answer);
		flip(fd, at, 0x10);
		assert_true(rows == (int64_t)n || rows < 0 || (!answer.complete && answer.lost >= n - (uint64_t)rows));
	}
	close(fd);
}

/* A writer that finds blocks damaged says so once, keeps the sums, and goes on. */
static void test_lost_block(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_answer answer;
	uint64_t n = 0;
	int fd;

	make_known(f, sonde_clock_wall_ns() - 1000000, 500, &fd);
	close(fd);
	f->opts.read_only = false;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_a_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stray_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flips, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flips_of_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_while_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
