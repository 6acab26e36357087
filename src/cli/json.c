/* SPDX-License-Identifier: Apache-2.0 */
#include <cli/json.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <base/buffer.h>
#include <base/cleanup.h>
#include <base/units.h>

#define DIGITS "0123456789"
#define LARGE_DIGITS 19 /* of 2^63 */
#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

static size_t span(const char *text, size_t length, const char *characters)
{
	size_t n = 0;

	while (n < length && text[n] && strchr(characters, text[n]))
		n++;
	return n;
}

/* Around each long number [""]. */
static void quote(const char *text, size_t length, struct sonde_buffer *quoted)
{
	bool in_text = false;

	for (size_t i = 0, n; i < length; i += n) {
		bool is_large;

		n = in_text ? 0 : span(text + i, length - i, DIGITS "+-.Ee");
		is_large = n >= LARGE_DIGITS && span(text + i, n, DIGITS) == n;
		if (!n)
			n = in_text && text[i] == '\\' && i + 1 < length ? 2 : 1;
		in_text ^= text[i] == '"';
		sonde_buffer_add(quoted, "[\"", is_large ? 2 : 0);
		sonde_buffer_add(quoted, text + i, n);
		sonde_buffer_add(quoted, "\"]", is_large ? 2 : 0);
	}
}

json_t *sonde_json_read(const char *text, size_t length, json_error_t *error)
{
	struct sonde_buffer quoted CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_error_t first;
	json_t *json = json_loadb(text, length, FLAGS, &first);

	if (!json && json_error_code(&first) == json_error_numeric_overflow) {
		quote(text, length, &quoted);
		if (!quoted.failed)
			json = json_loadb(quoted.data, quoted.length, FLAGS, &first);
	}
	if (error)
		*error = first;
	return json;
}

bool sonde_json_large(const json_t *json, uint64_t *ret_number)
{
	const char *digits = json_string_value(json_array_get(json, 0));

	if (json_array_size(json) != 1 || !digits || strspn(digits, DIGITS) < strlen(digits))
		return false;
	errno = 0;
	*ret_number = strtoull(digits, NULL, 10);
	return *digits && !errno;
}

int sonde_json_unescape(json_t *json)
{
	const char *from = json_string_value(json), *end = from + json_string_length(json);
	CLEANUP_FREE char *bytes = NULL;
	char *to;

	if (!from || !strstr(from, "\\x"))
		return 0;
	to = bytes = malloc((size_t)(end - from));
	if (!bytes)
		return -ENOMEM;
	while (from < end) {
		if (end - from >= 4 && from[0] == '\\' && from[1] == 'x' && sonde_hex_digit(from[2]) >= 0 && sonde_hex_digit(from[3]) >= 0) {
			*to++ = (char)(sonde_hex_digit(from[2]) << 4 | sonde_hex_digit(from[3]));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	return json_string_setn_nocheck(json, bytes, (size_t)(to - bytes)) ? -ENOMEM : 0;
}

const char *sonde_json_text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

int64_t sonde_json_number_of(const json_t *object, const char *name)
{
	const json_t *number = json_object_get(object, name);

	return json_is_integer(number) ? json_integer_value(number) : 0;
}
