/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The table of flows, and its way out at each interval.
 *
 * Why no LRU map: it throws away what was counted, and under a flood of new flows it throws away the old ones. Here a
 * flow that was idle for an interval makes room for another; what finds no room is counted in `others`, so the sum is exact.
 *
 * Invariant: no packet is lost or told twice (flush.bpf.h).
 */

#include <sonde/flush.bpf.h>

#include "parse.bpf.h"

#ifndef FLOWS_MAX
#define FLOWS_MAX 100000
#endif

#define TCP_LISTEN 10 /* include/net/tcp_states.h */
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_RST 0x04
#define LOOK_AGAIN_NS 100000000
#define ROOT_CGROUP 1

struct amount {
	__u64 packets; /* says whether the entry lives */
	__u64 bytes;
	__u32 tcp_flags;
	__u32 reserved;
};

struct entry {
	struct amount amount;
	__u64 first_ns, last_ns;
	__u64 cookie; /* 0: not known yet */
	__u64 looked_ns; /* for the owner */
	struct sonde_process owner;
	char interface[SONDE_INTERFACE_LENGTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct entry);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_DIRECTIONS);
	__type(key, __u32);
	__type(value, struct amount);
} others SEC(".maps");

struct direction_key {
	enum flow_direction direction SONDE_DOC("ingress: received by this node; egress: sent");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_DIRECTIONS);
	__type(key, struct direction_key);
	__type(value, __u64);
} other_packets_total SEC(".maps")
	SONDE_COUNTER("flow_other_packets_total",
		      "Packets whose flow found no room in the table: counted, but not by flow. Grows: more flows at a time than "
		      "the table holds, or a flood of new ones.");

SONDE_EVENT(flow, "Flows: packets and bytes by addresses, ports, interface and direction");

/* An egress hook in a system call can be interrupted by another one in a softirq: so always atomic, also per CPU. */
static __always_inline void counter_add(void *map, __u32 index, __u64 amount)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);

	if (value)
		__sync_fetch_and_add(value, amount);
}

/* Bytes first: then no report has packets without their bytes. */
static __always_inline void amount_add(struct amount *to, const struct amount *amount)
{
	__sync_fetch_and_add(&to->bytes, amount->bytes);
	if (amount->tcp_flags & ~*(volatile __u32 *)&to->tcp_flags)
		__sync_fetch_and_or(&to->tcp_flags, amount->tcp_flags);
	__sync_fetch_and_add(&to->packets, amount->packets);
}

/* A listening socket gets the first packets of connections that will have sockets of their own. */
static __always_inline __u64 cookie_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	return sk && sk->state != TCP_LISTEN ? bpf_get_socket_cookie(skb) : 0;
}

static __always_inline void entry_own(struct entry *entry, __u64 cookie, __u64 now)
{
	struct sonde_process *owner = cookie ? sonde_socket_owner(cookie) : NULL;

	entry->cookie = cookie;
	entry->looked_ns = now;
	if (owner)
		entry->owner = *owner;
}

/* A socket can have packets before somebody accepts it, and is forgotten with its last: so now and then, and at the end. */
static __always_inline bool is_time_to_look(const struct entry *entry, __u32 tcp_flags, __u64 now)
{
	return (tcp_flags | entry->amount.tcp_flags) & (TCP_FLAG_FIN | TCP_FLAG_RST) ||
	       (__s64)(now - entry->looked_ns) > LOOK_AGAIN_NS;
}

static __always_inline void others_add(__u32 direction, const struct amount *amount)
{
	struct amount *other = bpf_map_lookup_elem(&others, &direction);

	if (other)
		amount_add(other, amount);
	counter_add(&other_packets_total, direction, amount->packets);
}

static __always_inline void entry_make(struct __sk_buff *skb, const struct flow_key *key, const struct amount *amount,
				       __u64 now)
{
	struct sk_buff *kernel = sonde_cast(struct sk_buff, skb);
	struct entry fresh = {.amount = *amount, .first_ns = now, .last_ns = now}, *entry;
	__u64 cgroup = bpf_skb_cgroup_id(skb);

	if (cgroup != ROOT_CGROUP)
		fresh.owner.cgroup_id = cgroup;
	BPF_CORE_READ_STR_INTO(&fresh.interface, kernel, dev, name);
	entry_own(&fresh, cookie_of(skb), now);
	if (!bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST))
		return;
	entry = sonde_count_find(&flows, key); /* another CPU was first, or there is no room */
	if (entry)
		amount_add(&entry->amount, amount);
	else
		others_add(key->direction, amount);
}

