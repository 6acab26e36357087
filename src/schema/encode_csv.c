/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to CSV by RFC 4180, with "\n" at the end. A row is always one line of safe characters: control bytes of foreign
 * text take the escape form of encode.h instead of going into quotes raw. No cell of foreign text can begin a formula.
 */
#include <schema/encode.h>

#include <base/cleanup.h>
#include <schema/encode_text.h>

/* The apostrophe is the guard itself: text that begins with one gets a second, so that dropping one gives the text. */
static bool needs_guard(const char *cell, size_t length)
{
	return length && memchr("=+-@'", cell[0], 5);
}

static void add_cell(struct sonde_buffer *out, const char *cell, size_t length, bool foreign)
{
	const char *end = cell + length, *quote;
	bool quoted = memchr(cell, '"', length) || memchr(cell, ',', length);

	if (quoted)
		sonde_buffer_add_char(out, '"');
	if (foreign && needs_guard(cell, length))
		sonde_buffer_add_char(out, '\'');
	while (quoted && (quote = memchr(cell, '"', (size_t)(end - cell)))) {
		sonde_buffer_add(out, cell, (size_t)(quote - cell) + 1);
		sonde_buffer_add_char(out, '"');
		cell = quote + 1;
	}
	sonde_buffer_add(out, cell, (size_t)(end - cell));
	if (quoted)
		sonde_buffer_add_char(out, '"');
}

static void add_text(struct sonde_buffer *out, enum sonde_semantic semantic, const struct sonde_value *value)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer safe = SONDE_BUFFER_INIT;

	/* Null is an empty cell, so empty text is a quoted one: readers that care can tell them apart. No arguments are a word. */
	if (!value->length && semantic != SONDE_SEMANTIC_ARGUMENTS) {
		sonde_buffer_add_text(out, "\"\"");
		return;
	}
	if (semantic == SONDE_SEMANTIC_ARGUMENTS)
		sonde_text_add_arguments(&safe, value->text, value->length);
	else
		sonde_text_add_safe(&safe, value->text, value->length, semantic == SONDE_SEMANTIC_ESCAPED);
	if (safe.failed)
		out->failed = true;
	else
		add_cell(out, safe.data, safe.length, true);
}

static void add_value(struct sonde_buffer *out, enum sonde_semantic semantic, const struct sonde_value *value)
{
	char text[SONDE_TEXT_ADDRESS_SIZE];

	switch (value->type) {
	case SONDE_NULL:
		break;
	case SONDE_INT:
		if (semantic == SONDE_SEMANTIC_TIME)
			sonde_buffer_add(out, text, sonde_text_time(value->i, text));
		else
			sonde_buffer_add_i64(out, value->i);
		break;
	case SONDE_UINT:
		sonde_buffer_add_u64(out, value->u);
		break;
	case SONDE_BOOL:
		sonde_buffer_add_text(out, value->b ? "true" : "false");
		break;
	case SONDE_TEXT:
		add_text(out, semantic, value);
		break;
	case SONDE_ADDRESS:
		sonde_buffer_add(out, text, sonde_text_address(value->address, text));
		break;
	case SONDE_REAL:
		sonde_buffer_add(out, text, sonde_text_real(value->real, text));
		break;
	}
}

int sonde_encode_csv_header(const struct sonde_type *type, struct sonde_buffer *out)
{
	for (uint32_t i = 0; i < type->n_columns; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		add_cell(out, type->columns[i].name, strlen(type->columns[i].name), false);
	}
	sonde_buffer_add_char(out, '\n');
	return sonde_buffer_error(out);
}

int sonde_encode_csv(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out)
{
	for (uint32_t i = 0; i < type->n_columns; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		add_value(out, type->columns[i].semantic, &values[i]);
	}
	sonde_buffer_add_char(out, '\n');
	return sonde_buffer_error(out);
}
