/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/encode.h>

#include <unistd.h>

#include <schema/encode_test.h>
#include <schema/encode_text.h>

static void check(const struct sonde_column *column, struct sonde_value value, const char *expected)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_encode_human(column, &value, &out), 0);
	assert_string_equal(out.data, expected);
}

static void test_duration(void **state)
{
	static const struct {
		uint64_t ns;
		const char *expected;
	} cases[] = {
		{0, "0ns"}, {850, "850ns"}, {999, "999ns"}, {1000, "1.00us"}, {12340, "12.3us"}, {999499, "999us"},
		{999500, "1.00ms"}, {1250000, "1.25ms"}, {9999000, "10.0ms"}, {45600000, "45.6ms"}, {999600000, "1.00s"},
		{3200000000, "3.20s"}, {59900000000, "59.9s"}, {59960000000, "1m00s"}, {125000000000, "2m05s"},
		{3599400000000, "59m59s"}, {3599600000000, "1h00m"}, {3720000000000, "1h02m"}, {86399000000000, "1d00h"},
		{273600000000000, "3d04h"}, {UINT64_MAX, "213504d00h"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(&flow_columns[FLOW_DURATION], value_uint(cases[i].ns), cases[i].expected);
	check(&flow_columns[FLOW_DURATION], value_int(-1250000), "-1.25ms");
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *expected;
	} cases[] = {
		{0, "0B"}, {512, "512B"}, {1023, "1023B"}, {1024, "1KiB"}, {1536, "1.5KiB"}, {20971520, "20MiB"},
		{157286, "154KiB"}, {1048575, "1MiB"}, {1610612736, "1.5GiB"}, {UINT64_MAX, "16EiB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(&flow_columns[FLOW_SENT], value_uint(cases[i].bytes), cases[i].expected);
}

static void test_other(void **state)
{
	struct sonde_value values[FLOW_MAX];

	fill_flow(values);
	check(&flow_columns[SONDE_COLUMN_TIME], value_int(TEST_TIME_NS + 123456789), "22:52:54.123");
	check(&flow_columns[SONDE_COLUMN_TIME], value_int(-1), "23:59:59.999");
	check(&flow_columns[FLOW_LOCAL_ADDRESS], values[FLOW_LOCAL_ADDRESS], "127.0.0.1");
	check(&flow_columns[FLOW_REMOTE_ADDRESS], values[FLOW_REMOTE_ADDRESS], "2001:db8::1");
	check(&flow_columns[FLOW_RESET], values[FLOW_RESET], "true");
	check(&flow_columns[FLOW_ERROR], (struct sonde_value){.type = SONDE_NULL}, "-");
	check(&run_columns[RUN_PATH], value_string("/bin/\033[31msh"), "/bin/\\x1b[31msh");
	check(&run_columns[RUN_ARGUMENTS], value_text("sh\0-c\0ls *", 10), "sh -c 'ls *'");
	check(NULL, value_uint(UINT64_MAX), "18446744073709551615");
}

static void test_hostile(void **state)
{
	uint64_t seed = 0x123456789abcdefull;
	char text[HOSTILE_MAX], back[HOSTILE_MAX * 4];

	for (int i = 0; i < 10000; i++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		size_t length = hostile_text(&seed, text);
		struct sonde_value value = value_text(text, length);

		assert_int_equal(sonde_encode_terminal_text(text, length, &out), 0);
		assert_safe_for_terminal(out.data, out.length);
		assert_true(out.length <= sizeof(back));
		if (out.length)
			memcpy(back, out.data, out.length);
		assert_int_equal(unescape(back, out.length), length);
		assert_memory_equal(back, text, length);
		sonde_buffer_clear(&out);
		assert_int_equal(sonde_encode_human(&run_columns[RUN_ARGUMENTS], &value, &out), 0);
		assert_safe_for_terminal(out.data, out.length);
	}
}

/* The proof of the quoting is the shell: it must split each line into the words, byte by byte. */
static void test_arguments_in_a_shell(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer script = SONDE_BUFFER_INIT;
	CLEANUP(sonde_buffer_free) struct sonde_buffer expected = SONDE_BUFFER_INIT;
	char path[] = "/tmp/sonde-arguments-XXXXXX", command[128], text[HOSTILE_MAX], got[4096];
	uint64_t seed = 4242;
	size_t n, done = 0;
	FILE *shell;
	int fd;

	if (access("/bin/bash", X_OK) < 0)
		skip();
	for (int i = 0; i < 1000; i++) {
		n = hostile_text(&seed, text);
		/* printf repeats its format for each word, so NUL ends each word again; nothing is one word. */
		sonde_buffer_add_text(&script, "printf '%s\\0' ");
		sonde_text_add_arguments(&script, text, n);
		sonde_buffer_add_char(&script, '\n');
		sonde_buffer_add(&expected, text, n);
		sonde_buffer_add_char(&expected, '\0');
	}
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, script.data, script.length), script.length);
	close(fd);
	snprintf(command, sizeof(command), "/bin/bash %s", path);
	shell = popen(command, "r");
	assert_non_null(shell);
	while ((n = fread(got, 1, sizeof(got), shell))) {
		assert_true(done + n <= expected.length);
		assert_memory_equal(got, expected.data + done, n);
		done += n;
	}
	assert_int_equal(pclose(shell), 0);
	unlink(path);
	assert_int_equal(done, expected.length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_other),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_arguments_in_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
