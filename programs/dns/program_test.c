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
#include <enrich/enrich.h>

#include "event.h"

static const char question[] = "\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x00\003www\007example\003org\000\x00\x01\x00\x01";
#define QUESTION_BYTES (sizeof(question) - 1)

union record {
	struct sonde_header header;
	struct dns event;
	struct dns_short inner;
	char bytes[SONDE_RECORD_MAX];
};

static struct sonde_enrich *enrich;

static int run(union record *record, size_t *length)
{
	const struct sonde_embedded *e = sonde_embedded;

	while (e->name && strcmp(e->name, "dns"))
		e++;
	assert_non_null(e->name);
	return e->hooks->record(sonde_enrich_hook_context(enrich), &record->header, length);
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

/* Not known is no answer, and tells nothing of one. */
static void unseen(void **state)
{
	union record r = timeout_record();
	size_t length = sizeof(struct dns_short);

	r.inner.head.timed_out = DNS_TIMED_OUT_UNKNOWN;
	assert_int_equal(run(&r, &length), 1);
	assert_string_equal(r.event.name, "www.example.org");
	assert_int_equal(r.event.timed_out, DNS_TIMED_OUT_UNKNOWN);
	assert_string_equal(r.event.rcode, "");
	assert_string_equal(r.event.answers, "");
}

/* Who asked connects next: the name stands beside the address in its events. */
static void names(void **state)
{
	static const char answer[] = "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\003www\007example\003org\000\x00\x01\x00\x01"
				     "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
	static const uint8_t address[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1}, other[16] = {[10] = 0xff, 0xff, 192, 0, 2, 2};
	const struct sonde_names *known = sonde_enrich_names(enrich);
	struct sonde_header event = {.pid = 42, .start_time_ns = 7, .time_ns = 1000};
	union record r = timeout_record();
	size_t length = sizeof(struct dns_short);

	r.header.start_time_ns = 7;
	r.header.time_ns = 1000;
	r.inner.head.timed_out = 0;
	r.inner.head.captured = r.inner.head.length = sizeof(answer) - 1;
	memcpy(r.inner.bytes, answer, sizeof(answer) - 1);
	assert_int_equal(run(&r, &length), 1);
	assert_string_equal(r.event.answers, "192.0.2.1");
	assert_string_equal(known->address(known->userdata, &event, address), "www.example.org");
	assert_null(known->address(known->userdata, &event, other));
	event.pid = 43;
	assert_null(known->address(known->userdata, &event, address));
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(timeout), cmocka_unit_test(unseen), cmocka_unit_test(names), cmocka_unit_test(lies)};
	const struct sonde_enrich_opts opts = {.kallsyms_fd = -1};
	int failed;

	if (sonde_enrich_new(&opts, &enrich) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sonde_enrich_free(&enrich);
	return failed;
}
