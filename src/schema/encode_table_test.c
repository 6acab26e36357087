/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/encode.h>

#include <schema/encode_test.h>

#define GROWN_MAX 42 /* what 100 columns have for it */

static const uint8_t ipv4[16] = {[10] = 0xff, 0xff, 192, 168, 100, 231};

/* Columns of the terminal, counted apart from the table's own code: all wide characters of these tests are in one block. */
static size_t line_width(const char *line, size_t length)
{
	size_t width = 0;

	for (size_t i = 0; i < length; i++) {
		const unsigned char *b = (const unsigned char *)line + i;

		if ((*b & 0xc0) != 0x80)
			width++;
		if (*b == 0xe6 || *b == 0xe5 || *b == 0xf0)
			width++;
	}
	return width;
}

static size_t check_lines(const struct sonde_buffer *out, size_t width)
{
	size_t lines = 0;

	for (const char *line = out->data, *end; line < out->data + out->length; line = end + 1, lines++) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_safe_for_terminal(line, (size_t)(end - line));
		if (width)
			assert_true(line_width(line, (size_t)(end - line)) <= width);
		assert_true(end == line || end[-1] != ' ');
	}
	return lines;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void test_one_type(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];

	assert_int_equal(sonde_table_new(97, false, &table), 0);
	fill_flow(values);
	values[FLOW_LOCAL_ADDRESS].address = ipv4;
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	values[SONDE_COLUMN_PID].type = values[FLOW_SENT].type = SONDE_NULL;
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_string_equal(out.data,
			    "2026-11-20 UTC\n"
			    "TIME              PID  COMMAND     KIND     LOCAL                  REMOTE                    SENT\n"
			    "22:52:54.000     1234  nginx       close    192.168.100.231:40000  [2001:db8::1]:443       1.5KiB\n"
			    "22:52:54.000        -  nginx       close    192.168.100.231:40000  [2001:db8::1]:443            -\n");
}

enum {
	USE_PATH = SONDE_COLUMN_COMMON_MAX,
	USE_NUMBER,
	USE_SIZE,
	USE_PLACE,
	USE_COUNT,
	USE_OWNER,
	USE_MAX,
};

/* What says most does not stand first. */
static const struct sonde_column use_columns[] = {
	COMMON_COLUMNS,
	{.name = "path", .type = SONDE_TEXT, .is_main = true},
	COLUMN("number_of_device", UINT, NONE),
	COLUMN("size_bytes", UINT, BYTES),
	{.name = "place", .type = SONDE_TEXT, .is_top = true},
	{.name = "count", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_COUNT, .is_measure = true},
	{.name = "owner", .type = SONDE_TEXT, .is_main = true},
};
static const struct sonde_type use_type = {.name = "use", .n_columns = USE_MAX, .columns = use_columns};

static void fill_use(struct sonde_value values[USE_MAX], const char *path)
{
	fill_common(&use_type, values);
	values[USE_PATH] = value_string(path);
	values[USE_NUMBER] = values[USE_SIZE] = values[USE_COUNT] = value_uint(7);
	values[USE_PLACE] = value_string("A");
}

/* What the tags call important is shown, and its text whole, before anything else gets room. */
static void test_main_columns(void **state)
{
	static const struct {
		unsigned width;
		const char *header;
	} cases[] = {
		{75, "TIME              PID  COMMAND     PATH                              COUNT\n"},
		{82, "TIME              PID  COMMAND     PATH                              PLACE  COUNT\n"},
		{92, "TIME              PID  COMMAND     PATH                                 SIZE  PLACE  COUNT\n"},
		{120, "TIME              PID  COMMAND     PATH                              NUMBER_OF_DEVICE     SIZE  PLACE  COUNT  OWNER\n"},
	};
	struct sonde_value values[USE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		CLEANUP(sonde_table_free) struct sonde_table *table = NULL;

		assert_int_equal(sonde_table_new(cases[i].width, false, &table), 0);
		fill_use(values, "/usr/lib/python3/a/path.of.31.c");
		assert_int_equal(sonde_table_row(table, &use_type, values, &out), 0);
		assert_non_null(strstr(out.data, cases[i].header));
		assert_non_null(strstr(out.data, "/usr/lib/python3/a/path.of.31.c  "));
		check_lines(&out, cases[i].width);
	}
}

enum { KILL_PID = SONDE_COLUMN_COMMON_MAX, KILL_COMMAND, KILL_SURE, KILL_PLACE, KILL_MAX };

static const struct sonde_column kill_columns[] = {
	COMMON_COLUMNS,
	COLUMN("victim_pid", UINT, PID),
	{.name = "victim_command", .type = SONDE_TEXT, .is_main = true},
	{.name = "sure_pct", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PERCENT, .is_main = true},
	{.name = "place", .type = SONDE_TEXT, .is_main = true},
};
static const struct sonde_type kill_type = {.name = "kill", .n_columns = KILL_MAX, .columns = kill_columns};

