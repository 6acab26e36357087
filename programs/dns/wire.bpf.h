/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Packets at a socket's edge: who sends to whom, and where the payload is.
 *
 * This runs for every packet of every socket, so the headers are read in place; the kernel has them in the linear part
 * when it hands a packet to a socket or has just built it.
 */

#include <sonde/packet.bpf.h>
#include <sonde/socket.bpf.h>

#define TCP_FLAG_SYN 0x02
#define TRANSPORT_OFFSET_MAX 256

struct packet {
	sonde_address source, destination;
	__u32 payload; /* offset from the IP header */
	__u32 length;  /* of the payload */
	__u32 sequence;
	__u16 source_port, destination_port;
	__u8 protocol;
	__u8 tcp_flags;
};

/* RFC 9293: 20 bytes and options. UDP has its length where TCP has the sequence number. */
struct transport_header {
	__be16 source_port, destination_port;
	__be32 sequence_or_length;
};

struct tcp_rest {
	__be32 acknowledged;
	__u8 header_length; /* in words of 4, in the upper half */
	__u8 flags;
};

/*
 * What follows IPv6's extension headers, which hardly any packet has: the protocol in the low 8 bits, 0 when there is no way through;
 * above them its offset. Not static: the verifier then looks at it once, not once for each state that it is called in.
 */
__noinline __u64 skip_extensions(struct __sk_buff *skb, __u32 offset, __u32 header)
{
	struct sonde_ipv6_extension extension;
	__u8 here = header;

	for (int i = 0; i < SONDE_IPV6_EXTENSIONS_MAX; i++) {
		if (!sonde_ipv6_is_extension(here))
			return here | (__u64)offset << 8;
		if (here == IPPROTO_FRAGMENT || bpf_skb_load_bytes(skb, offset, &extension, sizeof(extension)))
			return 0;
		offset += here == IPPROTO_AH ? (extension.length + 2) * 4 : (extension.length + 1) * 8;
		here = extension.next_header;
	}
	return 0;
}

/* Where the transport header is, and its protocol; 0: not UDP or TCP, or a later fragment. */
static __always_inline __u32 transport_offset(struct __sk_buff *skb, __u8 *ret_protocol)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct sonde_ipv4 *ip4 = data;
	struct sonde_ipv6 *ip6 = data;
	__u32 offset;

	if ((void *)(ip4 + 1) > end)
		return 0;
	if (ip4->version_length >> 4 == 4) {
		*ret_protocol = ip4->protocol;
		offset = (ip4->version_length & 0xf) * 4;
		if (ip4->fragment & bpf_htons(SONDE_IPV4_FRAGMENT_OFFSET))
			return 0;
	} else {
		if ((void *)(ip6 + 1) > end)
			return 0;
		*ret_protocol = ip6->next_header;
		offset = sizeof(*ip6);
		if (*ret_protocol != IPPROTO_UDP && *ret_protocol != IPPROTO_TCP) {
			__u64 transport = skip_extensions(skb, offset, *ret_protocol);

			*ret_protocol = transport;
			offset = transport >> 8;
		}
	}
	return *ret_protocol == IPPROTO_UDP || *ret_protocol == IPPROTO_TCP ? offset : 0;
}

/* Only after transport_offset() was pleased. */
static __always_inline void addresses_of(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct sonde_ipv4 *ip4 = data;
	struct sonde_ipv6 *ip6 = data;

	if ((void *)(ip4 + 1) > end)
		return;
	if (ip4->version_length >> 4 == 4) {
		sonde_address_from_ipv4(&packet->source, ip4->source);
		sonde_address_from_ipv4(&packet->destination, ip4->destination);
	} else if ((void *)(ip6 + 1) <= end) {
		__builtin_memcpy(&packet->source, ip6->source, 16);
		__builtin_memcpy(&packet->destination, ip6->destination, 16);
	}
}

/* Ports and protocol of a UDP or TCP packet; false: neither. Cheap: all packets come here. */
static __always_inline bool ports_of(struct __sk_buff *skb, struct packet *packet, __u32 *ret_offset)
{
	__u32 offset = transport_offset(skb, &packet->protocol);
	struct transport_header *header;

	if (!offset || offset > TRANSPORT_OFFSET_MAX)
		return false;
	header = (void *)(long)skb->data + offset;
	if ((void *)(header + 1) > (void *)(long)skb->data_end)
		return false;
	packet->source_port = bpf_ntohs(header->source_port);
	packet->destination_port = bpf_ntohs(header->destination_port);
	packet->sequence = bpf_ntohl(header->sequence_or_length);
	*ret_offset = offset;
	return true;
}

/* The rest, for the few that matter. False: it carries nothing. */
static __always_inline bool payload_of(struct __sk_buff *skb, struct packet *packet, __u32 offset)
{
	struct tcp_rest rest;

	addresses_of(skb, packet);
	packet->tcp_flags = 0;
	if (packet->protocol == IPPROTO_UDP) {
		packet->payload = offset + 8;
	} else {
		if (bpf_skb_load_bytes(skb, offset + 8, &rest, sizeof(rest)))
			return false;
		packet->payload = offset + (rest.header_length >> 4) * 4;
		packet->tcp_flags = rest.flags;
	}
	if (skb->len <= packet->payload)
		return false;
	packet->length = skb->len - packet->payload;
	return true;
}

/* The socket's. A plain load, but for the first time that anybody asks for it. */
static __always_inline __u64 cookie_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 cookie = sk && SONDE_CAN_CAST ? sonde_cast(struct sock, sk)->__sk_common.skc_cookie.counter : 0;

	return cookie ?: bpf_get_socket_cookie(skb);
}
