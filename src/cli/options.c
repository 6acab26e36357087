/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the command line and their reader. A wrong word stops at once: nothing is guessed, nothing is ignored. */
#include <cli/options.h>

#include <cli/command.h>
#include <cli/moment.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <base/units.h>

#define DEFAULT_SOCKET "/run/sonde/sonde.sock"

static int refuse(char *ret_error, size_t size, const char *allowed)
{
	snprintf(ret_error, size, "%s", allowed);
	return -EINVAL;
}

static int read_time(const char *text, void *ret_value, char *ret_error, size_t size)
{
	if (sonde_moment_parse(text, sonde_clock_wall_ns(), ret_value) < 0)
		return refuse(ret_error, size, "a time: " SONDE_MOMENT_HELP);
	return 0;
}

static int read_duration(const char *text, void *ret_value, char *ret_error, size_t size)
{
	int64_t ns;

	if (sonde_duration_parse(text, &ns) < 0 || !ns)
		return refuse(ret_error, size, "a duration above 0 with its unit: 500ms, 5s, 2m30s");
	*(int64_t *)ret_value = ns;
	return 0;
}

static int read_pid(const char *text, void *ret_value, char *ret_error, size_t size)
{
	int64_t pid;

	if (sonde_integer_parse(text, &pid) < 0 || pid < 0 || pid > INT32_MAX)
		return refuse(ret_error, size, "the number of a process");
	*(int64_t *)ret_value = pid;
	return 0;
}

static int read_limit(const char *text, void *ret_value, char *ret_error, size_t size)
{
	int64_t limit;

	if (sonde_integer_parse(text, &limit) < 0 || limit < 1 || limit > UINT32_MAX)
		return refuse(ret_error, size, "a number from 1 to 4294967295");
	*(int64_t *)ret_value = limit;
	return 0;
}

static int read_text(const char *text, void *ret_value, char *ret_error, size_t size)
{
	if (!*text)
		return refuse(ret_error, size, "a text that is not empty");
	*(const char **)ret_value = text;
	return 0;
}

static int read_format(const char *text, void *ret_value, char *ret_error, size_t size)
{
	static const char *const names[] = {"table", "json", "csv"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			*(enum sonde_format *)ret_value = (enum sonde_format)i;
			return 0;
		}
	return refuse(ret_error, size, "table, json or csv");
}

static int read_schema_format(const char *text, void *ret_value, char *ret_error, size_t size)
{
	if (strcmp(text, "table") && strcmp(text, "json") && strcmp(text, "markdown"))
		return refuse(ret_error, size, "table, json or markdown");
	*(const char **)ret_value = text;
	return 0;
}

static int read_color(const char *text, void *ret_value, char *ret_error, size_t size)
{
	static const char *const names[] = {"auto", "always", "never"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			*(enum sonde_color *)ret_value = (enum sonde_color)i;
			return 0;
		}
	return refuse(ret_error, size, "auto, always or never");
}

static int read_log_level(const char *text, void *ret_value, char *ret_error, size_t size)
{
	enum sonde_log_level level;

	if (sonde_log_parse_level(text, &level) < 0)
		return refuse(ret_error, size, "error, warning, info or debug");
	*(const char **)ret_value = text;
	return 0;
}

static int read_attach(const char *text, void *ret_value, char *ret_error, size_t size)
{
	return sonde_attach_parse(text, ret_value) < 0 ? refuse(ret_error, size, "auto, tcx or clsact") : 0;
}

/* These may stand several times. */
static int read_object(const char *text, void *ret_value, char *ret_error, size_t size)
{
	struct sonde_options *options = (struct sonde_options *)((char *)ret_value - offsetof(struct sonde_options, objects));

	if (!*text)
		return refuse(ret_error, size, "the path of a .bpf.o file");
	if (options->n_objects == SONDE_OBJECTS_MAX)
		return refuse(ret_error, size, "at most 16 of them");
	options->objects[options->n_objects++] = text;
	return 0;
}

static int read_setting(const char *text, void *ret_value, char *ret_error, size_t size)
{
	struct sonde_options *options = (struct sonde_options *)((char *)ret_value - offsetof(struct sonde_options, settings));

	if (*text == '=' || !strchr(text, '='))
		return refuse(ret_error, size, "NAME=VALUE, a setting of the program");
	if (options->n_settings == SONDE_SETTINGS_MAX)
		return refuse(ret_error, size, "at most 16 of them");
	options->settings[options->n_settings++] = text;
	return 0;
}

#define FIELD(name) offsetof(struct sonde_options, name)

