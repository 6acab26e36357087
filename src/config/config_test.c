/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/buffer.h>
#include <base/cleanup.h>
#include <config/config.h>
#include <config/options.h>

static struct sonde_config config;
static char error[512];

static int parse(const char *text)
{
	sonde_config_default(&config);
	error[0] = '\0';
	return sonde_config_parse(&config, "f", text, strlen(text), error, sizeof(error));
}

/* The error must begin like this and contain `part`; the configuration must be untouched. */
static void expect_error(const char *text, const char *begin, const char *part)
{
	static struct sonde_config before;

	sonde_config_default(&before);
	if (parse(text) != -EINVAL || strncmp(error, begin, strlen(begin)) != 0 || !strstr(error, part))
		fail_msg("%s\n-> '%s', wanted '%s...%s'", text, error, begin, part);
	assert_memory_equal(&before, &config, sizeof(config));
}

static void expect_right(const char *text)
{
	if (parse(text) != 0)
		fail_msg("%s\n-> %s", text, error);
}

static void defaults_are_as_documented(void **state)
{
	sonde_config_default(&config);
	assert_string_equal(config.file, "");
	assert_int_equal(config.log_level, SONDE_LOG_INFO);
	assert_string_equal(config.user, "sonde");
	assert_string_equal(config.store.path, "/var/lib/sonde/events.db");
	assert_int_equal(config.store.max_bytes, 1ull << 30);
	assert_int_equal(config.store.max_age_ns, 7 * 86400000000000ll);
	assert_int_equal(config.store.commit_interval_ns, 200000000);
	assert_string_equal(config.listen.metrics, ":9090");
	assert_string_equal(config.listen.health, ":8080");
	assert_string_equal(config.listen.api, "127.0.0.1:8090");
	assert_string_equal(config.listen.socket, "/run/sonde/sonde.sock");
	assert_int_equal(config.shutdown_timeout_ns, 10000000000ll);
	assert_int_equal(config.n_programs, 0);
}

/* A default that its own reader refuses would be silently missing. */
static void every_default_is_a_legal_value(void **state)
{
	static struct {
		struct sonde_config config;
		struct sonde_config_program program;
	} room;

	for (size_t i = 0; i < sonde_config_n_options; i++) {
		const struct sonde_config_option *option = &sonde_config_options[i];
		void *base = !strcmp(option->section, "programs.NAME") ? (void *)&room.program : (void *)&room.config;

		if (option->default_text && sonde_config_option_set(option, base, option->default_text) < 0)
			fail_msg("%s.%s: %s", option->section, option->name, option->default_text);
		assert_non_null(option->help);
	}
}

