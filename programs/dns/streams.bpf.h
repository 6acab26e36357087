/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Messages in TCP: each after two bytes that hold its length (RFC 1035, 4.2.2), however the stream is cut into segments.
 *
 * A segment begins with a message unless the one before it ended amid one; only then something is remembered. A message is looked at when
 * its first 272 bytes are there, or all of it; what came of them until then is kept. Where a piece is missing (lost, out of order), the next
 * segment is taken to begin with a message; what is none matches no question.
 */

#include "counts.bpf.h"

#define STREAMS_MAX 4096
#define MESSAGES_PER_SEGMENT_MAX 64
#define PREFIX_BYTES 2

struct stream_key {
	__u64 cookie;
	__u64 leaves;
};

/* Where the stream goes on. */
struct stream_state {
	__u32 sequence;		    /* of the next prefix, or of what is next of the message if its prefix was read */
	__u32 length;		    /* of that message; 0: the prefix comes first */
	__u16 before;		    /* bytes of that message that are in `message` */
	__u16 half;		    /* half a prefix: HALF and its first byte; or 0 */
	__u8 message[DNS_SHORT_SIZE];
};

#define HALF 0x100

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STREAMS_MAX);
	__type(key, struct stream_key);
	__type(value, struct stream_state);
} streams SEC(".maps");

struct stream {
	struct stream_key key;
	__u32 position; /* in this segment, of what stream_state tells of */
	__u32 length;
	__u32 before;
	__u32 half;
	__u64 remembered;
};

static __always_inline void stream_begin(struct stream *stream, __u64 cookie, bool leaves, const struct packet *packet)
{
	struct stream_state *state;

	stream->key.cookie = cookie;
	stream->key.leaves = leaves;
	state = bpf_map_lookup_elem(&streams, &stream->key);
	if (!state)
		return;
	stream->remembered = true;
	/* No message is longer than 65535 bytes: further away, or behind, is another matter. */
	if (state->sequence - packet->sequence > 0xffff + PREFIX_BYTES) {
		count_unmatched(DNS_UNMATCHED_MISSING_SEGMENT, IPPROTO_TCP);
		return;
	}
	stream->position = state->sequence - packet->sequence;
	stream->length = state->length;
	stream->before = state->before;
	stream->half = state->half;
}

/* False: the segment ends before the prefix does, or with it. */
static __always_inline bool prefix_read(struct __sk_buff *skb, const struct packet *packet, struct stream *stream)
{
	__u32 size = stream->half || packet->length - stream->position == 1 ? 1 : 2;
	__u8 bytes[2] = {};

	if (bpf_skb_load_bytes(skb, packet->payload + stream->position, &bytes[2 - size], size))
		return false;
	stream->position += size;
	if (size == 1 && !stream->half) {
		stream->half = HALF | bytes[1];
		return false;
	}
	stream->length = (size == 1 ? stream->half & 0xff : bytes[0]) << 8 | bytes[1];
	stream->half = 0;
	return stream->position < packet->length;
}

/* The next message of the segment, or piece of one; false: there is none. */
static __always_inline bool stream_next(struct __sk_buff *skb, const struct packet *packet, struct stream *stream,
					struct message *ret_message)
{
	__u32 available, rest;

	if (stream->position >= packet->length)
		return false;
	if (!stream->length && !prefix_read(skb, packet, stream))
		return false;
	rest = stream->length - stream->before;
	available = packet->length - stream->position;
	if (available > rest)
		available = rest;
	ret_message->offset = packet->payload + stream->position;
	ret_message->available = available;
	ret_message->length = stream->length;
	ret_message->before = stream->before;
	if (available == rest || stream->before + available >= DNS_SHORT_SIZE) {
		stream->position += rest;
		stream->length = stream->before = 0;
	} else {
		stream->position += available;
		stream->before += available;
	}
	return true;
}

static const struct stream_state new_stream;

static __always_inline struct stream_state *stream_state_of(const struct stream_key *key)
{
	struct stream_state *state = bpf_map_lookup_elem(&streams, key);

	if (state)
		return state;
	bpf_map_update_elem(&streams, key, &new_stream, BPF_ANY);
	return bpf_map_lookup_elem(&streams, key);
}

static __always_inline void stream_end(struct stream *stream, const struct packet *packet)
{
	struct stream_state *state;

	if (stream->position <= packet->length && !stream->length && !stream->half) {
		if (stream->remembered)
			bpf_map_delete_elem(&streams, &stream->key);
		return;
	}
	state = stream_state_of(&stream->key);
	if (!state)
		return;
	state->sequence = packet->sequence + stream->position;
	state->length = stream->length;
	state->before = stream->before;
	state->half = stream->half;
}

/* The bytes of a message that is not whole yet, for the next segment, and what the segments before this one had of it. */

static __always_inline void piece_keep(const struct stream_key *key, const struct desk *desk)
{
	struct stream_state *state = stream_state_of(key);

	if (state)
		bpf_probe_read_kernel(state->message, sizeof(state->message), desk->question.message);
}

static __always_inline void piece_take(const struct stream_key *key, struct desk *desk)
{
	struct stream_state *state = bpf_map_lookup_elem(&streams, key);

	if (state)
		bpf_probe_read_kernel(desk->question.message, sizeof(state->message), state->message);
}
