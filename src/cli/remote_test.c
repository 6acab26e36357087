/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent sends comes back as the values that it had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/remote.h>

#define COMMON                                                                                                   \
	"{\"name\":\"time\",\"type\":\"time\",\"semantic\":\"time\",\"unit\":null,\"doc\":\"d\"},"                        \
	"{\"name\":\"type\",\"type\":\"text\"},{\"name\":\"pid\",\"type\":\"integer\",\"semantic\":\"pid\"},"            \
	"{\"name\":\"tid\",\"type\":\"integer\"},{\"name\":\"uid\",\"type\":\"integer\"},"                               \
	"{\"name\":\"command\",\"type\":\"text\"},{\"name\":\"container\",\"type\":\"text\"},"                           \
	"{\"name\":\"source\",\"type\":\"text\"},{\"name\":\"weight\",\"type\":\"integer\"}"
#define SCHEMA                                                                                                   \
	"{\"types\":[{\"name\":\"x\",\"doc\":\"an x\",\"columns\":[" COMMON ","                                          \
	"{\"name\":\"duration_ns\",\"type\":\"integer\",\"semantic\":\"duration_ns\",\"unit\":\"ns\"},"                  \
	"{\"name\":\"address\",\"type\":\"address\",\"semantic\":\"address\"},"                                          \
	"{\"name\":\"ok\",\"type\":\"boolean\"},"                                                                        \
	"{\"name\":\"arguments\",\"type\":\"text\",\"semantic\":\"arguments\"},"                                         \
	"{\"name\":\"later\",\"type\":\"text\",\"semantic\":\"of_a_newer_agent\"}]}]}"

enum { DURATION = SONDE_COLUMN_COMMON_MAX, ADDRESS, OK, ARGUMENTS, LATER };

static struct sonde_remote_schema *schema;
static struct sonde_remote_row row;

static int load(const char *text, struct sonde_remote_schema **ret_schema)
{
	json_t *json CLEANUP(json_decrefp) = json_loads(text, 0, NULL);

	assert_non_null(json);
	return sonde_remote_schema_new(json, ret_schema);
}

static int setup(void **state)
{
	return load(SCHEMA, &schema);
}

static int teardown(void **state)
{
	sonde_remote_row_free(&row);
	sonde_remote_schema_free(&schema);
	return 0;
}

static int read_line(const char *line)
{
	return sonde_remote_row_read(&row, schema, line, strlen(line));
}

static void expect_text(unsigned column, const char *bytes, size_t length)
{
	assert_int_equal(row.values[column].type, SONDE_TEXT);
	assert_int_equal(row.values[column].length, length);
	assert_memory_equal(row.values[column].text, bytes, length);
}

static void a_schema_becomes_types(void **state)
{
	const struct sonde_type *type = sonde_remote_schema_type(schema, "x");

	assert_non_null(type);
	assert_null(sonde_remote_schema_type(schema, "y"));
	assert_string_equal(type->doc, "an x");
	assert_int_equal(type->n_columns, 14);
	assert_int_equal(type->columns[0].semantic, SONDE_SEMANTIC_TIME);
	assert_int_equal(type->columns[DURATION].semantic, SONDE_SEMANTIC_DURATION_NS);
	assert_string_equal(type->columns[DURATION].unit, "ns");
	assert_int_equal(type->columns[LATER].semantic, SONDE_SEMANTIC_NONE);
}

static void values_come_back(void **state)
{
	static const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, v6[16] = {[15] = 1};

	assert_int_equal(read_line("{\"time\":\"2026-05-01T12:00:00.000000001Z\",\"type\":\"x\",\"pid\":7,\"uid\":null,"
				   "\"command\":\"nginx\",\"duration_ns\":-5,\"address\":\"10.0.0.1\",\"ok\":true}"), 0);
	assert_true(row.values[0].type == SONDE_INT && row.values[0].i == 1777636800000000001);
	assert_true(row.values[2].type == SONDE_UINT && row.values[2].u == 7);
	assert_int_equal(row.values[3].type, SONDE_NULL);
	assert_int_equal(row.values[4].type, SONDE_NULL);
	expect_text(5, "nginx", 5);
	assert_true(row.values[DURATION].type == SONDE_INT && row.values[DURATION].i == -5);
	assert_int_equal(row.values[ADDRESS].type, SONDE_ADDRESS);
	assert_memory_equal(row.values[ADDRESS].address, v4, 16);
	assert_true(row.values[OK].type == SONDE_BOOL && row.values[OK].b);

	assert_int_equal(read_line("{\"type\":\"x\",\"address\":\"::1\",\"ok\":false}"), 0);
	assert_memory_equal(row.values[ADDRESS].address, v6, 16);
	assert_int_equal(row.values[0].type, SONDE_NULL);
	assert_int_equal(row.values[DURATION].type, SONDE_NULL);
}