static __always_inline void tally(struct __sk_buff *skb, const struct packet *packet)
{
	struct amount amount = {
		.packets = packet->segments, .bytes = bytes_of(packet), .tcp_flags = packet->tcp_flags,
	};
	struct entry *entry = sonde_count_find(&flows, &packet->key);
	__u64 now = bpf_ktime_get_boot_ns();

	if (!entry) {
		entry_make(skb, &packet->key, &amount, now);
		return;
	}
	if (!entry->cookie)
		entry_own(entry, cookie_of(skb), now);
	else if (!entry->owner.pid && is_time_to_look(entry, packet->tcp_flags, now))
		entry_own(entry, entry->cookie, now);
	entry->last_ns = now;
	amount_add(&entry->amount, &amount);
}

/* ---- the way out ---- */

static __always_inline void fill_key(const struct flow_key *key, struct sonde_packet_flow *flow)
{
	flow->source_address = key->source_address;
	flow->destination_address = key->destination_address;
	flow->source_port = key->source_port;
	flow->destination_port = key->destination_port;
	flow->protocol = key->protocol;
	__builtin_memset(flow->flow_padding, 0, sizeof(flow->flow_padding));
}

static __always_inline void write_flags(__u32 flags, char ret_text[9])
{
	const char letters[] = "FSRPAUEC"; /* in the order of the bits */
	__u32 n = 0;

	__builtin_memset(ret_text, 0, 9);
	for (__u32 i = 0; i < 8; i++) {
		if (!(flags >> i & 1))
			continue;
		barrier_var(n);
		if (n >= 8)
			break;
		ret_text[n++] = letters[i];
	}
}

/* Takes what was counted; `left`: the count afterwards. A full ring leaves it where it is, for the next time. */
static __always_inline struct flow *take(struct amount *amount, __u64 left, __u32 direction, const struct sonde_process *owner)
{
	struct flow *e = sonde_reserve_owner(flow, owner);

	if (!e)
		return NULL;
	e->direction = direction;
	e->packets = __sync_lock_test_and_set(&amount->packets, left) & SONDE_COUNTED;
	e->bytes = __sync_lock_test_and_set(&amount->bytes, 0);
	write_flags(__sync_lock_test_and_set(&amount->tcp_flags, 0), e->tcp_flags);
	__builtin_memset(e->reserved, 0, sizeof(e->reserved));
	return e;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(flows)
int at_interval_flows(struct bpf_iter__bpf_map_elem *context)
{
	struct flow_key key;
	struct entry *entry = SONDE_ELEMENT(context, &flows, &key);
	struct flow *e;

	if (!entry || !sonde_count_is_new(&entry->amount.packets, context->meta))
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(*e)))
		return 1; /* later */
	if (!entry->owner.pid)
		entry_own(entry, entry->cookie, entry->last_ns);
	e = take(&entry->amount, sonde_count_idle, key.direction, &entry->owner);
	if (!e)
		return 0;
	fill_key(&key, &e->flow);
	e->interface_index = key.interface_index;
	e->network_namespace = key.network_namespace;
	__builtin_memcpy(e->interface, entry->interface, sizeof(e->interface));
	e->first_time = entry->first_ns;
	e->last_time = entry->last_ns;
	e->duration_ns = e->last_time - e->first_time;
	e->socket_cookie = entry->cookie;
	e->is_other = false;
	sonde_submit(e);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(flows)
int at_interval_sweep(struct bpf_iter__bpf_map_elem *context)
{
	struct flow_key key;
	struct entry *entry = SONDE_ELEMENT(context, &flows, &key);

	if (entry && sonde_count_is_over(&entry->amount.packets))
		bpf_map_delete_elem(&flows, &key);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(others)
int at_interval_others(struct bpf_iter__bpf_map_elem *context)
{
	__u32 direction;
	struct amount *amount = SONDE_ELEMENT(context, &others, &direction);
	struct flow *e;

	if (!amount || !*(volatile __u64 *)&amount->packets)
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(*e)))
		return 1; /* later */
	e = take(amount, 0, direction, NULL);
	if (!e)
		return 0;
	__builtin_memset(&e->flow, 0, sizeof(e->flow));
	e->interface_index = 0;
	e->network_namespace = 0;
	__builtin_memset(e->interface, 0, sizeof(e->interface));
	e->first_time = 0;
	e->last_time = 0;
	e->duration_ns = -1;
	e->socket_cookie = 0;
	e->is_other = true;
	sonde_submit(e);
	return 0;
}
