/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values between events and SQLite. Invariant: what was bound reads back the same, byte by byte, whatever the bytes; and where
 * it can be, it is what a person expects to see in SQL.
 */
#include <store/sqlite.h>

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* SQLite takes any bytes as TEXT, but its functions, and every client, expect UTF-8 without NUL. */
static bool is_text(const char *text, size_t length)
{
	const uint8_t *in = (const uint8_t *)text, *end = in + length;

	while (in < end) {
		uint32_t c = *in++, more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1, least;

		if (c < 0x80) {
			if (!c)
				return false;
			continue;
		}
		if (c < 0xc2 || c > 0xf4 || (size_t)(end - in) < more)
			return false;
		least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
		for (c &= 0x3fu >> more; more; more--, in++) {
			if ((*in & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*in & 0x3f);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

static int bind_bytes(sqlite3_stmt *statement, int i, const char *bytes, size_t length, sqlite3_destructor_type keep)
{
	if (!length)
		return sqlite3_bind_text(statement, i, "", 0, SQLITE_STATIC);
	if (is_text(bytes, length))
		return sqlite3_bind_text(statement, i, bytes, (int)length, keep);
	return sqlite3_bind_blob(statement, i, bytes, (int)length, keep);
}

/* ---- arguments: NUL-separated words <-> one line as a shell would take it ---- */

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

	for (; length && words <= end; words = stop + 1) {
		stop = memchr(words, '\0', (size_t)(end - words));
		if (!stop)
			stop = end;
		if (out->length)
			sonde_buffer_add_char(out, ' ');
		quote_word(out, words, (size_t)(stop - words));
	}
}

/* Of what quote_words() wrote; of anything else some words. */
static void unquote_words(struct sonde_buffer *out, const char *line, size_t length)
{
	bool quoted = false;

	for (size_t i = 0; i < length; i++) {
		if (line[i] == '\'')
			quoted = !quoted;
		else if (!quoted && line[i] == ' ')
			sonde_buffer_add_char(out, '\0');
		else if (!quoted && line[i] == '\\' && i + 1 < length)
			sonde_buffer_add_char(out, line[++i]);
		else
			sonde_buffer_add_char(out, line[i]);
	}
}

static int bind_arguments(sqlite3_stmt *statement, int i, const struct sonde_value *value)
{
	struct sonde_buffer line CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	quote_words(&line, value->text, value->length);
	if (line.failed)
		return SQLITE_NOMEM;
	return bind_bytes(statement, i, line.data, line.length, SQLITE_TRANSIENT);
}

static int bind_unsigned(sqlite3_stmt *statement, int i, uint64_t number)
{
	uint64_t bytes;

	if (number <= INT64_MAX)
		return sqlite3_bind_int64(statement, i, (int64_t)number);
	bytes = htobe64(number);
	return sqlite3_bind_blob(statement, i, &bytes, sizeof(bytes), SQLITE_TRANSIENT);
}

int sqlite_value_bind(sqlite3_stmt *statement, int i, const struct sonde_column *column, const struct sonde_value *value,
		      char *scratch, size_t scratch_size)
{
	bool ipv4;

	switch (value->type) {
	case SONDE_NULL:
		return SQLITE_OK; /* unbound is null */
	case SONDE_INT:
		return sqlite3_bind_int64(statement, i, value->i);
	case SONDE_UINT:
		return bind_unsigned(statement, i, value->u);
	case SONDE_BOOL:
		return sqlite3_bind_int(statement, i, value->b);
	case SONDE_TEXT:
		if (column->semantic == SONDE_SEMANTIC_ARGUMENTS)
			return bind_arguments(statement, i, value);
		return bind_bytes(statement, i, value->text, value->length, SQLITE_STATIC);
	case SONDE_ADDRESS:
		ipv4 = !memcmp(value->address, mapped_prefix, sizeof(mapped_prefix));
		inet_ntop(ipv4 ? AF_INET : AF_INET6, value->address + (ipv4 ? 12 : 0), scratch, (socklen_t)scratch_size);
		return sqlite3_bind_text(statement, i, scratch, -1, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static bool address_read(const char *text, uint8_t *address)
{
	memcpy(address, mapped_prefix, sizeof(mapped_prefix));
	return inet_pton(AF_INET, text, address + 12) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static void bytes_read(sqlite3_stmt *statement, int i, uint32_t place, const struct sonde_column *column,
		       struct sqlite_scratch *scratch, struct sonde_value *value)
{
	const char *bytes = sqlite3_column_type(statement, i) == SQLITE_BLOB ? sqlite3_column_blob(statement, i) :
									       (const char *)sqlite3_column_text(statement, i);
	size_t length = (size_t)sqlite3_column_bytes(statement, i);
	struct sonde_buffer *words;

	*value = (struct sonde_value){.type = SONDE_TEXT, .text = bytes ? bytes : "", .length = bytes ? (uint32_t)length : 0};
	if (column->type == SONDE_ADDRESS && bytes && address_read(bytes, scratch->addresses[place])) {
		*value = (struct sonde_value){.type = SONDE_ADDRESS, .address = scratch->addresses[place]};
	} else if (column->semantic == SONDE_SEMANTIC_ARGUMENTS && scratch->n_arguments < ARRAY_SIZE(scratch->arguments)) {
		words = &scratch->arguments[scratch->n_arguments++];
		sonde_buffer_clear(words);
		unquote_words(words, value->text, value->length);
		value->text = words->length ? words->data : "";
		value->length = (uint32_t)words->length;
	}
}

void sqlite_value_read(sqlite3_stmt *statement, int i, uint32_t place, const struct sonde_column *column,
		       struct sqlite_scratch *scratch, struct sonde_value *ret_value)
{
	uint64_t bytes;
	int64_t number;

	switch (sqlite3_column_type(statement, i)) {
	case SQLITE_NULL:
		*ret_value = (struct sonde_value){.type = SONDE_NULL};
		return;
	case SQLITE_INTEGER:
		number = sqlite3_column_int64(statement, i);
		if (column->type == SONDE_BOOL)
			*ret_value = (struct sonde_value){.type = SONDE_BOOL, .b = number};
		else
			*ret_value = (struct sonde_value){
				.type = column->type == SONDE_INT || number < 0 ? SONDE_INT : SONDE_UINT, .i = number};
		return;
	case SQLITE_BLOB:
		if (column->type == SONDE_UINT && sqlite3_column_bytes(statement, i) == sizeof(bytes)) {
			memcpy(&bytes, sqlite3_column_blob(statement, i), sizeof(bytes));
			*ret_value = (struct sonde_value){.type = SONDE_UINT, .u = be64toh(bytes)};
			return;
		}
	}
	bytes_read(statement, i, place, column, scratch, ret_value);
}