/* The name and the number that the row begins with take no second column, until they are another's. */
static void test_not_said_twice(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[KILL_MAX];

	assert_int_equal(sonde_table_new(60, false, &table), 0);
	fill_common(&kill_type, values);
	values[KILL_PID] = values[SONDE_COLUMN_PID];
	values[KILL_COMMAND] = values[SONDE_COLUMN_COMMAND];
	values[KILL_SURE] = value_uint(97);
	values[KILL_PLACE] = value_string("/a/b");
	assert_int_equal(sonde_table_row(table, &kill_type, values, &out), 0);
	values[KILL_PID] = value_uint(7);
	values[KILL_COMMAND] = value_string("other");
	assert_int_equal(sonde_table_row(table, &kill_type, values, &out), 0);
	assert_string_equal(out.data,
			    "2026-11-20 UTC\n"
			    "TIME              PID  COMMAND     CONTAINER    SURE  PLACE\n"
			    "22:52:54.000     1234  nginx       -             97%  /a/b\n"
			    "TIME              PID  COMMAND     VICTIM_COMMAND   SURE\n"
			    "22:52:54.000     1234  nginx       other             97%\n");
	check_lines(&out, 60);
}

/* An error takes the room that it needs: cut it would be another error, or none. */
static void test_error_is_whole(void **state)
{
	struct sonde_value values[FLOW_MAX];

	for (unsigned width = 50; width < 200; width++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		CLEANUP(sonde_table_free) struct sonde_table *table = NULL;

		assert_int_equal(sonde_table_new(width, false, &table), 0);
		fill_flow(values);
		assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
		values[FLOW_ERROR] = value_string("ECONNREFUSED");
		sonde_buffer_clear(&out);
		assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
		if (count(out.data, "ERROR") || width >= 80)
			assert_non_null(strstr(out.data, "ECONNREFUSED"));
	}
}

/* A first text that is short does not cut the longer ones after it. */
static void test_text_grows(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[USE_MAX];
	char path[GROWN_MAX + 1] = "";

	assert_int_equal(sonde_table_new(100, false, &table), 0);
	for (size_t length = 1; length <= GROWN_MAX; length++) {
		memset(path, 'p', length);
		fill_use(values, path);
		sonde_buffer_clear(&out);
		assert_int_equal(sonde_table_row(table, &use_type, values, &out), 0);
		assert_non_null(strstr(out.data, path));
		if (count(out.data, "TIME"))
			assert_true(length == 1 || length == 6 || length == 17 || length == 33);
	}
}

static void test_no_terminal(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];
	char path[4096];

	assert_int_equal(sonde_table_new(0, false, &table), 0);
	fill_flow(values);
	for (int i = 0; i < 120; i++)
		assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_int_equal(check_lines(&out, 0), 121);
	assert_int_equal(strncmp(out.data, "TIME  ", 6), 0);
	assert_int_equal(count(out.data, "2026-11-20T22:52:54.000Z"), 120);
	assert_non_null(strstr(out.data, "COOKIE"));
	assert_non_null(strstr(out.data, "CONTAINER"));

	memset(path, 'x', sizeof(path));
	fill_run(values, value_text(path, sizeof(path)), (struct sonde_value){0});
	sonde_buffer_clear(&out);
	assert_int_equal(sonde_table_row(table, &run_type, values, &out), 0);
	assert_true(out.length > sizeof(path));
	assert_null(strstr(out.data, "\xe2\x80\xa6"));
}

static void test_header_again(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];

	assert_int_equal(sonde_table_new(80, false, &table), 0);
	fill_flow(values);
	for (int i = 0; i < 150; i++)
		assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_int_equal(count(out.data, "TIME"), 3);
	assert_int_equal(count(out.data, "2026-11-20 UTC"), 1);
	assert_int_equal(check_lines(&out, 80), 150 + 3 + 1);
	/* Another day, and the first value of a column that was left out while it was null. */
	sonde_buffer_clear(&out);
	values[SONDE_COLUMN_TIME].i += 86400000000000;
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_int_equal(count(out.data, "2026-11-21 UTC\n"), 1);
	assert_null(strstr(out.data, "ERROR"));
	values[FLOW_ERROR] = value_string("ECONNREFUSED");
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_non_null(strstr(out.data, "ERROR"));
	assert_non_null(strstr(out.data, "ECONNREFUSED"));
}

static void test_weight(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];

	assert_int_equal(sonde_table_new(90, false, &table), 0);
	fill_flow(values);
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_null(strstr(out.data, "WEIGHT"));
	values[SONDE_COLUMN_WEIGHT] = value_uint(100);
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_non_null(strstr(out.data, "WEIGHT"));
}

