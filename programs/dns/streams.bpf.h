/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Messages in TCP: each after two bytes that hold its length (RFC 1035, 4.2.2), however the stream is cut into segments.
 *
 * A segment begins with a message unless the one before it ended amid one; only then something is remembered. Where
 * a piece is missing (lost, out of order), the next segment is taken to begin with a message; what is none matches no question.
 */

#include "wire.bpf.h"

#define STREAMS_MAX 4096
#define MESSAGES_PER_SEGMENT_MAX 16
#define PREFIX_BYTES 2

struct stream_key {
	__u64 cookie;
	__u64 leaves;
};

/* Where the stream goes on. */
struct stream_state {
	__u32 sequence; /* of the next prefix, or of the message if its prefix was read */
	__u32 length;	/* of that message; 0: the prefix comes first */
};

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
	bool remembered;
};

struct message {
	__u32 offset;	 /* from the IP header */
	__u32 available; /* bytes of it in this packet */
	__u32 length;	 /* what its sender says */
};

static __always_inline void stream_begin(struct stream *stream, __u64 cookie, bool leaves, const struct packet *packet)
{
	struct stream_state *state;

	stream->key.cookie = cookie;
	stream->key.leaves = leaves;
	stream->position = 0;
	stream->length = 0;
	stream->remembered = false;
	state = bpf_map_lookup_elem(&streams, &stream->key);
	if (!state)
		return;
	stream->remembered = true;
	/* No message is longer than 65535 bytes: further away, or behind, is another matter. */
	if (state->sequence - packet->sequence > 0xffff + PREFIX_BYTES)
		return;
	stream->position = state->sequence - packet->sequence;
	stream->length = state->length;
}

/* The next message of the segment; false: there is none, or not enough of it to know what it is. */
static __always_inline bool stream_next(struct __sk_buff *skb, const struct packet *packet, struct stream *stream,
					struct message *ret_message)
{
	__be16 prefix;

	if (stream->position >= packet->length)
		return false;
	if (!stream->length) {
		if (bpf_skb_load_bytes(skb, packet->payload + stream->position, &prefix, sizeof(prefix)))
			return false;
		stream->length = bpf_ntohs(prefix);
		stream->position += PREFIX_BYTES;
		if (!stream->length || stream->position >= packet->length)
			return false;
	}
	ret_message->offset = packet->payload + stream->position;
	ret_message->length = stream->length;
	ret_message->available = packet->length - stream->position;
	if (ret_message->available > stream->length)
		ret_message->available = stream->length;
	stream->position += stream->length;
	stream->length = 0;
	return true;
}

static __always_inline void stream_end(struct stream *stream, const struct packet *packet)
{
	struct stream_state state = {packet->sequence + stream->position, stream->length};

	if (stream->position > packet->length || stream->length)
		bpf_map_update_elem(&streams, &stream->key, &state, BPF_ANY);
	else if (stream->remembered)
		bpf_map_delete_elem(&streams, &stream->key);
}