static void every_option_is_read(void **state)
{
	const struct sonde_config_program *program;

	expect_right("log_level: debug\nuser: nobody\nshutdown_timeout: 1m30s\n"
		     "store:\n  path: memory\n  max_bytes: 64MiB\n  max_age: 0\n  commit_interval: 1s\n"
		     "listen: {metrics: '[::1]:1', health: 0.0.0.0:65535, api: \"\", socket: /tmp/s}\n"
		     "programs:\n"
		     "  connection:\n"
		     "    enabled: false\n    required: true\n    ring_bytes: 16MiB\n    attach: clsact\n"
		     "    settings:\n      update_interval_ns: 10s\n      bytes: 2KiB\n      yes_or_no: true\n      number: -5\n      interface_1: eth77\n"
		     "  mine:\n    object: /opt/mine.bpf.o\n"
		     "  empty:\n");
	assert_string_equal(config.file, "f");
	assert_int_equal(config.log_level, SONDE_LOG_DEBUG);
	assert_string_equal(config.user, "nobody");
	assert_int_equal(config.shutdown_timeout_ns, 90000000000ll);
	assert_string_equal(config.store.path, "memory");
	assert_int_equal(config.store.max_bytes, 64 << 20);
	assert_int_equal(config.store.max_age_ns, 0);
	assert_int_equal(config.store.commit_interval_ns, 1000000000);
	assert_string_equal(config.listen.metrics, "[::1]:1");
	assert_string_equal(config.listen.health, "0.0.0.0:65535");
	assert_string_equal(config.listen.api, "");
	assert_string_equal(config.listen.socket, "/tmp/s");
	assert_int_equal(config.n_programs, 3);

	program = sonde_config_program(&config, "connection");
	assert_non_null(program);
	assert_false(program->enabled);
	assert_true(program->enabled_given);
	assert_true(program->required);
	assert_int_equal(program->ring_bytes, 16 << 20);
	assert_int_equal(program->attach, SONDE_ATTACH_CLSACT);
	assert_int_equal(program->n_settings, 5);
	assert_string_equal(program->settings[0].given.name, "update_interval_ns");
	assert_int_equal(program->settings[0].given.value, 10000000000ll);
	assert_int_equal(program->settings[0].line, 17);
	assert_int_equal(program->settings[0].column, 7);
	assert_int_equal(program->settings[1].given.value, 2048);
	assert_int_equal(program->settings[2].given.value, 1);
	assert_int_equal(program->settings[3].given.value, -5);
	assert_string_equal(program->settings[4].given.interface, "eth77"); /* it need not be there yet */
	assert_int_equal(program->settings[4].value_column, 20);

	program = sonde_config_program(&config, "mine");
	assert_string_equal(program->object, "/opt/mine.bpf.o");
	assert_true(program->enabled);
	assert_false(program->enabled_given);
	assert_false(program->required);
	assert_null(sonde_config_program(&config, "none"));
}

static void an_empty_file_is_all_defaults(void **state)
{
	expect_right("");
	expect_right("# only a comment\n");
	expect_right("---\n...\n");
	expect_right("\xef\xbb\xbfstore:\n  # all commented out\nlisten:\nprograms:\n");
	assert_int_equal(config.store.max_bytes, 1 << 30);
}

static void unknown_keys_are_named_with_the_nearest(void **state)
{
	expect_error("store:\n  pth: x\n", "f:2:3: unknown key 'pth' in store", "did you mean 'path'?");
	expect_error("lisen: 1\n", "f:1:1: unknown key 'lisen' in the file", "did you mean 'listen'?");
	expect_error("zzzzzz: 1\n", "f:1:1: unknown key 'zzzzzz'", "; allowed is log_level, user, ");
	expect_error("programs:\n  a:\n    enable: true\n", "f:3:5: unknown key 'enable' in programs.a", "'enabled'");
	expect_error("\"\\e[31m\": 1\n", "f:1:1: unknown key '?[31m'", "allowed");
}

