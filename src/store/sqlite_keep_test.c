/* SPDX-License-Identifier: Apache-2.0 */
/* What the store keeps whatever happens around it: a clock that jumps, a file that goes away, a disk that cannot be written. */
#include <store/sqlite_fixture.h>

/* ---- the clock ---- */

#define HOUR (3600 * SONDE_NS_PER_S)

/* As if the wall clock had been behind so far until now: all that the file knows of it and its one block. */
static void clock_was_behind(struct fixture *f, const char *ns, bool same_boot)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "UPDATE sonde_runs SET started_ns = started_ns - %s, last_seen_ns = last_seen_ns - %s,"
				   " stopped_ns = stopped_ns - %s, trail_ns = trail_ns - %s, boot_id = iif(%d, boot_id, 'other')",
		 ns, ns, ns, ns, same_boot);
	run_in(f->path, sql);
}

static void check_kept(struct fixture *f, uint64_t rows)
{
	open_store(f);
	expire(f);
	assert_int_equal(rows_of(f), rows);
	sonde_store_close(&f->store);
}

/* Rows that are some seconds old by a clock that then jumps ahead by ten days, while the store is closed. */
static void check_jump(struct fixture *f, bool same_boot)
{
	f->opts.max_age_ns = HOUR;
	open_store(f);
	assert_int_equal(test_append(f->store, &test_type, 0, 10, sonde_clock_wall_ns() - 240 * HOUR - 20 * SONDE_NS_PER_S, 1), 0);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	sonde_store_close(&f->store);
	clock_was_behind(f, "864000000000000", same_boot);
	check_kept(f, 10);
	check_kept(f, 10); /* the run before this one saw the wrong clock, and knew that it is wrong */
	check_kept(f, 10);
}

static void test_jump(void **state)
{
	check_jump(*state, true);
}

static void test_jump_boot(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;

	check_jump(f, false);
	/* It was no jump, the node was off: when max_age has been waited for, they go. */
	run_in(f->path, "UPDATE sonde_runs SET waited_ns = 3600000000000, boot_ns = boot_ns - 1");
	check_kept(f, 0);
	open_store(f);
	sonde_store_status(f->store, &status);
	assert_int_equal(status.clock_jumps, 0);
}

/* A file of a sonde that did not write the trail down. */
static void test_jump_old_file(void **state)
{
	struct fixture *f = *state;

	f->opts.max_age_ns = HOUR;
	make_store(f, 10);
	run_in(f->path, "ALTER TABLE sonde_runs DROP COLUMN trail_ns; ALTER TABLE sonde_runs DROP COLUMN boot_ns;"
			"ALTER TABLE sonde_runs DROP COLUMN waited_ns");
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(rows_of(f), 10);
	sonde_store_close(&f->store);
	f->opts.read_only = false;
	check_kept(f, 10);
	assert_int_equal(number_in(f->path, "SELECT count(*) FROM sonde_runs WHERE trail_ns > 0"), 1);
}

/* ---- a file that goes away ---- */

static void check_lost(struct fixture *f, uint64_t lost, uint64_t rows)
{
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;
	struct sonde_answer answer;
	uint64_t n = 0;
	char text[80];

	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, rows);
	assert_false(answer.complete);
	/* On a slow machine the time between two runs is a gap too, of a number that nobody knows. */
	snprintf(text, sizeof(text), "%" PRIu64 " events of sample lost (file_lost)", lost);
	if (!strstr(answer.reason, text))
		fail_msg("%s: not '%s'", answer.reason, text);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_int_equal(status.readable, rows);
	assert_int_equal(status.stored, status.readable + status.expired);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored - checkpoint.expired, rows);
}

/* Events wait while it is seen that the file is gone. */
static void lose_and_go_on(struct fixture *f, uint64_t stored)
{
	assert_int_equal(test_append(f->store, &test_type, stored, 7, sonde_clock_wall_ns(), 1), 0);
	expire(f);
	assert_int_equal(store_rows(f, stored + 7, 3), 0);
	expire(f);
}

static void test_deleted(void **state)
{
	struct fixture *f = *state;
	static const char *const companions[] = {"", "-wal", "-shm"};
	char name[160];

	open_store(f);
	assert_int_equal(store_rows(f, 0, 100), 0);
	assert_int_equal(rows_of(f), 100); /* a reader has it open */
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
		snprintf(name, sizeof(name), "%s%s", f->path, companions[i]);
		assert_int_equal(unlink(name), 0);
	}
	lose_and_go_on(f, 100);
	check_lost(f, 100, 10);
	sonde_store_close(&f->store);
	open_store(f);
	check_lost(f, 100, 10);
	/* once more, the log is left */
	assert_int_equal(unlink(f->path), 0);
	lose_and_go_on(f, 110);
	check_lost(f, 110, 10);
	assert_int_equal(set_aside_count(f), 0);
}

