/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/encode.h>

#include <schema/encode_test.h>

#define CELLS_MAX 32

struct cells {
	size_t n;
	struct {
		char text[HOSTILE_MAX * 8];
		size_t length;
	} cell[CELLS_MAX];
};

/* RFC 4180, strictly: a quote stands only around a cell or doubled within one. @return bytes of the record. */
static size_t parse(const char *csv, size_t length, struct cells *ret)
{
	size_t i = 0;

	ret->n = 0;
	for (;;) {
		bool quoted = i < length && csv[i] == '"';
		size_t n = 0;

		assert_true(ret->n < CELLS_MAX);
		i += quoted;
		for (; i < length; i++) {
			if (quoted && csv[i] == '"') {
				if (i + 1 >= length || csv[i + 1] != '"')
					break;
				i++;
			} else if (!quoted && (csv[i] == ',' || csv[i] == '\n')) {
				break;
			} else {
				assert_true(quoted || csv[i] != '"');
			}
			assert_true(n < sizeof(ret->cell[0].text));
			ret->cell[ret->n].text[n++] = csv[i];
		}
		i += quoted;
		ret->cell[ret->n++].length = n;
		assert_true(i < length);
		assert_true(csv[i] == ',' || csv[i] == '\n');
		if (csv[i++] == '\n')
			return i;
	}
}

static void test_row(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	struct sonde_value values[FLOW_MAX];

	fill_flow(values);
	assert_int_equal(sonde_encode_csv_header(&flow_type, &out), 0);
	assert_int_equal(sonde_encode_csv(&flow_type, values, &out), 0);
	assert_string_equal(out.data,
			    "time,type,pid,tid,uid,command,container,source,weight,kind,local_address,remote_address,"
			    "local_port,remote_port,error,errno,sent_bytes,duration_ns,cookie,was_reset,offset\n"
			    "2026-11-20T22:52:54.000000123Z,flow,1234,1235,0,nginx,,ebpf,1,close,127.0.0.1,2001:db8::1,"
			    "40000,443,,,1536,1250000,18446744073709551615,true,-5\n");
}

static void check_path(const char *bytes, size_t length, const char *expected)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	struct sonde_value values[RUN_MAX];
	const char *cell;

	fill_run(values, value_text(bytes, length), (struct sonde_value){0});
	assert_int_equal(sonde_encode_csv(&run_type, values, &out), 0);
	cell = strstr(out.data, ",ebpf,1,");
	assert_non_null(cell);
	cell += strlen(",ebpf,1,");
	assert_int_equal(strlen(cell), strlen(expected) + 2);
	assert_memory_equal(cell, expected, strlen(expected));
}

static void test_text(void **state)
{
	check_path("", 0, "\"\"");
	check_path("a b", 3, "a b");
	check_path("a,b", 3, "\"a,b\"");
	check_path("a\"b", 3, "\"a\"\"b\"");
	check_path("=1+1", 4, "'=1+1");
	check_path("+a", 2, "'+a");
	check_path("-a", 2, "'-a");
	check_path("@a", 2, "'@a");
	check_path("'a", 2, "''a");
	check_path("=\"a\"", 4, "\"'=\"\"a\"\"\"");
	check_path("\t=1", 3, "\\x09=1");
	check_path("\r\n", 2, "\\x0d\\x0a");
	check_path("a\0\xff", 3, "a\\x00\\xff");
}

static void test_hostile(void **state)
{
	uint64_t seed = 0xc0ffee123456789ull;
	char path[HOSTILE_MAX], arguments[HOSTILE_MAX];
	struct sonde_value values[RUN_MAX];
	struct cells *cells = calloc(1, sizeof(*cells));

	assert_non_null(cells);
	for (int i = 0; i < 10000; i++) {
		CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
		size_t length = hostile_text(&seed, path), guard;
		char *cell;

		fill_run(values, value_text(path, length), value_text(arguments, hostile_text(&seed, arguments)));
		assert_int_equal(sonde_encode_csv(&run_type, values, &out), 0);
		assert_safe_for_terminal(out.data, out.length - 1);
		assert_int_equal(parse(out.data, out.length, cells), out.length);
		assert_int_equal(cells->n, RUN_MAX);
		for (size_t k = RUN_PATH; k < RUN_MAX; k++)
			assert_false(cells->cell[k].length && memchr("=+-@", cells->cell[k].text[0], 4));
		cell = cells->cell[RUN_PATH].text;
		guard = cells->cell[RUN_PATH].length && cell[0] == '\'';
		assert_int_equal(unescape(cell + guard, cells->cell[RUN_PATH].length - guard), length);
		assert_memory_equal(cell + guard, path, length);
	}
	free(cells);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
