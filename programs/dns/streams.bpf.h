/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Messages in TCP: each after two bytes that hold its length (RFC 1035, 4.2.2), however the stream is cut into segments, and in whatever
 * order they come.
 *
 * What is to be read of a stream is its open end, and its holes: where a segment comes before others that belong in front of it, what is
 * missing is a hole, and is read when it comes. Behind a hole the first message is searched for: one that asks a question, or answers one
 * that waits. The first bytes behind a hole are kept, for the message that begins in the hole and goes on behind it.
 *
 * A message is looked at when its first 272 bytes are there, or all of it; what came of them until then is kept.
 *
 * Invariant: each byte is read once. What is sent again is not, and what had to be passed over unread is remembered, for no question that
 * waited then is said to be without an answer.
 */

#include "counts.bpf.h"
#include "stretch.h"

#define STREAMS_MAX 4096
#define MESSAGES_PER_SEGMENT_MAX 1024
#define HOLES_MAX 8
#define SEARCH_BYTES 4	   /* at once, */
#define SEARCH_ROUNDS 4096 /* so often for a segment */
#define TAKE_ROUNDS 4096   /* some 100 us: by then another CPU is done with its segment */
#define HEAD_BYTES (PREFIX_BYTES + DNS_SHORT_SIZE)

struct stream_key {
	__u64 cookie;
	__u32 leaves;
	__u32 hole; /* its number; 0: the open end */
};

/* What is read now: of a segment, or of what was kept of one. Here, for there is no room for it on the stack. */
struct reading {
	struct message message;
	__u64 kept;    /* where the bytes are; 0: in the packet */
	__u32 payload; /* otherwise their offset there */
	__u32 position, end;
	__u32 leaves;
};

struct stream_state {
	struct stretch next;
	struct reading reading;
	__u8 message[DNS_SHORT_SIZE]; /* so much of it as `next` says */
	/* Only of an open end: */
	__u64 unseen_ns; /* when something was last passed over unread */
	__u32 taken;	 /* a CPU reads a segment */
	__u32 opened;	 /* the sequence it began with */
	__u32 holes;	 /* a bit for each */
	/* Only of a hole: */
	__u32 head_size; /* what follows it, as far as it is kept */
	__u8 head[HEAD_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STREAMS_MAX);
	__type(key, struct stream_key);
	__type(value, struct stream_state);
} streams SEC(".maps");

static const struct stream_state new_stream;

static __always_inline struct stream_state *stream_new(const struct stream_key *key, __u32 sequence)
{
	struct stream_state *state;

	bpf_map_update_elem(&streams, key, &new_stream, BPF_ANY);
	state = bpf_map_lookup_elem(&streams, key);
	if (state)
		state->next.sequence = sequence;
	return state;
}

/* With the SYN, so that it is noticed when the first bytes are lost. */
static __always_inline void stream_open(__u64 cookie, bool leaves, struct packet *packet)
{
	struct stream_key key = {.cookie = cookie, .leaves = leaves};
	struct stream_state *state = bpf_map_lookup_elem(&streams, &key);

	packet->sequence++; /* of what the segment carries */
	if (state && state->opened == packet->sequence)
		return; /* sent again */
	state = stream_new(&key, packet->sequence);
	if (state)
		state->opened = packet->sequence;
}

static __always_inline void count_unseen(struct stream_state *open, enum dns_unmatched reason)
{
	open->unseen_ns = bpf_ktime_get_boot_ns();
	count_unmatched(reason, IPPROTO_TCP);
}

struct turn {
	struct stream_state *open;
	bool done;
};

static __noinline long turn_pass(__u32 round, struct turn *turn)
{
	turn->done = !__sync_val_compare_and_swap(&turn->open->taken, 0, 1);
	return turn->done;
}

