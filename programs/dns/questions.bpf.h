/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Questions that wait for their answer, by socket and id, and the records about them.
 *
 * Each question has one outcome: whoever sets `claimed` first reports it, be it the answer, the time, or another question
 * that takes its id.
 */

#include <sonde/loop.bpf.h>
#include "servers.bpf.h"

SONDE_SETTING_BETWEEN(__u64, timeout_ns, 5000000000, 1000000, 3600000000000,
		      "a question without an answer for so long has timed out");

#ifndef QUESTIONS_MAX
#define QUESTIONS_MAX 16384
#endif
#define LABELS_MAX 128
#define MESSAGE_HEADER 12
#define NAME_MAX_BYTES 255

struct question_key {
	__u64 cookie;
	__u16 id;
	__u16 reserved[3];
};

struct question {
	struct sonde_process owner;
	__u64 asked_ns;
	sonde_address server_address;
	__u16 server_port;
	__u8 transport;
	__u8 role;
	int hash;
	__u32 tries;
	__u32 claimed;
	__u16 length; /* header, name, type and class */
	__u16 qtype;
	__u8 message[DNS_SHORT_SIZE + 4]; /* what follows the header is aligned to 8 and padded to it */
};
_Static_assert((offsetof(struct question, message) + MESSAGE_HEADER) % 8 == 0, "hashed by words of 8 bytes");

/*
 * Its memory is there from the start: a question is put in on one CPU and taken out on another, and that makes the allocator of a map
 * that grows take a microsecond and more for each.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUESTIONS_MAX);
	__type(key, struct question_key);
	__type(value, struct question);
} questions SEC(".maps");

/* Room to build a question in. A softirq or another task may come in between on the same CPU: each takes its own. */
#define DESKS 4

struct desk {
	__u32 taken;
	__u32 reserved;
	struct question question;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DESKS);
	__type(key, __u32);
	__type(value, struct desk);
} desks SEC(".maps");

static __always_inline struct desk *desk_take(void)
{
	for (int i = 0; i < DESKS; i++) {
		__u32 key = i; /* older verifiers (6.12) forget a counter that lies on the stack */
		struct desk *desk = bpf_map_lookup_elem(&desks, &key);

		if (desk && !__sync_val_compare_and_swap(&desk->taken, 0, 1))
			return desk;
	}
	sonde_map_full();
	return NULL;
}

static __always_inline void desk_give(struct desk *desk)
{
	__sync_lock_test_and_set(&desk->taken, 0);
}

/* ---- metrics ---- */

struct dns_result {
	char qtype[8] SONDE_DOC("type asked for; \"other\" for the rare ones");
	char rcode[12] SONDE_DOC("result; \"other\" for the rare ones");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[3] SONDE_HIDDEN;
};

struct dns_silence {
	char qtype[8] SONDE_DOC("type asked for; \"other\" for the rare ones");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[7] SONDE_HIDDEN;
};

struct {
	SONDE_METRIC_MAP(struct dns_result, 512);
} answered SEC(".maps") SONDE_COUNTER("dns_answers_total", "Questions that were answered, those of local resolvers not counted.");

struct {
	SONDE_METRIC_MAP(struct dns_result, 512);
} passed_on SEC(".maps") SONDE_COUNTER("dns_resolver_answers_total", "Answered questions of processes that serve names themselves.");

struct {
	SONDE_METRIC_MAP(struct dns_silence, 64);
} unanswered SEC(".maps") SONDE_COUNTER("dns_timeouts_total",
					"Questions that nobody answered in time, those of local resolvers not counted.");

struct {
	SONDE_METRIC_MAP(struct dns_silence, 64);
} passed_on_unanswered SEC(".maps")
SONDE_COUNTER("dns_resolver_timeouts_total", "Unanswered questions of processes that serve names themselves.");

struct dns_time {
	enum dns_role role SONDE_DOC("client, or resolver: the asker serves names itself");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[2] SONDE_HIDDEN;
	__u8 le SONDE_DOC("bucket");
};

struct {
	SONDE_METRIC_MAP(struct dns_time, 128);
} latencies SEC(".maps") SONDE_HISTOGRAM("dns_latency_seconds", "Time from a question to its answer.");

static const char rcode_labels[16][12] = {
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
	"other",   "other",   "other",	  "other",    "other",
};

