/* SPDX-License-Identifier: Apache-2.0 */
#include <schema/filter.h>

#include <errno.h>

#include <schema/encode_test.h>

static struct sonde_filter *make(const char *text)
{
	struct sonde_filter *filter = NULL;
	const char *error;

	if (sonde_filter_new(text, &error, &filter) < 0)
		fail_msg("%s: %s", text, error);
	return filter;
}

static bool match(const char *text, const struct sonde_type *type, const struct sonde_value *values)
{
	CLEANUP(sonde_filter_free) struct sonde_filter *filter = make(text);

	return sonde_filter_match(filter, type, values);
}

struct match_case {
	const char *text;
	bool match;
};

static void check_flow(const struct match_case *cases, size_t n)
{
	struct sonde_value values[FLOW_MAX];

	fill_flow(values);
	for (size_t i = 0; i < n; i++)
		if (match(cases[i].text, &flow_type, values) != cases[i].match)
			fail_msg("%s: not %s", cases[i].text, cases[i].match ? "true" : "false");
}

static void test_numbers(void **state)
{
	/* pid 1234, sent 1536, duration 1.25 ms, cookie 2^64-1, offset -5 */
	static const struct match_case cases[] = {
		{"pid = 1234", true}, {"pid=1234", true}, {"pid == 1234", true}, {"pid != 1234", false}, {"pid = \"1234\"", true},
		{"pid < 1234", false}, {"pid <= 1234", true}, {"pid > 1233", true}, {"pid >= 1235", false},
		{"pid = 1234.0", true}, {"pid = 1234.5", false}, {"pid != 1234.5", true}, {"pid < 1234.5", true},
		{"pid > 1233.5", true}, {"pid >= 1234.5", false}, {"pid > -1", true},
		{"sent_bytes = 1.5KiB", true}, {"sent_bytes = 1536B", true}, {"sent_bytes > 1.5kB", true},
		{"sent_bytes < 1MiB", true}, {"sent_bytes < 1GiB", true}, {"sent_bytes < 1MB and sent_bytes < 1GB", true},
		{"duration_ns = 1.25ms", true}, {"duration_ns = 1250us", true}, {"duration_ns > 0.001s", true},
		{"duration_ns > 1m", false}, {"duration_ns < 1h", true}, {"duration_ns < 1d", true}, {"duration_ns > 1249999ns", true},
		{"cookie = 18446744073709551615", true}, {"cookie = 18446744073709551614", false},
		{"cookie < 18446744073709551616", true}, {"cookie < 99999999999999999999d", true},
		{"offset = -5", true}, {"offset < -4.5", true}, {"offset > -5.5", true}, {"offset < 0", true},
		{"offset < 18446744073709551615", true}, {"pid = abc", false}, {"pid != abc", false},
		{"was_reset = true", true}, {"was_reset != true", false}, {"was_reset = false", false},
	};

	check_flow(cases, ARRAY_SIZE(cases));
}

static void test_text(void **state)
{
	static const struct match_case cases[] = {
		{"command = nginx", true}, {"command = \"nginx\"", true}, {"command = 'nginx'", true}, {"command = 'n\\'x'", false}, {"command = '\"'", false}, {"command = Nginx", false}, {"command != x", true},
		{"command ~ gin", true}, {"command ~ GIN", true}, {"command ~ \"\"", true}, {"command ~ nginxx", false},
		{"command !~ gin", false}, {"command !~ apache", true}, {"command < o", true}, {"command > nginw", true},
		{"command >= nginx", true}, {"command > nginx", false}, {"command < nginxa", true},
		{"command in (apache, nginx)", true}, {"command in (apache)", false}, {"command not in (apache)", true},
		{"command not in (apache, nginx)", false}, {"command = \"\\x6egin\\x78\"", true},
		{"command = \"a\\\"b\\\\c\"", false}, {"kind = close", true}, {"type = flow", true},
	};
	struct sonde_value values[RUN_MAX];

	check_flow(cases, ARRAY_SIZE(cases));
	fill_run(values, value_text("a\"\\\0\xff", 5), value_text("ls\0-l\0a b", 9));
	assert_true(match("path = \"a\\\"\\\\\\x00\\xff\"", &run_type, values));
	assert_true(match("path ~ \"\\xFF\"", &run_type, values));
	assert_true(match("arguments = \"ls -l a b\"", &run_type, values));
	assert_true(match("arguments ~ \"-l a\"", &run_type, values));
	assert_false(match("arguments ~ \"b \"", &run_type, values));
}

