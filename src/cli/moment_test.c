/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <base/clock.h>
#include <cli/moment.h>

#define S SONDE_NS_PER_S
/* 2026-05-01T12:00:00Z */
#define NOON (1777636800 * S)

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

static void expect(const char *text, int64_t ns)
{
	int64_t found = -1;

	if (sonde_moment_parse(text, NOON, &found) != 0 || found != ns)
		fail_msg("%s: %lld instead of %lld", text, (long long)found, (long long)ns);
}

static void what_people_type(void **state)
{
	zone("UTC");
	expect("now", NOON);
	expect("0", NOON);
	expect("5m", NOON - 300 * S);
	expect("2h30m", NOON - 9000 * S);
	expect("12:00", NOON);
	expect("11:59:30", NOON - 30 * S);
	expect("12:01", NOON - 86400 * S + 60 * S); /* yesterday */
	expect("2026-05-01", NOON - 43200 * S);
	expect("2026-05-01 11:00", NOON - 3600 * S);
	expect("2026-05-01T11:00:00.25", NOON - 3600 * S + S / 4);
	expect("2026-05-01T14:00:00+02:00", NOON);
	expect("2026-05-01t12:00:00z", NOON);
	expect("2026-05-01T06:30:00-05:30", NOON);
	expect("2026-05-01T12:00:00.123456789999Z", NOON + 123456789);
	expect("2024-02-29T00:00:00Z", 1709164800 * S);
	expect("1970-01-01T00:00:00Z", 0);
}

static void local_time_has_its_zone(void **state)
{
	zone("Europe/Berlin"); /* if the zone's file is missing this is UTC: then nothing is tested but parsing */
	struct tm tm = {.tm_year = 126, .tm_mon = 4, .tm_mday = 1, .tm_hour = 13, .tm_isdst = -1};

	expect("2026-05-01T13:00:00", mktime(&tm) * S);
	expect("2026-05-01T13:00:00Z", NOON + 3600 * S);
	zone("XXX-3");
	expect("2026-05-01T15:00:00", NOON);
	expect("15:00", NOON);
	expect("2026-05-01", NOON - 15 * 3600 * S);
	zone("UTC");
}

/* The first of a month: yesterday is in the month before. */
static void a_time_of_day_can_be_yesterday_in_another_month(void **state)
{
	int64_t ns;

	zone("UTC");
	assert_int_equal(sonde_moment_parse("23:00", NOON, &ns), 0);
	assert_true(ns == NOON - 13 * 3600 * S);
}

static void nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "5", "yesterday", "25:00", "12:60", "12:30:61", "1:30", "12:3", "12:30x", "2026-13-01", "2026-00-01", "2026-02-30",
		"2026-02-29", "2026-05-32", "2026-5-1", "2026-05-01T", "2026-05-01T24:00:00Z", "2026-05-01T12:00:00+2", "-5m",
		"2026-05-01T12:00:00Zx", "2026-05-01T12:00:00.Z", "2026-05-01Z", "9999-99-99", "5m ago", "\n12:30",
	};
	int64_t ns = 7;

	zone("UTC");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (sonde_moment_parse(texts[i], NOON, &ns) == 0 || ns != 7)
			fail_msg("'%s' was taken", texts[i]);
	assert_int_equal(sonde_moment_parse("9999-01-01T00:00:00Z", NOON, &ns), -ERANGE);
	assert_int_equal(sonde_moment_rfc3339_parse("2026-05-01T12:00:00", &ns), -EINVAL);
	assert_int_equal(sonde_moment_rfc3339_parse("2026-05-01", &ns), -EINVAL);
}

static void texts_are_read_back(void **state)
{
	static const int64_t times[] = {0, 1, -1, NOON + 1, INT64_MAX, INT64_MIN + S};
	char text[SONDE_MOMENT_TEXT_MAX];
	int64_t ns;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(sonde_moment_rfc3339_parse(sonde_moment_text(times[i], text), &ns), 0);
		assert_true(ns == times[i]);
	}
	assert_string_equal(sonde_moment_text(NOON + 5, text), "2026-05-01T12:00:00.000000005Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_people_type),
		cmocka_unit_test(local_time_has_its_zone),
		cmocka_unit_test(a_time_of_day_can_be_yesterday_in_another_month),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(texts_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
