// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Packets and bytes by flow: addresses, ports, protocol, interface, direction. Of all local sockets in all network namespaces.
 *
 * Invariant: every packet goes on as it came. No hook changes one, and each returns "pass" on every way out.
 */
#include "tally.bpf.h"

SONDE_OFF_BY_DEFAULT;

SONDE_SETTING_BETWEEN(__u64, update_interval_ns, 10000000000, 1000000, 86400000000000,
		      "time between two reports of what was counted");
SONDE_SETTING(__u32, sample, 0, "the headers of one packet in so many as an event packet_sample; 1: of each; 0: of none");
SONDE_SETTING_BETWEEN(__u8, sample_payload, 0, 0, 1, "1: a sample has the first 128 bytes, payload too; 0: headers only");
SONDE_SETTING(__u16, only_port_1, 0, "only packets from or to this port, or another of only_port_1 to 4; 0: not used");
SONDE_SETTING(__u16, only_port_2, 0, "see only_port_1");
SONDE_SETTING(__u16, only_port_3, 0, "see only_port_1");
SONDE_SETTING(__u16, only_port_4, 0, "see only_port_1");
SONDE_SETTING(__u16, skip_port_1, 0, "no packets from or to this port; goes before only_port; 0: not used");
SONDE_SETTING(__u16, skip_port_2, 0, "see skip_port_1");
SONDE_SETTING(__u16, skip_port_3, 0, "see skip_port_1");
SONDE_SETTING(__u16, skip_port_4, 0, "see skip_port_1");

SONDE_SETTING(__u32, interface_1, 0, "a network interface: only what passes there, instead of what sockets send and receive");
SONDE_SETTING(__u32, interface_2, 0, "one more; see interface_1");
SONDE_SETTING(__u32, interface_3, 0, "one more; see interface_1");
SONDE_SETTING(__u32, interface_4, 0, "one more; see interface_1");

SONDE_EVENT(packet_sample, "Headers of single packets, one in so many");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_DIRECTIONS);
	__type(key, struct direction_key);
	__type(value, __u64);
} packets_total SEC(".maps")
	SONDE_COUNTER("flow_packets_total", "Packets captured, as they are on the wire. The sum of packets in the events of flow.");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_DIRECTIONS);
	__type(key, struct direction_key);
	__type(value, __u64);
} bytes_total SEC(".maps")
	SONDE_COUNTER("flow_bytes_total", "Their bytes from the IP header on. The sum of bytes in the events of flow.");

struct skip_key {
	enum flow_skip reason SONDE_DOC("rule: by the ports of the settings; not_ip; broken: no whole IP header");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_SKIPS);
	__type(key, struct skip_key);
	__type(value, __u64);
} skipped_total SEC(".maps")
	SONDE_COUNTER("flow_skipped_total", "Packets seen and not captured. They went on like all others.");

static __always_inline bool has_port(const struct flow_key *key, __u16 port)
{
	return port && (key->source_port == port || key->destination_port == port);
}

static __always_inline bool is_wanted(const struct flow_key *key)
{
	if (has_port(key, skip_port_1) || has_port(key, skip_port_2) || has_port(key, skip_port_3) ||
	    has_port(key, skip_port_4))
		return false;
	if (!only_port_1 && !only_port_2 && !only_port_3 && !only_port_4)
		return true;
	return has_port(key, only_port_1) || has_port(key, only_port_2) || has_port(key, only_port_3) ||
	       has_port(key, only_port_4);
}

static __always_inline char hex_digit(__u8 value)
{
	return '0' + value + ((value + 6) >> 4) * ('a' - '9' - 1);
}