static void test_addresses(void **state)
{
	/* 127.0.0.1 to 2001:db8::1 */
	static const struct match_case cases[] = {
		{"local_address = 127.0.0.1", true}, {"local_address = 127.0.0.2", false}, {"local_address != 127.0.0.2", true},
		{"local_address = 127.0.0.0/8", true}, {"local_address ~ 127.0.0.0/8", true}, {"local_address ~ 127.9.9.9/8", true},
		{"local_address !~ 127.0.0.0/8", false}, {"local_address != 10.0.0.0/8", true},
		{"local_address ~ 127.0.0.0/31", true}, {"local_address ~ 127.0.0.2/31", false}, {"local_address ~ 0.0.0.0/0", true},
		{"local_address = ::ffff:127.0.0.1", true}, {"local_address ~ ::/0", false},
		{"local_address in (10.0.0.0/8, 127.0.0.0/8)", true}, {"local_address not in (10.0.0.0/8)", true},
		{"remote_address = 2001:db8::1", true}, {"remote_address = \"2001:db8::1\"", true},
		{"remote_address ~ 2001:db8::/32", true}, {"remote_address ~ 2001:db9::/33", false}, {"remote_address ~ ::/0", true},
		{"remote_address ~ 0.0.0.0/0", false}, {"remote_address < 2001:db8::2", false}, {"remote_address = abc", false},
	};

	check_flow(cases, ARRAY_SIZE(cases));
}

static void test_times(void **state)
{
	/* 2026-11-20T22:52:54.000000123Z */
	static const struct match_case cases[] = {
		{"time = 2026-11-20T22:52:54.000000123Z", true}, {"time > 2026-11-20T22:52:54Z", true},
		{"time > 2026-11-20", true}, {"time < 2026-11-21", true}, {"time < 2026-11-20T22:53", true},
		{"time > 2026-11-20T23:52:54+01:00", true}, {"time < 2026-11-20T22:52:54-00:01", true},
		{"time < 2026-11-20T22:52:54.1Z", true}, {"time = 1795215174000000123", true}, {"time > yesterday", false},
		{"time > 2026-13-20", false}, {"time > 2026-02-29", false},
		{"time > 2024-02-29", true}, {"time > 2026-00-01", false}, {"time > 2026-11-20T24:00", false}, {"time > 0001-01-01", false},
	};

	check_flow(cases, ARRAY_SIZE(cases));
}

static void test_null_and_logic(void **state)
{
	static const struct match_case cases[] = {
		{"error = null", true}, {"error != null", false}, {"pid = null", false}, {"pid != null", true},
		{"error = x", false}, {"error != x", false}, {"error ~ x", false}, {"error !~ x", false}, {"errno < 5", false},
		{"error in (null, x)", true}, {"error in (x)", false}, {"error not in (x)", false}, {"error not in (null)", false},
		{"pid not in (null)", true}, {"not error = x", true}, {"not not error = x", false},
		{"nothing = null", true}, {"nothing = 1", false}, {"nothing != 1", false}, {"error < null", false},
		{"pid = 1234 and uid = 0", true}, {"pid = 1 or uid = 0", true}, {"pid = 1 and uid = 1 or tid = 1235", true},
		{"tid = 1235 or pid = 1 and uid = 1", true}, {"(tid = 1235 or pid = 1) and uid = 1", false},
		{"not pid = 1 and not uid = 1", true}, {"not (pid = 1234 and uid = 0)", false}, {"NOT pid = 1 AND uid = 0", true},
		{"((((pid = 1234))))", true},
		{"remote_port = 443 and (command ~ \"ngin\" or pid in (1, 2)) and not error != null", true},
	};

	check_flow(cases, ARRAY_SIZE(cases));
}

