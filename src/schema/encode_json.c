/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to JSON. The output is valid JSON and valid UTF-8 whatever the bytes, and no byte is lost: what JSON cannot
 * hold takes the escape form of encode.h (`\xNN`, in JSON "\\xNN").
 *
 * This is the hot path of streams: an event is put together in a small piece of memory on the stack, plain runs are
 * copied at once, and there is no printf. (Half the time it took with a sonde_buffer_add() for each piece.)
 */
#include <schema/encode.h>

#include <base/cleanup.h>
#include <schema/encode_text.h>

#include <math.h>

struct writer {
	struct sonde_buffer *out;
	size_t length;
	char piece[1024];
};

static void flush(struct writer *writer)
{
	sonde_buffer_add(writer->out, writer->piece, writer->length);
	writer->length = 0;
}

static inline void put(struct writer *writer, const char *bytes, size_t length)
{
	if (length > sizeof(writer->piece) - writer->length) {
		flush(writer);
		if (length > sizeof(writer->piece)) {
			sonde_buffer_add(writer->out, bytes, length);
			return;
		}
	}
	if (length)
		memcpy(writer->piece + writer->length, bytes, length);
	writer->length += length;
}

static inline void put_char(struct writer *writer, char c)
{
	put(writer, &c, 1);
}

static void put_number(struct writer *writer, uint64_t number, bool negative)
{
	char digits[21];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	if (negative)
		digits[--i] = '-';
	put(writer, digits + i, sizeof(digits) - i);
}

static void put_unicode_escape(struct writer *writer, uint32_t unit)
{
	static const char hex[] = "0123456789abcdef";
	const char escape[] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};

	put(writer, escape, sizeof(escape));
}

/* Valid in JSON as they are, but a terminal would act on them, and JavaScript before 2019 took U+2028 for a new line. */
static void put_unsafe(struct writer *writer, uint32_t code)
{
	switch (code) {
	case 0:
		/* U+0000 is refused by jansson, PostgreSQL and others. */
		put(writer, "\\\\x00", 5);
		break;
	case '\n':
		put(writer, "\\n", 2);
		break;
	case '\r':
		put(writer, "\\r", 2);
		break;
	case '\t':
		put(writer, "\\t", 2);
		break;
	default:
		if (code >= 0x10000) {
			put_unicode_escape(writer, 0xd800 + ((code - 0x10000) >> 10));
			code = 0xdc00 + ((code - 0x10000) & 0x3ff);
		}
		put_unicode_escape(writer, code);
	}
}

/* @return bytes taken. `literal`: backslashes are the text's own (a shell line) and not to be told from escapes. */
static size_t put_special(struct writer *writer, const char *bytes, size_t length, bool literal)
{
	uint32_t code;
	size_t n = sonde_text_decode(bytes, length, &code);

	if (!n) {
		put_char(writer, '\\');
		flush(writer);
		sonde_text_add_escape(writer->out, (unsigned char)*bytes);
		return 1;
	}
	if (code == '"')
		put(writer, "\\\"", 2);
	else if (code == '\\' && !literal && sonde_text_looks_escaped(bytes, length))
		put(writer, "\\\\x5c", 5);
	else if (code == '\\')
		put(writer, "\\\\", 2);
	else if (sonde_text_unsafe(code))
		put_unsafe(writer, code);
	else
		put(writer, bytes, n);
	return n;
}

static void put_string(struct writer *writer, const char *bytes, size_t length, bool literal)
{
	size_t at = 0;

	put_char(writer, '"');
	while (at < length) {
		size_t plain = sonde_text_plain(bytes + at, length - at);

		put(writer, bytes + at, plain);
		at += plain;
		if (at < length)
			at += put_special(writer, bytes + at, length - at, literal);
	}
	put_char(writer, '"');
}

static void put_quoted(struct writer *writer, const char *safe, size_t length)
{
	put_char(writer, '"');
	put(writer, safe, length);
	put_char(writer, '"');
}

static void put_arguments(struct writer *writer, const char *bytes, size_t length)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer line = SONDE_BUFFER_INIT;

	sonde_text_add_arguments(&line, bytes, length);
	if (line.failed)
		writer->out->failed = true;
	put_string(writer, line.data, line.length, true);
}

static void put_value(struct writer *writer, enum sonde_semantic semantic, const struct sonde_value *value)
{
	char text[SONDE_TEXT_ADDRESS_SIZE];
	size_t length;

	_Static_assert(sizeof(text) >= SONDE_TEXT_TIME_SIZE, "one buffer serves both");
	switch (value->type) {
	case SONDE_NULL:
		put(writer, "null", 4);
		break;
	case SONDE_INT:
		if (semantic == SONDE_SEMANTIC_TIME)
			put_quoted(writer, text, sonde_text_time(value->i, text));
		else
			put_number(writer, value->i < 0 ? -(uint64_t)value->i : (uint64_t)value->i, value->i < 0);
		break;
	case SONDE_UINT:
		put_number(writer, value->u, false);
		break;
	case SONDE_BOOL:
		put(writer, value->b ? "true" : "false", value->b ? 4 : 5);
		break;
	case SONDE_TEXT:
		if (semantic == SONDE_SEMANTIC_ARGUMENTS)
			put_arguments(writer, value->text, value->length);
		else
			put_string(writer, value->text, value->length, semantic == SONDE_SEMANTIC_ESCAPED);
		break;
	case SONDE_ADDRESS:
		put_quoted(writer, text, sonde_text_address(value->address, text));
		break;
	case SONDE_REAL:
		length = sonde_text_real(value->real, text);
		if (isfinite(value->real))
			put(writer, text, length);
		else
			put_quoted(writer, text, length); /* JSON has no infinity */
		break;
	}
}

int sonde_encode_json(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out)
{
	struct writer writer;

	/* Not initialised as a whole: its memory is written before it is read. */
	writer.out = out;
	writer.length = 0;
	put_char(&writer, '{');
	for (uint32_t i = 0; i < type->n_columns; i++) {
		if (i)
			put_char(&writer, ',');
		put_string(&writer, type->columns[i].name, strlen(type->columns[i].name), false);
		put_char(&writer, ':');
		put_value(&writer, type->columns[i].semantic, &values[i]);
	}
	put_char(&writer, '}');
	flush(&writer);
	return sonde_buffer_error(out);
}

int sonde_encode_json_text(const char *bytes, size_t length, struct sonde_buffer *out)
{
	struct writer writer;

	writer.out = out;
	writer.length = 0;
	put_string(&writer, bytes, length, false);
	flush(&writer);
	return sonde_buffer_error(out);
}

int sonde_encode_json_value(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out)
{
	struct writer writer;

	writer.out = out;
	writer.length = 0;
	put_value(&writer, sonde_semantic_of(column), value);
	flush(&writer);
	return sonde_buffer_error(out);
}