static const struct sonde_option table[SONDE_OPTION_MAX] = {
	[SONDE_OPTION_SINCE] = {"since", 's', "TIME", "from this time on: " SONDE_MOMENT_HELP, FIELD(since_ns), read_time},
	[SONDE_OPTION_UNTIL] = {"until", 'u', "TIME", "before this time", FIELD(until_ns), read_time},
	[SONDE_OPTION_PID] = {"pid", 'p', "N", "only this process", FIELD(pid), read_pid},
	[SONDE_OPTION_COMMAND] = {"command", 0, "NAME", "only processes with this name (exact, at most 15 bytes)",
				  FIELD(command), read_text},
	[SONDE_OPTION_CONTAINER] = {"container", 0, "NAME",
				    "only this container or unit (a name, an id, or 12 or more characters of an id)",
				    FIELD(container), read_text},
	[SONDE_OPTION_WHERE] = {"where", 'w', "EXPR",
				"only events for which this is true: 'remote_port = 443 and duration_ns > 10ms'", FIELD(where),
				read_text},
	[SONDE_OPTION_BY] = {"by", 0, "COLUMNS", "one number for each value of this column, or of up to three: pid,command", FIELD(by),
			     read_text},
	[SONDE_OPTION_SUM] = {"sum", 0, "COLUMN", "also add up this column, and rank by it", FIELD(sum), read_text},
	[SONDE_OPTION_FOLLOW] = {"follow", 'f', NULL, "go on with new events as they happen, until Ctrl-C", FIELD(follow), NULL},
	[SONDE_OPTION_LIMIT] = {"limit", 'n', "N", "at most N events, groups or rows", FIELD(limit), read_limit},
	[SONDE_OPTION_OLDEST_FIRST] = {"oldest-first", 0, NULL, "in the order in which they happened (default: newest first)",
				       FIELD(oldest_first), NULL},
	[SONDE_OPTION_FOR] = {"for", 0, "DURATION", "end after this time: 5s, 2m", FIELD(for_ns), read_duration},
	[SONDE_OPTION_INTERVAL] = {"interval", 0, "DURATION", "look again after this time, until Ctrl-C: 2s", FIELD(interval_ns),
				   read_duration},
	[SONDE_OPTION_OUTPUT] = {"output", 'o', "FORMAT", "table (default), json (one object a line) or csv", FIELD(format),
				 read_format},
	[SONDE_OPTION_SCHEMA_OUTPUT] = {"output", 'o', "FORMAT", "table (default), json or markdown", FIELD(schema_format),
					read_schema_format},
	[SONDE_OPTION_JSON] = {"json", 0, NULL, "the answer as one JSON object", FIELD(json), NULL},
	[SONDE_OPTION_CONFIG] = {"config", 'c', "FILE", "configuration (default: /etc/sonde/sonde.yaml, if it is there)",
				 FIELD(config), read_text},
	[SONDE_OPTION_PROGRAM] = {"program", 0, "FILE", "one more program, a .bpf.o file; may stand several times",
				  FIELD(objects), read_object},
	[SONDE_OPTION_SET] = {"set", 0, "NAME=VALUE", "a setting of those programs that have it, as in the configuration; may stand several times",
			      FIELD(settings), read_setting},
	[SONDE_OPTION_ATTACH] = {"attach", 0, "HOW", "how to attach to network interfaces: tcx, clsact or auto (default: tcx where the kernel has it)",
				 FIELD(attach), read_attach},
	[SONDE_OPTION_STORE] = {"store", 0, "PATH", "the store's file: where 'run' keeps the events ('memory': nowhere else); others read it instead of asking an agent",
				FIELD(store), read_text},
	[SONDE_OPTION_SOCKET] = {"socket", 0, "PATH", "the agent's socket (default: $SONDE_SOCKET or " DEFAULT_SOCKET ")",
				 FIELD(socket), read_text},
	[SONDE_OPTION_COLOR] = {"color", 0, "WHEN", "auto (default: on a terminal without $NO_COLOR), always or never",
				FIELD(color), read_color},
	[SONDE_OPTION_LOG_LEVEL] = {"log-level", 0, "LEVEL", "error, warning, info (default) or debug", FIELD(log_level),
				    read_log_level},
	[SONDE_OPTION_MAN] = {"man", 0, NULL, NULL, FIELD(man), NULL},
	[SONDE_OPTION_MARKDOWN] = {"markdown", 0, NULL, NULL, FIELD(markdown), NULL},
	[SONDE_OPTION_HELP] = {"help", 'h', NULL, "this help", FIELD(help), NULL},
};

const struct sonde_option *sonde_option(enum sonde_option_id id)
{
	return &table[id];
}

void sonde_options_default(struct sonde_options *options)
{
	const char *socket = getenv("SONDE_SOCKET");

	*options = (struct sonde_options){
		.since_ns = INT64_MIN,
		.until_ns = INT64_MAX,
		.pid = -1,
		.schema_format = "table",
		.socket = socket && *socket ? socket : DEFAULT_SOCKET,
	};
}

/* One walk over the words. */
struct reader {
	const struct sonde_command *command;
	struct sonde_options *options;
	const char **words;
	int n, next;
	char *ret_error;
	size_t error_size;
};

