/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL table of a type. Docs become comments, which SQLite keeps: `.schema` in its shell then explains the columns.
 * Names and docs may come from a store's file: whatever they hold, the statement makes this one table and nothing else.
 */
#include <schema/encode.h>

static void add_identifier(struct sonde_buffer *out, const char *name)
{
	sonde_buffer_add_char(out, '"');
	for (; *name; name++) {
		if (*name == '"')
			sonde_buffer_add_char(out, '"');
		sonde_buffer_add_char(out, *name);
	}
	sonde_buffer_add_char(out, '"');
}

/* A comment ends at the first newline. */
static void add_comment(struct sonde_buffer *out, const char *text)
{
	if (!text || !*text)
		return;
	sonde_buffer_add_text(out, " -- ");
	for (; *text; text++)
		sonde_buffer_add_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
}

static const char *sql_type(enum sonde_value_type type)
{
	switch (type) {
	case SONDE_INT:
	case SONDE_UINT:
	case SONDE_BOOL:
		return "INTEGER";
	case SONDE_TEXT:
	case SONDE_ADDRESS:
	case SONDE_NULL:
	case SONDE_REAL:
		break;
	}
	return "TEXT";
}

int sonde_encode_sql_create(const struct sonde_type *type, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "CREATE TABLE ");
	add_identifier(out, type->name);
	sonde_buffer_add_text(out, " (");
	add_comment(out, type->doc);
	for (uint32_t i = 0; i < type->n_columns; i++) {
		const struct sonde_column *column = &type->columns[i];

		sonde_buffer_add_text(out, "\n\t");
		add_identifier(out, column->name);
		sonde_buffer_printf(out, " %s%s,", sql_type(column->type), i == SONDE_COLUMN_TIME ? " NOT NULL" : "");
		add_comment(out, column->doc);
		if (column->semantic == SONDE_SEMANTIC_TIME)
			sonde_buffer_add_text(out, " (ns since 1970 UTC)");
	}
	sonde_buffer_add_text(out, "\n\t\"sequence\" INTEGER NOT NULL -- order of the events of one CPU\n);\n");
	return sonde_buffer_error(out);
}
