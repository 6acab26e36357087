/* SPDX-License-Identifier: Apache-2.0 */
#include <store/retention.h>

#include <store/store_test.h>

#define S SONDE_NS_PER_S
#define DAY (86400 * S)

static void test_age_steady(void **state)
{
	struct sonde_retention retention;

	sonde_retention_init(&retention, INT64_MIN);
	for (int64_t i = 1; i < 100; i++)
		assert_int_equal(sonde_retention_cutoff(&retention, 20000 * DAY + i * S, i * S, DAY), 19999 * DAY + i * S);
	assert_int_equal(retention.jumps, 0);
}

static void test_age_jump(void **state)
{
	struct sonde_retention retention;
	int64_t wall = 20000 * DAY, boot = 5 * S, years = 3650 * DAY;

	sonde_retention_init(&retention, INT64_MIN);
	sonde_retention_cutoff(&retention, wall, boot, DAY);
	/* ahead by ten years: the trail goes on as if nothing had happened */
	for (int64_t i = 1; i < 10; i++)
		assert_int_equal(sonde_retention_cutoff(&retention, wall + years + i * S, boot + i * S, DAY), wall + i * S - DAY);
	assert_int_equal(retention.jumps, 1);
	/* a day later all from before the jump is a day old */
	assert_int_equal(sonde_retention_cutoff(&retention, wall + years + DAY + 2 * S, boot + DAY + 2 * S, DAY),
			 wall + years + 2 * S);
	/* back: nothing is old */
	assert_int_equal(sonde_retention_cutoff(&retention, wall, boot + DAY + 3 * S, DAY), wall - DAY);
}

static void test_age_while_closed(void **state)
{
	struct sonde_retention retention;
	int64_t wall = 20000 * DAY;

	sonde_retention_init(&retention, wall);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + DAY / 2, S, DAY), wall - DAY / 2);
	sonde_retention_init(&retention, wall);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 1000 * DAY, S, DAY), wall - DAY);
	assert_int_equal(retention.jumps, 1);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 1000 * DAY + S, 2 * S, DAY), wall + S - DAY);
}

/* As the file has it: the clock jumped, the agent was restarted, the node too. */
static void test_age_resumed(void **state)
{
	struct sonde_retention retention;
	int64_t wall = 20000 * DAY, jump = 10 * DAY;

	sonde_retention_init(&retention, wall);
	retention.boot_ns = 1000 * S;
	/* the same boot: its clock says how long it was, whatever the other one says */
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump + 20 * S, 1020 * S, DAY), wall + 20 * S - DAY);
	assert_int_equal(retention.waited_ns, 0);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump + 40 * S, 1040 * S, DAY), wall + 40 * S - DAY);
	assert_int_equal(retention.waited_ns, 20 * S);
	/* another boot, the clock as wrong as before */
	retention.boot_ns = 0;
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump + 60 * S, 5 * S, DAY), wall + 60 * S - DAY);
	assert_int_equal(retention.waited_ns, 40 * S);
	/* right again */
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 80 * S, 25 * S, DAY), wall + 80 * S - DAY);
	assert_int_equal(retention.waited_ns, -1);
	assert_int_equal(retention.jumps, 1);
	/* really off for ten days: what is old goes when max_age has passed once more, over a restart too */
	retention.boot_ns = 0;
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump, 5 * S, DAY), wall + 80 * S - DAY);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump + DAY / 2, DAY / 2 + 5 * S, DAY), wall + 80 * S - DAY / 2);
	retention.boot_ns = 0;
	assert_int_equal(sonde_retention_cutoff(&retention, wall + jump + DAY, 3 * S, DAY), wall + jump);
	/* the agent alone was off: the boot clock knows that it really was so long */
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 2 * jump + DAY, jump + 3 * S, DAY), wall + 2 * jump);
}

/* A second jump before the first was waited for. */
static void test_age_jumps(void **state)
{
	struct sonde_retention retention;
	int64_t wall = 20000 * DAY;

	sonde_retention_init(&retention, INT64_MIN);
	sonde_retention_cutoff(&retention, wall, S, DAY);
	sonde_retention_cutoff(&retention, wall + 10 * DAY, 2 * S, DAY);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 20 * DAY, DAY, DAY), wall - S);
	assert_int_equal(sonde_retention_cutoff(&retention, wall + 20 * DAY + 9 * S, DAY + 9 * S, DAY), wall + 8 * S);
	assert_int_equal(retention.jumps, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_age_steady),
		cmocka_unit_test(test_age_jump),
		cmocka_unit_test(test_age_while_closed),
		cmocka_unit_test(test_age_resumed),
		cmocka_unit_test(test_age_jumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
