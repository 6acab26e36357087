/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Whose packet is this, and how long are its headers? Reads by bpf_skb_load_bytes(), which knows the packet's end also where
 * parts of it lie elsewhere, and never changes anything.
 *
 * Invariant: whatever the packet says of itself, the outcome is a key or a reason why there is none.
 */

#include <sonde/cast.bpf.h>
#include <sonde/packet.bpf.h>

#include "event.h"

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define VLAN_TAGS_MAX 2
#define ETHERNET_HEADER 14

#define TCP_HEADER_MIN 20
#define JUMBO_OPTION 0xc204 /* RFC 2675: type and length */

struct packet {
	struct flow_key key;
	__u32 begin;  /* of the IP header, from skb->data on */
	__u32 length; /* from there on */
	__u32 headers; /* bytes of IP and transport header, as far as they are known */
	__u32 segments;
	__u32 inner; /* bytes of the headers that never leave the node */
	__u8 tcp_flags;
};

#define FLOW_WANTED -1 /* else an enum flow_skip */

struct tcp_begin {
	__be16 ports[2];
	__be32 sequence, acknowledged;
	__u8 length; /* words, in the upper half */
	__u8 flags;
};
#define TCP_BEGIN_BYTES 14

static __always_inline void parse_transport(struct __sk_buff *skb, struct packet *packet)
{
	__u32 offset = packet->begin + packet->headers;
	struct tcp_begin begin = {};

	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		if (!bpf_skb_load_bytes(skb, offset, &begin, TCP_BEGIN_BYTES)) {
			__u32 length = (begin.length >> 4) * 4;

			packet->tcp_flags = begin.flags;
			packet->headers += length < TCP_HEADER_MIN ? TCP_HEADER_MIN : length;
			break;
		}
		bpf_skb_load_bytes(skb, offset, begin.ports, sizeof(begin.ports)); /* a fragment may be that short */
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		packet->headers += 8;
		bpf_skb_load_bytes(skb, offset, begin.ports, sizeof(begin.ports));
		break;
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		packet->headers += 12;
		bpf_skb_load_bytes(skb, offset, begin.ports, sizeof(begin.ports));
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		packet->headers += 8;
		break;
	}
	packet->key.source_port = bpf_ntohs(begin.ports[0]);
	packet->key.destination_port = bpf_ntohs(begin.ports[1]);
}

static __always_inline bool parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct sonde_ipv4 ip;

	if (bpf_skb_load_bytes(skb, packet->begin, &ip, sizeof(ip)) || ip.version_length >> 4 != 4 ||
	    (ip.version_length & 0xf) < sizeof(ip) / 4)
		return false;
	sonde_address_from_ipv4(&packet->key.source_address, ip.source);
	sonde_address_from_ipv4(&packet->key.destination_address, ip.destination);
	packet->key.protocol = ip.protocol;
	packet->headers = (ip.version_length & 0xf) * 4;
	if (!(ip.fragment & bpf_htons(SONDE_IPV4_FRAGMENT_OFFSET)))
		parse_transport(skb, packet);
	return true;
}

/* False: no transport header follows. */
static __always_inline bool parse_extensions(struct __sk_buff *skb, struct packet *packet)
{
	struct sonde_ipv6_extension extension;

	for (int i = 0; i < SONDE_IPV6_EXTENSIONS_MAX && sonde_ipv6_is_extension(packet->key.protocol); i++) {
		__u8 here = packet->key.protocol;

		if (bpf_skb_load_bytes(skb, packet->begin + packet->headers, &extension, sizeof(extension)))
			return false;
		packet->key.protocol = extension.next_header;
		if (here == IPPROTO_FRAGMENT)
			packet->headers += 8;
		else if (here == IPPROTO_AH)
			packet->headers += (extension.length + 2) * 4; /* RFC 4302 counts in its own way */
		else
			packet->headers += (extension.length + 1) * 8;
		if (here == IPPROTO_FRAGMENT && extension.fragment & bpf_htons(SONDE_IPV6_FRAGMENT_OFFSET))
			return false;
	}
	return true;
}

