/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file packet.bpf.h
 * Packets for programs: what an sk_buff carries, where it is, and how long it is.
 *
 * Everything is read out of the linear part of the packet with its bounds checked; a packet that lies about
 * its headers gives absent fields, never wrong memory.
 */

#include <sonde/socket.bpf.h>

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD

#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device {
	char name[SONDE_INTERFACE_LENGTH];
	int ifindex;
	possible_net_t nd_net;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	int skb_iif;
	__be16 protocol;
	__u16 network_header;
	__u16 transport_header;
	unsigned int tail; /* offset from head, as the headers (64-bit kernels) */
	unsigned char *head, *data;
};

#pragma clang attribute pop

/* Formats on the wire, RFC 791 and RFC 8200: their layout is theirs, so no relocation. */
struct sonde_ipv4 {
	__u8 version_length;
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct sonde_ipv6 {
	__be32 version_class_label;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
};

struct sonde_ipv6_extension {
	__u8 next_header;
	__u8 length;
	__be16 fragment; /* of a fragment header */
};

#define SONDE_IPV4_FRAGMENT_OFFSET 0x1fff
#define SONDE_IPV6_FRAGMENT_OFFSET 0xfff8
#define SONDE_IPV6_EXTENSIONS_MAX 8
/* include/linux/proc_ns.h: the smallest inode number of a namespace */
#define SONDE_NAMESPACE_INODE_MIN 0xeffffff8u

/* Reads at `offset` from skb->head; false beyond the linear part. */
static __always_inline bool sonde_packet_read(const struct sk_buff *skb, __u32 offset, void *ret, __u32 size)
{
	return offset + size <= skb->tail && !bpf_probe_read_kernel(ret, size, skb->head + offset);
}

/* Sets instead of comparisons one by one: each of those is a fork in the verifier's way. */
#define SONDE_PROTOCOLS_WITH_PORTS (1ull << IPPROTO_TCP | 1ull << IPPROTO_UDP | 1ull << IPPROTO_DCCP)
#define SONDE_IPV6_EXTENSIONS                                                                               \
	(1ull << IPPROTO_HOPOPTS | 1ull << IPPROTO_ROUTING | 1ull << IPPROTO_FRAGMENT | 1ull << IPPROTO_AH | \
	 1ull << IPPROTO_DSTOPTS)

static __always_inline bool sonde_protocol_has_ports(__u8 protocol)
{
	return (protocol < 64 && SONDE_PROTOCOLS_WITH_PORTS >> protocol & 1) || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_UDPLITE;
}

static __always_inline void sonde_packet_ports(const struct sk_buff *skb, __u32 offset, struct sonde_packet_flow *flow)
{
	__be16 ports[2];

	if (!sonde_protocol_has_ports(flow->protocol) || !sonde_packet_read(skb, offset, ports, sizeof(ports)))
		return;
	flow->source_port = bpf_ntohs(ports[0]);
	flow->destination_port = bpf_ntohs(ports[1]);
}

static __always_inline void sonde_packet_ipv4(const struct sk_buff *skb, struct sonde_packet_flow *flow)
{
	__u32 offset = skb->network_header;
	struct sonde_ipv4 ip;

	if (!sonde_packet_read(skb, offset, &ip, sizeof(ip)) || ip.version_length >> 4 != 4)
		return;
	sonde_address_from_ipv4(&flow->source_address, ip.source);
	sonde_address_from_ipv4(&flow->destination_address, ip.destination);
	flow->protocol = ip.protocol;
	if (!(ip.fragment & bpf_htons(SONDE_IPV4_FRAGMENT_OFFSET)))
		sonde_packet_ports(skb, offset + (ip.version_length & 0xf) * 4, flow);
}

static __always_inline bool sonde_ipv6_is_extension(__u32 header)
{
	return header < 64 && SONDE_IPV6_EXTENSIONS >> header & 1;
}

#define SONDE_IPV6_NO_PORTS (1ull << 63)

/*
 * Passes over the extension headers that begin at `offset` from `head`. @return the protocol in the low 8 bits, above them
 * the offset of its header, and SONDE_IPV6_NO_PORTS when that is not there. Not static: so the verifier
 * checks this once and by itself, not in every state of every caller.
 */
__noinline __u64 sonde_ipv6_extensions(__u64 head, __u32 offset, __u32 end, __u32 protocol)
{
	struct sonde_ipv6_extension extension;
	int i;

	for (i = 0; i < SONDE_IPV6_EXTENSIONS_MAX && sonde_ipv6_is_extension(protocol); i++) {
		__u8 here = protocol;

		if (offset + sizeof(extension) > end ||
		    bpf_probe_read_kernel(&extension, sizeof(extension), (void *)(head + offset)))
			return protocol | SONDE_IPV6_NO_PORTS;
		protocol = extension.next_header;
		if (here == IPPROTO_FRAGMENT) {
			if (extension.fragment & bpf_htons(SONDE_IPV6_FRAGMENT_OFFSET))
				return protocol | SONDE_IPV6_NO_PORTS; /* not the first: no ports in it */
			offset += 8;
		} else if (here == IPPROTO_AH) {
			offset += (extension.length + 2) * 4; /* RFC 4302 counts in its own way */
		} else {
			offset += (extension.length + 1) * 8;
		}
	}
	return protocol | (__u64)offset << 8;
}

static __always_inline void sonde_packet_ipv6(const struct sk_buff *skb, struct sonde_packet_flow *flow)
{
	__u32 offset = skb->network_header;
	struct sonde_ipv6 ip;
	__u64 transport;

	if (!sonde_packet_read(skb, offset, &ip, sizeof(ip)) || (bpf_ntohl(ip.version_class_label) >> 28) != 6)
		return;
	__builtin_memcpy(&flow->source_address, ip.source, sizeof(ip.source));
	__builtin_memcpy(&flow->destination_address, ip.destination, sizeof(ip.destination));
	offset += sizeof(ip);
	transport = ip.next_header | (__u64)offset << 8;
	if (sonde_ipv6_is_extension(ip.next_header)) /* rare, so that this read (a loaded pointer is no number) may cost */
		transport = sonde_ipv6_extensions((__u64)BPF_CORE_READ(skb, head), offset, skb->tail, ip.next_header);
	flow->protocol = transport;
	if (!(transport & SONDE_IPV6_NO_PORTS))
		sonde_packet_ports(skb, (__u32)(transport >> 8), flow);
}

/* A packet that has no header yet: its two ends are those of the socket that sends it. */
static __always_inline void sonde_packet_flow_of_sender(struct sock *sk, struct sonde_packet_flow *flow)
{
	struct sock_common *common = &sk->__sk_common;

	if (common->skc_family == AF_INET) {
		sonde_address_from_ipv4(&flow->source_address, common->skc_rcv_saddr);
		sonde_address_from_ipv4(&flow->destination_address, common->skc_daddr);
	} else if (common->skc_family == AF_INET6) {
		__builtin_memcpy(&flow->source_address, &common->skc_v6_rcv_saddr, 16);
		__builtin_memcpy(&flow->destination_address, &common->skc_v6_daddr, 16);
	} else {
		return;
	}
	flow->source_port = common->skc_num;
	flow->destination_port = bpf_ntohs(common->skc_dport);
	flow->protocol = sk->sk_protocol;
}

/** The two ends as they stand in the packet; all absent when it is not IP or its headers are not all there. */
static __always_inline void sonde_packet_flow_of(const struct sk_buff *skb, struct sonde_packet_flow *ret_flow)
{
	__builtin_memset(ret_flow, 0, sizeof(*ret_flow));
	if (skb->protocol == bpf_htons(ETH_P_IP))
		sonde_packet_ipv4(skb, ret_flow);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		sonde_packet_ipv6(skb, ret_flow);
}

/** Bytes from the network header on, wherever the stack has moved skb->data to. */
static __always_inline __u64 sonde_packet_length(const struct sk_buff *skb)
{
	__s64 pulled = skb->data - (skb->head + skb->network_header);
	__s64 length = skb->len + pulled;

	/* network_header is 0 or ~0 while there is none */
	if (!skb->protocol || skb->network_header == (__u16)~0 || length < 0)
		return skb->len;
	return length;
}

static __always_inline bool sonde_address_is_multicast(const sonde_address *address)
{
	const __u32 *words = (const __u32 *)address->bytes;

	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff))
		return address->bytes[12] >> 4 == 0xe;
	return address->bytes[0] == 0xff;
}

