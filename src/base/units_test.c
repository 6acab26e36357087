/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <base/units.h>

static void durations(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} cases[] = {
		{"0", 0, 0}, {"0s", 0, 0}, {"1ns", 0, 1}, {"10us", 0, 10000}, {"200ms", 0, 200000000}, {"10s", 0, 10000000000},
		{"5m", 0, 300000000000}, {"2h30m", 0, 9000000000000}, {"1.5s", 0, 1500000000}, {"7d", 0, 604800000000000},
		{"1w1d1h1m1s1ms1us1ns", 0, 694861001001001}, {"0.000000001s", 0, 1}, {"106751d", 0, 9223286400000000000},
		{"10", -EINVAL}, {"", -EINVAL}, {"s", -EINVAL}, {"-5s", -EINVAL}, {"+5s", -EINVAL}, {" 5s", -EINVAL}, {"5s ", -EINVAL},
		{"5 s", -EINVAL}, {"5S", -EINVAL}, {"5sec", -EINVAL}, {"30m2h", -EINVAL}, {"1h1h", -EINVAL}, {"1.s", -EINVAL},
		{".5s", -EINVAL}, {"1..5s", -EINVAL}, {"1.5ns", -EINVAL}, {"1e3s", -EINVAL}, {"0x5s", -EINVAL}, {"5m3", -EINVAL},
		{"106752d", -ERANGE}, {"99999999999999999999s", -ERANGE}, {"1.00000000000000000000000s", -ERANGE},
	};
	int64_t ns;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ns = -77;
		if (sonde_duration_parse(cases[i].text, &ns) != cases[i].result || ns != (cases[i].result ? -77 : cases[i].ns))
			fail_msg("%s: %lld", cases[i].text, (long long)ns);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} cases[] = {
		{"0", 0, 0}, {"4096", 0, 4096}, {"1B", 0, 1}, {"1KiB", 0, 1024}, {"16MiB", 0, 16 << 20}, {"1GiB", 0, 1 << 30},
		{"2TiB", 0, 2ull << 40}, {"1kB", 0, 1000}, {"1.5MB", 0, 1500000}, {"0.5KiB", 0, 512},
		{"18446744073709551615", 0, UINT64_MAX},
		{"", -EINVAL}, {"MiB", -EINVAL}, {"16 MiB", -EINVAL}, {"16mib", -EINVAL}, {"16M", -EINVAL}, {"-1", -EINVAL},
		{"1.5", -EINVAL}, {"1.5B", -EINVAL}, {"1KiB1B", -EINVAL}, {"1MiBx", -EINVAL}, {"1KB", -EINVAL},
		{"18446744073709551616", -ERANGE}, {"16777216TiB", -ERANGE},
	};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bytes = 77;
		if (sonde_size_parse(cases[i].text, &bytes) != cases[i].result || bytes != (cases[i].result ? 77 : cases[i].bytes))
			fail_msg("%s: %llu", cases[i].text, (unsigned long long)bytes);
	}
}

static void integers(void **state)
{
	int64_t number;

	assert_int_equal(sonde_integer_parse("-9223372036854775808", &number), 0);
	assert_true(number == INT64_MIN);
	assert_int_equal(sonde_integer_parse("9223372036854775807", &number), 0);
	assert_true(number == INT64_MAX);
	assert_int_equal(sonde_integer_parse("+7", &number), 0);
	assert_int_equal(number, 7);
	assert_int_equal(sonde_integer_parse("9223372036854775808", &number), -ERANGE);
	assert_int_equal(sonde_integer_parse("-9223372036854775809", &number), -ERANGE);
	assert_int_equal(sonde_integer_parse("", &number), -EINVAL);
	assert_int_equal(sonde_integer_parse("-", &number), -EINVAL);
	assert_int_equal(sonde_integer_parse("--1", &number), -EINVAL);
	assert_int_equal(sonde_integer_parse("1.0", &number), -EINVAL);
	assert_int_equal(sonde_integer_parse("1x", &number), -EINVAL);
}

/* What is written must be read back as the same number. */
static void texts_are_exact(void **state)
{
	static const uint64_t numbers[] = {0, 1, 999, 1000, 1024, 1500000000, 1 << 30, 86400000000000, 90000000000, INT64_MAX};
	char text[SONDE_UNITS_TEXT_MAX];
	uint64_t bytes;
	int64_t ns;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_int_equal(sonde_size_parse(sonde_size_text(numbers[i], text), &bytes), 0);
		assert_true(bytes == numbers[i]);
		assert_int_equal(sonde_duration_parse(sonde_duration_text((int64_t)numbers[i], text), &ns), 0);
		assert_true(ns == (int64_t)numbers[i]);
	}
	assert_string_equal(sonde_size_text(16 << 20, text), "16MiB");
	assert_string_equal(sonde_duration_text(200000000, text), "200ms");
	assert_string_equal(sonde_duration_text(604800000000000, text), "7d");
}

static const char *nearest(const char *typed)
{
	static const char *const words[] = {"events", "count", "summary", "status", "store", "sql"};
	struct sonde_nearest best = {0};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sonde_nearest_try(&best, typed, words[i]);
	return best.word ? best.word : "none";
}

static void the_nearest_word(void **state)
{
	char long_word[200] = {0};

	assert_string_equal(nearest("event"), "events");
	assert_string_equal(nearest("evnets"), "events");
	assert_string_equal(nearest("cuont"), "count");
	assert_string_equal(nearest("sum"), "summary");
	assert_string_equal(nearest("stauts"), "status");
	assert_string_equal(nearest("x"), "none");
	assert_string_equal(nearest(""), "none");
	assert_string_equal(nearest("frobnicate"), "none");
	for (size_t i = 0; i < sizeof(long_word) - 1; i++)
		long_word[i] = 'e';
	assert_string_equal(nearest(long_word), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),	   cmocka_unit_test(sizes),	       cmocka_unit_test(integers),
		cmocka_unit_test(texts_are_exact), cmocka_unit_test(the_nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
