/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/command.h>

static const struct sonde_command all = {
	.name = "x", .arguments = "[TYPE]", .max_arguments = 1,
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(FOLLOW) | SONDE_TAKES(LIMIT) | SONDE_TAKES(OLDEST_FIRST) |
		   SONDE_TAKES(STORE) | SONDE_TAKES(SOCKET) | SONDE_TAKES(FOR) | SONDE_TAKES(BY) | SONDE_TAKES(PROGRAM) | SONDE_TAKES(ATTACH) |
		   SONDE_TAKES(LOG_LEVEL),
};

static struct sonde_options options;
static const char *words[64];
static char error[512];

/* Words parted by '|'. */
static int read_words(const struct sonde_command *command, const char *line)
{
	static char copy[2048];
	int n = 0;

	strcpy(copy, line);
	for (char *word = strtok(copy, "|"); word; word = strtok(NULL, "|"))
		words[n++] = word;
	memset(&options, 0x55, sizeof(options));
	error[0] = '\0';
	return sonde_options_read(command, n, words, &options, error, sizeof(error));
}

static void expect_right(const char *line)
{
	if (read_words(&all, line) != 0)
		fail_msg("%s -> %s", line, error);
}

static void expect_error(const struct sonde_command *command, const char *line, const char *message)
{
	if (read_words(command, line) != -EINVAL || !strstr(error, message))
		fail_msg("%s -> '%s', wanted '%s'", line, error, message);
}

static void defaults(void **state)
{
	unsetenv("SONDE_SOCKET");
	expect_right("");
	assert_true(options.since_ns == INT64_MIN);
	assert_true(options.until_ns == INT64_MAX);
	assert_int_equal(options.pid, -1);
	assert_int_equal(options.limit, 0);
	assert_null(options.command);
	assert_null(options.store);
	assert_int_equal(options.format, SONDE_FORMAT_TABLE);
	assert_int_equal(options.color, SONDE_COLOR_AUTO);
	assert_string_equal(options.socket, "/run/sonde/sonde.sock");
	assert_int_equal(options.given, 0);
	assert_int_equal(options.n_arguments, 0);
	setenv("SONDE_SOCKET", "/tmp/other", 1);
	expect_right("");
	assert_string_equal(options.socket, "/tmp/other");
	expect_right("--socket=/tmp/third");
	assert_string_equal(options.socket, "/tmp/third");
	unsetenv("SONDE_SOCKET");
}

static void every_form_of_an_option(void **state)
{
	expect_right("connection|--pid|17|--command=nginx|-n5|-o|json|-f|--where|pid = 1|--by=reason");
	assert_int_equal(options.n_arguments, 1);
	assert_string_equal(options.arguments[0], "connection");
	assert_int_equal(options.pid, 17);
	assert_string_equal(options.command, "nginx");
	assert_int_equal(options.limit, 5);
	assert_int_equal(options.format, SONDE_FORMAT_JSON);
	assert_true(options.follow);
	assert_string_equal(options.where, "pid = 1");
	assert_true(options.given & SONDE_TAKES(PID));
	assert_false(options.given & SONDE_TAKES(SINCE));

	expect_right("-fn|7|-ocsv|type");
	assert_true(options.follow);
	assert_int_equal(options.limit, 7);
	assert_int_equal(options.format, SONDE_FORMAT_CSV);
	assert_string_equal(options.arguments[0], "type");

	expect_right("--|--pid");
	assert_string_equal(options.arguments[0], "--pid");
	expect_right("-");
	assert_string_equal(options.arguments[0], "-");
	expect_right("--where|-1 = tid");
	assert_string_equal(options.where, "-1 = tid");
	expect_right("--pid=1|--pid=2");
	assert_int_equal(options.pid, 2);
	expect_right("--since|5m|--until=now|--for|1m30s");
	assert_true(options.since_ns < options.until_ns);
	assert_true(options.for_ns == 90000000000);
	expect_right("--help|a|b|c");
	assert_true(options.help);
}

static void wrong_words_say_what_and_why(void **state)
{
	expect_error(&all, "--sinc|5m", "'sonde x' has no option '--sinc' (did you mean '--since'?); see 'sonde x --help'");
	expect_error(&all, "--config|x", "has no option '--config'");
	expect_error(&all, "-z", "has no option '-z'; see");
	expect_error(&all, "-fz", "has no option '-fz'");
	expect_error(&all, "--since", "option '--since' needs a value: --since TIME (");
	expect_error(&all, "--since|--until|5m", "option '--since' needs a value");
	expect_error(&all, "-n", "option '--limit' needs a value");
	expect_error(&all, "--follow=yes", "option '--follow' takes no value");
	expect_error(&all, "--since=yesterday", "bad value 'yesterday' of option '--since': allowed is a time: 5m");
	expect_error(&all, "--pid=-1", "bad value '-1' of option '--pid': allowed is the number of a process");
	expect_error(&all, "--pid=99999999999", "the number of a process");
	expect_error(&all, "-n0", "bad value '0' of option '--limit': allowed is a number from 1 to 4294967295");
	expect_error(&all, "-n4294967296", "allowed is a number from 1");
	expect_error(&all, "-oxml", "bad value 'xml' of option '--output': allowed is table, json or csv");
	expect_error(&all, "--color=red", "auto, always or never");
	expect_error(&all, "--attach=tc", "bad value 'tc' of option '--attach': allowed is auto, tcx or clsact");
	expect_error(&all, "--for=5", "allowed is a duration above 0 with its unit");
	expect_error(&all, "--for=0", "allowed is a duration above 0");
	expect_error(&all, "--command=", "a text that is not empty");
	expect_error(&all, "--log-level=loud", "error, warning, info or debug");
	expect_error(&all, "a|b", "'b' is one word too many: the form is 'sonde x [TYPE]'");
}

static void an_option_that_stands_several_times_is_limited(void **state)
{
	char line[1024] = "";

	for (int i = 0; i < SONDE_OBJECTS_MAX; i++)
		strcat(line, "--program=/a.o|");
	expect_right(line);
	assert_int_equal(options.n_objects, SONDE_OBJECTS_MAX);
	strcat(line, "--program=/b.o");
	expect_error(&all, line, "at most 16 of them");
}

static void missing_arguments(void **state)
{
	const struct sonde_command two = {.name = "y", .arguments = "A B", .min_arguments = 2, .max_arguments = 2};
	const struct sonde_command none = {.name = "z"};

	expect_error(&two, "a", "something is missing: the form is 'sonde y A B'");
	expect_error(&none, "a", "'a' is one word too many: the form is 'sonde z'");
	expect_error(&none, "--pid=1", "has no option '--pid'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_form_of_an_option),
		cmocka_unit_test(wrong_words_say_what_and_why),
		cmocka_unit_test(an_option_that_stands_several_times_is_limited),
		cmocka_unit_test(missing_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