static bool takes(const struct reader *reader, unsigned id)
{
	return (reader->command->options | SONDE_TAKES(HELP)) >> id & 1;
}

static int unknown_option(struct reader *reader, const char *word, size_t length)
{
	struct sonde_nearest nearest = {0};
	char typed[64];

	snprintf(typed, sizeof(typed), "%.*s", (int)length, word);
	for (unsigned id = 0; id < SONDE_OPTION_MAX; id++)
		if (takes(reader, id) && !strncmp(typed, "--", 2))
			sonde_nearest_try(&nearest, typed + 2, table[id].name);
	snprintf(reader->ret_error, reader->error_size, "'sonde %s' has no option '%s'%s%s%s; see 'sonde %s --help'",
		 reader->command->name, typed, nearest.word ? " (did you mean '--" : "", nearest.word ? nearest.word : "",
		 nearest.word ? "'?)" : "", reader->command->name);
	return -EINVAL;
}

/* `value` is NULL when it must be the next word. */
static int option_read(struct reader *reader, unsigned id, const char *value)
{
	const struct sonde_option *option = &table[id];
	char *field = (char *)reader->options + option->offset, allowed[256];

	reader->options->given |= 1ull << id;
	if (!option->read) {
		if (value) {
			snprintf(reader->ret_error, reader->error_size, "option '--%s' takes no value", option->name);
			return -EINVAL;
		}
		*(bool *)field = true;
		return 0;
	}
	if (!value && reader->next < reader->n && strncmp(reader->words[reader->next], "--", 2) != 0)
		value = reader->words[reader->next++];
	if (!value) {
		snprintf(reader->ret_error, reader->error_size, "option '--%s' needs a value: --%s %s (%s)", option->name,
			 option->name, option->argument, option->help);
		return -EINVAL;
	}
	if (option->read(value, field, allowed, sizeof(allowed)) == 0)
		return 0;
	snprintf(reader->ret_error, reader->error_size, "bad value '%s' of option '--%s': allowed is %s", value, option->name,
		 allowed);
	return -EINVAL;
}

static int long_read(struct reader *reader, const char *word)
{
	const char *name = word + 2, *value = strchr(name, '=');
	size_t length = value ? (size_t)(value - name) : strlen(name);

	for (unsigned id = 0; id < SONDE_OPTION_MAX; id++)
		if (takes(reader, id) && strlen(table[id].name) == length && !memcmp(table[id].name, name, length))
			return option_read(reader, id, value ? value + 1 : NULL);
	return unknown_option(reader, word, length + 2);
}

/* "-n5", "-n 5", and flags together: "-fn5". */
static int letters_read(struct reader *reader, const char *word)
{
	for (const char *p = word + 1; *p; p++) {
		unsigned id = 0;
		int r;

		while (id < SONDE_OPTION_MAX && !(takes(reader, id) && table[id].letter == *p))
			id++;
		if (id == SONDE_OPTION_MAX)
			return unknown_option(reader, word, strlen(word));
		r = option_read(reader, id, table[id].read && p[1] ? p + 1 : NULL);
		if (r < 0 || table[id].read)
			return r;
	}
	return 0;
}

static int arguments_check(struct reader *reader, unsigned n)
{
	const struct sonde_command *command = reader->command;

	if (n > command->max_arguments) {
		snprintf(reader->ret_error, reader->error_size, "'%s' is one word too many: the form is 'sonde %s%s%s'",
			 reader->words[command->max_arguments], command->name, command->arguments ? " " : "",
			 command->arguments ? command->arguments : "");
		return -EINVAL;
	}
	if (n < command->min_arguments) {
		snprintf(reader->ret_error, reader->error_size, "something is missing: the form is 'sonde %s %s'", command->name,
			 command->arguments);
		return -EINVAL;
	}
	return 0;
}

int sonde_options_read(const struct sonde_command *command, int n, const char *words[], struct sonde_options *ret_options,
		       char *ret_error, size_t error_size)
{
	struct sonde_options options;
	struct reader reader = {command, &options, words, n, 0, ret_error, error_size};
	bool only_arguments = false;
	unsigned n_arguments = 0;
	int r = 0;

	sonde_options_default(&options);
	while (reader.next < n && r == 0) {
		const char *word = words[reader.next++];

		if (!only_arguments && !strcmp(word, "--"))
			only_arguments = true;
		else if (!only_arguments && !strncmp(word, "--", 2))
			r = long_read(&reader, word);
		else if (!only_arguments && word[0] == '-' && word[1])
			r = letters_read(&reader, word);
		else
			words[n_arguments++] = word;
	}
	if (r == 0 && !options.help)
		r = arguments_check(&reader, n_arguments);
	if (r < 0)
		return r;
	options.arguments = words;
	options.n_arguments = n_arguments;
	*ret_options = options;
	return 0;
}
