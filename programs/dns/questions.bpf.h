/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Questions that wait for their answer, by socket and id: here those over TCP, and those that find their place taken (places.bpf.h).
 *
 * Each question has one outcome: whoever claims it first reports it, be it the answer or the time.
 *
 * Hardly ever two that wait in a socket have the same id. Then the later has the hash of what it asks in its key, and the first stays in
 * the map after its end, for the id leads to the others by way of it.
 */

#include <sonde/loop.bpf.h>
#include "servers.bpf.h"

SONDE_SETTING_BETWEEN(__u64, timeout_ns, 5000000000, 1000000, 3600000000000,
		      "a question without an answer for so long has timed out");

#ifndef QUESTIONS_MAX
#define QUESTIONS_MAX 16384
#endif
#define REPEATED_FOR 4
#define LABELS_MAX 128
#define LABELS_IN_LINE 6 /* most names have no more, the empty one at the end among them */
#define MESSAGE_HEADER 12
#define NAME_MAX_BYTES 255

struct question_key {
	__u64 cookie;
	__u16 id;
	__u16 reserved;
	__u32 hash; /* 0: of the first with this id */
};

enum question_state {
	QUESTION_CLAIMED, /* its end is being told; or it is not all there yet */
	QUESTION_WAITS,
	QUESTION_ENDED, /* and others with its id may wait */
};

struct question {
	struct sonde_process owner;
	__u64 asked_ns, sent_ns; /* the first and the last time; sent_ns of one that has ended: when */
	sonde_address server_address;
	__u16 server_port;
	__u8 transport;
	__u8 role;
	__u32 tries;
	__u32 state;
	__u16 length; /* header, name, type and class */
	__u16 qtype, qclass;
	__u8 shares_id; /* others with the same id are or were in the map */
	__u8 in_place;	/* it stands in `places` (places.bpf.h) */
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
	__u8 room[DNS_SHORT_SIZE]; /* behind the message: how much of it there is before, the verifier does not know */
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

/* ---- the message ---- */

/* What is looked at of a message, or a piece of that. */
struct message {
	__u32 offset;	 /* from the IP header */
	__u32 available; /* bytes of it in this packet */
	__u32 length;	 /* what its sender says */
	__u32 before;	 /* bytes of it that earlier packets brought */
	__u32 hole;	 /* of the stream that it is in; or 0 */
	__u64 kept;	 /* where its bytes are, if not in the packet: `offset` is from there; or 0 */
};

static __always_inline long bytes_load(struct __sk_buff *skb, __u64 kept, __u32 offset, void *to, __u32 size)
{
	if (kept)
		return bpf_probe_read_kernel(to, size, (void *)(kept + offset));
	return bpf_skb_load_bytes(skb, offset, to, size);
}

static __always_inline __u16 message_id(const __u8 *message)
{
	return message[0] << 8 | message[1];
}

static __always_inline bool is_question(const __u8 *message)
{
	/* a query (QR 0, opcode 0) of one question and no answers */
	return !(message[2] & 0xf8) && !message[4] && message[5] == 1 && !message[6] && !message[7];
}

/* Adds what this packet has to those bytes; returns how many there are now, up to what a question may have at most. 0: it failed. */
static __always_inline __u32 message_load(struct __sk_buff *skb, const struct message *message, struct desk *desk)
{
	__u64 before = message->before, more = message->available < DNS_SHORT_SIZE ? message->available : DNS_SHORT_SIZE;
	__u64 last = more - 1; /* of 64 bits, and + 1 below: older verifiers (6.1) do not see otherwise that it is positive */

	barrier_var(before);
	barrier_var(last);
	if (before >= DNS_SHORT_SIZE || last >= DNS_SHORT_SIZE)
		return 0;
	if (bytes_load(skb, message->kept, message->offset, desk->question.message + before, last + 1))
		return 0;
	return before + more < DNS_SHORT_SIZE ? before + more : DNS_SHORT_SIZE;
}

/* The same for a datagram. */
static __always_inline __u32 question_load(struct __sk_buff *skb, const struct packet *packet, struct question *question)
{
	__u32 size = packet->length;

	barrier_var(size);
	if (size > DNS_SHORT_SIZE)
		size = DNS_SHORT_SIZE;
	if (size < MESSAGE_HEADER || bpf_skb_load_bytes(skb, packet->payload, question->message, size))
		return 0;
	return size;
}

static __always_inline bool message_is_whole(const struct message *message, __u32 loaded)
{
	return loaded == DNS_SHORT_SIZE || loaded >= message->length;
}

/* Where a look at the labels of a name stands. */
struct labels {
	const __u8 *message;
	__u32 end; /* of those seen */
	bool whole;
};

static __always_inline long label_pass(__u32 round, struct labels *labels)
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
	bool ended = false;
	__u8 *message;
	__u32 end;

	if (!question)
		return false;
	labels.message = message = question->message;
#pragma unroll
	for (int i = 0; i < LABELS_IN_LINE; i++)
		ended = ended || label_pass(i, &labels);
	if (!ended)
		sonde_loop(LABELS_MAX, label_pass, &labels);
	end = labels.end + 4;
	barrier_var(end); /* older verifiers (6.1) know nothing of what the loop leaves: both bounds are checked, in this register */
	if (!labels.whole || end > loaded || end < MESSAGE_HEADER + 5 || end > DNS_SHORT_SIZE - 1)
		return false;
	question->length = end;
	question->qtype = message[end - 4] << 8 | message[end - 3];
	question->qclass = message[end - 2] << 8 | message[end - 1];
	return true;
}

