// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * DNS: the hooks. Every packet of a socket passes here in the context of its socket: a question as it leaves, its answer
 * as it arrives. What is between the two waits in a map; a sweep finds what waits too long.
 *
 * Invariant: a packet is never changed and never stopped (both hooks return 1).
 */

#include "event.h"
#include "datagrams.bpf.h"
#include "streams.bpf.h"

SONDE_EVENT(dns, "DNS questions, each with its answer or the lack of one");
SONDE_SETTING_BETWEEN(__u64, update_interval_ns, 1000000000, 1000000, 86400000000000,
		      "time between the looks for questions that timed out");

static __always_inline void ask(struct __sk_buff *skb, const struct packet *packet, struct question_key *key, struct question *question,
				__u32 loaded)
{
	if (!is_question(question->message) || !question_read(question, loaded))
		return;
	key->id = message_id(question->message);
	question_fill(skb, packet, question);
	question->in_place = 0;
	question->state = QUESTION_WAITS;
	if (!question_keep(key, question))
		sonde_map_full();
}

/*
 * The question that a message answers, or NULL. Only an error may leave out what it is the answer to: a server that did not understand
 * the question cannot repeat it.
 */
static __always_inline struct question *question_of_answer(struct question_key *key, const struct packet *packet, struct question *repeated,
							    __u32 loaded, int *ret_likeness)
{
	struct question *first = question_first(key, packet->protocol), *question = NULL;
	const __u8 *header = repeated->message;

	if (!first) {
		count_unmatched(DNS_UNMATCHED_NOT_WAITED_FOR, packet->protocol);
		return NULL;
	}
	*ret_likeness = OTHER;
	if (!header[4] && header[5] == 1)
		question = question_find(key, first, repeated, loaded, ret_likeness);
	else if (!header[4] && !header[5] && header[3] & 0xf)
		question = first;
	if (!question)
		count_unmatched(DNS_UNMATCHED_OTHER_QUESTION, packet->protocol);
	return question;
}

static __always_inline void answer(struct __sk_buff *skb, const struct packet *packet, const struct message *message,
				   struct question_key *key, struct question *repeated, __u32 loaded)
{
	struct answer answer = {.server_address = packet->source, .server_port = packet->source_port, .offset = message->offset,
				.available = message->before || message->kept ? loaded : message->available, .length = message->length,
				.cookie = key->cookie};
	struct question *question;
	int likeness;

	if (!(repeated->message[2] & 0x80))
		return;
	key->id = message_id(repeated->message);
	question = question_of_answer(key, packet, repeated, loaded, &likeness);
	if (!question)
		return;
	if (!question_claim(question)) {
		count_unmatched(DNS_UNMATCHED_NOT_WAITED_FOR, packet->protocol);
		return;
	}
	answer.likeness = likeness;
	answer_tell(skb, question, repeated, &answer);
	question_end(key, question);
}

/* A message, or of a stream a piece of one: it is seen when enough of it is there. */
static __always_inline int message_seen(struct __sk_buff *skb, const struct packet *packet, const struct message *message, bool leaves)
{
	struct question_key key = {};
	struct stream_key stream = {.leaves = leaves};
	struct desk *desk;
	__u32 loaded;

	if (!packet || !message || message->length < MESSAGE_HEADER)
		return 0;
	stream.hole = message->hole;
	desk = desk_take();
	if (!desk)
		return 0;
	stream.cookie = key.cookie = bpf_get_socket_cookie(skb);
	if (message->before)
		piece_take(&stream, desk);
	loaded = message_load(skb, message, desk);
	if (loaded && !message->kept && !message_is_whole(message, loaded))
		piece_keep(&stream, desk);
	else if (loaded && leaves)
		ask(skb, packet, &key, &desk->question, loaded);
	else if (loaded)
		answer(skb, packet, message, &key, &desk->question, loaded);
	desk_give(desk);
	return 0;
}

/* One for each direction: a program that only asks, or only answers, is half the work for the verifier. Not static, as question_read(). */

__noinline int message_leaves(struct __sk_buff *skb, const struct packet *packet, const struct message *message)
{
	return message_seen(skb, packet, message, true);
}

