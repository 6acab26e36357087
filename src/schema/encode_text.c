/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the encoders share. The one invariant: nothing here trusts a byte; whatever is not a printable character of
 * valid UTF-8 is found by sonde_text_decode() and sonde_text_unsafe(), and by them alone.
 */
#include <schema/encode_text.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/clock.h>

struct range {
	uint32_t first, last;
};

/* Controls, bidi marks and overrides, separators, zero-width and tag characters: none of them shows a glyph of its
 * own, and names that differ only in them look the same. */
static const struct range unsafe_ranges[] = {
	{0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad}, {0x061c, 0x061c}, {0x180e, 0x180e}, {0x200b, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
};

/* Blocks whose characters take two columns. wcwidth() would depend on the locale, which a daemon does not set. */
static const struct range wide_ranges[] = {
	{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
	{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
};

static bool in_ranges(uint32_t code, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n && ranges[i].first <= code; i++)
		if (code <= ranges[i].last)
			return true;
	return false;
}

bool sonde_text_unsafe(uint32_t code)
{
	return in_ranges(code, unsafe_ranges, sizeof(unsafe_ranges) / sizeof(unsafe_ranges[0]));
}

size_t sonde_text_decode(const char *bytes, size_t length, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	const unsigned char *b = (const unsigned char *)bytes;
	uint32_t code;
	size_t n;

	if (!length)
		return 0;
	n = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
	if (!n || n > length)
		return 0;
	code = b[0] & mask[n];
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (b[i] & 0x3f);
	}
	/* Overlong forms and surrogates are not UTF-8, although their bit patterns fit. */
	if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

size_t sonde_text_plain(const char *bytes, size_t length)
{
	size_t i = 0;

	while (i < length && bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
		i++;
	return i;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool sonde_text_looks_escaped(const char *bytes, size_t length)
{
	return length >= 4 && bytes[0] == '\\' && bytes[1] == 'x' && is_hex(bytes[2]) && is_hex(bytes[3]);
}

void sonde_text_add_escape(struct sonde_buffer *out, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";
	const char escape[] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};

	sonde_buffer_add(out, escape, sizeof(escape));
}

static size_t code_width(uint32_t code)
{
	return in_ranges(code, wide_ranges, sizeof(wide_ranges) / sizeof(wide_ranges[0])) ? 2 : 1;
}

size_t sonde_text_fit(const char *bytes, size_t length, size_t width)
{
	size_t at = 0;

	while (at < length) {
		uint32_t code = 0;
		size_t n = sonde_text_decode(bytes + at, length - at, &code), columns = code_width(code);

		if (!n || columns > width)
			break;
		width -= columns;
		at += n;
	}
	return at;
}

size_t sonde_text_width(const char *bytes, size_t length)
{
	size_t width = 0, at = 0;

	while (at < length) {
		uint32_t code = 0;
		size_t n = sonde_text_decode(bytes + at, length - at, &code);

		width += code_width(code);
		at += n ? n : 1;
	}
	return width;
}

size_t sonde_text_time(int64_t time_ns, char text[SONDE_TEXT_TIME_SIZE])
{
	/* Events come in order of time: the calendar is computed once a second, not once an event. */
	static _Thread_local struct {
		int64_t second;
		char text[sizeof("2026-11-20T22:52:54.")];
	} last;
	const size_t prefix = sizeof(last.text) - 1;
	int64_t second = time_ns / SONDE_NS_PER_S, rest = time_ns % SONDE_NS_PER_S;

	if (rest < 0) {
		second--;
		rest += SONDE_NS_PER_S;
	}
	if (second != last.second || !last.text[0]) {
		struct tm tm;
		time_t t = second;

		/* Cannot fail: 64 bits of ns reach from the year 1677 to 2262. */
		gmtime_r(&t, &tm);
		strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S.", &tm);
		last.second = second;
	}
	memcpy(text, last.text, prefix);
	for (size_t i = prefix + 9; i-- > prefix; rest /= 10)
		text[i] = (char)('0' + rest % 10);
	memcpy(text + prefix + 9, "Z", 2);
	return prefix + 10;
}

bool sonde_address_is_ipv4(const uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(address, mapped, sizeof(mapped));
}

size_t sonde_text_real(double real, char text[SONDE_TEXT_REAL_SIZE])
{
	snprintf(text, SONDE_TEXT_REAL_SIZE, "%.15g", real);
	if (isfinite(real) && strtod(text, NULL) != real)
		snprintf(text, SONDE_TEXT_REAL_SIZE, "%.17g", real);
	if (isfinite(real) && !text[strcspn(text, ".e")])
		strcat(text, ".0");
	return strlen(text);
}

size_t sonde_text_address(const uint8_t address[16], char text[SONDE_TEXT_ADDRESS_SIZE])
{
	size_t n = 0;

	if (!sonde_address_is_ipv4(address)) {
		inet_ntop(AF_INET6, address, text, SONDE_TEXT_ADDRESS_SIZE);
		return strlen(text);
	}
	/* glibc's inet_ntop goes through sprintf for IPv4, which costs more than the rest of an event's JSON. */
	for (size_t i = 12; i < 16; i++) {
		if (address[i] >= 100)
			text[n++] = (char)('0' + address[i] / 100);
		if (address[i] >= 10)
			text[n++] = (char)('0' + address[i] / 10 % 10);
		text[n++] = (char)('0' + address[i] % 10);
		text[n++] = i < 15 ? '.' : '\0';
	}
	return n - 1;
}

enum quoting { QUOTE_NOTHING, QUOTE_WORD, QUOTE_ESCAPES };

static enum quoting word_quoting(const char *word, size_t length)
{
	enum quoting quoting = length ? QUOTE_NOTHING : QUOTE_WORD;

	for (size_t at = 0; at < length;) {
		uint32_t code;
		size_t n = sonde_text_decode(word + at, length - at, &code);

		if (!n || sonde_text_unsafe(code))
			return QUOTE_ESCAPES;
		if (!(code >= '0' && code <= '9') && !(code >= 'A' && code <= 'Z') && !(code >= 'a' && code <= 'z') &&
		    (code >= 0x80 || !strchr("_@%+=:,./-", (int)code)))
			quoting = QUOTE_WORD;
		at += n;
	}
	return quoting;
}

/* $'...' as bash, zsh and POSIX 2024 have it. */
static void add_escaped_word(struct sonde_buffer *out, const char *word, size_t length)
{
	sonde_buffer_add_text(out, "$'");
	for (size_t at = 0; at < length;) {
		uint32_t code;
		size_t n = sonde_text_decode(word + at, length - at, &code);

		if (n && (code == '\'' || code == '\\')) {
			sonde_buffer_add_char(out, '\\');
			sonde_buffer_add_char(out, (char)code);
		} else if (n && code == '\n') {
			sonde_buffer_add_text(out, "\\n");
		} else if (n && code == '\t') {
			sonde_buffer_add_text(out, "\\t");
		} else if (n && !sonde_text_unsafe(code)) {
			sonde_buffer_add(out, word + at, n);
		} else {
			n = n ? n : 1;
			for (size_t i = 0; i < n; i++)
				sonde_text_add_escape(out, (unsigned char)word[at + i]);
		}
		at += n;
	}
	sonde_buffer_add_char(out, '\'');
}

static void add_quoted_word(struct sonde_buffer *out, const char *word, size_t length)
{
	const char *end = word + length, *quote;

	sonde_buffer_add_char(out, '\'');
	while ((quote = memchr(word, '\'', (size_t)(end - word)))) {
		sonde_buffer_add(out, word, (size_t)(quote - word));
		sonde_buffer_add_text(out, "'\\''");
		word = quote + 1;
	}
	sonde_buffer_add(out, word, (size_t)(end - word));
	sonde_buffer_add_char(out, '\'');
}

void sonde_text_add_safe(struct sonde_buffer *out, const char *bytes, size_t length, bool literal)
{
	size_t at = 0;

	while (at < length) {
		size_t n = sonde_text_plain(bytes + at, length - at);
		uint32_t code;

		sonde_buffer_add(out, bytes + at, n);
		at += n;
		if (at == length)
			break;
		n = sonde_text_decode(bytes + at, length - at, &code);
		if (n && !sonde_text_unsafe(code) && (literal || !sonde_text_looks_escaped(bytes + at, length - at))) {
			sonde_buffer_add(out, bytes + at, n);
		} else {
			n = n ? n : 1;
			for (size_t i = 0; i < n; i++)
				sonde_text_add_escape(out, (unsigned char)bytes[at + i]);
		}
		at += n;
	}
}

void sonde_text_add_arguments(struct sonde_buffer *out, const char *bytes, size_t length)
{
	const char *word = bytes, *end = bytes + length, *next;

	for (;; word = next + 1) {
		size_t size;

		next = word < end ? memchr(word, '\0', (size_t)(end - word)) : NULL;
		size = (size_t)((next ? next : end) - word);
		switch (word_quoting(word, size)) {
		case QUOTE_NOTHING:
			sonde_buffer_add(out, word, size);
			break;
		case QUOTE_WORD:
			add_quoted_word(out, word, size);
			break;
		case QUOTE_ESCAPES:
			add_escaped_word(out, word, size);
			break;
		}
		if (!next)
			return;
		sonde_buffer_add_char(out, ' ');
	}
}