/* What was moved away is whole. */
static void test_moved(void **state)
{
	struct fixture *f = *state;
	char name[160];

	snprintf(name, sizeof(name), "%s.moved", f->path);
	open_store(f);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(store_rows(f, i * 10, 10), 0);
	assert_int_equal(rename(f->path, name), 0);
	lose_and_go_on(f, 100);
	check_lost(f, 100, 10);
	assert_int_equal(number_in(name, "SELECT sum(count) FROM sonde_blocks"), 100);
}

/* An older copy is put in its place, as from a backup. */
static void test_put_back(void **state)
{
	struct fixture *f = *state;
	char command[400], copy[160];

	make_store(f, 40);
	snprintf(copy, sizeof(copy), "%s.copy", f->path);
	snprintf(command, sizeof(command), "cp '%s' '%s'", f->path, copy);
	assert_int_equal(system(command), 0);
	open_store(f);
	assert_int_equal(store_rows(f, 40, 60), 0);
	assert_int_equal(rows_of(f), 100);
	assert_int_equal(rename(copy, f->path), 0);
	lose_and_go_on(f, 100);
	check_lost(f, 100, 50); /* of the 100 that were there 40 came back */
	sonde_store_close(&f->store);
	open_store(f);
	check_lost(f, 100, 50);
}

/* Nothing is lost: here, and for who opens the file after that. */
static void check_whole(struct fixture *f, uint64_t rows)
{
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;
	struct sonde_answer answer;
	uint64_t n = 0;

	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(n, rows);
	assert_int_equal(answer.lost, 0);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_string_equal(status.set_aside, "");
	assert_int_equal(status.readable, rows);
	assert_int_equal(status.stored, rows);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored, rows);
	assert_int_equal(checkpoint.expired, 0);
	assert_int_equal(number_in(f->path, "SELECT sum(count) FROM sonde_blocks"), rows);
	assert_int_equal(number_in(f->path, "SELECT count(*) FROM sonde_runs"), 1);
	assert_int_equal(set_aside_count(f), 0);
}

static void remove_beside(struct fixture *f, const char *companion)
{
	char name[160];

	snprintf(name, sizeof(name), "%s%s", f->path, companion);
	assert_int_equal(unlink(name), 0);
}

/* A merge may be in the way at first. */
static void expire_until_there(struct fixture *f, const char *companion)
{
	char name[160];

	snprintf(name, sizeof(name), "%s%s", f->path, companion);
	for (int i = 0; access(name, F_OK); i++) {
		if (i == PATIENCE)
			fail_msg("there is no '%s'", name);
		usleep(10000);
		expire(f);
	}
}

static void test_log_deleted(void **state)
{
	struct fixture *f = *state;
	static const char *const companions[] = {"-wal", "-shm", "-wal"};
	uint64_t rows = 0;

	f->opts.merge_cpu_pct = 100;
	open_store(f);
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++, rows += 20) {
		assert_int_equal(store_rows(f, rows, 10), 0);
		assert_int_equal(rows_of(f), rows + 10); /* a reader has it open */
		remove_beside(f, companions[i]);
		lose_and_go_on(f, rows + 10);
		expire_until_there(f, companions[i]);
		check_whole(f, rows + 20);
	}
	/* both, and nothing comes after it but the end */
	remove_beside(f, "-wal");
	remove_beside(f, "-shm");
	expire(f);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(rows_of(f), rows);
}

/* Whoever opens the file in between reads nonsense: it is not taken for damage of the file. */
static void test_log_deleted_and_read(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;

	open_store(f);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(store_rows(f, i * 10, 10), 0);
	remove_beside(f, "-wal");
	sonde_store_status(f->store, &status);
	assert_int_equal(store_rows(f, 200, 10), 0);
	expire(f);
	check_whole(f, 210);
}

static int expire_now(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	expire(userdata);
	return 1;
}

/* The log is needed by a query that runs: it ends in peace. */
static void test_log_deleted_busy(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_answer answer;

	open_store(f);
	assert_int_equal(store_rows(f, 0, 10), 0);
	assert_int_equal(rows_of(f), 10);
	remove_beside(f, "-wal");
	assert_int_equal(sonde_store_query(f->store, &query, expire_now, f, &answer), 0);
	assert_int_equal(answer.rows, 1);
	assert_int_equal(store_rows(f, 10, 10), 0);
	expire(f);
	check_whole(f, 20);
}

/* ---- a disk that cannot be written when the agent starts ---- */

static void check_waiting(struct fixture *f, const char *why)
{
	struct sonde_store_status status;

	open_store(f);
	assert_int_equal(test_append(f->store, &test_type, 30, 5, sonde_clock_wall_ns(), 1), 0);
	assert_true(sonde_store_commit(f->store, NULL, 0) < 0);
	expire(f);
	sonde_store_status(f->store, &status);
	if (!strstr(status.error, why))
		fail_msg("%s", status.error);
}

