/* SPDX-License-Identifier: Apache-2.0 */
/* The hook of `dns`: records of the kernel become events, and those that lie about their size do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/embedded.h>

#include "event.h"

static const char question[] = "\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x00\003www\007example\003org\000\x00\x01\x00\x01";
#define QUESTION_BYTES (sizeof(question) - 1)

union record {
	struct sonde_header header;
	struct dns event;
	struct dns_short inner;
	char bytes[SONDE_RECORD_MAX];
};

static int run(union record *record, size_t *length)
{
	const struct sonde_embedded *e = sonde_embedded;

	while (e->name && strcmp(e->name, "dns"))
		e++;
	assert_non_null(e->name);
	return e->hooks->record(NULL, &record->header, length);
}

static union record timeout_record(void)
{
	union record r = {.inner.head = {.header = {.type = SONDE_INNER_TYPE + DNS_INNER_SHORT, .pid = 42, .command = "asker"},
					 .cookie = 7, .server_port = 53, .transport = 17, .timed_out = 1,
					 .role = DNS_ROLE_RESOLVER, .tries = 3, .captured = QUESTION_BYTES, .length = QUESTION_BYTES}};

	memcpy(r.inner.bytes, question, QUESTION_BYTES);
	return r;
}

static void timeout(void **state)
{
	union record r = timeout_record();
	size_t length = sizeof(struct dns_short);

	assert_int_equal(run(&r, &length), 1);
	assert_int_equal(length, sizeof(struct dns));
	assert_int_equal(r.header.type, 0);
	assert_int_equal(r.header.pid, 42);
	assert_string_equal(r.header.command, "asker");
	assert_string_equal(r.event.name, "www.example.org");
	assert_int_equal(r.event.timed_out, 1);
	assert_int_equal(r.event.role, DNS_ROLE_RESOLVER);
	assert_int_equal(r.event.tries, 3);
	assert_int_equal(r.event.id, 0x1234);
	assert_int_equal(r.event.latency_ns, 0);
	assert_string_equal(r.event.answers, "");
}

static void lies(void **state)
{
	union record r = timeout_record();
	size_t length = sizeof(struct dns_message) + QUESTION_BYTES - 1;

	assert_int_equal(run(&r, &length), -EINVAL); /* fewer bytes than captured */
	length = sizeof(struct dns_message) - 1;
	assert_int_equal(run(&r, &length), -EINVAL);
	r.header.type = 0; /* the kernel sends no finished events */
	length = sizeof(struct dns_short);
	assert_int_equal(run(&r, &length), -EINVAL);
	r = timeout_record();
	r.inner.head.captured = 20; /* amid the name */
	assert_int_equal(run(&r, &length), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(timeout), cmocka_unit_test(lies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
