/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file options.h
 * All options of the command line: one table, one meaning for each name, whichever command takes it.
 *
 * A new option: a value in enum sonde_option_id, a field in struct sonde_options, a line in the table of options.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/interface.h>

enum sonde_format { SONDE_FORMAT_TABLE, SONDE_FORMAT_JSON, SONDE_FORMAT_CSV };
enum sonde_color { SONDE_COLOR_AUTO, SONDE_COLOR_ALWAYS, SONDE_COLOR_NEVER };

#define SONDE_OBJECTS_MAX 16
#define SONDE_SETTINGS_MAX 16

enum sonde_option_id {
	SONDE_OPTION_SINCE,
	SONDE_OPTION_UNTIL,
	SONDE_OPTION_PID,
	SONDE_OPTION_COMMAND,
	SONDE_OPTION_CONTAINER,
	SONDE_OPTION_WHERE,
	SONDE_OPTION_BY,
	SONDE_OPTION_SUM,
	SONDE_OPTION_FOLLOW,
	SONDE_OPTION_LIMIT,
	SONDE_OPTION_OLDEST_FIRST,
	SONDE_OPTION_FOR,
	SONDE_OPTION_INTERVAL,
	SONDE_OPTION_OUTPUT,
	SONDE_OPTION_SCHEMA_OUTPUT,
	SONDE_OPTION_JSON,
	SONDE_OPTION_CONFIG,
	SONDE_OPTION_PROGRAM,
	SONDE_OPTION_SET,
	SONDE_OPTION_ATTACH,
	SONDE_OPTION_STORE,
	SONDE_OPTION_SOCKET,
	SONDE_OPTION_COLOR,
	SONDE_OPTION_LOG_LEVEL,
	SONDE_OPTION_MAN,
	SONDE_OPTION_MARKDOWN,
	SONDE_OPTION_HELP,
	SONDE_OPTION_MAX,
};

#define SONDE_TAKES(name) (1ull << SONDE_OPTION_##name)
/** Which events: what `trace` can do too. */
#define SONDE_TAKES_FILTER (SONDE_TAKES(PID) | SONDE_TAKES(COMMAND) | SONDE_TAKES(CONTAINER) | SONDE_TAKES(WHERE))
#define SONDE_TAKES_QUERY (SONDE_TAKES_FILTER | SONDE_TAKES(SINCE) | SONDE_TAKES(UNTIL))
#define SONDE_TAKES_OUTPUT (SONDE_TAKES(OUTPUT) | SONDE_TAKES(COLOR))

/** What was typed; fields of options that were not given hold their default. Texts are borrowed from argv. */
struct sonde_options {
	int64_t since_ns, until_ns; /* wall clock; INT64_MIN, INT64_MAX: not given */
	int64_t pid;		    /* -1: any */
	const char *command, *container, *where, *by, *sum;
	int64_t limit;		    /* 0: not given */
	int64_t for_ns, interval_ns; /* 0: not given */
	bool follow, oldest_first, json, man, markdown, help;
	enum sonde_format format;
	enum sonde_color color;
	const char *schema_format;  /* "table", "json", "markdown" */
	const char *config;	    /* NULL: /etc/sonde/sonde.yaml if it is there */
	const char *store;	    /* NULL: not given */
	const char *socket;	    /* never NULL: --socket, SONDE_SOCKET or the default */
	const char *log_level;	    /* NULL: not given; checked */
	const char *objects[SONDE_OBJECTS_MAX]; /* --program, may stand several times */
	unsigned n_objects;
	const char *settings[SONDE_SETTINGS_MAX]; /* --set, NAME=VALUE, may stand several times */
	unsigned n_settings;
	enum sonde_attach attach;
	uint64_t given;		    /* SONDE_TAKES() bits of those that were typed */

	const char *const *arguments; /* the words that are no options */
	unsigned n_arguments;
};

struct sonde_option {
	const char *name;
	char letter;		  /* or 0 */
	const char *argument;	  /* "TIME"; NULL: a flag */
	const char *help;	  /* one line, without a full stop; NULL: not shown */
	size_t offset;		  /* of its field in struct sonde_options */
	/** Reads the value into the field. @return 0, or -EINVAL with what is allowed in `ret_error`. NULL: a flag. */
	int (*read)(const char *text, void *ret_value, char *ret_error, size_t error_size);
};

const struct sonde_option *sonde_option(enum sonde_option_id id);

struct sonde_command;

void sonde_options_default(struct sonde_options *options);
/**
 * @brief Read the words after the command's name.
 * @param words Sorted in place: the arguments come to its front.
 * @return 0, -EINVAL with a whole sentence in `ret_error`.
 */
int sonde_options_read(const struct sonde_command *command, int n, const char *words[], struct sonde_options *ret_options,
		       char *ret_error, size_t error_size);