static void test_mixed(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];

	assert_int_equal(sonde_table_new(120, false, &table), 0);
	sonde_table_mix(table);
	fill_flow(values);
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	fill_run(values, value_string("/tmp/a b error=\"x"), value_text("a\0b c", 5));
	assert_int_equal(sonde_table_row(table, &run_type, values, &out), 0);
	assert_string_equal(out.data,
			    "2026-11-20 UTC\n"
			    "TIME          TYPE             PID  COMMAND          DETAIL\n"
			    "22:52:54.000  flow            1234  nginx            close local=127.0.0.1:40000 "
			    "remote=[2001:db8::1]:443 sent=1.5KiB d\xe2\x80\xa6\n"
			    "22:52:54.000  run             1234  nginx            path=\"/tmp/a b error=\\x22x\" arguments=\"a 'b c'\"\n");
	check_lines(&out, 120);
}

static void test_second_type_changes_layout_once(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value flow[FLOW_MAX], run[RUN_MAX];

	assert_int_equal(sonde_table_new(100, false, &table), 0);
	fill_flow(flow);
	fill_run(run, value_string("/bin/true"), value_string("true"));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(sonde_table_row(table, &flow_type, flow, &out), 0);
		assert_int_equal(sonde_table_row(table, &run_type, run, &out), 0);
	}
	assert_int_equal(count(out.data, "TIME"), 2);
	assert_int_equal(count(out.data, "DETAIL"), 1);
	assert_int_equal(count(out.data, "UTC"), 1);
}

static void test_color(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	struct sonde_value values[FLOW_MAX];

	assert_int_equal(sonde_table_new(0, true, &table), 0);
	fill_flow(values);
	values[FLOW_KIND] = value_string("fail");
	values[SONDE_COLUMN_PID].type = SONDE_NULL;
	assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	assert_non_null(strstr(out.data, "\033[31mfail\033[0m"));
	assert_non_null(strstr(out.data, "\033[2m-\033[0m"));
	assert_int_equal(count(out.data, "\033["), 2 * count(out.data, "\033[0m"));
}

/* Numbers that outgrow their columns, names that come and go: headers are bounded, or a stream would be half headers. */
static void test_headers_bounded(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
	uint64_t seed = 99;
	struct sonde_value values[FLOW_MAX];
	uint8_t address[16];

	assert_int_equal(sonde_table_new(100, false, &table), 0);
	for (int i = 0; i < 5000; i++) {
		fill_flow(values);
		for (uint32_t k = SONDE_COLUMN_PID; k < FLOW_MAX; k++)
			if (random_next(&seed) % 3 == 0)
				values[k].type = SONDE_NULL;
			else if (values[k].type == SONDE_UINT)
				values[k].u = random_next(&seed) >> random_next(&seed) % 64;
		memcpy(address, (uint64_t[]){random_next(&seed), random_next(&seed)}, sizeof(address));
		values[FLOW_REMOTE_ADDRESS].address = address;
		assert_int_equal(sonde_table_row(table, &flow_type, values, &out), 0);
	}
	check_lines(&out, 100);
	assert_in_range(count(out.data, "TIME"), 100, 100 + 50);
}

static void test_hostile(void **state)
{
	static const unsigned widths[] = {0, 1, 40, 57, 80, 119, 300};
	uint64_t seed = 0xfeedface12345ull;
	char path[HOSTILE_MAX], arguments[HOSTILE_MAX], command[HOSTILE_MAX];
	struct sonde_value run[RUN_MAX], flow[FLOW_MAX];

	for (size_t w = 0; w < ARRAY_SIZE(widths) * 2; w++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		CLEANUP(sonde_table_free) struct sonde_table *table = NULL;
		unsigned width = widths[w / 2];

		assert_int_equal(sonde_table_new(width, false, &table), 0);
		if (w % 2)
			sonde_table_mix(table);
		for (int i = 0; i < 1000; i++) {
			fill_run(run, value_text(path, hostile_text(&seed, path)),
				 value_text(arguments, hostile_text(&seed, arguments)));
			run[SONDE_COLUMN_COMMAND] = value_text(command, hostile_text(&seed, command));
			assert_int_equal(sonde_table_row(table, &run_type, run, &out), 0);
			if (w % 2) {
				fill_flow(flow);
				flow[FLOW_KIND] = run[SONDE_COLUMN_COMMAND];
				flow[FLOW_ERROR] = run[RUN_PATH];
				assert_int_equal(sonde_table_row(table, &flow_type, flow, &out), 0);
			}
		}
		check_lines(&out, width && width < 40 ? 40 : width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_type),
		cmocka_unit_test(test_main_columns),
		cmocka_unit_test(test_not_said_twice),
		cmocka_unit_test(test_text_grows),
		cmocka_unit_test(test_error_is_whole),
		cmocka_unit_test(test_no_terminal),
		cmocka_unit_test(test_header_again),
		cmocka_unit_test(test_weight),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_second_type_changes_layout_once),
		cmocka_unit_test(test_color),
		cmocka_unit_test(test_headers_bounded),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