/** True if this node received it and gave it to the transport layer: skb->data has moved past the IP header. */
static __always_inline bool sonde_packet_is_delivered(const struct sk_buff *skb)
{
	return skb->transport_header != (__u16)~0 && skb->transport_header > skb->network_header &&
	       skb->data >= skb->head + skb->transport_header;
}

/** True for a TCP segment that only acknowledges or ends: no data, no SYN. */
static __always_inline bool sonde_packet_is_bare_tcp(const struct sk_buff *skb)
{
	__u32 offset = skb->transport_header, header;
	__u8 length_flags[2];

	if (offset <= skb->network_header || !sonde_packet_read(skb, offset + 12, length_flags, sizeof(length_flags)))
		return false;
	header = offset - skb->network_header + (length_flags[0] >> 4) * 4;
	return !(length_flags[1] & 0x02) && sonde_packet_length(skb) == header;
}

/**
 * The interface a packet is on, and the inode of its network namespace; NULL: not known any more.
 * skb->dev shares its bytes with other uses (dev_scratch, rbnode) while the packet waits in a socket; only
 * a true device leads to a namespace with an inode number of its range.
 */
static __always_inline struct net_device *sonde_packet_device(const struct sk_buff *skb, __u32 *ret_namespace)
{
	struct net_device *device = skb->dev;
	__u32 inode;

	if (!device)
		return NULL;
	inode = device->nd_net.net->ns.inum;
	if (inode < SONDE_NAMESPACE_INODE_MIN)
		return NULL;
	*ret_namespace = inode;
	return device;
}
