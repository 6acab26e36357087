/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses an answer gives to the name that was asked for. Each message is tried at every length it can be cut to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "addresses.h"

#define HEADER(rcode, answers) "\x12\x34\x81" rcode "\x00\x01\x00" answers "\x00\x00\x00\x00"
#define WWW "\003www\007example\003org\000"
#define QUESTION WWW "\x00\x01\x00\x01"
#define A(owner, ttl, last) owner "\x00\x01\x00\x01\x00\x00\x00" ttl "\x00\x04\xc0\x00\x02" last
#define AT_WWW "\xc0\x0c"

static size_t read_cut(const char *bytes, size_t captured, size_t length, struct dns_named_address *ret_addresses)
{
	uint8_t *copy = malloc(captured ?: 1); /* of just this size, so that a sanitizer sees a read beyond it */
	const struct dns_bytes message = {copy, captured, length};
	size_t n;

	assert_non_null(copy);
	memcpy(copy, bytes, captured);
	n = dns_addresses(&message, ret_addresses);
	free(copy);
	return n;
}

#define READ(literal, addresses) read_all(literal, sizeof(literal) - 1, addresses)
static size_t read_all(const char *bytes, size_t length, struct dns_named_address *ret_addresses)
{
	size_t before = 0, n;

	for (size_t captured = 0; captured < length; captured++) {
		n = read_cut(bytes, captured, length, ret_addresses);
		assert_true(n >= before);
		before = n;
	}
	return read_cut(bytes, length, length, ret_addresses);
}

static void own(void **state)
{
	struct dns_named_address a[DNS_ADDRESSES_MAX];

	assert_int_equal(READ(HEADER("\x80", "\x02") QUESTION A(AT_WWW, "\x3c", "\x01") A("\003WWW\xc0\x10", "\x05", "\x02"), a), 2);
	assert_memory_equal(a[0].address.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);
	assert_int_equal(a[0].ttl_seconds, 60);
	assert_int_equal(a[1].address.bytes[15], 2); /* the case of letters means nothing */
	assert_int_equal(a[1].ttl_seconds, 5);
}

static void by_cnames(void **state)
{
	struct dns_named_address a[DNS_ADDRESSES_MAX];

	assert_int_equal(READ(HEADER("\x80", "\x04") QUESTION
			      AT_WWW "\x00\x05\x00\x01\x00\x00\x00\x07\x00\x06\003cdn\xc0\x10" /* at 0x2d: cdn.example.org */
			      "\xc0\x2d\x00\x05\x00\x01\x00\x00\x00\x63\x00\x05\002eu\xc0\x2d"
			      "\xc0\x3f\x00\x1c\x00\x01\x00\x00\x00\x09\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
			      A("\xc0\x3f", "\x03", "\x09"), a), 2);
	assert_memory_equal(a[0].address.bytes, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	assert_int_equal(a[0].ttl_seconds, 7); /* the shortest on the way */
	assert_int_equal(a[1].ttl_seconds, 3);
}

static void not_believed(void **state)
{
	struct dns_named_address a[DNS_ADDRESSES_MAX];

	/* of another name; in another class; of a wrong size; in an answer that says there is no such name; no question */
	assert_int_equal(READ(HEADER("\x80", "\x01") QUESTION A("\004bank\xc0\x10", "\x3c", "\x01"), a), 0);
	assert_int_equal(READ(HEADER("\x80", "\x01") QUESTION AT_WWW "\x00\x01\x00\x03\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01", a), 0);
	assert_int_equal(READ(HEADER("\x80", "\x01") QUESTION AT_WWW "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x03\xc0\x00\x02", a), 0);
	assert_int_equal(READ(HEADER("\x83", "\x01") QUESTION A(AT_WWW, "\x3c", "\x01"), a), 0);
	assert_int_equal(READ("\x12\x34\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00" A("\0", "\x3c", "\x01"), a), 0);
	/* A CNAME back to itself, and more records promised than there are. */
	assert_int_equal(READ(HEADER("\x80", "\xff") QUESTION AT_WWW "\x00\x05\x00\x01\x00\x00\x00\x07\x00\x02" AT_WWW
			      A(AT_WWW, "\x3c", "\x01"), a), 1);
}

static void many(void **state)
{
	static const char head[] = HEADER("\x80", "\xff") QUESTION, record[] = A(AT_WWW, "\x3c", "\x01");
	struct dns_named_address a[DNS_ADDRESSES_MAX];
	char bytes[8192];
	size_t length = sizeof(head) - 1;

	memcpy(bytes, head, length);
	for (int i = 0; i < 255; i++, length += sizeof(record) - 1)
		memcpy(bytes + length, record, sizeof(record) - 1);
	assert_int_equal(read_cut(bytes, length, length, a), DNS_ADDRESSES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(own), cmocka_unit_test(by_cnames), cmocka_unit_test(not_believed),
					   cmocka_unit_test(many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
