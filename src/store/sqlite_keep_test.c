/* SPDX-License-Identifier: Apache-2.0 */
/* What the store keeps whatever happens around it: a clock that jumps. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jump, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jump_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jump_old_file, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
