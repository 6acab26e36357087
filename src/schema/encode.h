/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file encode.h
 * Rows of values to text: JSON lines, a table for a terminal, CSV; and the SQL table of a type.
 *
 * Names, paths and arguments come from anyone on the host, as bytes. Each encoder is the one place that makes them
 * safe for its reader, and none loses a byte:
 *
 * - The escape form. In text, `\xNN` (a backslash, `x`, two hex digits in lower case) stands for the byte NN; all else
 *   stands for itself. Bytes that are not UTF-8 are written so, and a backslash that would by chance look like such an
 *   escape is itself written as `\x5c`. To get the bytes back, replace every match of `\\x[0-9a-f]{2}` once, from left
 *   to right. Example: the bytes `a\ff` FF become `a\ff\xff`.
 * - JSON is always valid and always UTF-8. Bytes that are not UTF-8, and NUL (which many readers of JSON refuse), take
 *   the escape form; like any backslash it is doubled by JSON: "\\xff". Other control and invisible characters are
 *   JSON's own \u001b, so that JSON on a terminal is harmless too, and parsers give them back by themselves.
 * - A terminal gets printable characters only: control bytes (C0, DEL, C1), invisible and bidi characters and bytes
 *   that are not UTF-8 take the escape form.
 * - CSV is by RFC 4180 with "\n"; text is as on a terminal, so a row is always one line. Null is an empty cell. Text
 *   that begins with = + - @ or an apostrophe gets an apostrophe in front (a spreadsheet would run it); drop it to get
 *   the text.
 * - Arguments (SONDE_SEMANTIC_ARGUMENTS) are one line for the shell in every encoder: words are plain, 'quoted' or
 *   $'with \n, \t, \xNN', and bash splits the line into exactly the words of the process.
 *
 * Threads: a buffer and a table belong to one thread.
 * Errors:  0, or -ENOMEM if the buffer could not grow; see buffer.h.
 */

#include <schema/schema.h>
#include <base/buffer.h>

/** One flat object, without the newline. */
int sonde_encode_json(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out);
/** A JSON string with its quotes. */
int sonde_encode_json_text(const char *bytes, size_t length, struct sonde_buffer *out);
/** A value alone, as JSON. `column` may be NULL: a plain value. */
int sonde_encode_json_value(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out);

/** Header line / row, each with CRLF-free newline at the end. */
int sonde_encode_csv_header(const struct sonde_type *type, struct sonde_buffer *out);
int sonde_encode_csv(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out);

/**
 * A value for human eyes: 850ns, 1.25ms, 3.20s, 2m05s; 512B, 1.5KiB; 10.0.0.1; a time is 22:52:54.123, in UTC. Null gives
 * "-". `column` may be NULL: a plain value.
 */
int sonde_encode_human(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out);
/** Foreign text, safe for a terminal. */
int sonde_encode_terminal_text(const char *bytes, size_t length, struct sonde_buffer *out);

/**
 * @brief A streaming table: each row is written at once, no line is wider than `width`.
 *
 * Rows of one type are shown in its columns, headed by their names in capitals (without _ns and _bytes: the values
 * carry units). An address and its port are one column, address:port or [v6]:port. Columns that do not fit are left
 * out: first tid, uid, source and cookies, then those that have been null so far, then from the right; time, process, kind,
 * addresses and errors stay. A weight is shown once it is not 1. Text that is too long ends in an ellipsis. The
 * header comes again every 50 rows, and when a column that was left out gets its first value.
 *
 * From the first row of a second type on, rows of all types share one layout: TIME TYPE PID COMMAND DETAIL, where
 * DETAIL is the row's own values as name=value, null ones left out.
 *
 * A line with the date stands before the first row and wherever the day changes; times are UTC.
 *
 * @param width Columns of the terminal, at least 40. 0: not a terminal. Then nothing is cut or left out, times have their
 *        date, and the header comes only when the layout changes.
 * @param color Failures red, "-" dim, headers bold, by SGR sequences.
 */
struct sonde_table;
int sonde_table_new(unsigned width, bool color, struct sonde_table **ret_table);
/** Begin with the layout for several types, when it is known that there will be more than one. */
void sonde_table_mix(struct sonde_table *table);
/** One row, and what has to stand before it, each line with "\n". `type` must outlive the table. */
int sonde_table_row(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
		    struct sonde_buffer *out);
void sonde_table_free(struct sonde_table **table);

/** The type as JSON (name, doc, columns with name, type, unit, doc), and as Markdown for the program's page. */
int sonde_encode_schema_json(const struct sonde_type *type, struct sonde_buffer *out);
int sonde_encode_schema_markdown(const struct sonde_type *type, struct sonde_buffer *out);
/** All of a program as Markdown: its types, settings and metrics. */
int sonde_encode_program_markdown(const struct sonde_schema *schema, struct sonde_buffer *out);
