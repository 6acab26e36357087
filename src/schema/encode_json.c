/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to JSON. The output is valid JSON and valid UTF-8 whatever the bytes, and no byte is lost: what JSON cannot
 * hold takes the escape form of encode.h (`\xNN`, in JSON "\\xNN").
 *
 * This is the hot path of streams: no printf, plain runs are copied at once.
 */
#include <schema/encode.h>

#include <base/cleanup.h>
#include <schema/encode_text.h>

static void add_unicode_escape(struct sonde_buffer *out, uint32_t unit)
{
	static const char hex[] = "0123456789abcdef";
	const char escape[] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};

	sonde_buffer_add(out, escape, sizeof(escape));
}

/* Valid in JSON as they are, but a terminal would act on them, and JavaScript before 2019 took U+2028 for a new line. */
static void add_unsafe(struct sonde_buffer *out, uint32_t code)
{
	switch (code) {
	case 0:
		/* U+0000 is refused by jansson, PostgreSQL and others. */
		sonde_buffer_add_text(out, "\\\\x00");
		break;
	case '\n':
		sonde_buffer_add_text(out, "\\n");
		break;
	case '\r':
		sonde_buffer_add_text(out, "\\r");
		break;
	case '\t':
		sonde_buffer_add_text(out, "\\t");
		break;
	default:
		if (code >= 0x10000) {
			add_unicode_escape(out, 0xd800 + ((code - 0x10000) >> 10));
			code = 0xdc00 + ((code - 0x10000) & 0x3ff);
		}
		add_unicode_escape(out, code);
	}
}

/* @return bytes taken. `literal`: the backslashes are the text's own meaning (a shell line), not to be told from escapes. */
static size_t add_special(struct sonde_buffer *out, const char *bytes, size_t length, bool literal)
{
	uint32_t code;
	size_t n = sonde_text_decode(bytes, length, &code);

	if (!n) {
		sonde_buffer_add_char(out, '\\');
		sonde_text_add_escape(out, (unsigned char)*bytes);
		return 1;
	}
	if (code == '"')
		sonde_buffer_add_text(out, "\\\"");
	else if (code == '\\')
		sonde_buffer_add_text(out, !literal && sonde_text_looks_escaped(bytes, length) ? "\\\\x5c" : "\\\\");
	else if (sonde_text_unsafe(code))
		add_unsafe(out, code);
	else
		sonde_buffer_add(out, bytes, n);
	return n;
}

static void add_string(struct sonde_buffer *out, const char *bytes, size_t length, bool literal)
{
	size_t at = 0;

	sonde_buffer_add_char(out, '"');
	while (at < length) {
		size_t plain = sonde_text_plain(bytes + at, length - at);

		sonde_buffer_add(out, bytes + at, plain);
		at += plain;
		if (at < length)
			at += add_special(out, bytes + at, length - at, literal);
	}
	sonde_buffer_add_char(out, '"');
}

static void add_quoted(struct sonde_buffer *out, const char *safe, size_t length)
{
	sonde_buffer_add_char(out, '"');
	sonde_buffer_add(out, safe, length);
	sonde_buffer_add_char(out, '"');
}

static void add_arguments(struct sonde_buffer *out, const char *bytes, size_t length)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer line = SONDE_BUFFER_INIT;

	sonde_text_add_arguments(&line, bytes, length);
	if (line.failed)
		out->failed = true;
	add_string(out, line.data, line.length, true);
}

static void add_value(struct sonde_buffer *out, enum sonde_semantic semantic, const struct sonde_value *value)
{
	char text[SONDE_TEXT_ADDRESS_SIZE];

	_Static_assert(sizeof(text) >= SONDE_TEXT_TIME_SIZE, "one buffer serves both");
	switch (value->type) {
	case SONDE_NULL:
		sonde_buffer_add(out, "null", 4);
		break;
	case SONDE_INT:
		if (semantic == SONDE_SEMANTIC_TIME)
			add_quoted(out, text, sonde_text_time(value->i, text));
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
		if (semantic == SONDE_SEMANTIC_ARGUMENTS)
			add_arguments(out, value->text, value->length);
		else
			add_string(out, value->text, value->length, false);
		break;
	case SONDE_ADDRESS:
		add_quoted(out, text, sonde_text_address(value->address, text));
		break;
	}
}

int sonde_encode_json(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out)
{
	sonde_buffer_add_char(out, '{');
	for (uint32_t i = 0; i < type->n_columns; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		add_string(out, type->columns[i].name, strlen(type->columns[i].name), false);
		sonde_buffer_add_char(out, ':');
		add_value(out, type->columns[i].semantic, &values[i]);
	}
	sonde_buffer_add_char(out, '}');
	return sonde_buffer_error(out);
}

int sonde_encode_json_text(const char *bytes, size_t length, struct sonde_buffer *out)
{
	add_string(out, bytes, length, false);
	return sonde_buffer_error(out);
}

int sonde_encode_json_value(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out)
{
	add_value(out, sonde_semantic_of(column), value);
	return sonde_buffer_error(out);
}