static void test_syntax_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "character 1: expected the name of a column, found the end"},
		{"pid", "character 4: expected an operator (= != < <= > >= ~ !~ in), found the end"},
		{"pid =", "character 6: expected a value, found the end"},
		{"pid = )", "character 7: expected a value, found ')'"},
		{"pid = and", "character 7: expected a value, found 'and'"},
		{"pid=1and uid=0", "character 10: expected 'and', 'or' or the end, found 'uid'"},
		{"pid = 1 pid", "character 9: expected 'and', 'or' or the end, found 'pid'"},
		{"pid = 1 and", "character 12: expected the name of a column, found the end"},
		{"(pid = 1", "character 9: expected 'and', 'or' or ')', found the end"},
		{"pid = 1)", "character 8: expected 'and', 'or' or the end, found ')'"},
		{"pid in 1", "character 8: expected '(' after 'in', found '1'"},
		{"pid in ()", "character 9: expected a value, found ')'"},
		{"pid in (1 2)", "character 11: expected ',' or ')', found '2'"},
		{"pid not 1", "character 9: expected 'in' after 'not', found '1'"},
		{"\"pid\" = 1", "character 1: expected the name of a column, found '\"pid\"'"},
		{"a:b = 1", "character 1: expected the name of a column, found 'a:b'"},
		{"command = \"abc", "character 11: this string has no closing quote"},
		{"command = \"a\\n\"", "character 13: a backslash in a string begins \\\", \\', \\\\ or \\xNN"},
		{"command = \"\\x4\"", "character 12: a backslash in a string begins \\\", \\', \\\\ or \\xNN"},
		{"command = a*", "character 12: this character needs to stand in \"quotes\""},
		{"command = \xc3\xbc\xc3\xbc *", "character 14: this character needs to stand in \"quotes\""},
		{"command = x\033", "character 12: this character needs to stand in \"quotes\""},
		{"pid = 1 \xe2\x80\xae\xff", "character 9: expected 'and', 'or' or the end, found '\\xe2\\x80\\xae\\xff'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sonde_filter *filter = NULL;
		const char *error = NULL;

		assert_int_equal(sonde_filter_new(cases[i].text, &error, &filter), -EINVAL);
		assert_null(filter);
		assert_string_equal(error, cases[i].error);
	}
}

static void check_type(const char *text, int expected, const char *expected_error)
{
	CLEANUP(sonde_filter_free) struct sonde_filter *filter = make(text);
	const char *error = "";

	assert_int_equal(sonde_filter_check(filter, &flow_type, &error), expected);
	assert_string_equal(error, expected_error);
}

static void check_any(const char *text, int expected, const char *expected_error)
{
	static const struct sonde_type *const types[] = {&run_type, &flow_type};
	struct sonde_filter *filter CLEANUP(sonde_filter_free) = NULL;
	const char *error = "";

	assert_int_equal(sonde_filter_new(text, &error, &filter), 0);
	assert_int_equal(sonde_filter_check_any(filter, types, 2, &error), expected);
	assert_string_equal(error, expected_error);
	assert_int_equal(sonde_filter_check_any(filter, types, 0, &error), 0);
}

/* Of several types each comparison needs one that can make it, not one that can make all. */
static void test_check_of_several_types(void **state)
{
	check_any("path = x or was_reset = true and pid = 1", 0, "");
	check_any("path = x or remot_port = 1", -ENOENT, "character 13: no type of event has a column 'remot_port'");
	check_any("path = x and pid = y", -EINVAL, "character 20: 'pid' is compared with a number, not with 'y'");
	check_any("was_reset = 5 or path = x", -EINVAL, "character 13: 'was_reset' is compared with true or false, not with '5'");
}

static void test_check(void **state)
{
	check_type("pid = 1 and (command ~ x or local_address = 10.0.0.0/8) and time > 2026-01-01", 0, "");
	check_type("error = null and pid != null and was_reset = true and duration_ns > 1ms", 0, "");
	check_type("pid = 1 or remot_port = 1", -ENOENT, "character 12: 'flow' has no column 'remot_port'");
	check_type("pid = nginx", -EINVAL, "character 7: 'pid' is compared with a number, not with 'nginx'");
	check_type("pid in (1, x)", -EINVAL, "character 12: 'pid' is compared with a number, not with 'x'");
	check_type("pid = 1ms", -EINVAL, "character 7: 'pid' is compared with a number, not with '1ms'");
	check_type("duration_ns > 1KiB", -EINVAL,
		   "character 15: 'duration_ns' is compared with a duration (10ms), not with '1KiB'");
	check_type("sent_bytes > 1ms", -EINVAL, "character 14: 'sent_bytes' is compared with a size (10KiB), not with '1ms'");
	check_type("time > 5m", -EINVAL, "character 8: 'time' is compared with a time (2026-11-20T22:52:54Z), not with '5m'");
	check_type("local_address = 10.0.0.0/33", -EINVAL,
		   "character 17: 'local_address' is compared with an address or a network (10.0.0.0/8), not with '10.0.0.0/33'");
	check_type("was_reset = 1", -EINVAL, "character 13: 'was_reset' is compared with true or false, not with '1'");
	check_type("pid ~ 1", -EINVAL, "character 1: 'pid' and '1' cannot be compared in this way, only with = and !=");
	check_type("error > null", -EINVAL, "character 1: 'error' and 'null' cannot be compared in this way, only with = and !=");
}

static int try(const char *text)
{
	CLEANUP(sonde_filter_free) struct sonde_filter *filter = NULL;
	const char *error;

	return sonde_filter_new(text, &error, &filter);
}

