/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/encode.h>

#include <errno.h>
#include <jansson.h>

#include <schema/encode_test.h>

static json_t *parse(const struct sonde_buffer *buffer)
{
	json_error_t error;
	json_t *json = json_loadb(buffer->data, buffer->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("%s at byte %d: %s", error.text, error.position, buffer->data);
	return json;
}

static void check_text(const char *bytes, size_t length, const char *expected)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_encode_json_text(bytes, length, &out), 0);
	assert_string_equal(out.data, expected);
}

static void test_text(void **state)
{
	check_text("", 0, "\"\"");
	check_text("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	check_text("\n\r\t\033\x7f", 5, "\"\\n\\r\\t\\u001b\\u007f\"");
	check_text("a\0b", 3, "\"a\\\\x00b\"");
	check_text("\xc3\xbc\xff\xc3", 4, "\"\xc3\xbc\\\\xff\\\\xc3\"");
	check_text("\\x41 \\xzz \\x4", 13, "\"\\\\x5cx41 \\\\xzz \\\\x4\"");
	check_text("\xe2\x80\xa8\xc2\x85\xe2\x80\xae", 8, "\"\\u2028\\u0085\\u202e\"");
	check_text("\xf3\xa0\x81\x81", 4, "\"\\udb40\\udc41\"");
}

static void test_row(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	struct sonde_value values[FLOW_MAX];

	fill_flow(values);
	assert_int_equal(sonde_encode_json(&flow_type, values, &out), 0);
	assert_string_equal(out.data,
			    "{\"time\":\"2026-11-20T22:52:54.000000123Z\",\"type\":\"flow\",\"pid\":1234,\"tid\":1235,"
			    "\"uid\":0,\"command\":\"nginx\",\"container\":null,\"source\":\"ebpf\",\"weight\":1,"
			    "\"kind\":\"close\",\"local_address\":\"127.0.0.1\",\"remote_address\":\"2001:db8::1\","
			    "\"local_port\":40000,\"remote_port\":443,\"error\":null,\"errno\":null,\"sent_bytes\":1536,"
			    "\"duration_ns\":1250000,\"cookie\":18446744073709551615,\"was_reset\":true,\"offset\":-5}");
}

static void check_value(const struct sonde_column *column, struct sonde_value value, const char *expected)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_encode_json_value(column, &value, &out), 0);
	assert_string_equal(out.data, expected);
}

static void test_value(void **state)
{
	const struct sonde_column *time = &flow_columns[SONDE_COLUMN_TIME];

	check_value(time, value_int(0), "\"1970-01-01T00:00:00.000000000Z\"");
	check_value(time, value_int(-1), "\"1969-12-31T23:59:59.999999999Z\"");
	check_value(time, value_int(INT64_MIN), "\"1677-09-21T00:12:43.145224192Z\"");
	check_value(time, value_int(INT64_MAX), "\"2262-04-11T23:47:16.854775807Z\"");
	check_value(NULL, value_int(INT64_MIN), "-9223372036854775808");
	check_value(NULL, value_int(7), "7");
	check_value(NULL, (struct sonde_value){.type = SONDE_NULL}, "null");
	check_value(&flow_columns[FLOW_RESET], (struct sonde_value){.type = SONDE_BOOL}, "false");
}

static void test_address(void **state)
{
	static const struct {
		uint8_t address[16];
		const char *expected;
	} cases[] = {
		{{0}, "\"::\""},
		{{[15] = 1}, "\"::1\""},
		{{[10] = 0xff, 0xff, 0, 0, 0, 0}, "\"0.0.0.0\""},
		{{[10] = 0xff, 0xff, 255, 255, 255, 255}, "\"255.255.255.255\""},
		{{[10] = 0xff, 0xff, 10, 9, 100, 99}, "\"10.9.100.99\""},
		{{0xfe, 0x80, [8] = 1, 2, 3, 4, 5, 6, 7, 8}, "\"fe80::102:304:506:708\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_value(&flow_columns[FLOW_LOCAL_ADDRESS],
			    (struct sonde_value){.type = SONDE_ADDRESS, .address = cases[i].address}, cases[i].expected);
}

static void test_arguments(void **state)
{
	static const struct {
		const char *words;
		size_t length;
		const char *expected;
	} cases[] = {
		{"", 0, "\"''\""},
		{"\0", 1, "\"'' ''\""},
		{"ls\0-l", 5, "\"ls -l\""},
		{"ls\0-l\0", 6, "\"ls -l ''\""},
		{"ls\0\0", 4, "\"ls '' ''\""},
		{"\0ls", 3, "\"'' ls\""},
		{"sh\0-c\0echo \"$HOME\"", 18, "\"sh -c 'echo \\\"$HOME\\\"'\""},
		{"a'b", 3, "\"'a'\\\\''b'\""},
		{"a\nb\\'\033\xff", 7, "\"$'a\\\\nb\\\\\\\\\\\\'\\\\x1b\\\\xff'\""},
		{"\\x41", 4, "\"'\\\\x41'\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_value(&run_columns[RUN_ARGUMENTS], value_text(cases[i].words, cases[i].length), cases[i].expected);
}

static void test_limit(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = {.limit = 100};
	struct sonde_value values[FLOW_MAX];

	fill_flow(values);
	assert_int_equal(sonde_encode_json(&flow_type, values, &out), -ENOMEM);
	assert_true(out.length <= 100);
}

static void test_hostile(void **state)
{
	uint64_t seed = 0x5eed5eed5eed5eedull;
	char path[HOSTILE_MAX], arguments[HOSTILE_MAX], back[HOSTILE_MAX * 4];
	struct sonde_value values[RUN_MAX];

	for (int i = 0; i < 10000; i++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		size_t length = hostile_text(&seed, path);
		json_t *json, *text;

		fill_run(values, value_text(path, length), value_text(arguments, hostile_text(&seed, arguments)));
		assert_int_equal(sonde_encode_json(&run_type, values, &out), 0);
		assert_safe_for_terminal(out.data, out.length);
		json = parse(&out);
		assert_int_equal(json_object_size(json), RUN_MAX);
		assert_true(json_is_string(json_object_get(json, "arguments")));
		text = json_object_get(json, "path");
		assert_true(json_string_length(text) <= sizeof(back));
		memcpy(back, json_string_value(text), json_string_length(text));
		assert_int_equal(unescape(back, json_string_length(text)), length);
		assert_memory_equal(back, path, length);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	  cmocka_unit_test(test_row),	cmocka_unit_test(test_value),
		cmocka_unit_test(test_address),	  cmocka_unit_test(test_arguments), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