/* The bytes first stand in the upper half of the text: writing from the front never meets what is still to be read. */
static __always_inline __u32 capture(struct __sk_buff *skb, const struct packet *packet, char ret_text[2 * FLOW_SAMPLE_BYTES + 1])
{
	__u32 length = sample_payload ? packet->length : packet->headers;
	__u8 *bytes = (__u8 *)&ret_text[FLOW_SAMPLE_BYTES];

	__builtin_memset(ret_text, 0, 2 * FLOW_SAMPLE_BYTES + 1);
	if (length > packet->length)
		length = packet->length;
	if (length > FLOW_SAMPLE_BYTES)
		length = FLOW_SAMPLE_BYTES;
	barrier_var(length);
	if (!length || length > FLOW_SAMPLE_BYTES || bpf_skb_load_bytes(skb, packet->begin, bytes, length))
		return 0;
	for (__u32 i = 0; i < FLOW_SAMPLE_BYTES; i++) {
		__u8 byte = bytes[i];

		if (i >= length)
			break;
		ret_text[2 * i] = hex_digit(byte >> 4);
		ret_text[2 * i + 1] = hex_digit(byte & 0xf);
	}
	ret_text[2 * length] = '\0';
	return length;
}

static __always_inline void send_sample(struct __sk_buff *skb, const struct packet *packet)
{
	struct sk_buff *kernel = sonde_cast(struct sk_buff, skb);
	__u64 cookie = cookie_of(skb);
	struct packet_sample *e = sonde_reserve_owner(packet_sample, cookie ? sonde_socket_owner(cookie) : NULL);

	if (!e)
		return;
	e->header.weight = sample;
	fill_key(&packet->key, &e->flow);
	e->direction = packet->key.direction;
	e->interface_index = packet->key.interface_index;
	e->network_namespace = packet->key.network_namespace;
	__builtin_memset(e->interface, 0, sizeof(e->interface));
	BPF_CORE_READ_STR_INTO(&e->interface, kernel, dev, name);
	e->packets = packet->segments;
	e->bytes = bytes_of(packet);
	e->socket_cookie = cookie;
	e->captured_bytes = capture(skb, packet, e->captured);
	__builtin_memset(e->reserved, 0, sizeof(e->reserved));
	sonde_submit(e);
}

static __always_inline void see(struct __sk_buff *skb, enum flow_direction direction, __u32 begin)
{
	struct packet packet = {.begin = begin};
	int outcome = parse(skb, direction, &packet);

	if (outcome == FLOW_WANTED && !is_wanted(&packet.key))
		outcome = FLOW_SKIP_RULE;
	if (outcome != FLOW_WANTED) {
		counter_add(&skipped_total, outcome, 1);
		return;
	}
	counter_add(&packets_total, direction, packet.segments);
	counter_add(&bytes_total, direction, bytes_of(&packet));
	if (sample && bpf_get_prandom_u32() % sample == 0)
		send_sample(skb, &packet);
	tally(skb, &packet);
}

#define PASS 1
#define NEXT -1 /* TCX_NEXT: as if it were not there */

SEC("cgroup_skb/ingress")
SONDE_UNLESS(interface_1)
int on_ingress(struct __sk_buff *skb)
{
	see(skb, FLOW_DIRECTION_INGRESS, 0);
	return PASS;
}

SEC("cgroup_skb/egress")
SONDE_UNLESS(interface_1)
int on_egress(struct __sk_buff *skb)
{
	see(skb, FLOW_DIRECTION_EGRESS, 0);
	return PASS;
}

/* On an interface the packet begins with its link header, which is as long as the link likes. Of a packet with a VLAN tag
 * the kernel's network header can be behind the tag. */
static __always_inline __u32 network_offset(struct __sk_buff *skb)
{
	struct sk_buff *kernel = sonde_cast(struct sk_buff, skb);

	if (is_vlan(skb->protocol))
		return ETHERNET_HEADER;
	return sonde_load(kernel, head) + sonde_load(kernel, network_header) - sonde_load(kernel, data);
}

SEC("tcx/ingress")
SONDE_ONLY_IF(interface_1)
int on_interface_ingress(struct __sk_buff *skb)
{
	see(skb, FLOW_DIRECTION_INGRESS, network_offset(skb));
	return NEXT;
}

SEC("tcx/egress")
SONDE_ONLY_IF(interface_1)
int on_interface_egress(struct __sk_buff *skb)
{
	see(skb, FLOW_DIRECTION_EGRESS, network_offset(skb));
	return NEXT;
}
