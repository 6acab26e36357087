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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_age_steady),
		cmocka_unit_test(test_age_jump),
		cmocka_unit_test(test_age_while_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