/* As it is when the file was there all the time. */
static void check_went_on(struct fixture *f, uint64_t older)
{
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;

	assert_int_equal(store_rows(f, 35, 5), 0);
	assert_int_equal(rows_of(f), older + 10);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_string_equal(status.set_aside, "");
	assert_int_equal(status.readable, older + 10);
	assert_int_equal(status.stored, older + 10);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.stored, 40);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(rows_of(f), older + 10);
	sonde_store_close(&f->store);
	assert_int_equal(set_aside_count(f), 0);
}

static void test_start_full(void **state)
{
	struct fixture *f = *state;
	char disk[96], other[128];
	int fd;

	small_disk(f, disk, sizeof(disk));
	fd = disk_fill(disk, other, sizeof(other));
	check_waiting(f, "no space"); /* and no file */
	close(fd);
	unlink(other);
	check_went_on(f, 0);
	unlink(f->path);
	make_store(f, 30);
	fd = disk_fill(disk, other, sizeof(other));
	check_waiting(f, "");
	close(fd);
	unlink(other);
	check_went_on(f, 30);
	assert_int_equal(umount(disk), 0);
}

/* No file can be made, not even the empty ones that SQLite wants beside its own. */
static void test_start_no_inodes(void **state)
{
	struct fixture *f = *state;
	char disk[96];

	small_disk(f, disk, sizeof(disk));
	make_store(f, 30);
	assert_int_equal(mount(NULL, disk, "tmpfs", MS_REMOUNT, "nr_inodes=2"), 0);
	check_waiting(f, "No space");
	assert_int_equal(mount(NULL, disk, "tmpfs", MS_REMOUNT, "nr_inodes=100"), 0);
	check_went_on(f, 30);
	assert_int_equal(umount(disk), 0);
}

static void test_start_read_only(void **state)
{
	struct fixture *f = *state;
	char disk[96];

	small_disk(f, disk, sizeof(disk));
	make_store(f, 30);
	assert_int_equal(mount(NULL, disk, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	check_waiting(f, "read-only");
	assert_int_equal(mount(NULL, disk, NULL, MS_REMOUNT, NULL), 0);
	check_went_on(f, 30);
	assert_int_equal(umount(disk), 0);
}

/* The worker before us died with the disk just full: in the file is its last commit, or not in shared memory. */
static void test_start_ring(void **state)
{
	struct fixture *f = *state;
	static char shared[4096], older[4096];
	struct sonde_checkpoint checkpoint;
	char disk[96], other[128];
	int fd;

	small_disk(f, disk, sizeof(disk));
	f->opts.checkpoints = shared;
	f->opts.checkpoints_size = sizeof(shared);
	make_store(f, 20);
	memcpy(older, shared, sizeof(older));
	open_store(f);
	assert_int_equal(store_rows(f, 20, 10), 0);
	sonde_store_close(&f->store);
	fd = disk_fill(disk, other, sizeof(other));
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.position, 30);
	sonde_store_close(&f->store);
	memcpy(shared, older, sizeof(older));
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.position, 20);
	close(fd);
	unlink(other);
	assert_int_equal(store_rows(f, 20, 15), -ESTALE); /* 10 of them are in the file */
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_int_equal(checkpoint.position, 30);
	assert_int_equal(rows_of(f), 30);
	sonde_store_close(&f->store);
	assert_int_equal(umount(disk), 0);
}

/* ---- a reader that does not end ---- */

static void test_log_kept(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;
	uint64_t n = 0;
	sqlite3 *reader;
	int r = 0;

	f->opts.max_bytes = 8 << 20;
	open_store(f);
	assert_int_equal(store_rows(f, 0, 10), 0);
	assert_int_equal(sqlite3_open(f->path, &reader), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM sonde_blocks", NULL, NULL, NULL), SQLITE_OK);
	while (!r && n < 600000) {
		if (!test_append_noise(f->store, n, 1000, sonde_clock_wall_ns(), 1))
			n += 1000;
		r = sonde_store_commit(f->store, NULL, 0);
		assert_true(sonde_store_expire(f->store, sonde_clock_wall_ns()) == 0 || r);
		sonde_store_status(f->store, &status);
		assert_true(status.bytes <= f->opts.max_bytes);
	}
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(status.error, "a reader"));
	assert_int_equal(test_append_noise(f->store, n, 1000, sonde_clock_wall_ns(), 1), 0); /* waits */
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), -ENOSPC);
	sqlite3_close(reader);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.error, "");
	assert_int_equal(status.stored, n + 1010);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jump, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jump_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jump_old_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_deleted_and_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_deleted_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_no_inodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_kept, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