/* More than 64 KiB to be segmented ("BIG TCP"): the kernel notes the length in an option and takes it out with the segmentation. */
static __always_inline void parse_jumbo(struct __sk_buff *skb, struct packet *packet)
{
	struct sonde_ipv6_extension extension;

	if (bpf_skb_load_bytes(skb, packet->begin + packet->headers, &extension, sizeof(extension)))
		return;
	if (extension.next_header == IPPROTO_TCP && !extension.length && extension.fragment == bpf_htons(JUMBO_OPTION))
		packet->inner = 8;
}

static __always_inline bool parse_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct sonde_ipv6 ip;

	if (bpf_skb_load_bytes(skb, packet->begin, &ip, sizeof(ip)) || (bpf_ntohl(ip.version_class_label) >> 28) != 6)
		return false;
	__builtin_memcpy(&packet->key.source_address, ip.source, sizeof(ip.source));
	__builtin_memcpy(&packet->key.destination_address, ip.destination, sizeof(ip.destination));
	packet->key.protocol = ip.next_header;
	packet->headers = sizeof(ip);
	if (!ip.payload_length && ip.next_header == IPPROTO_HOPOPTS && skb->gso_size)
		parse_jumbo(skb, packet);
	if (parse_extensions(skb, packet))
		parse_transport(skb, packet);
	return true;
}

static __always_inline bool is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/* Passes over VLAN tags that are still in the packet; the protocol behind them. */
static __always_inline __be16 parse_vlan(struct __sk_buff *skb, struct packet *packet)
{
	__be16 protocol = skb->protocol, tag[2];

	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (!is_vlan(protocol))
			break;
		if (bpf_skb_load_bytes(skb, packet->begin, tag, sizeof(tag)))
			break;
		protocol = tag[1];
		packet->begin += sizeof(tag);
	}
	return protocol;
}

/* Segmentation offload hands many packets over as one: how many they are. */
static __always_inline __u32 segments_of(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 segments = skb->gso_segs, size = skb->gso_size;

	if (!segments && size && packet->length > packet->headers) /* from a virtual machine: only the size is said */
		segments = (packet->length - packet->headers + size - 1) / size;
	return segments ?: 1;
}

static __always_inline void parse_device(struct __sk_buff *skb, struct flow_key *key)
{
	struct sk_buff *kernel = sonde_cast(struct sk_buff, skb);
	struct net_device *device = sonde_load(kernel, dev);

	key->interface_index = skb->ifindex;
	if (device) {
		struct net *net = sonde_load(device, nd_net.net);

		key->network_namespace = sonde_load(net, ns.inum);
	}
}

/* `packet` zeroed, but for `begin`: where skb->protocol begins. @return enum flow_skip, or FLOW_WANTED */
static __always_inline int parse(struct __sk_buff *skb, enum flow_direction direction, struct packet *packet)
{
	__be16 protocol = parse_vlan(skb, packet);

	if (protocol == bpf_htons(ETH_P_IP)) {
		if (!parse_ipv4(skb, packet))
			return FLOW_SKIP_BROKEN;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		if (!parse_ipv6(skb, packet))
			return FLOW_SKIP_BROKEN;
	} else {
		return FLOW_SKIP_NOT_IP;
	}
	packet->key.direction = direction;
	packet->length = skb->len - packet->begin;
	packet->segments = segments_of(skb, packet);
	parse_device(skb, &packet->key);
	return FLOW_WANTED;
}

/* On the wire each segment has headers of its own. */
static __always_inline __u64 bytes_of(const struct packet *packet)
{
	return packet->length - packet->inner + (__u64)(packet->segments - 1) * (packet->headers - packet->inner);
}
