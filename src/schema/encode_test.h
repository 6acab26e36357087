/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tests of the encoders and of the filter share: two types made by hand, and hostile text.
 */

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <schema/schema.h>

#define TEST_TIME_NS 1795215174000000123ll /* 2026-11-20T22:52:54.000000123Z */

#define COLUMN(name_, type_, semantic_) {.name = name_, .type = SONDE_##type_, .semantic = SONDE_SEMANTIC_##semantic_}
#define COMMON_COLUMNS                                                                                         \
	COLUMN("time", INT, TIME), COLUMN("type", TEXT, NONE), COLUMN("pid", UINT, PID), COLUMN("tid", UINT, PID), \
		COLUMN("uid", UINT, UID), COLUMN("command", TEXT, NONE), COLUMN("container", TEXT, NONE),          \
		COLUMN("source", TEXT, NONE), COLUMN("weight", UINT, COUNT)

enum {
	FLOW_KIND = SONDE_COLUMN_COMMON_MAX,
	FLOW_LOCAL_ADDRESS,
	FLOW_REMOTE_ADDRESS,
	FLOW_LOCAL_PORT,
	FLOW_REMOTE_PORT,
	FLOW_ERROR,
	FLOW_ERRNO,
	FLOW_SENT,
	FLOW_DURATION,
	FLOW_COOKIE,
	FLOW_RESET,
	FLOW_OFFSET,
	FLOW_MAX,
};

static const struct sonde_column flow_columns[] = {
	COMMON_COLUMNS,
	COLUMN("kind", TEXT, ENUM),
	COLUMN("local_address", ADDRESS, ADDRESS),
	COLUMN("remote_address", ADDRESS, ADDRESS),
	COLUMN("local_port", UINT, PORT),
	COLUMN("remote_port", UINT, PORT),
	COLUMN("error", TEXT, ERRNO_NAME),
	COLUMN("errno", UINT, ERRNO),
	COLUMN("sent_bytes", UINT, BYTES),
	COLUMN("duration_ns", UINT, DURATION_NS),
	COLUMN("cookie", UINT, COOKIE),
	COLUMN("was_reset", BOOL, NONE),
	COLUMN("offset", INT, NONE),
};

enum { RUN_PATH = SONDE_COLUMN_COMMON_MAX, RUN_ARGUMENTS, RUN_MAX };

static const struct sonde_column run_columns[] = {
	COMMON_COLUMNS,
	COLUMN("path", TEXT, NONE),
	COLUMN("arguments", TEXT, ARGUMENTS),
};

static const struct sonde_type flow_type = {.name = "flow", .n_columns = FLOW_MAX, .columns = flow_columns};
static const struct sonde_type run_type = {.name = "run", .n_columns = RUN_MAX, .columns = run_columns};

static inline struct sonde_value value_text(const char *text, size_t length)
{
	return (struct sonde_value){.type = SONDE_TEXT, .text = text, .length = (uint32_t)length};
}

static inline struct sonde_value value_string(const char *text)
{
	return value_text(text, strlen(text));
}

static inline struct sonde_value value_uint(uint64_t number)
{
	return (struct sonde_value){.type = SONDE_UINT, .u = number};
}

static inline struct sonde_value value_int(int64_t number)
{
	return (struct sonde_value){.type = SONDE_INT, .i = number};
}

static inline void fill_common(const struct sonde_type *type, struct sonde_value *values)
{
	memset(values, 0, type->n_columns * sizeof(*values));
	values[SONDE_COLUMN_TIME] = value_int(TEST_TIME_NS);
	values[SONDE_COLUMN_TYPE] = value_string(type->name);
	values[SONDE_COLUMN_PID] = value_uint(1234);
	values[SONDE_COLUMN_TID] = value_uint(1235);
	values[SONDE_COLUMN_UID] = value_uint(0);
	values[SONDE_COLUMN_COMMAND] = value_string("nginx");
	values[SONDE_COLUMN_SOURCE] = value_string("ebpf");
	values[SONDE_COLUMN_WEIGHT] = value_uint(1);
}

