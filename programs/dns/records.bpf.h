/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/* What the ring is told of a question: its answer, or that there is none. To be said once, by who claimed it. */

#include "counts.bpf.h"
#include "places.bpf.h"

static __always_inline void fill_head(struct dns_message *head, const struct question *question, __u64 cookie)
{
	head->cookie = cookie;
	head->server_address = question->server_address;
	head->server_port = question->server_port;
	head->transport = question->transport;
	head->role = question->role;
	head->tries = question->tries;
}

/* Nobody answers it any more; or, `unseen`, its answer may have been where nobody looked. Not static, as question_read(). */
__noinline int send_timeout(const struct question *question, __u64 cookie, int unseen)
{
	struct dns_short *record;

	if (!question)
		return 0;
	if (!unseen)
		count_timeout(question);
	record = sonde_reserve_inner(dns_short, DNS_INNER_SHORT, &question->owner);
	if (!record)
		return 0;
	fill_head(&record->head, question, cookie);
	record->head.latency_ns = 0;
	record->head.timed_out = unseen ? DNS_TIMED_OUT_UNKNOWN : true;
	record->head.captured = record->head.length = question->length;
	__builtin_memcpy(record->bytes, question->message, sizeof(record->bytes));
	sonde_submit(record);
	return 0;
}

struct answer {
	sonde_address server_address;
	__u64 cookie, latency_ns; /* 0: not known, as there was no room for a record */
	__u32 offset, available, length; /* of the message; what of it is in this packet; what its sender says */
	__u16 server_port;
	enum likeness likeness; /* OTHER: it does not repeat the question */
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

/* The name as the asker has written it: the server changed the case of its letters. `bytes`: at least DNS_SHORT_SIZE. */
static __always_inline void spell_as_asked(__u8 *bytes, const struct question *question)
{
	__u64 length = (__u64)question->length - MESSAGE_HEADER;

	barrier_var(length);
	if (length <= DNS_SHORT_SIZE - MESSAGE_HEADER)
		bpf_probe_read_kernel(bytes + MESSAGE_HEADER, length, question->message + MESSAGE_HEADER);
}

/* The question under the answer's header. If that tells of records, they count as not seen: there is more than was captured. */
static __always_inline void send_bare_answer(const struct question *question, struct answer *answer, const __u8 *bytes)
{
	struct dns_short *record = sonde_reserve_inner(dns_short, DNS_INNER_SHORT, &question->owner);

	if (!record)
		return;
	fill_answer(&record->head, question, answer);
	__builtin_memcpy(record->bytes, question->message, sizeof(record->bytes));
	__builtin_memcpy(record->bytes, bytes, MESSAGE_HEADER);
	record->bytes[4] = 0;
	record->bytes[5] = 1;
	record->head.captured = question->length;
	record->head.length = question->length + 1;
	sonde_submit(record);
}

/* One that was loaded whole, or as far as it was put together. */
#define SEND_LOADED(name, number)                                                              \
	do {                                                                                   \
		struct name *record = sonde_reserve_inner(name, number, &question->owner);     \
                                                                                               \
		if (!record)                                                                   \
			return;                                                                \
		fill_answer(&record->head, question, answer);                                  \
		__builtin_memcpy(record->bytes, bytes, sizeof(record->bytes));                 \
		sonde_submit(record);                                                          \
	} while (0)

/* One that is in the packet. barrier_var: the compiler knows more of the size than older verifiers (6.1) do, and would leave out the checks. */
#define SEND_FROM_PACKET(name, number, respelled)                                                                       \
	do {                                                                                                            \
		struct name *record = sonde_reserve_inner(name, number, &question->owner);                              \
		__u32 size = answer->available;                                                                         \
                                                                                                                        \
		if (!record)                                                                                            \
			return;                                                                                         \
		fill_answer(&record->head, question, answer);                                                           \
		barrier_var(size);                                                                                      \
		if (size > sizeof(record->bytes))                                                                       \
			size = sizeof(record->bytes);                                                                   \
		record->head.captured = size;                                                                           \
		if (size < MESSAGE_HEADER || bpf_skb_load_bytes(skb, answer->offset, record->bytes, size))              \
			record->head.captured = 0;                                                                      \
		else if (respelled)                                                                                     \
			spell_as_asked(record->bytes, question);                                                        \
		sonde_submit(record);                                                                                   \
	} while (0)

/* An answer in a packet, spelled as the question. */
static __always_inline void send_packet(struct __sk_buff *skb, const struct question *question, struct answer *answer)
{
	if (answer->available <= DNS_SMALL_SIZE)
		SEND_FROM_PACKET(dns_small, DNS_INNER_SMALL, false);
	else if (answer->available <= DNS_SHORT_SIZE)
		SEND_FROM_PACKET(dns_short, DNS_INNER_SHORT, false);
	else
		SEND_FROM_PACKET(dns_long, DNS_INNER_LONG, false);
}

/* `bytes`: DNS_SHORT_SIZE of them, of which those available are valid. */
static __always_inline void send_answer(struct __sk_buff *skb, const struct question *question, struct answer *answer, __u8 *bytes)
{
	if (answer->likeness == RESPELLED)
		spell_as_asked(bytes, question);
	if (answer->likeness == OTHER)
		send_bare_answer(question, answer, bytes);
	else if (answer->available <= DNS_SMALL_SIZE)
		SEND_LOADED(dns_small, DNS_INNER_SMALL);
	else if (answer->available <= DNS_SHORT_SIZE)
		SEND_LOADED(dns_short, DNS_INNER_SHORT);
	else
		SEND_FROM_PACKET(dns_long, DNS_INNER_LONG, answer->likeness == RESPELLED);
}

/* Tells of the answer, which stands in `repeated` as far as it was loaded. Once for each question. Not static, as question_read(). */
__noinline int answer_tell(struct __sk_buff *skb, struct question *question, struct question *repeated, struct answer *answer)
{
	if (!question || !repeated || !answer)
		return 0;
	send_answer(skb, question, answer, repeated->message);
	count_answer(question, repeated->message[3], answer->latency_ns ?: bpf_ktime_get_boot_ns() - question->asked_ns);
	return 0;
}