/* A number that the JSON library cannot hold is exact, and so is what stands beside it. */
static void large_numbers_are_exact(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} large[] = {{"9223372036854775808", 1ull << 63}, {"18446744073709549569", 18446744073709549569u}, {"18446744073709551615", UINT64_MAX}};
	char line[256];

	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		snprintf(line, sizeof(line), "{\"type\":\"x\",\"pid\":-9223372036854775807,\"command\":\"\\\"9223372036854775808\",\"duration_ns\":%s,"
			 "\"weight\":9223372036854775807}", large[i].text);
		assert_int_equal(read_line(line), 0);
		assert_true(row.values[DURATION].type == SONDE_UINT && row.values[DURATION].u == large[i].number);
		assert_true(row.values[2].type == SONDE_INT && row.values[2].i == -INT64_MAX);
		assert_true(row.values[8].type == SONDE_UINT && row.values[8].u == INT64_MAX);
		expect_text(5, "\"9223372036854775808", 20);
	}
	assert_int_equal(read_line("{\"type\":\"x\",\"pid\":7,\"duration_ns\":18446744073709551616}"), 0);
	assert_int_equal(row.values[DURATION].type, SONDE_NULL);
	assert_true(row.values[2].type == SONDE_UINT && row.values[2].u == 7);
}

/* Bytes that JSON cannot hold come as \xNN and go back to bytes; arguments are a finished line with its own backslashes. */
static void texts_are_unescaped_once(void **state)
{
	assert_int_equal(read_line("{\"type\":\"x\",\"command\":\"a\\\\xffb\\\\x5cx41\\u001b\",\"arguments\":\"echo 'a\\\\x41'\"}"), 0);
	expect_text(5, "a\xff" "b\\x41\x1b", 8);
	expect_text(ARGUMENTS, "echo 'a\\x41'", 12);
	assert_int_equal(read_line("{\"type\":\"x\",\"command\":\"\\\\x\\\\xg0\\\\x4\"}"), 0);
	expect_text(5, "\\x\\xg0\\x4", 9);
}

/* Of a column that was retyped, what was stored before shows as it was. */
static void values_of_another_kind_show(void **state)
{
	assert_int_equal(read_line("{\"type\":\"x\",\"time\":5,\"pid\":\"7\",\"command\":7,\"duration_ns\":\"\\\\x41\",\"address\":\"nowhere\","
				   "\"ok\":1,\"arguments\":true}"), 0);
	assert_true(row.values[0].type == SONDE_UINT && row.values[0].u == 5);
	expect_text(2, "7", 1);
	assert_true(row.values[5].type == SONDE_UINT && row.values[5].u == 7);
	expect_text(DURATION, "A", 1);
	expect_text(ADDRESS, "nowhere", 7);
	assert_true(row.values[OK].type == SONDE_UINT && row.values[OK].u == 1);
	assert_true(row.values[ARGUMENTS].type == SONDE_BOOL && row.values[ARGUMENTS].b);

	assert_int_equal(read_line("{\"type\":\"x\",\"command\":[1],\"duration_ns\":1e300,\"arguments\":{}}"), 0);
	for (unsigned i = 0; i < 14; i++)
		assert_int_equal(row.values[i].type, i == SONDE_COLUMN_TYPE ? SONDE_TEXT : SONDE_NULL);
}

static void what_is_no_event_is_told(void **state)
{
	assert_int_equal(read_line("{\"type\":\"y\"}"), -ENOENT);
	assert_int_equal(read_line("{\"answer\":{\"count\":3}}"), -ENOENT);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(row.json, "answer"), "count")), 3);
	assert_int_equal(read_line("[]"), -EBADMSG);
	assert_int_equal(read_line("{"), -EBADMSG);
	assert_int_equal(read_line(""), -EBADMSG);
	assert_int_equal(read_line("{\"type\":\"x\",\"type\":\"x\"}"), -EBADMSG);
}

static void a_wrong_schema_is_refused(void **state)
{
	static const char *const texts[] = {
		"[]", "{}", "{\"types\":{}}", "{\"types\":[1]}", "{\"types\":[{\"name\":\"x\"}]}",
		"{\"types\":[{\"name\":\"x\",\"columns\":[{\"name\":\"time\",\"type\":\"time\"}]}]}",
		"{\"types\":[{\"name\":\"x\",\"columns\":[" COMMON ",{\"name\":\"a\",\"type\":\"matrix\"}]}]}",
		"{\"types\":[{\"name\":\"x\",\"columns\":[" COMMON ",{\"type\":\"text\"}]}]}",
		"{\"types\":[{\"columns\":[" COMMON "]}]}",
	};
	struct sonde_remote_schema *none = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(load(texts[i], &none), -EBADMSG);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schema_becomes_types),
		cmocka_unit_test(values_come_back),
		cmocka_unit_test(large_numbers_are_exact),
		cmocka_unit_test(texts_are_unescaped_once),
		cmocka_unit_test(values_of_another_kind_show),
		cmocka_unit_test(what_is_no_event_is_told),
		cmocka_unit_test(a_wrong_schema_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