static inline void fill_flow(struct sonde_value values[FLOW_MAX])
{
	static const uint8_t local[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
	static const uint8_t remote[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

	fill_common(&flow_type, values);
	values[FLOW_KIND] = value_string("close");
	values[FLOW_LOCAL_ADDRESS] = (struct sonde_value){.type = SONDE_ADDRESS, .address = local};
	values[FLOW_REMOTE_ADDRESS] = (struct sonde_value){.type = SONDE_ADDRESS, .address = remote};
	values[FLOW_LOCAL_PORT] = value_uint(40000);
	values[FLOW_REMOTE_PORT] = value_uint(443);
	values[FLOW_SENT] = value_uint(1536);
	values[FLOW_DURATION] = value_uint(1250000);
	values[FLOW_COOKIE] = value_uint(UINT64_MAX);
	values[FLOW_RESET] = (struct sonde_value){.type = SONDE_BOOL, .b = true};
	values[FLOW_OFFSET] = value_int(-5);
}

static inline void fill_run(struct sonde_value values[RUN_MAX], struct sonde_value path, struct sonde_value arguments)
{
	fill_common(&run_type, values);
	values[RUN_PATH] = path;
	values[RUN_ARGUMENTS] = arguments;
}

/* xorshift64: the same texts in every run, so that a failure can be seen again. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define HOSTILE_MAX 256

/** Pieces that have hurt terminals, parsers and spreadsheets, and random bytes. @return length, 0 to HOSTILE_MAX. */
static inline size_t hostile_text(uint64_t *state, char text[HOSTILE_MAX])
{
#define PIECE(literal) {literal, sizeof(literal) - 1}
	static const struct {
		const char *bytes;
		size_t length;
	} pieces[] = {
		PIECE("\033[2J"), PIECE("\033]0;title\007"), PIECE("\033P$q\033\\"), PIECE("\xc2\x9b" "31m"), PIECE("\x9b" "2J"),
		PIECE("\""), PIECE("'"), PIECE("\\"), PIECE("\\x41"), PIECE("\\x5c"), PIECE("\\\\x41"), PIECE("\\u0041"),
		PIECE("\n"), PIECE("\r\n"), PIECE("\t"), PIECE("\0"), PIECE("\x7f"), PIECE("\b\b"), PIECE(","), PIECE(";"),
		PIECE("=cmd|' /C calc'!A0"), PIECE("+1"), PIECE("-1"), PIECE("@SUM(A1)"), PIECE("'=1"),
		PIECE("\xe2\x80\xae" "gpj.exe"), PIECE("\xe2\x81\xa6"), PIECE("\xe2\x80\xa8"), PIECE("\xe2\x80\xa9"),
		PIECE("\xd8\x9c"), PIECE("\xe2\x80\x8b"), PIECE("\xef\xbb\xbf"), PIECE("\xf3\xa0\x81\x81"),
		PIECE("\xc0\xaf"), PIECE("\xe0\x80\xaf"), PIECE("\xed\xa0\x80"), PIECE("\xf4\x90\x80\x80"), PIECE("\xff"),
		PIECE("\xc3"), PIECE("\xe2\x82"), PIECE("\xf0\x9f\x98"), PIECE("\x80"), PIECE("\xf0\x9f\x98\x80"),
		PIECE("gr\xc3\xbc\xc3\x9f"), PIECE("\xe6\xbc\xa2\xe5\xad\x97"), PIECE("</script>"), PIECE("%s%n"), PIECE("$(id)"),
		PIECE("`id`"), PIECE(" error=ECONNREFUSED"), PIECE("plain"), PIECE("x41"),
	};
#undef PIECE
	size_t n = 0, wanted = random_next(state) % 9;

	for (size_t i = 0; i < wanted; i++) {
		uint64_t pick = random_next(state) % (ARRAY_SIZE(pieces) * 4 / 3);

		if (pick >= ARRAY_SIZE(pieces)) {
			text[n++] = (char)random_next(state);
			continue;
		}
		if (n + pieces[pick].length > HOSTILE_MAX - 16)
			break;
		memcpy(text + n, pieces[pick].bytes, pieces[pick].length);
		n += pieces[pick].length;
	}
	return n;
}

/** The documented way back from the escape form, in place: every \xNN is a byte. @return the new length. */
static inline size_t unescape(char *text, size_t length)
{
	size_t out = 0;

	for (size_t i = 0; i < length;) {
		unsigned byte;
		int end = 0;
		char digits[3] = "";

		if (length - i >= 4 && text[i] == '\\' && text[i + 1] == 'x' && memchr("0123456789abcdef", text[i + 2], 16) &&
		    memchr("0123456789abcdef", text[i + 3], 16)) {
			memcpy(digits, text + i + 2, 2);
			assert_int_equal(sscanf(digits, "%2x%n", &byte, &end), 1);
			text[out++] = (char)byte;
			i += 4;
		} else {
			text[out++] = text[i++];
		}
	}
	return out;
}

/** Only valid UTF-8 without a character that a terminal would act on; an own decoder, so that it checks ours. */
static inline void assert_safe_for_terminal(const char *text, size_t length)
{
	for (size_t i = 0; i < length;) {
		const unsigned char *b = (const unsigned char *)text + i;
		size_t n = *b < 0x80 ? 1 : *b < 0xe0 ? 2 : *b < 0xf0 ? 3 : 4;
		uint32_t code = *b;

		assert_true(*b < 0x80 || (*b >= 0xc2 && *b < 0xf5));
		assert_true(i + n <= length);
		if (n > 1)
			code &= 0xffu >> (n + 1);
		for (size_t k = 1; k < n; k++) {
			assert_int_equal(b[k] >> 6, 2);
			code = code << 6 | (b[k] & 63);
		}
		assert_true(code >= 0x20 && code != 0x7f && !(code >= 0x80 && code <= 0x9f));
		assert_false(code >= 0x200b && code <= 0x200f);
		assert_false(code >= 0x2028 && code <= 0x202e);
		assert_false(code >= 0x2066 && code <= 0x2069);
		assert_false(code == 0x061c || code == 0xfeff || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff);
		i += n;
	}
}