__noinline int message_arrives(struct __sk_buff *skb, const struct packet *packet, const struct message *message)
{
	return message_seen(skb, packet, message, false);
}

static __noinline long segment_message_leaves(__u32 round, struct segment *segment)
{
	if (!message_next(segment->skb, segment->state))
		return 1;
	message_leaves(segment->skb, segment->packet, &segment->state->reading.message);
	return 0;
}

static __noinline long segment_message_arrives(__u32 round, struct segment *segment)
{
	if (!message_next(segment->skb, segment->state))
		return 1;
	message_arrives(segment->skb, segment->packet, &segment->state->reading.message);
	return 0;
}

/* The messages of what is read of a segment. */
static __always_inline void messages_seen(struct segment *segment, struct stream_state *open, bool leaves)
{
	struct stretch *next = &segment->state->next;
	struct reading *reading = &segment->state->reading;
	bool found;

	if (next->searching)
		sonde_loop(SEARCH_ROUNDS, search_pass, segment);
	found = !next->searching;
	if (found && leaves)
		sonde_loop(MESSAGES_PER_SEGMENT_MAX, segment_message_leaves, segment);
	else if (found)
		sonde_loop(MESSAGES_PER_SEGMENT_MAX, segment_message_arrives, segment);
	if (found && reading->position >= reading->end) {
		next->sequence = segment->packet->sequence + reading->position;
		return;
	}
	count_unseen(open, found ? DNS_UNMATCHED_CROWDED_SEGMENT : DNS_UNMATCHED_MISSING_SEGMENT);
	search_from(next, segment->packet->sequence + reading->end);
}

/* What a segment has of a stream's open end, or of a hole in it. */
static __always_inline void stretch_seen(struct __sk_buff *skb, const struct packet *packet, struct stream_key *key,
					 struct stream_state *open, bool leaves)
{
	struct segment segment = {.skb = skb, .packet = packet, .state = open};
	struct stream_state *state = open;
	__u32 hole = key->hole;
	__s32 from, end;

	if (hole) {
		segment.state = state = bpf_map_lookup_elem(&streams, key);
		if (!state) {
			hole_forget(open, hole);
			return;
		}
	}
	if (!stretch_meets(&state->next, hole, packet->sequence, packet->length, &from, &end))
		return;
	state->reading.leaves = leaves;
	state->reading.kept = 0;
	state->reading.payload = packet->payload;
	state->reading.position = from < 0 ? 0 : from;
	state->reading.end = end;
	if (from < 0)
		hole_open(skb, packet, key, open, state);
	messages_seen(&segment, open, leaves);
	if (!hole || !stretch_is_over(&state->next) || !hole_close(skb, open, state))
		return;
	if (leaves)
		message_leaves(skb, packet, &state->reading.message);
	else
		message_arrives(skb, packet, &state->reading.message);
}

/* Returns the holes of the stream that are behind what it was looked at for. */
static __always_inline int stream_seen(struct __sk_buff *skb, const struct packet *packet, __u32 hole, bool leaves)
{
	struct stream_key key = {.cookie = bpf_get_socket_cookie(skb), .leaves = leaves};
	struct stream_state *open;
	__u32 holes;

	if (!packet)
		return 0;
	open = stream_take(&key, packet->sequence);
	if (!open)
		return 0;
	holes = (__s32)(packet->sequence - open->next.sequence) < 0 ? open->holes : 0;
	key.hole = hole;
	stretch_seen(skb, packet, &key, open, leaves);
	stream_give(open);
	return holes;
}

__noinline int stream_leaves(struct __sk_buff *skb, const struct packet *packet, __u32 hole)
{
	return stream_seen(skb, packet, hole, true);
}

__noinline int stream_arrives(struct __sk_buff *skb, const struct packet *packet, __u32 hole)
{
	return stream_seen(skb, packet, hole, false);
}

/* First in the open end of the stream: nearly always that is all. */
static __always_inline void segment_seen(struct __sk_buff *skb, const struct packet *packet, bool leaves)
{
	__u32 holes = leaves ? stream_leaves(skb, packet, 0) : stream_arrives(skb, packet, 0);

	if (!holes)
		return;
	for (__u32 i = 1; i <= HOLES_MAX; i++)
		if (holes & 1 << i)
			leaves ? stream_leaves(skb, packet, i) : stream_arrives(skb, packet, i);
}