/* Segments of one stream may come on several CPUs at once: one after the other. NULL: it cannot be had. */
static __always_inline struct stream_state *stream_take(const struct stream_key *key, __u32 sequence)
{
	struct stream_state *open = bpf_map_lookup_elem(&streams, key);
	struct turn turn = {};

	if (!open) { /* the connection is older than this program, or was forgotten */
		open = stream_new(key, sequence);
		if (!open)
			return NULL;
		open->next.searching = true;
		open->unseen_ns = bpf_ktime_get_boot_ns();
	}
	turn.open = open;
	if (turn_pass(0, &turn))
		return open;
	sonde_loop(TAKE_ROUNDS, turn_pass, &turn);
	if (turn.done)
		return open;
	count_unseen(open, DNS_UNMATCHED_MISSING_SEGMENT);
	return NULL;
}

static __always_inline void stream_give(struct stream_state *open)
{
	__sync_lock_test_and_set(&open->taken, 0);
}

/* Whether an answer that came since then may not have been seen. Of a stream that had to make room for others nobody knows. */
static __always_inline bool stream_missed_since(__u64 cookie, __u64 asked_ns)
{
	struct stream_key key = {.cookie = cookie};
	struct stream_state *open = bpf_map_lookup_elem(&streams, &key);

	return !open || open->unseen_ns >= asked_ns;
}

/* ---- its messages ---- */

struct segment {
	struct __sk_buff *skb;
	const struct packet *packet;
	struct stream_state *state; /* of the open end, or of a hole */
};

/* False: what is there ends before the prefix does, or with it. */
static __always_inline bool prefix_read(struct __sk_buff *skb, struct stretch *next, struct reading *reading)
{
	__u32 size = stretch_prefix_size(next, reading->end - reading->position);
	__u8 bytes[2] = {};

	if (bytes_load(skb, reading->kept, reading->payload + reading->position, &bytes[2 - size], size))
		return false;
	reading->position += size;
	return stretch_prefix(next, size, bytes) && reading->position < reading->end;
}

/* The next message, or piece of one; false: there is none. */
static __always_inline bool message_next(struct __sk_buff *skb, struct stream_state *state)
{
	struct reading *reading = &state->reading;
	struct stretch *next = &state->next;

	if (reading->position >= reading->end)
		return false;
	if (!next->length && !prefix_read(skb, next, reading))
		return false;
	reading->message.kept = reading->kept;
	reading->message.offset = reading->payload + reading->position;
	reading->message.length = next->length;
	reading->message.before = next->before;
	reading->position += stretch_message(next, reading->end - reading->position, &reading->message.available);
	return true;
}

/* ---- where a message begins ---- */

/* By its header, with the prefix before it. */
static __always_inline bool may_begin(const __u8 *bytes, bool leaves)
{
	const __u8 *header = bytes + PREFIX_BYTES;

	if ((bytes[0] << 8 | bytes[1]) <= MESSAGE_HEADER)
		return false;
	if (leaves)
		return is_question(header);
	/* an answer (QR 1, opcode 0, Z 0) to one question */
	return (header[2] & 0xf8) == 0x80 && !(header[3] & 0x40) && !header[4] && header[5] == 1;
}

/* Whether it is a question, or repeats one that waits. Not static, as question_read(). */
__noinline int message_is_due(struct __sk_buff *skb, const struct message *message, int leaves)
{
	struct question_key key = {};
	struct question *first;
	struct desk *desk;
	int likeness, due = 0;
	__u32 loaded;

	if (!message)
		return 0;
	desk = desk_take();
	if (!desk)
		return 0;
	loaded = message_load(skb, message, desk);
	key.cookie = bpf_get_socket_cookie(skb);
	key.id = message_id(desk->question.message);
	if (loaded && leaves)
		due = question_read(&desk->question, loaded) && desk->question.length <= message->length;
	else if (loaded && (first = bpf_map_lookup_elem(&questions, &key)))
		due = question_find(&key, first, &desk->question, loaded, &likeness) != NULL;
	desk_give(desk);
	return due;
}

static __always_inline bool begins_here(struct segment *segment, __u32 length)
{
	struct reading *reading = &segment->state->reading;
	__u32 available = reading->end - reading->position - PREFIX_BYTES;

	reading->message.kept = reading->message.before = 0;
	reading->message.offset = reading->payload + reading->position + PREFIX_BYTES;
	reading->message.length = length;
	reading->message.available = available < length ? available : length;
	return message_is_due(segment->skb, &reading->message, reading->leaves);
}

