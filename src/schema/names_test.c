/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/names.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_protocols(void **state)
{
	assert_string_equal(sonde_protocol_name(6), "TCP");
	assert_string_equal(sonde_protocol_name(17), "UDP");
	assert_string_equal(sonde_protocol_name(1), "ICMP");
	assert_string_equal(sonde_protocol_name(58), "IPv6-ICMP");
	assert_string_equal(sonde_protocol_name(132), "SCTP");
	assert_string_equal(sonde_protocol_name(0), "HOPOPT");
	assert_null(sonde_protocol_name(255));
	assert_null(sonde_protocol_name(256));
	assert_null(sonde_protocol_name(UINT64_MAX));
}

static void test_errors(void **state)
{
	assert_null(sonde_errno_name(0));
	assert_string_equal(sonde_errno_name(1), "EPERM");
	assert_string_equal(sonde_errno_name(11), "EAGAIN");
	assert_string_equal(sonde_errno_name(95), "EOPNOTSUPP");
	assert_string_equal(sonde_errno_name(111), "ECONNREFUSED");
	assert_string_equal(sonde_errno_name(133), "EHWPOISON");
	assert_string_equal(sonde_errno_name(512), "ERESTARTSYS");
	assert_string_equal(sonde_errno_name(524), "ENOTSUPP");
	assert_string_equal(sonde_errno_name(531), "ENOGRACE");
	assert_null(sonde_errno_name(134));
	assert_null(sonde_errno_name(520));
	assert_null(sonde_errno_name(532));
	assert_null(sonde_errno_name(UINT64_MAX));
}

static void test_signals(void **state)
{
	assert_null(sonde_signal_name(0));
	assert_string_equal(sonde_signal_name(1), "SIGHUP");
	assert_string_equal(sonde_signal_name(9), "SIGKILL");
	assert_string_equal(sonde_signal_name(15), "SIGTERM");
	assert_string_equal(sonde_signal_name(31), "SIGSYS");
	assert_null(sonde_signal_name(32));
	assert_null(sonde_signal_name(33));
	assert_string_equal(sonde_signal_name(34), "SIGRTMIN");
	assert_string_equal(sonde_signal_name(35), "SIGRTMIN+1");
	assert_null(sonde_signal_name(65));
	assert_null(sonde_signal_name(UINT64_MAX));
}

static void test_number_texts(void **state)
{
	const char *one = sonde_number_text(1);

	assert_string_equal(one, "1");
	assert_ptr_equal(sonde_number_text(1), one);
	assert_string_equal(sonde_number_text(-1), "-1");
	assert_string_equal(sonde_number_text(INT64_MIN), "-9223372036854775808");
	assert_string_equal(sonde_hex_text(1), "0x1");
	assert_string_equal(sonde_hex_text(UINT64_MAX), "0xffffffffffffffff");
}

static void *texts_check(void *wrong)
{
	char expected[32];

	for (int i = 0; i < 3000; i++) {
		snprintf(expected, sizeof(expected), "%d", i);
		if (strcmp(sonde_number_text(i), expected))
			++*(int *)wrong;
	}
	return NULL;
}

static void test_number_texts_in_threads(void **state)
{
	pthread_t threads[4];
	int wrong[4] = {0};

	for (int i = 0; i < 4; i++)
		assert_false(pthread_create(&threads[i], NULL, texts_check, &wrong[i]));
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(wrong[i], 0);
	}
	/* All threads were given one and the same text. */
	assert_ptr_equal(sonde_number_text(17), sonde_number_text(17));
}

/* Beyond the limit the texts are still right, and those of several whole events are right at the same time. */
static void test_number_texts_limit(void **state)
{
	const char *first = sonde_hex_text(1), *texts[256];
	char expected[32];

	for (uint64_t i = 0; i < 10000; i++) {
		snprintf(expected, sizeof(expected), "0x%llx", (unsigned long long)i * 4096);
		assert_string_equal(sonde_hex_text(i * 4096), expected);
	}
	for (uint64_t i = 0; i < 256; i++)
		texts[i] = sonde_hex_text((1ull << 40) + i);
	for (uint64_t i = 0; i < 256; i++) {
		snprintf(expected, sizeof(expected), "0x%llx", (unsigned long long)((1ull << 40) + i));
		assert_string_equal(texts[i], expected);
	}
	assert_ptr_not_equal(sonde_hex_text(1ull << 41), sonde_hex_text(1ull << 41)); /* not kept: the limit holds */
	assert_ptr_equal(sonde_hex_text(1), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols),    cmocka_unit_test(test_errors),
		cmocka_unit_test(test_signals),	     cmocka_unit_test(test_number_texts),
		cmocka_unit_test(test_number_texts_in_threads), cmocka_unit_test(test_number_texts_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