static void bad_values_say_where_and_what_is_allowed(void **state)
{
	expect_error("log_level: loud", "f:1:12: bad value 'loud' of log_level; allowed is error, warning, info or debug", "");
	expect_error("user: a b", "f:1:7: bad value 'a b' of user", "name without spaces");
	expect_error("shutdown_timeout: 10", "f:1:19: bad value '10'", "allowed is a duration (200ms, 10s, 7d) from 1s to 5m");
	expect_error("shutdown_timeout: 1h", "f:1:19: bad value", "to 5m");
	expect_error("store:\n    max_bytes: 3 apples", "f:2:16: bad value '3 apples' of max_bytes", "or 0: no limit");
	expect_error("store: {max_bytes: 1KiB}", "f:1:20: bad value", "from 1MiB");
	expect_error("store: {max_bytes: 99999999999TiB}", "f:1:20: bad value", "size");
	expect_error("store: {max_age: -1d}", "f:1:18: bad value", "duration");
	expect_error("store: {path: here.db}", "f:1:15: bad value", "absolute path of at most 255 bytes, or memory");
	expect_error("store: {path: \"\"}", "f:1:15: bad value", "absolute path");
	expect_error("store: {path: \"/a\\nb\"}", "f:1:15: bad value '/a?b'", "absolute path");
	expect_error("listen:\n  api: localhost", "f:2:8: bad value", ":9090, 127.0.0.1:9090, [::1]:9090");
	expect_error("listen:\n  api: \":0\"", "f:2:8: bad value", "address");
	expect_error("listen:\n  api: \":65536\"", "f:2:8: bad value", "address");
	expect_error("listen:\n  api: \"::1:90\"", "f:2:8: bad value", "address");
	expect_error("listen:\n  api: \"300.0.0.1:90\"", "f:2:8: bad value", "address");
	expect_error("listen:\n  socket: run.sock", "f:2:11: bad value", "or \"\": off");
	expect_error("programs: {a: {enabled: yes}}", "f:1:25: bad value 'yes' of enabled; allowed is true or false", "");
	expect_error("programs: {a: {ring_bytes: 5000}}", "f:1:28: bad value", "a power of two from 4KiB to 1GiB");
	expect_error("programs: {a: {attach: tc}}", "f:1:24: bad value 'tc' of attach; allowed is auto, tcx or clsact", "");
	expect_error("programs: {a: {ring_bytes: 2KiB}}", "f:1:28: bad value", "power of two");
	expect_error("programs: {a: {settings: {x: maybe}}}", "f:1:30: bad value 'maybe' of x", "true or false");
	expect_error("programs: {a: {settings: {pid: lo}}}", "f:1:32: bad value 'lo' of pid", "true or false");
	expect_error("programs: {a: {settings: {interface_1: a b}}}", "f:1:40: bad value 'a b'", "the name of a network interface");
	expect_error("programs: {a: {settings: {interface_1: abcdefghijklmnop}}}", "f:1:40: bad value", "network interface");
	expect_error("user:", "f:1:6: user has no value", "allowed");
	expect_error("user: \"a\\0b\"", "f:1:7: a NUL character", "");
}

static void values_that_do_not_fit_are_refused(void **state)
{
	char text[600];

	snprintf(text, sizeof(text), "listen:\n  socket: /%0*d\n", 107, 0); /* 108 bytes: no room for the NUL of sun_path */
	expect_error(text, "f:2:11: bad value", "absolute path of at most 107 bytes");
	snprintf(text, sizeof(text), "listen:\n  socket: /%0*d\n", 106, 0);
	expect_right(text);
	snprintf(text, sizeof(text), "store:\n  path: /%0*d\n", 256, 0);
	expect_error(text, "f:2:9: bad value", "absolute path of at most 255 bytes");
}

static void wrong_kinds_are_named(void **state)
{
	expect_error("- a\n", "f:1:1: the file is a list; allowed is a section", "");
	expect_error("just text", "f:1:1: the file is a single value", "section");
	expect_error("store: [1]", "f:1:8: store is a list", "section");
	expect_error("store: 5", "f:1:8: store is a single value", "section");
	expect_error("user: {a: b}", "f:1:7: user is a section; allowed is a name", "");
	expect_error("user: [a]", "f:1:7: user is a list", "");
	expect_error("programs: {a: 1}", "f:1:15: programs.a is a single value", "section");
	expect_error("programs: {a: {settings: [1]}}", "f:1:26: settings is a list", "");
	expect_error("programs: {a: {settings: {x: [1]}}}", "f:1:30: x is a list", "number");
	expect_error("[a]: 1", "f:1:1: a key is a list; allowed is a word", "");
	expect_error("programs: {../a: {}}", "f:1:12: bad name '../a' of a program", "1 to 31 of a-z, 0-9 and _, the first a letter");
	expect_error("programs: {a: {settings: {x-y: 1}}}", "f:1:27: bad name 'x-y' of a setting", "");
}