static __noinline long search_pass(__u32 round, struct segment *segment)
{
	struct reading *reading = &segment->state->reading;
	__u8 bytes[SEARCH_BYTES + PREFIX_BYTES + MESSAGE_HEADER] = {};
	__u32 size = reading->end - reading->position;

	barrier_var(size);
	if ((__s32)size < PREFIX_BYTES + MESSAGE_HEADER)
		return 1;
	if (size > sizeof(bytes))
		size = sizeof(bytes);
	if (bpf_skb_load_bytes(segment->skb, reading->payload + reading->position, bytes, size))
		return 1;
	for (int i = 0; i < SEARCH_BYTES; i++, reading->position++) {
		if (may_begin(bytes + i, reading->leaves) && begins_here(segment, bytes[i] << 8 | bytes[i + 1])) {
			segment->state->next.searching = false;
			return 1;
		}
	}
	return 0;
}

/* ---- holes ---- */

/* Nothing is known of where a message begins. */
static __always_inline void search_from(struct stretch *next, __u32 sequence)
{
	next->sequence = sequence;
	next->length = next->before = next->half = 0;
	next->searching = true;
}

/* The number of one that there is not yet; or 0. Without a branch: the verifier would go through all that follows for each number. */
static __always_inline __u32 hole_free(__u32 holes)
{
	__u32 first = ~holes & ((1 << (HOLES_MAX + 1)) - 2), number = 0;

	first &= -first;
	for (__u32 i = 1; i <= HOLES_MAX; i++)
		number += (first >> i & 1) * i;
	return number;
}

/* What is missing before the segment becomes a hole. */
static __always_inline void hole_open(struct __sk_buff *skb, const struct packet *packet, struct stream_key *key,
				      struct stream_state *open, struct stream_state *state)
{
	struct stream_state *hole = NULL;
	__u32 size = state->reading.end;

	key->hole = hole_free(open->holes);
	if (key->hole) {
		bpf_map_update_elem(&streams, key, state, BPF_ANY);
		hole = bpf_map_lookup_elem(&streams, key);
	}
	search_from(&state->next, packet->sequence);
	if (!hole) {
		count_unseen(open, DNS_UNMATCHED_MISSING_SEGMENT);
		return;
	}
	hole->next.until = packet->sequence;
	hole->reading.message.hole = key->hole;
	open->holes |= 1 << key->hole;
	barrier_var(size);
	if (size > HEAD_BYTES)
		size = HEAD_BYTES;
	hole->head_size = size && !bpf_skb_load_bytes(skb, packet->payload, hole->head, size) ? size : 0;
}

/* Its state is gone: others needed the room. */
static __always_inline void hole_forget(struct stream_state *open, __u32 hole)
{
	open->holes &= ~(1 << hole);
	count_unseen(open, DNS_UNMATCHED_MISSING_SEGMENT);
}

/* All of it came. True: the message that goes on behind it can be looked at, as far as it is kept. */
static __always_inline bool hole_close(struct __sk_buff *skb, struct stream_state *open, struct stream_state *hole)
{
	struct reading *reading = &hole->reading;
	bool goes_on;

	open->holes &= ~(1 << reading->message.hole);
	if (!hole->next.half && !hole->next.length)
		return false;
	reading->kept = (__u64)hole->head;
	reading->payload = 0;
	reading->position = 0;
	reading->end = hole->head_size;
	goes_on = message_next(skb, hole);
	if (!goes_on || hole->next.length) /* not all that is looked at of it is there */
		count_unseen(open, DNS_UNMATCHED_MISSING_SEGMENT);
	return goes_on;
}

/* The bytes of a message that is not whole yet, for the next segment, and what the segments before this one had of it. */

static __always_inline void piece_keep(const struct stream_key *key, const struct desk *desk)
{
	struct stream_state *state = bpf_map_lookup_elem(&streams, key);

	if (state)
		bpf_probe_read_kernel(state->message, sizeof(state->message), desk->question.message);
}

static __always_inline void piece_take(const struct stream_key *key, struct desk *desk)
{
	struct stream_state *state = bpf_map_lookup_elem(&streams, key);

	if (state)
		bpf_probe_read_kernel(desk->question.message, sizeof(state->message), state->message);
}
