/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file command.h
 * A command of the command line: one file cmd_NAME.c, which defines `const struct sonde_command sonde_command_NAME`, and
 * one line in commands.c. Its --help and its part of the man page are made from this description.
 *
 * An option means the same in every command that takes it: all stand in one table (cli/options.c), a command names the
 * ones it takes.
 */

#include <cli/options.h>

enum sonde_exit {
	SONDE_EXIT_DONE = 0,
	SONDE_EXIT_FAILED = 1,
	SONDE_EXIT_USAGE = 2, /* wrong usage or a wrong configuration: nothing was tried */
};

#define SONDE_ARGUMENTS_ANY 1000

struct sonde_command {
	const char *name;
	const char *arguments;	   /* as shown: "[TYPE]"; NULL: none */
	const char *summary;	   /* one line, without a full stop */
	const char *help;	   /* what it does, in paragraphs of full sentences; lines of at most 78 characters */
	const char *examples;	   /* lines "COMMAND LINE   # what it answers"; or NULL */
	uint64_t options;	   /* SONDE_TAKES(SINCE) | ... */
	unsigned min_arguments, max_arguments;
	bool hidden;		   /* neither in the overview nor in the man page */
	/** @return one of enum sonde_exit. What went wrong has been said with sonde_say_error(). */
	int (*run)(const struct sonde_options *options);
};

/** Ends with NULL; in the order of the overview. */
extern const struct sonde_command *const sonde_commands[];
const struct sonde_command *sonde_command_find(const char *name); /* or NULL */

/** The whole command line: chooses the command, reads its options, runs it. @return the exit code. */
int sonde_command_line(int argc, char *argv[]);
