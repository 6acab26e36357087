/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The way of nearly all questions: they leave in a datagram, wait at their place, and the answer repeats them to the byte. What is
 * different in any way goes the general way (program.bpf.c), which could do these too, in more time.
 *
 * Each function called, helpers and loops among them, costs some 10 ns where returns are guarded against speculation: so there are few.
 */

#include "asker.bpf.h"
#include "records.bpf.h"

/* Where the payload is, if so many bytes of it are at hand; NULL: they are not. */
static __always_inline const __u8 *payload_at_hand(struct __sk_buff *skb, const struct packet *packet, __u32 bytes)
{
	__u32 offset = packet->payload;
	const __u8 *payload;

	barrier_var(offset);
	if (offset > TRANSPORT_OFFSET_MAX + 8)
		return NULL;
	payload = (void *)(long)skb->data + offset;
	return payload + bytes <= (const __u8 *)(long)skb->data_end ? payload : NULL;
}

/* A question at its place. False: that is taken, or the message is not at hand. Not static, as question_read(). */
__noinline int ask_at_place(struct __sk_buff *skb, const struct packet *packet)
{
	struct question_key key = {};
	struct question *question;
	const __u8 *header;
	struct place *place;
	__u32 loaded;

	if (!packet)
		return false;
	header = payload_at_hand(skb, packet, MESSAGE_HEADER);
	if (!header)
		return false;
	if (!is_question(header))
		return true;
	key.id = message_id(header);
	key.cookie = cookie_of(skb);
	place = place_take(&key);
	if (!place)
		return false;
	question = &place->question;
	loaded = question_load(skb, packet, question);
	if (loaded && question_read(question, loaded)) {
		question_fill(skb, packet, question);
		question_wait(question);
	} else {
		place_leave(place);
	}
	return true;
}

#define WORDS_AT_HAND 8 /* a name of up to 59 characters, type and class */

/* Whether a message repeats the question to the byte; false also where it is too long to say, or too little is at hand. */
static __always_inline bool repeats(struct __sk_buff *skb, const __u8 *message, const struct question *question)
{
	const __u8 *end = (const __u8 *)(long)skb->data_end, *word = message + MESSAGE_HEADER;
	__s32 left = question->length - MESSAGE_HEADER;
	__u64 differences = 0, difference;

	for (int i = 0; i < WORDS_AT_HAND; i++) {
		barrier_var(end); /* else the compiler subtracts from it, which the verifier does not allow */
		if (word + 8 > end)
			return false;
		difference = *(const __u64 *)word ^ ((const __u64 *)(question->message + MESSAGE_HEADER))[i];
		if (left <= 8)
			return !(differences | difference << (64 - left * 8));
		differences |= difference;
		word += 8;
		left -= 8;
	}
	return false;
}

/* An answer to the question at its place. False: there it is none. Not static, as question_read(). */
__noinline int answer_at_place(struct __sk_buff *skb, const struct packet *packet)
{
	struct answer answer = {.likeness = SAME};
	struct question_key key = {};
	struct question *question;
	const __u8 *message;
	__u32 beside, rcode;

	if (!packet)
		return false;
	message = payload_at_hand(skb, packet, MESSAGE_HEADER);
	if (!message || !(message[2] & 0x80) || message[4] || message[5] != 1)
		return false;
	key.id = message_id(message);
	rcode = message[3];
	key.cookie = answer.cookie = cookie_of(skb);
	question = question_at_place(&key, IPPROTO_UDP, &beside);
	if (!question || !repeats(skb, message, question) || !question_claim(question))
		return false;
	answer.server_address = packet->source;
	answer.server_port = packet->source_port;
	answer.offset = packet->payload;
	answer.available = answer.length = packet->length;
	send_packet(skb, question, &answer);
	count_answer(question, rcode, answer.latency_ns ?: bpf_ktime_get_boot_ns() - question->asked_ns);
	question_end(&key, question);
	return true;
}
