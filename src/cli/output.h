/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file output.h
 * Answers on standard output: rows of events as a table, JSON lines or CSV, as --output and --color say.
 *
 * A reader that went away (`sonde events | head`) ends the output in silence: -EPIPE, and the command ends with
 * SONDE_EXIT_DONE. Needs SIGPIPE ignored: sonde_command_line() does that.
 */

#include <cli/options.h>
#include <base/buffer.h>
#include <schema/schema.h>

struct sonde_table;

struct sonde_output {
	enum sonde_format format;
	bool color;
	unsigned width; /* columns of the terminal; 0: none, there is room for everything */
	struct sonde_table *table;
	struct sonde_buffer buffer;
	bool held; /* rows are not written before sonde_output_flush() */
	const struct sonde_type *csv_type; /* whose header was written last */
};

/** @return 0, -ENOMEM. Close it with sonde_output_close(). */
int sonde_output_open(const struct sonde_options *options, struct sonde_output *ret_output);
/** Rows of several types will come: one layout for all from the first row on. */
void sonde_output_mix(struct sonde_output *output);
/** @return 0; -EPIPE the reader went away; -EINTR Ctrl-C, if it is caught; -ENOSPC ... the caller says it. */
int sonde_output_row(struct sonde_output *output, const struct sonde_type *type, const struct sonde_value *values);
/** What is in `output->buffer` was added by the caller: write it out when it is large. The same results. */
int sonde_output_added(struct sonde_output *output);
/** Write out everything now: before waiting for more. The same results. */
int sonde_output_flush(struct sonde_output *output);
void sonde_output_close(struct sonde_output *output);

/** Is standard output a terminal that wants colour? */
bool sonde_output_wants_color(enum sonde_color color);
/** Columns of the terminal (or $COLUMNS), at least 40; 0: not a terminal. */
unsigned sonde_output_width(void);