static __always_inline void qtype_label(__u16 qtype, char *label)
{
	const char *text = "other\0\0";

	switch (qtype) {
	case 1: text = "A\0\0\0\0\0\0"; break;
	case 2: text = "NS\0\0\0\0\0"; break;
	case 5: text = "CNAME\0\0"; break;
	case 6: text = "SOA\0\0\0\0"; break;
	case 12: text = "PTR\0\0\0\0"; break;
	case 15: text = "MX\0\0\0\0\0"; break;
	case 16: text = "TXT\0\0\0\0"; break;
	case 28: text = "AAAA\0\0\0"; break;
	case 33: text = "SRV\0\0\0\0"; break;
	case 43: text = "DS\0\0\0\0\0"; break;
	case 48: text = "DNSKEY\0"; break;
	case 64: text = "SVCB\0\0\0"; break;
	case 65: text = "HTTPS\0\0"; break;
	case 255: text = "ANY\0\0\0\0"; break;
	}
	__builtin_memcpy(label, text, 8);
}

/* Not static, as question_read(). */
__noinline int count_answer(const struct question *question, __u32 rcode, __u64 latency_ns)
{
	struct dns_result key = {};
	struct dns_time time = {};

	if (!question)
		return 0;
	time.role = question->role;
	time.transport = key.transport = question->transport;
	sonde_metric_observe(&latencies, &time, &time.le, latency_ns);
	qtype_label(question->qtype, key.qtype);
	__builtin_memcpy(key.rcode, rcode_labels[rcode & 0xf], sizeof(key.rcode));
	if (question->role == DNS_ROLE_RESOLVER)
		sonde_metric_add(&passed_on, &key, 1);
	else
		sonde_metric_add(&answered, &key, 1);
	return 0;
}

__noinline int count_timeout(const struct question *question)
{
	struct dns_silence key = {};

	if (!question)
		return 0;
	key.transport = question->transport;
	qtype_label(question->qtype, key.qtype);
	if (question->role == DNS_ROLE_RESOLVER)
		sonde_metric_add(&passed_on_unanswered, &key, 1);
	else
		sonde_metric_add(&unanswered, &key, 1);
	return 0;
}

/* ---- the message ---- */

/* The first bytes of a message, as many as a question may have; returns how many. */
static __always_inline __u32 message_load(struct __sk_buff *skb, __u32 offset, __u32 available, struct question *question)
{
	__u32 length = available < DNS_SHORT_SIZE ? available : DNS_SHORT_SIZE;

	if (length < MESSAGE_HEADER || bpf_skb_load_bytes(skb, offset, question->message, length))
		return 0;
	return length;
}

/* Where a look at the labels of a name stands. */
struct labels {
	const __u8 *message;
	__u32 end; /* of those seen */
	bool whole;
};

static __noinline long label_pass(__u32 round, struct labels *labels)
{
	__u32 end = labels->end;
	__u8 length;

	if (end >= MESSAGE_HEADER + NAME_MAX_BYTES)
		return 1;
	length = labels->message[end];
	labels->whole = !length;
	labels->end = end + length + 1;
	return !length || length > 63; /* names of questions are never compressed */
}

/*
 * Length and type of the question among the bytes that were loaded; false: it is not well-formed or not all there.
 * Not static: the verifier then looks at it once, not once for each place and state that it is called in.
 */
__noinline int question_read(struct question *question, __u32 loaded)
{
	struct labels labels = {.end = MESSAGE_HEADER};
	__u8 *message;
	__u32 end;

	if (!question)
		return false;
	labels.message = message = question->message;
	sonde_loop(LABELS_MAX, label_pass, &labels);
	end = labels.end + 4;
	barrier_var(end); /* older verifiers (6.1) know nothing of what the loop leaves: both bounds are checked, in this register */
	if (!labels.whole || end > loaded || end < MESSAGE_HEADER + 5 || end > DNS_SHORT_SIZE - 1)
		return false;
	question->length = end;
	question->qtype = message[end - 4] << 8 | message[end - 3];
	return true;
}

