/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: what real servers send, and what nobody should. Each message is tried at every length it can be cut to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "name.h"
#include "parse.h"
#include "word.h"

/* The header of an answer (QR, RD, RA) and the numbers of records in its sections. */
#define HEADER(flags, rcode, answers, authority, additional)                                         \
	"\x12\x34" flags rcode "\x00\x01\x00" answers "\x00" authority "\x00" additional
#define WWW "\003www\007example\003org\000"
#define IN_A "\x00\x01\x00\x01"

/* From a heap block of just this size, so that a sanitizer sees a read beyond it. */
static int parse_cut(const char *bytes, size_t captured, size_t length, bool answered, struct dns *ret_event)
{
	uint8_t *copy = malloc(captured ?: 1);
	const struct dns_bytes message = {copy, captured, length};
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, captured);
	memset(ret_event, 0x5a, sizeof(*ret_event));
	r = dns_parse(&message, answered, ret_event);
	free(copy);
	return r;
}

/* As an answer; then cut anywhere, which must be said and never take the message for malformed. */
#define PARSE(literal, event) parse_all(literal, sizeof(literal) - 1, event)
static void parse_all(const char *bytes, size_t length, struct dns *ret_event)
{
	struct dns cut;

	for (size_t captured = 0; captured < length; captured++) {
		if (parse_cut(bytes, captured, length, true, &cut) == 0 && cut.malformed != 0)
			fail_msg("malformed when cut to %zu bytes", captured);
		(void)parse_cut(bytes, captured, captured, true, &cut);
	}
	assert_int_equal(parse_cut(bytes, length, length, true, ret_event), 0);
}

static void addresses(void **state)
{
	struct dns e;

	PARSE(HEADER("\x81", "\x80", "\x02", "\x00", "\x01") WWW IN_A
	      "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"
	      "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\xff"
	      "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", &e);
	assert_int_equal(e.id, 0x1234);
	assert_string_equal(e.name, "www.example.org");
	assert_string_equal(e.qtype, "A");
	assert_string_equal(e.qclass, "IN");
	assert_string_equal(e.rcode, "NOERROR");
	assert_string_equal(e.answers, "192.0.2.1, 192.0.2.255");
	assert_int_equal(e.answer_count, 2);
	assert_int_equal(e.ttl_seconds, 60);
	assert_int_equal(e.truncated, 0);
	assert_int_equal(e.malformed, 0);
	assert_int_equal(e.incomplete, 0);
}

static void chain(void **state)
{
	struct dns e;

	PARSE(HEADER("\x85", "\x80", "\x03", "\x00", "\x00") WWW "\x00\x1c\x00\x01"
	      "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x06\003cdn\xc0\x10"
	      "\xc0\x2d\x00\x05\x00\x01\x00\x00\x00\x07\x00\x02\xc0\x10"
	      "\xc0\x10\x00\x1c\x00\x01\x00\x00\x00\x09\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
	      &e);
	assert_string_equal(e.qtype, "AAAA");
	assert_string_equal(e.answers, "CNAME cdn.example.org, CNAME example.org, 2001:db8::1");
	assert_int_equal(e.ttl_seconds, 5);
	assert_int_equal(e.malformed, 0);
}

static void other_types(void **state)
{
	struct dns e;

	PARSE(HEADER("\x81", "\x80", "\x05", "\x00", "\x00") WWW "\x00\xff\x00\xff"
	      "\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x05\x00\x09\x00\x0a\004mail\xc0\x10"
	      "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x05\x00\x09\x00\x01\x00\x02\x13\xc4\001s\x00"
	      "\xc0\x0c\x00\x0c\x00\x01\x00\x00\x00\x05\x00\x02\xc0\x0c"
	      "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x05\x00\x04\003abc"
	      "\xc0\x0c\xff\x01\x00\x01\x00\x00\x00\x05\x00\x00", &e);
	assert_string_equal(e.qtype, "ANY");
	assert_string_equal(e.qclass, "ANY");
	assert_string_equal(e.answers, "MX 10 mail.example.org, SRV 1 2 5060 s, PTR www.example.org, TXT (4 bytes), "
				       "TYPE65281 (0 bytes)");
	assert_int_equal(e.malformed, 0);
}

