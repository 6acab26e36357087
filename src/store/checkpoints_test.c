/* SPDX-License-Identifier: Apache-2.0 */
#include <store/checkpoints.h>

#include <store/store_test.h>

#include <errno.h>

static void test_places(void **state)
{
	struct sonde_checkpoint_slots memory[2] = {};
	struct sonde_checkpoints checkpoints;
	struct sonde_checkpoint a = {.program = "a", .ring_id = 1, .position = 5}, b = {.program = "b", .ring_id = 1}, got;

	sonde_checkpoints_attach(&checkpoints, memory, sizeof(memory));
	assert_false(sonde_checkpoints_find(&checkpoints, "a", 1, &got));
	assert_int_equal(sonde_checkpoints_save(&checkpoints, &a), 0);
	a.position = 6;
	assert_int_equal(sonde_checkpoints_save(&checkpoints, &a), 0);
	assert_true(sonde_checkpoints_find(&checkpoints, "a", 1, &got));
	assert_int_equal(got.position, 6);
	assert_false(sonde_checkpoints_find(&checkpoints, "a", 2, &got));
	assert_int_equal(sonde_checkpoints_save(&checkpoints, &b), 0);
	a.ring_id = 2; /* takes the place of its program's older ring */
	assert_int_equal(sonde_checkpoints_save(&checkpoints, &a), 0);
	assert_false(sonde_checkpoints_find(&checkpoints, "a", 1, &got));
	assert_true(sonde_checkpoints_find(&checkpoints, "b", 1, &got));
	strcpy(a.program, "c");
	assert_int_equal(sonde_checkpoints_save(&checkpoints, &a), -ENOSPC);
	/* killed while writing: the other slot is half written, the number not yet changed */
	memset(&memory[0].slots[(memory[0].generation + 1) & 1], 0xff, sizeof(memory[0].slots[0]));
	assert_true(sonde_checkpoints_find(&checkpoints, "a", 2, &got));
	memset(memory, 0xff, sizeof(memory));
	sonde_checkpoints_attach(&checkpoints, memory, sizeof(memory));
	assert_false(sonde_checkpoints_find(&checkpoints, "a", 2, &got));
}

static void test_expired(void **state)
{
	assert_int_equal(sonde_checkpoint_expired(100, 0, 0), 0);
	assert_int_equal(sonde_checkpoint_expired(100, 0, 30), 30);
	assert_int_equal(sonde_checkpoint_expired(100, 0, 300), 100);
	assert_int_equal(sonde_checkpoint_expired(100, 50, 30), 0);   /* an older ring's */
	assert_int_equal(sonde_checkpoint_expired(100, 50, 60), 10);
	assert_int_equal(sonde_checkpoint_expired(100, -40, 10), 50); /* 40 died with another process */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_expired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
