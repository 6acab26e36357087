/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <base/cleanup.h>
#include <cli/json.h>

static json_t *read_text(const char *text)
{
	return sonde_json_read(text, strlen(text), NULL);
}

static void expect_large(const json_t *json, uint64_t expected)
{
	uint64_t number = 0;

	assert_true(sonde_json_large(json, &number));
	assert_true(number == expected);
}

static void large_numbers_are_exact(void **state)
{
	json_t *json CLEANUP(json_decrefp) = read_text("{\"a\":[18446744073709551615, -9223372036854775808,9223372036854775807],"
						       "\"b\":9223372036854775808,\"c\":1.2345678901234567890e5,\"d\":7}");
	const json_t *list = json_object_get(json, "a");
	uint64_t number;

	assert_non_null(json);
	expect_large(json_array_get(list, 0), UINT64_MAX);
	assert_true(json_integer_value(json_array_get(list, 1)) == INT64_MIN);
	expect_large(json_array_get(list, 2), INT64_MAX);
	expect_large(json_object_get(json, "b"), 1ull << 63);
	assert_true(json_real_value(json_object_get(json, "c")) == 1.2345678901234567890e5);
	assert_int_equal(sonde_json_number_of(json, "d"), 7);
	assert_false(sonde_json_large(json_object_get(json, "d"), &number));
}

static void texts_stay(void **state)
{
	json_t *json CLEANUP(json_decrefp) =
		read_text("{\"a\\\"\":\"\\\"18446744073709551615\",\"b\\\\\":\"x 9223372036854775808 \\\\\",\"c\":9223372036854775808}");

	assert_non_null(json);
	assert_string_equal(sonde_json_text_of(json, "a\""), "\"18446744073709551615");
	assert_string_equal(sonde_json_text_of(json, "b\\"), "x 9223372036854775808 \\");
	expect_large(json_object_get(json, "c"), 1ull << 63);
	assert_string_equal(sonde_json_text_of(json, "none"), "");
}

static void what_is_no_number_of_64_bits_is_none(void **state)
{
	static const char *const texts[] = {"18446744073709551616", "99999999999999999999999", "\"9223372036854775808\"", "[\"9223372036854775808x\"]",
					    "[\"-1\"]", "[\"\"]", "[\"1\", \"2\"]", "[]", "[1]", "1e19"};
	uint64_t number;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		json_t *json CLEANUP(json_decrefp) = read_text(texts[i]);

		assert_non_null(json);
		assert_false(sonde_json_large(json, &number));
	}
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const texts[] = {"", "{", "[9223372036854775808", "9223372036854775808 9223372036854775808", "{\"a\":1,\"a\":1}"};
	json_error_t error;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_null(sonde_json_read(texts[i], strlen(texts[i]), &error));
		assert_true(*error.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_numbers_are_exact),
		cmocka_unit_test(texts_stay),
		cmocka_unit_test(what_is_no_number_of_64_bits_is_none),
		cmocka_unit_test(what_is_no_json_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