static void failures(void **state)
{
	struct dns e;

	PARSE(HEADER("\x81", "\x83", "\x00", "\x01", "\x00") WWW IN_A
	      "\xc0\x10\x00\x06\x00\x01\x00\x00\x00\x05\x00\x16\xc0\x10\xc0\x10\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0", &e);
	assert_string_equal(e.rcode, "NXDOMAIN");
	assert_string_equal(e.answers, "");
	assert_int_equal(e.answer_count, 0);
	assert_int_equal(e.ttl_seconds, UINT32_MAX);
	PARSE(HEADER("\x83", "\x82", "\x00", "\x00", "\x00") WWW IN_A, &e);
	assert_string_equal(e.rcode, "SERVFAIL");
	assert_int_equal(e.truncated, 1);
	/* EDNS: BADVERS is 1 * 16 + 0 */
	PARSE(HEADER("\x81", "\x80", "\x00", "\x00", "\x01") WWW IN_A "\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00", &e);
	assert_string_equal(e.rcode, "BADVERS");
}

static void question_only(void **state)
{
	struct dns e;

	assert_int_equal(parse_cut(HEADER("\x01", "\x20", "\x07", "\x00", "\x00") WWW IN_A, 33, 33, false, &e), 0);
	assert_string_equal(e.name, "www.example.org");
	assert_string_equal(e.rcode, "");
	assert_string_equal(e.answers, "");
	assert_int_equal(e.answer_count, UINT32_MAX);
	assert_int_equal(e.truncated, 2);
	assert_int_equal(e.malformed, 2);
	assert_int_equal(e.incomplete, 0);
}

static void root_and_words(void **state)
{
	struct dns e;

	PARSE(HEADER("\x81", "\x8c", "\x00", "\x00", "\x00") "\x00" "\x00\x1a\x00\x09", &e);
	assert_string_equal(e.name, ".");
	assert_string_equal(e.qtype, "TYPE26");
	assert_string_equal(e.qclass, "CLASS9");
	assert_string_equal(e.rcode, "RCODE12");
	PARSE(HEADER("\x81", "\x80", "\x00", "\x00", "\x00") "\x00" "\xff\xff\x00\x03", &e);
	assert_string_equal(e.qtype, "TYPE65535");
	assert_string_equal(e.qclass, "CH");
}

static void odd_bytes(void **state)
{
	struct dns e;

	PARSE(HEADER("\x81", "\x80", "\x00", "\x00", "\x00") "\x09" "a.b\\c \x00\xff\x1b" "\x01\"" "\x00" IN_A, &e);
	assert_string_equal(e.name, "a\\.b\\\\c\\032\\000\\255\\027.\"");
}

/* 255 bytes on the wire are the most; as text they may be 1004. */
static void long_names(void **state)
{
	char message[400] = HEADER("\x81", "\x80", "\x00", "\x00", "\x00");
	struct dns e;
	size_t at = 12;

	for (int i = 0; i < 127; i++) {
		message[at++] = 1;
		message[at++] = 'x';
	}
	message[at++] = 0;
	memcpy(message + at, IN_A, 4);
	assert_int_equal(parse_cut(message, at + 4, at + 4, true, &e), 0);
	assert_int_equal(strlen(e.name), 253);
	assert_int_equal(e.incomplete, 0);

	for (size_t i = 13; i < at; i += 2)
		message[i] = '\n';
	assert_int_equal(parse_cut(message, at + 4, at + 4, true, &e), 0);
	assert_int_equal(e.incomplete, 1);
	assert_int_equal(e.malformed, 0);
	assert_string_equal(e.name + strlen(e.name) - 8, "\\010....");
	assert_true(strlen(e.name) < sizeof(e.name));

	message[at - 1] = 1; /* a byte too many */
	message[at] = 'x';
	message[at + 1] = 0;
	memcpy(message + at + 2, IN_A, 4);
	assert_int_equal(parse_cut(message, at + 6, at + 6, true, &e), -EINVAL);
}

static void many_answers(void **state)
{
	static const char answer[] = "\xc0\x0c\x00\x1c\x00\x01\x00\x00\x0e\x10\x00\x10\x20\x01\x0d\xb8\x11\x11\x22\x22\x33\x33\x44\x44"
				     "\x55\x55\x66\x66";
	char message[33 + 40 * 28] = HEADER("\x81", "\x80", "\x28", "\x00", "\x00") WWW IN_A;
	struct dns e;

	for (int i = 0; i < 40; i++)
		memcpy(message + 33 + i * 28, answer, 28);
	assert_int_equal(parse_cut(message, sizeof(message), sizeof(message), true, &e), 0);
	assert_int_equal(e.answer_count, 40);
	assert_int_equal(e.incomplete, 1);
	assert_int_equal(e.malformed, 0);
	assert_string_equal(e.answers + strlen(e.answers) - 5, ", ...");
	/* The same, but only the first 500 bytes were seen. */
	assert_int_equal(parse_cut(message, 500, sizeof(message), true, &e), 0);
	assert_int_equal(e.incomplete, 1);
	assert_int_equal(e.malformed, 0);
}