static void duplicates_name_the_first(void **state)
{
	expect_error("user: a\nlog_level: info\nuser: b\n", "f:3:1: 'user' stands twice; it is also in line 1", "");
	expect_error("store: {}\nstore: {}\n", "f:2:1: 'store' stands twice", "line 1");
	expect_error("programs:\n  a:\n  b:\n  a:\n", "f:4:3: 'a' stands twice", "line 2");
	expect_error("programs:\n  a:\n    settings:\n      x: 1\n      x: 2\n", "f:5:7: 'x' stands twice", "line 4");
}

static void what_yaml_offers_beyond_values_is_refused(void **state)
{
	expect_error("user: &a b", "f:1:7: an anchor (&) is not supported", "write the value out");
	expect_error("user: *a", "f:1:7: an alias (*)", "");
	expect_error("user: !!str a", "f:1:7: a tag (!)", "");
	expect_error("store: &s {max_age: 1d}\nlisten: *s\n", "f:1:8: an anchor", "");
	expect_error("store: !x [a]", "f:1:8: a tag", "");
	expect_error("a: &a [x,x]\nb: &b [*a,*a]\n", "f:1:4: an anchor", "");
	expect_error("user: a\n---\nuser: b\n", "f:2:1: a second document", "one in a file");
	expect_error("<<: {user: a}\n", "f:1:1: unknown key '<<'", "");
}

static void broken_yaml_says_where(void **state)
{
	expect_error("store:\n\tpath: /x\n", "f:2:1: not YAML: ", "indent by spaces");
	expect_error("user: \"abc\n", "f:2:1: not YAML: ", "quoted scalar");
	expect_error("store: {path: /x\n", "f:2:1: not YAML: ", "");
	expect_error("user: b: c\n", "f:1:8: not YAML", "not allowed in this context");
	expect_error("%YAML 9.9\n---\nuser: x\n", "f:2:1: not YAML", "incompatible");
}