static void test_limits(void **state)
{
	char text[SONDE_FILTER_TEXT_MAX + 16];
	size_t n;

	/* Text. */
	n = (size_t)sprintf(text, "command = ");
	memset(text + n, 'x', SONDE_FILTER_TEXT_MAX - n);
	text[SONDE_FILTER_TEXT_MAX] = '\0';
	assert_int_equal(try(text), 0);
	strcpy(text + SONDE_FILTER_TEXT_MAX, "x");
	assert_int_equal(try(text), -EINVAL);
	/* Values: 64 comparisons, or a list. */
	n = (size_t)sprintf(text, "pid = 1");
	for (int i = 1; i < SONDE_FILTER_VALUES_MAX; i++)
		n += (size_t)sprintf(text + n, " or not pid = %d", i);
	assert_int_equal(try(text), 0);
	strcpy(text + n, " and pid = 2");
	assert_int_equal(try(text), -EINVAL);
	n = (size_t)sprintf(text, "pid in (1");
	for (int i = 1; i < SONDE_FILTER_VALUES_MAX; i++)
		n += (size_t)sprintf(text + n, ",%d", i);
	strcpy(text + n, ")");
	assert_int_equal(try(text), 0);
	strcpy(text + n, ",1)");
	assert_int_equal(try(text), -EINVAL);
	/* Depth. */
	for (int depth = SONDE_FILTER_DEPTH_MAX; depth <= SONDE_FILTER_DEPTH_MAX + 1; depth++) {
		memset(text, '(', (size_t)depth);
		strcpy(text + depth, "pid = 1");
		memset(text + depth + 7, ')', (size_t)depth);
		text[depth * 2 + 7] = '\0';
		assert_int_equal(try(text), depth == SONDE_FILTER_DEPTH_MAX ? 0 : -EINVAL);
	}
}

/* One filter, several types: the remembered place of a column must never be taken for another column. */
static void test_types_alternate(void **state)
{
	CLEANUP(sonde_filter_free) struct sonde_filter *filter = make("path = x or kind = close");
	struct sonde_value flow[FLOW_MAX], run[RUN_MAX];

	fill_flow(flow);
	fill_run(run, value_string("x"), value_string("x"));
	for (int i = 0; i < 3; i++) {
		assert_true(sonde_filter_match(filter, &flow_type, flow));
		assert_true(sonde_filter_match(filter, &run_type, run));
	}
	run[RUN_PATH] = value_string("close");
	assert_false(sonde_filter_match(filter, &run_type, run));
}

/* Whatever is typed: an error with a position, or a filter that can be matched. */
static void test_garbage(void **state)
{
	static const char *const words[] = {
		"pid", "command", "local_address", "time", "was_reset", "nothing", "=", "!=", "<", "<=", "~", "!~", "in", "not", "and",
		"or", "(", ")", ",", "1", "-1.5ms", "10.0.0.0/8", "::/0", "null", "true", "\"a\\x00\"", "\"", "\\", "2026-11-20",
		"\xff", "9999999999999999999999", "*", ".", "-", "/", ":",
	};
	uint64_t seed = 0xabcdef0123ull;
	struct sonde_value values[FLOW_MAX];
	int made = 0;

	fill_flow(values);
	for (int i = 0; i < 200000; i++) {
		CLEANUP(sonde_filter_free) struct sonde_filter *filter = NULL;
		const char *error = NULL;
		char text[HOSTILE_MAX + 512];
		size_t n = i % 8 ? 0 : hostile_text(&seed, text);

		for (uint64_t k = random_next(&seed) % 12; k--;)
			n += (size_t)sprintf(text + n, "%s ", words[random_next(&seed) % ARRAY_SIZE(words)]);
		text[n] = '\0';
		if (sonde_filter_new(text, &error, &filter) < 0) {
			assert_null(filter);
			assert_int_equal(strncmp(error, "character ", 10), 0);
			assert_safe_for_terminal(error, strlen(error));
			continue;
		}
		made++;
		sonde_filter_match(filter, &flow_type, values);
		if (sonde_filter_check(filter, &flow_type, &error) < 0)
			assert_safe_for_terminal(error, strlen(error));
	}
	assert_true(made > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	      cmocka_unit_test(test_text),	cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_times),	      cmocka_unit_test(test_null_and_logic), cmocka_unit_test(test_syntax_errors),
		cmocka_unit_test(test_check), cmocka_unit_test(test_check_of_several_types),	      cmocka_unit_test(test_limits),	cmocka_unit_test(test_types_alternate),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
