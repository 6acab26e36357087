/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and the real binary with words that people mistype. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <base/cleanup.h>
#include <cli/command.h>
#include <cli/help.h>

static char binary[PATH_MAX];

/* @return the exit code; both outputs in `ret_output`. */
static int sonde(const char *words, char *ret_output, size_t size)
{
	char line[PATH_MAX + 512];
	FILE *pipe;
	size_t n;
	int status;

	snprintf(line, sizeof(line), "env -u SONDE_SOCKET '%s' %s 2>&1", binary, words);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	n = fread(ret_output, 1, size - 1, pipe);
	ret_output[n] = '\0';
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect(const char *words, int code, const char *part)
{
	char output[65536];
	int found = sonde(words, output, sizeof(output));

	if (found != code || !strstr(output, part))
		fail_msg("sonde %s -> %d\n%s\nwanted %d '%s'", words, found, output, code, part);
}

static void every_command_has_its_help(void **state)
{
	char words[64], usage[64];

	for (size_t i = 0; sonde_commands[i]; i++) {
		const struct sonde_command *command = sonde_commands[i];

		assert_non_null(command->run);
		assert_true(strlen(command->summary) > 5);
		assert_true(strlen(command->help) > 10);
		assert_true(command->max_arguments >= command->min_arguments);
		assert_true((command->max_arguments > 0) == (command->arguments != NULL));
		assert_ptr_equal(sonde_command_find(command->name), command);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(sonde_commands[j]->name, command->name);
		snprintf(words, sizeof(words), "%s --help", command->name);
		snprintf(usage, sizeof(usage), "Usage: sonde %s", command->name);
		expect(words, 0, usage);
		expect(words, 0, command->summary[0] ? command->help : "");
	}
	assert_null(sonde_command_find("none"));
}

/* Two options of one command with one name or letter: the second could never be reached. */
static void the_options_of_a_command_are_distinct(void **state)
{
	for (size_t i = 0; sonde_commands[i]; i++)
		for (unsigned a = 0; a < SONDE_OPTION_MAX; a++)
			for (unsigned b = 0; b < a; b++) {
				uint64_t both = (1ull << a) | (1ull << b);
				uint64_t takes = sonde_commands[i]->options | SONDE_TAKES(HELP);

				if ((takes & both) != both)
					continue;
				assert_string_not_equal(sonde_option(a)->name, sonde_option(b)->name);
				assert_true(!sonde_option(a)->letter || sonde_option(a)->letter != sonde_option(b)->letter);
			}
}

static void overview_and_version(void **state)
{
	expect("", 0, "Usage: sonde COMMAND [OPTIONS]");
	expect("--help", 0, "Usage: sonde COMMAND [OPTIONS]");
	expect("-h", 0, "sonde trace connection");
	expect("help", 0, "  events ");
	expect("help events", 0, "--oldest-first");
	expect("--version", 0, "sonde " SONDE_VERSION "\n");
	expect("-V", 0, "sonde " SONDE_VERSION "\n");
}

static void wrong_usage_ends_with_2(void **state)
{
	expect("evnts", 2, "there is no command 'evnts' (did you mean 'sonde events'?)");
	expect("--vresion", 2, "there is no option '--vresion'");
	expect("'ev\033[31mil'", 2, "there is no command 'ev\\x1b[31mil'");
	expect("help nothing", 2, "there is no command 'nothing'");
	expect("events --limt 5", 2, "'sonde events' has no option '--limt' (did you mean '--limit'?)");
	expect("events --since", 2, "option '--since' needs a value");
	expect("events --since soon", 2, "bad value 'soon' of option '--since'");
	expect("events a b", 2, "'b' is one word too many: the form is 'sonde events [TYPE]'");
	expect("events -o csv", 2, "-o csv needs a TYPE");
	expect("events -f --since 5m", 2, "-f shows events as they happen");
	expect("events -f --store /tmp/x", 2, "-f asks the agent");
	expect("events --store memory", 2, "can only be asked through its agent");
	expect("count -n 5", 2, "-n limits the groups of --by");
	expect("sql", 2, "something is missing: the form is 'sonde sql 'SELECT ...''");
	expect("sql -n 100000 'SELECT 1'", 2, "allowed is 1 to 10000 rows");
	expect("programs frob", 2, "allowed is list, show NAME");
	expect("programs stop", 2, "the name of the program is missing: 'sonde programs stop NAME'");
	expect("programs list x", 2, "'list' takes no name");
	expect("status --socket", 2, "option '--socket' needs a value");
	expect("schema -o xml", 2, "allowed is table, json or markdown");
	expect("run -c /nonexistent.yaml", 2, "/nonexistent.yaml");
	expect("config -c /nonexistent.yaml", 2, "cannot be read: No such file or directory");
}

static void without_an_agent_the_commands_say_what_to_do(void **state)
{
	static const char *const commands[] = {
		"events", "events -f", "count", "summary", "status", "status --json", "programs", "programs show x",
		"programs stop x", "reload", "sql 'SELECT 1'", "schema",
	};
	char words[128];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		snprintf(words, sizeof(words), "%s --socket /nonexistent/sonde.sock", commands[i]);
		expect(words, 1, "no agent is listening on /nonexistent/sonde.sock: start it with 'sonde run'");
	}
	expect("events --store /nonexistent/events.db", 1, "there is no store /nonexistent/events.db: is the path right?");
}

static void a_full_disk_is_a_failure(void **state)
{
	char output[4096];

	assert_int_equal(sonde("--version > /dev/full", output, sizeof(output)), 1);
	assert_int_equal(sonde("help | true", output, sizeof(output)), 0);
}

/* docs/sonde.1 is made from the table: whoever changes a help text makes it anew. */
static void the_manual_page_is_made_from_the_table(void **state)
{
	FILE *file CLEANUP_FCLOSE = fopen(SONDE_SOURCE_DIR "/docs/sonde.1", "r");
	char *committed CLEANUP_FREE = calloc(1, 131072), *made CLEANUP_FREE = NULL;
	size_t size;
	FILE *out;

	assert_non_null(file);
	assert_non_null(committed);
	(void)!fread(committed, 1, 131071, file);
	out = open_memstream(&made, &size);
	assert_non_null(out);
	sonde_help_man(out);
	fclose(out);
	if (strcmp(made, committed) != 0)
		fail_msg("docs/sonde.1 differs: build/sonde help --man > docs/sonde.1");
}

static int setup(void **state)
{
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	snprintf(binary, sizeof(binary), "%.4000s/sonde", dirname(self));
	return access(binary, X_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_has_its_help),
		cmocka_unit_test(the_options_of_a_command_are_distinct),
		cmocka_unit_test(overview_and_version),
		cmocka_unit_test(wrong_usage_ends_with_2),
		cmocka_unit_test(without_an_agent_the_commands_say_what_to_do),
		cmocka_unit_test(a_full_disk_is_a_failure),
		cmocka_unit_test(the_manual_page_is_made_from_the_table),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