static void bytes_that_are_no_text_say_where(void **state)
{
	expect_error("user: a\xff\n", "f:1:8: a byte that is not UTF-8", "UTF-8");
	expect_error("user: \xc0\x80\n", "f:1:7: a byte that is not UTF-8", "");
	expect_error("user: \xed\xa0\x80\n", "f:1:7: a byte that is not UTF-8", "");
	expect_error("user: \xf4\x90\x80\x80\n", "f:1:7: a byte that is not UTF-8", "");
	expect_error("user: \xe2\x82", "f:1:7: a byte that is not UTF-8", "");
	expect_error("# \xc3\xa9\xe2\x82\xac\n\nuser: \x1b[0m\n", "f:3:7: a control character", "");
	expect_error("# \xe2\x82\xac\xe2\x82\xac \x07\n", "f:1:6: a control character", "");
	expect_error("\r\n\r\n\x01", "f:3:1: a control character", "");

	sonde_config_default(&config);
	assert_int_equal(sonde_config_parse(&config, "f", "user: a\n\0", 9, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "f:2:1: a NUL byte; allowed is text in UTF-8");
	assert_int_equal(sonde_config_parse(&config, "f", "\xff\xfeu\0", 4, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "f:1:1: a byte that is not UTF-8; allowed is text in UTF-8");
}

static void sizes_are_limited(void **state)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	int r;

	while (text.length < SONDE_CONFIG_BYTES_MAX)
		sonde_buffer_add_char(&text, '#');
	expect_right(text.data);
	sonde_buffer_add_char(&text, '#');
	expect_error(text.data, "f:1:1: the file is too large; allowed is 1MiB", "");

	sonde_buffer_clear(&text);
	while (text.length < 500000)
		sonde_buffer_add_char(&text, '[');
	expect_error(text.data, "f:1:1: the file is a list", "");
	sonde_buffer_clear(&text);
	while (text.length < 500000)
		sonde_buffer_add_text(&text, "{a: ");
	expect_error(text.data, "f:1:2: unknown key 'a'", "");

	sonde_buffer_clear(&text);
	sonde_buffer_add_text(&text, "programs:\n");
	for (int i = 0; i < 64; i++)
		sonde_buffer_printf(&text, "  p%d:\n", i);
	expect_right(text.data);
	assert_int_equal(config.n_programs, 64);
	sonde_buffer_add_text(&text, "  p64:\n");
	expect_error(text.data, "f:66:3: one program too many; allowed is 64", "");

	sonde_buffer_clear(&text);
	sonde_buffer_add_text(&text, "programs:\n  a:\n    settings:\n");
	for (int i = 0; i < 16; i++)
		sonde_buffer_printf(&text, "      s%d: %d\n", i, i);
	expect_right(text.data);
	sonde_buffer_add_text(&text, "      s16: 1\n");
	expect_error(text.data, "f:20:7: one setting too many; allowed is 16 of a program", "");

	r = parse("programs: {abcdefghijklmnopqrstuvwxyz012345: }");
	assert_int_equal(r, -EINVAL);
	expect_right("programs: {abcdefghijklmnopqrstuvwxyz01234: }");
}

static void files_are_read_or_refused_with_the_reason(void **state)
{
	sonde_config_default(&config);
	assert_int_equal(sonde_config_read(&config, "/nonexistent/x.yaml", NULL, error, sizeof(error)), -ENOENT);
	assert_string_equal(error, "the configuration /nonexistent/x.yaml cannot be read: No such file or directory");
	assert_int_equal(sonde_config_read(&config, "/", NULL, error, sizeof(error)), -EISDIR);
	assert_int_equal(sonde_config_load(&config, "/nonexistent/x.yaml", error, sizeof(error)), -ENOENT);
	assert_int_equal(sonde_config_read(&config, "name", "user: me", error, sizeof(error)), 0);
	assert_string_equal(config.user, "me");
}

/* The example shows every default, so reading it changes nothing but what it names. */
static void the_example_holds_the_defaults(void **state)
{
	static struct sonde_config defaults;

	if (sonde_config_load(&config, SONDE_SOURCE_DIR "/deploy/sonde.yaml", error, sizeof(error)) != 0)
		fail_msg("%s", error);
	sonde_config_default(&defaults);
	assert_int_equal(config.log_level, defaults.log_level);
	assert_string_equal(config.user, defaults.user);
	assert_memory_equal(&config.store, &defaults.store, sizeof(config.store));
	assert_memory_equal(&config.listen, &defaults.listen, sizeof(config.listen));
	assert_int_equal(config.shutdown_timeout_ns, defaults.shutdown_timeout_ns);
}

static void the_page_is_made_from_the_table(void **state)
{
	struct sonde_buffer page CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	FILE *file CLEANUP_FCLOSE = fopen(SONDE_SOURCE_DIR "/docs/configuration.md", "r");
	char *committed CLEANUP_FREE = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(committed);
	(void)!fread(committed, 1, 65535, file);
	sonde_config_markdown(&page);
	assert_int_equal(sonde_buffer_error(&page), 0);
	if (strcmp(page.data, committed) != 0)
		fail_msg("docs/configuration.md differs: build/sonde config --markdown > docs/configuration.md");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_as_documented),
		cmocka_unit_test(every_default_is_a_legal_value),
		cmocka_unit_test(every_option_is_read),
		cmocka_unit_test(an_empty_file_is_all_defaults),
		cmocka_unit_test(unknown_keys_are_named_with_the_nearest),
		cmocka_unit_test(bad_values_say_where_and_what_is_allowed),
		cmocka_unit_test(values_that_do_not_fit_are_refused),
		cmocka_unit_test(wrong_kinds_are_named),
		cmocka_unit_test(duplicates_name_the_first),
		cmocka_unit_test(what_yaml_offers_beyond_values_is_refused),
		cmocka_unit_test(broken_yaml_says_where),
		cmocka_unit_test(bytes_that_are_no_text_say_where),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(files_are_read_or_refused_with_the_reason),
		cmocka_unit_test(the_example_holds_the_defaults),
		cmocka_unit_test(the_page_is_made_from_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