static const struct {
	const char *what, *bytes;
	size_t length;
} malformed[] = {
#define M(what, literal) {what, literal, sizeof(literal) - 1}
	M("pointer to itself", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\xc0\x2d"),
	M("owner that points to itself", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x21\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
	M("owner that points forward", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
	M("owner beyond the message", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xff\xff\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
	M("owner whose label leads back to itself", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\001x\xc0\x21\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
	M("owner in the header", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x04\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
	M("pointers to each other", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\xc0\x2f\xc0\x2d"),
	M("pointer forward", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\xff\xff"),
	M("name beyond its data", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\003abc\x00"),
	M("data behind the name", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x03\xc0\x0cx"),
	M("address of 3 bytes", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x03\x01\x02\x03"),
	M("address of 5 bytes", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW "\x00\x1c\x00\x01"
	  "\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x05\x00\x05\x01\x02\x03\x04\x05"),
	M("preference without a name", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x05\x00\x02\x00\x0a"),
	M("fewer records than it says", HEADER("\x81", "\x80", "\xff", "\x00", "\x00") WWW IN_A),
	M("data beyond the message", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\xff\xff\x01\x02\x03\x04"),
	M("a kind of label that is no more", HEADER("\x81", "\x80", "\x01", "\x00", "\x00") WWW IN_A
	  "\x41\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
#undef M
};

static void malformed_answers(void **state)
{
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct dns e;

		assert_int_equal(parse_cut(malformed[i].bytes, malformed[i].length, malformed[i].length, true, &e), 0);
		if (e.malformed != 1 || e.incomplete != 1 || strcmp(e.name, "www.example.org") || strcmp(e.answers, ""))
			fail_msg("%s: malformed %u, answers '%s'", malformed[i].what, e.malformed, e.answers);
	}
}

/* A name may point to a pointer; a chain longer than any name has labels is none. */
static void pointer_chain(void **state)
{
	char message[800] = HEADER("\x81", "\x80", "\x02", "\x00", "\x00") WWW IN_A
		"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x05\x01\x00"; /* TXT of 256 bytes: the chain, each points to the one before */
	struct dns e;
	size_t at = 45;

	for (size_t i = 0; i < 128; i++, at += 2) {
		size_t target = i ? at - 2 : 12;

		message[at] = (char)(0xc0 | target >> 8);
		message[at + 1] = (char)target;
	}
	memcpy(message + at, "\xc1\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04", 16);
	at += 16;
	message[at - 15] = 45 + 2 * 125 - 0x100; /* 126 pointers, and this one */
	assert_int_equal(parse_cut(message, at, at, true, &e), 0);
	assert_string_equal(e.answers, "TXT (256 bytes), 1.2.3.4");
	assert_int_equal(e.malformed, 0);
	message[at - 15] += 2;
	assert_int_equal(parse_cut(message, at, at, true, &e), 0);
	assert_string_equal(e.answers, "TXT (256 bytes)");
	assert_int_equal(e.malformed, 1);
}

static void no_question(void **state)
{
	static const char pointer[] = HEADER("\x81", "\x80", "\x00", "\x00", "\x00") "\xc0\x0c" IN_A;
	static const char two[] = "\x12\x34\x81\x80\x00\x02\x00\x00\x00\x00\x00\x00" WWW IN_A WWW IN_A;
	static const char unended[] = HEADER("\x81", "\x80", "\x00", "\x00", "\x00") "\003www";
	struct dns e;

	assert_int_equal(parse_cut(pointer, sizeof(pointer) - 1, sizeof(pointer) - 1, true, &e), -EINVAL);
	assert_int_equal(parse_cut(two, sizeof(two) - 1, sizeof(two) - 1, true, &e), -EINVAL);
	assert_int_equal(parse_cut(unended, sizeof(unended) - 1, sizeof(unended) - 1, true, &e), -EINVAL);
	assert_int_equal(parse_cut("", 0, 0, true, &e), -EINVAL);
	assert_int_equal((uint8_t)e.name[0], 0x5a); /* nothing is set */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),	 cmocka_unit_test(chain),	   cmocka_unit_test(other_types),
		cmocka_unit_test(failures),	 cmocka_unit_test(question_only),  cmocka_unit_test(root_and_words),
		cmocka_unit_test(odd_bytes),	 cmocka_unit_test(long_names),	   cmocka_unit_test(many_answers),
		cmocka_unit_test(malformed_answers), cmocka_unit_test(pointer_chain), cmocka_unit_test(no_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