/* The 8 bytes of the question from each of these on, those behind its end as 0. */
static __always_inline __u64 word_at(const struct question *question, __u32 i, __s32 left)
{
	__u64 word = ((const __u64 *)(question->message + MESSAGE_HEADER))[i];

	return left < 8 ? word & ((1ull << left * 8) - 1) : word;
}

#define QUESTION_WORDS ((DNS_SHORT_SIZE - MESSAGE_HEADER + 7) / 8)
#define EACH_BYTE(value) ((value) * 0x0101010101010101ull)

struct hashing {
	const struct question *question;
	__u64 hash;
	__s32 left; /* bytes */
};

static __noinline long hash_pass(__u32 i, struct hashing *hashing)
{
	if (hashing->left <= 0 || i >= QUESTION_WORDS)
		return 1;
	hashing->hash = (hashing->hash ^ (word_at(hashing->question, i, hashing->left) | EACH_BYTE(0x20))) * 0x9e3779b97f4a7c15ull;
	hashing->hash ^= hashing->hash >> 32;
	hashing->left -= 8;
	return 0;
}

/* Equal for questions that differ in the case of letters only. Not 0. */
__noinline int question_hash(const struct question *question)
{
	struct hashing hashing = {.question = question};

	if (!question)
		return 0;
	hashing.left = question->length - MESSAGE_HEADER;
	hashing.hash = question->qtype;
	sonde_loop(QUESTION_WORDS, hash_pass, &hashing);
	return (int)hashing.hash | 1;
}

/* The bit that makes the case, in those of 8 bytes that are letters. */
static __always_inline __u64 case_bits(__u64 word)
{
	__u64 small = word | EACH_BYTE(0x20), low = small & EACH_BYTE(0x7f);
	__u64 from_a = low + EACH_BYTE(0x80 - 'a'), beyond_z = low + EACH_BYTE(0x80 - 'z' - 1);

	return (from_a & ~beyond_z & ~small & EACH_BYTE(0x80)) >> 2;
}

enum likeness {
	OTHER,
	SAME,
	RESPELLED, /* the same but for the case of letters */
};

struct comparison {
	const struct question *one, *two;
	__u64 differences, mistakes;
	__s32 left; /* bytes */
};

/* Three words for each call of it: most names take one. Lengths of labels are no letters, so they have to be the same. */
#define WORDS_AT_ONCE 3
_Static_assert(QUESTION_WORDS % WORDS_AT_ONCE == 0, "the last ones are within the message");

static __noinline long compare_pass(__u32 i, struct comparison *comparison)
{
	__u64 word, difference;

	if (i >= QUESTION_WORDS / WORDS_AT_ONCE)
		return 1;
	for (int at = 0; at < WORDS_AT_ONCE; at++) {
		if (comparison->left <= 0)
			return 1;
		word = word_at(comparison->one, i * WORDS_AT_ONCE + at, comparison->left);
		difference = word ^ word_at(comparison->two, i * WORDS_AT_ONCE + at, comparison->left);
		comparison->differences |= difference;
		comparison->mistakes |= difference & ~case_bits(word);
		comparison->left -= 8;
	}
	return comparison->left <= 0;
}

/* Type and class: what looks like another case of a letter there is another number. */
static __always_inline bool type_is_same(const struct question *one, const struct question *two)
{
	__u32 end = one->length;

	barrier_var(end);
	if (end < 4 || end > DNS_SHORT_SIZE)
		return false;
	for (int i = 1; i <= 4; i++)
		if (one->message[end - i] != two->message[end - i])
			return false;
	return true;
}

/*
 * Whether the message `two`, of which so many bytes are there, has the question `one`. As many bytes as that one takes decide: where
 * a name ends they say themselves.
 */
__noinline int question_likeness(const struct question *one, const struct question *two, __u32 loaded)
{
	struct comparison comparison = {.one = one, .two = two};

	if (!one || !two || loaded < one->length)
		return OTHER;
	comparison.left = one->length - MESSAGE_HEADER;
	sonde_loop(QUESTION_WORDS / WORDS_AT_ONCE, compare_pass, &comparison);
	if (!comparison.differences)
		return SAME;
	return comparison.mistakes || !type_is_same(one, two) ? OTHER : RESPELLED;
}

/* ---- waiting ---- */

static __always_inline bool question_claim(struct question *question)
{
	return __sync_val_compare_and_swap(&question->state, QUESTION_WAITS, QUESTION_CLAIMED) == QUESTION_WAITS;
}

/* Among those with the id of `first`, which is found by the key, the one that a message asks or answers; the key is its key then. */
static __always_inline struct question *question_find(struct question_key *key, struct question *first, struct question *same,
						      __u32 loaded, int *ret_likeness)
{
	struct question *other;

	*ret_likeness = question_likeness(first, same, loaded);
	if (*ret_likeness)
		return first;
	if (!first->shares_id || !question_read(same, loaded))
		return NULL;
	key->hash = question_hash(same);
	other = bpf_map_lookup_elem(&questions, key);
	if (other)
		*ret_likeness = question_likeness(other, same, loaded);
	return *ret_likeness ? other : NULL;
}