/* Tells questions apart, however a server may have changed the case of their letters. */
__noinline int question_hash(struct question *question)
{
	const __u64 *words;
	__s32 left;
	__u64 hash;

	if (!question)
		return 0;
	words = (const __u64 *)(question->message + MESSAGE_HEADER);
	left = question->length - MESSAGE_HEADER;
	hash = question->qtype;
	for (int i = 0; i < (DNS_SHORT_SIZE - MESSAGE_HEADER + 7) / 8; i++) {
		__u64 word;

		if (left <= 0)
			break;
		word = words[i];
		if (left < 8)
			word &= (1ull << left * 8) - 1;
		hash = (hash ^ (word | 0x2020202020202020ull)) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
		left -= 8;
	}
	return (int)hash;
}

/* ---- records ---- */

static __always_inline void fill_head(struct dns_message *head, const struct question *question, __u64 cookie)
{
	head->cookie = cookie;
	head->server_address = question->server_address;
	head->server_port = question->server_port;
	head->transport = question->transport;
	head->role = question->role;
	head->tries = question->tries;
}

static __always_inline bool question_claim(struct question *question)
{
	return !__sync_val_compare_and_swap(&question->claimed, 0, 1);
}

/* Nobody answers it any more: to be said by who claimed it. */
static __always_inline void send_timeout(const struct question *question, __u64 cookie)
{
	struct dns_short *record;

	count_timeout(question);
	record = sonde_reserve_inner(dns_short, DNS_INNER_SHORT, &question->owner);
	if (!record)
		return;
	fill_head(&record->head, question, cookie);
	record->head.latency_ns = 0;
	record->head.timed_out = 1;
	record->head.captured = record->head.length = question->length;
	__builtin_memcpy(record->bytes, question->message, sizeof(record->bytes));
	sonde_submit(record);
}

struct answer {
	sonde_address server_address;
	__u64 cookie, latency_ns; /* 0: not known, as there was no room for a record */
	__u32 offset, available, length; /* of the message; what of it is in this packet; what its sender says */
	__u16 server_port;
	bool repeats_question;
	const __u8 *header;
};

/* The record has the time; asking for it twice would cost 35 ns. */
static __always_inline void fill_answer(struct dns_message *head, const struct question *question, struct answer *answer)
{
	answer->latency_ns = head->header.time_ns - question->asked_ns;
	fill_head(head, question, answer->cookie);
	head->server_address = answer->server_address;
	head->server_port = answer->server_port;
	head->latency_ns = answer->latency_ns;
	head->timed_out = 0;
	head->captured = answer->available;
	head->length = answer->length;
}

/* The question under the answer's header. If that tells of records, they count as not seen: there is more than was captured. */
static __always_inline void send_bare_answer(const struct question *question, struct answer *answer)
{
	struct dns_short *record = sonde_reserve_inner(dns_short, DNS_INNER_SHORT, &question->owner);

	if (!record)
		return;
	fill_answer(&record->head, question, answer);
	__builtin_memcpy(record->bytes, question->message, sizeof(record->bytes));
	__builtin_memcpy(record->bytes, answer->header, MESSAGE_HEADER);
	record->bytes[4] = 0;
	record->bytes[5] = 1;
	record->head.captured = question->length;
	record->head.length = question->length + 1;
	sonde_submit(record);
}

/* barrier_var: the compiler knows more of the size than older verifiers (6.1) do, and would leave out the checks. */
#define SEND_ANSWER(name, number)                                                                          \
	do {                                                                                               \
		struct name *record = sonde_reserve_inner(name, number, &question->owner);                 \
		__u32 size = answer->available;                                                            \
                                                                                                           \
		if (!record)                                                                               \
			return;                                                                            \
		fill_answer(&record->head, question, answer);                                              \
		barrier_var(size);                                                                         \
		if (size > sizeof(record->bytes))                                                          \
			size = sizeof(record->bytes);                                                      \
		record->head.captured = size;                                                              \
		if (size < MESSAGE_HEADER || bpf_skb_load_bytes(skb, answer->offset, record->bytes, size)) \
			record->head.captured = 0;                                                         \
		sonde_submit(record);                                                                      \
	} while (0)

static __always_inline void send_answer(struct __sk_buff *skb, const struct question *question, struct answer *answer)
{
	if (!answer->repeats_question)
		send_bare_answer(question, answer);
	else if (answer->available <= DNS_SMALL_SIZE)
		SEND_ANSWER(dns_small, DNS_INNER_SMALL);
	else if (answer->available <= DNS_SHORT_SIZE)
		SEND_ANSWER(dns_short, DNS_INNER_SHORT);
	else
		SEND_ANSWER(dns_long, DNS_INNER_LONG);
}
