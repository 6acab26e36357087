/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file encode.h
 * Rows of values to text: JSON lines, a table for a terminal, CSV; and the SQL table of a type.
 *
 * Names, paths and arguments come from anyone on the host, as bytes. Each encoder is the one place that makes them
 * safe for its reader: JSON is always valid UTF-8 (a byte that is not is written as U+FFFD would lose it: it
 * becomes \u00XX only inside the escape form documented in encode_json.c), a terminal never gets a control byte (C0,
 * DEL, C1, bidi controls are shown as escapes), CSV quotes by RFC 4180 and never starts a cell with = + - @ from
 * foreign text.
 *
 * Threads: a buffer belongs to one thread.
 */

#include <schema/schema.h>
#include <base/buffer.h>

/** One flat object, without the newline. */
int sonde_encode_json(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out);
/** A JSON string with its quotes. */
int sonde_encode_json_text(const char *bytes, size_t length, struct sonde_buffer *out);
/** A value alone, as JSON. */
int sonde_encode_json_value(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out);

/** Header line / row, each with CRLF-free newline at the end. */
int sonde_encode_csv_header(const struct sonde_type *type, struct sonde_buffer *out);
int sonde_encode_csv(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out);

/** A value for human eyes: 1.25ms, 1.5MiB, 10.0.0.1; control bytes shown as \xNN. Null gives "-". */
int sonde_encode_human(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out);
/** Foreign text, safe for a terminal. */
int sonde_encode_terminal_text(const char *bytes, size_t length, struct sonde_buffer *out);

/** Streaming table: fits `width` columns of the terminal, prints a header when the type changes and every 50 rows. */
struct sonde_table;
int sonde_table_new(unsigned width, bool color, struct sonde_table **ret_table);
int sonde_table_row(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
		    struct sonde_buffer *out);
void sonde_table_free(struct sonde_table **table);

/** CREATE TABLE statement of the type (plain SQLite), with `sequence` as a last, inner column. */
int sonde_encode_sql_create(const struct sonde_type *type, struct sonde_buffer *out);
/** The type as JSON (name, doc, columns with name, type, unit, doc), and as Markdown for the program's page. */
int sonde_encode_schema_json(const struct sonde_type *type, struct sonde_buffer *out);
int sonde_encode_schema_markdown(const struct sonde_type *type, struct sonde_buffer *out);
