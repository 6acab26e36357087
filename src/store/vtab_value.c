/* SPDX-License-Identifier: Apache-2.0 */
/* Values as SQL shows them: where it can be, what a person expects to see, and never less than what is there. */
#include <store/vtab.h>

#include <base/buffer.h>
#include <base/cleanup.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/*
 * Whatever the bytes are: SQLite does not check them, and gives them back as they are. A BLOB would be passed over by LIKE and GLOB, and
 * whoever names files and processes chooses the bytes. All that shows values escapes what is not UTF-8.
 */
static void result_text(sqlite3_context *context, const char *text, size_t length)
{
	sqlite3_result_text(context, length ? text : "", (int)length, SQLITE_TRANSIENT);
}

/* ---- arguments: NUL-separated words as one line that a shell would take ---- */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_@%+=:,./-", c));
}

static void quote_word(struct sonde_buffer *out, const char *word, size_t length)
{
	bool plain = length;

	for (size_t i = 0; i < length && plain; i++)
		plain = is_plain(word[i]);
	if (plain) {
		sonde_buffer_add(out, word, length);
		return;
	}
	sonde_buffer_add_char(out, '\'');
	for (size_t i = 0; i < length; i++) {
		if (word[i] == '\'')
			sonde_buffer_add_text(out, "'\\'");
		sonde_buffer_add_char(out, word[i]);
	}
	sonde_buffer_add_char(out, '\'');
}

static void quote_words(struct sonde_buffer *out, const char *words, size_t length)
{
	const char *end = words + length, *stop;

	for (; words <= end; words = stop + 1) {
		stop = words < end ? memchr(words, '\0', (size_t)(end - words)) : NULL;
		if (!stop)
			stop = end;
		if (out->length)
			sonde_buffer_add_char(out, ' ');
		quote_word(out, words, (size_t)(stop - words));
	}
}

static void result_arguments(sqlite3_context *context, const struct sonde_value *value)
{
	struct sonde_buffer line CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	quote_words(&line, value->text, value->length);
	if (line.failed)
		sqlite3_result_error_nomem(context);
	else
		result_text(context, line.data, line.length);
}

void sonde_vtab_address_text(const uint8_t *address, char text[SONDE_VTAB_ADDRESS_TEXT])
{
	bool ipv4 = !memcmp(address, mapped_prefix, sizeof(mapped_prefix));

	inet_ntop(ipv4 ? AF_INET : AF_INET6, address + (ipv4 ? 12 : 0), text, SONDE_VTAB_ADDRESS_TEXT);
}

static void result_address(sqlite3_context *context, const uint8_t *address)
{
	char text[SONDE_VTAB_ADDRESS_TEXT];

	sonde_vtab_address_text(address, text);
	sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

/* SQLite's integers end at 2^63 - 1. From there on, 20 digits: as texts they come after the integers and in their order, are exact,
 * and are added up, rounded. */
static void result_unsigned(sqlite3_context *context, uint64_t number)
{
	char digits[24];

	if (number <= INT64_MAX) {
		sqlite3_result_int64(context, (sqlite3_int64)number);
	} else {
		snprintf(digits, sizeof(digits), "%020" PRIu64, number);
		sqlite3_result_text(context, digits, -1, SQLITE_TRANSIENT);
	}
}

void sonde_vtab_result(sqlite3_context *context, const struct sonde_column *column, const struct sonde_value *value)
{
	switch (value->type) {
	case SONDE_NULL:
		sqlite3_result_null(context);
		break;
	case SONDE_INT:
		sqlite3_result_int64(context, value->i);
		break;
	case SONDE_UINT:
		result_unsigned(context, value->u);
		break;
	case SONDE_BOOL:
		sqlite3_result_int(context, value->b);
		break;
	case SONDE_TEXT:
		if (column->semantic == SONDE_SEMANTIC_ARGUMENTS)
			result_arguments(context, value);
		else
			result_text(context, value->text, value->length);
		break;
	case SONDE_ADDRESS:
		result_address(context, value->address);
		break;
	case SONDE_REAL:
		sqlite3_result_double(context, value->real);
		break;
	}
}

static int text_order(const struct sonde_value *a, const struct sonde_value *b)
{
	uint32_t length = a->length < b->length ? a->length : b->length;
	int order = length ? memcmp(a->text, b->text, length) : 0;

	return order ?: (a->length > b->length) - (a->length < b->length);
}

int sonde_vtab_order(const struct sonde_value *a, const struct sonde_value *b)
{
	char texts[2][SONDE_VTAB_ADDRESS_TEXT];

	if (a->type == SONDE_NULL || b->type == SONDE_NULL)
		return (a->type != SONDE_NULL) - (b->type != SONDE_NULL);
	switch (a->type) {
	case SONDE_INT:
		return (a->i > b->i) - (a->i < b->i);
	case SONDE_BOOL:
		return a->b - b->b;
	case SONDE_TEXT:
		return text_order(a, b);
	case SONDE_ADDRESS:
		sonde_vtab_address_text(a->address, texts[0]);
		sonde_vtab_address_text(b->address, texts[1]);
		return strcmp(texts[0], texts[1]);
	default: /* above 2^63 - 1 they are texts: behind the others, and in the same order */
		return (a->u > b->u) - (a->u < b->u);
	}
}
