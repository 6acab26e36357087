/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <base/buffer.h>

static void test_grows_and_stays_a_string(void **state)
{
	struct sonde_buffer buffer = SONDE_BUFFER_INIT;

	for (int i = 0; i < 10000; i++)
		sonde_buffer_add_char(&buffer, 'a' + i % 26);
	assert_int_equal(buffer.length, 10000);
	assert_int_equal(strlen(buffer.data), 10000);
	assert_int_equal(sonde_buffer_error(&buffer), 0);
	sonde_buffer_clear(&buffer);
	assert_string_equal(buffer.data, "");
	sonde_buffer_free(&buffer);
	assert_null(buffer.data);
}

static void test_numbers(void **state)
{
	struct sonde_buffer buffer = SONDE_BUFFER_INIT;

	sonde_buffer_add_u64(&buffer, 0);
	sonde_buffer_add_char(&buffer, ' ');
	sonde_buffer_add_u64(&buffer, UINT64_MAX);
	sonde_buffer_add_char(&buffer, ' ');
	sonde_buffer_add_i64(&buffer, INT64_MIN);
	sonde_buffer_printf(&buffer, " %s %d", "x", -1);
	assert_string_equal(buffer.data, "0 18446744073709551615 -9223372036854775808 x -1");
	sonde_buffer_free(&buffer);
}

/* One thing that does not fit spoils the whole text, and is remembered. */
static void test_limit(void **state)
{
	struct sonde_buffer buffer = {.limit = 10};

	sonde_buffer_add_text(&buffer, "0123456789");
	assert_int_equal(sonde_buffer_error(&buffer), 0);
	sonde_buffer_add_char(&buffer, 'x');
	assert_int_equal(sonde_buffer_error(&buffer), -ENOMEM);
	assert_string_equal(buffer.data, "0123456789");
	sonde_buffer_clear(&buffer);
	sonde_buffer_printf(&buffer, "%s", "01234567890");
	assert_int_equal(sonde_buffer_error(&buffer), -ENOMEM);
	sonde_buffer_free(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_and_stays_a_string),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