static __always_inline void datagram_seen(struct __sk_buff *skb, const struct packet *packet, bool leaves)
{
	struct message message;

	if (leaves ? ask_at_place(skb, packet) : answer_at_place(skb, packet))
		return;
	message = (struct message){.offset = packet->payload, .available = packet->length, .length = packet->length};
	if (leaves)
		message_leaves(skb, packet, &message);
	else
		message_arrives(skb, packet, &message);
}

/* NAT may have sent the packet to another port than the one that was asked. */
static __always_inline bool is_asked(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *sk = skb->sk;

	return is_dns_port(packet->destination_port) || (sk && is_dns_port(bpf_ntohs(sk->dst_port)));
}

static __always_inline void packet_seen(struct __sk_buff *skb, bool leaves)
{
	struct packet packet;
	__u32 offset;
	bool carries;

	if (!ports_of(skb, &packet, &offset))
		return;
	if (!(leaves ? is_asked(skb, &packet) : is_dns_port(packet.source_port))) {
		/* A datagram from the port of a server is its answer, sent by who serves. */
		if (leaves && packet.protocol == IPPROTO_UDP && is_dns_port(packet.source_port))
			server_add(bpf_get_current_task_btf());
		return;
	}
	carries = payload_of(skb, &packet, offset);
	if (packet.tcp_flags & TCP_FLAG_SYN)
		stream_open(bpf_get_socket_cookie(skb), leaves, &packet);
	if (!carries)
		return;
	if (packet.protocol == IPPROTO_TCP) {
		segment_seen(skb, &packet, leaves);
		return;
	}
	datagram_seen(skb, &packet, leaves);
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	packet_seen(skb, true);
	return 1;
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	packet_seen(skb, false);
	return 1;
}

static __always_inline void question_late(const struct question_key *key, struct question *question)
{
	__u64 sent_ns = *(volatile __u64 *)&question->sent_ns; /* before the time is asked for: it may be sent again now */

	if (bpf_ktime_get_boot_ns() - sent_ns < timeout_ns)
		return;
	if (question_claim(question)) {
		if (*(volatile __u64 *)&question->sent_ns != sent_ns) { /* meanwhile it was sent again, or is another one */
			question_wait(question);
			return;
		}
		send_timeout(question, key->cookie,
			     question->transport == IPPROTO_TCP && stream_missed_since(key->cookie, question->asked_ns));
		question_end(key, question);
	} else if (question->state == QUESTION_ENDED) {
		question_forget(key, question);
	}
}

static __noinline long place_pass(__u32 i, struct waiting *waiting)
{
	struct place *place = bpf_map_lookup_elem(&places, &i);
	struct question_key key = {};

	if (!place)
		return 1;
	if (!*(volatile __u64 *)&place->holder)
		return 0;
	waiting->at_places = 1;
	if (!place_is_filled(place))
		return 0;
	key.cookie = place->cookie;
	key.id = place->holder;
	question_late(&key, &place->question);
	return 0;
}

static long map_pass(void *map, const struct question_key *shown, struct question *question, void *none)
{
	struct question_key key = *shown; /* it may be gone while it is looked at */

	question_late(&key, question);
	return 0;
}

/* Over one element, so it is called once; where nobody asked since the last time it has nothing to do. */
SONDE_OVER(waiting) SEC("iter/bpf_map_elem")
int at_interval_timeouts(struct bpf_iter__bpf_map_elem *context)
{
	struct waiting *known = waiting_here(), still = {};

	if (!context->key || !known)
		return 0;
	if (known->in_map)
		bpf_for_each_map_elem(&questions, map_pass, NULL, 0);
	if (__sync_lock_test_and_set(&known->at_places, 0)) {
		sonde_loop(PLACES, place_pass, &still);
		if (still.at_places)
			known->at_places = 1;
	}
	counts_flush(); /* last: of a question that was not found open the answer is counted by now */
	return 0;
}
