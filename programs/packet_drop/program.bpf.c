// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Packets that the kernel dropped, why, and whose they were.
 *
 * Every drop is counted by reason, class and interface; those of class benign become events only on request. The owner
 * is that of the packet's socket or nobody: the task that happens to run in this softirq has nothing to do with it.
 */
#include <sonde/packet.bpf.h>
#include "classes.h"
#include "event.h"

SONDE_EVENT(packet_drop, "Packets that the kernel dropped");
SONDE_SETTING(bool, benign, false, "also send events of class benign: duplicates, remains of closed sockets");

struct {
	SONDE_METRIC_MAP(struct packet_drop_key, 2048);
} drops_total SEC(".maps")
	SONDE_COUNTER("packet_drops_total",
		      "Packets the kernel dropped. Class resource that grows: a queue or buffer is too small or its reader "
		      "too slow; policy: a firewall or filter refuses traffic; application: traffic to a port where nothing "
		      "listens; network: broken packets, routes or neighbours; benign: nothing was lost.");

/* The values do not matter: they are those of the running kernel by the time this runs. */
enum skb_drop_reason {
	SKB_NOT_DROPPED_YET,
	SKB_CONSUMED,
	SKB_DROP_REASON_NOT_SPECIFIED,
#define REASON(name, class) SKB_DROP_REASON_##name,
	DROP_CLASSES(REASON)
#undef REASON
};

/* Not read: a field here tells that the tracepoint has the argument of the same name. */
struct trace_event_raw_kfree_skb {
	void *rx_sk;
	enum skb_drop_reason reason;
} __attribute__((preserve_access_index));

/* include/net/tcp_states.h: small stand-ins without the fields of a socket */
#define TCP_TIME_WAIT 6
#define TCP_NEW_SYN_RECV 12

#define LOOPBACK_IFINDEX 1 /* include/net/flow.h: in every network namespace */
#define REASONS_MAX 256 /* 128 in 6.18; the numbers of subsystems begin at 65536 */

/* Class by number, filled from DROP_CLASSES by the first drop. A second CPU may fill it too: with the same. */
__u8 class_of[REASONS_MAX];
bool class_of_is_filled;

/* Global: so the verifier looks at it once, and not in each of its callers' states. */
__noinline int fill_class_of(void)
{
	__u64 reason;

#define CLASS(name, class)                                                                                 \
	if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_##name)) {                    \
		reason = bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_##name);                \
		if (reason < REASONS_MAX)                                                                  \
			class_of[reason] = DROP_CLASS_##class;                                             \
	}
	DROP_CLASSES(CLASS)
#undef CLASS
	*(volatile bool *)&class_of_is_filled = true;
	return 0;
}

static __always_inline enum drop_class classify(__u32 reason)
{
	if (!*(volatile bool *)&class_of_is_filled)
		fill_class_of();
	barrier_var(reason); /* the check and the access in the same register, or the verifier sees no bound */
	return reason < REASONS_MAX ? class_of[reason] : DROP_CLASS_UNKNOWN;
}

/* Without a reason the kernel also frees what did its work. These are known not to be drops: */
static __always_inline enum drop_class classify_unspecified(const struct sk_buff *skb, const struct net_device *device,
							    const struct sonde_packet_flow *flow)
{
	/* No packet: a message of a local socket, such as vsock or netlink. */
	if (!device && !skb->protocol)
		return DROP_CLASS_BENIGN;
	if (skb->sk) /* on its way out */
		return DROP_CLASS_UNKNOWN;
	/* ip6_mc_input(), ip_rcv_finish(): to a multicast group that nobody here has joined. */
	if (!sonde_packet_is_delivered(skb))
		return sonde_address_is_multicast(&flow->destination_address) ? DROP_CLASS_BENIGN : DROP_CLASS_UNKNOWN;
	/* udp_destruct_common(): was unread when its socket closed. In a socket's queue it has no device. */
	if (flow->protocol == IPPROTO_UDP && !device)
		return DROP_CLASS_BENIGN;
	/* tcp_rcv_state_process(), tcp_v4_rcv(): an ACK or FIN to a half-closed connection or one in TIME_WAIT, heeded. */
	if (flow->protocol == IPPROTO_TCP && sonde_packet_is_bare_tcp(skb))
		return DROP_CLASS_BENIGN;
	/* icmpv6_rcv(): what this host hears and need not answer, such as multicast reports. Its errors have a reason. */
	if (flow->protocol == IPPROTO_ICMPV6)
		return DROP_CLASS_BENIGN;
	return DROP_CLASS_UNKNOWN;
}

/* Freed in the normal course of things, although by the function for drops. */
static __always_inline bool is_consumed(__u32 reason)
{
	return bpf_core_enum_value_exists(enum skb_drop_reason, SKB_CONSUMED) &&
	       reason == bpf_core_enum_value(enum skb_drop_reason, SKB_CONSUMED);
}

static __always_inline bool is_unspecified(__u32 reason)
{
	return reason == 0 || reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED);
}

/* The packet's socket, if it is a whole one. rx_sk (6.11) tells it also after the packet let go of it. */
static __always_inline struct sock *socket_of(const __u64 *ctx, const struct sk_buff *skb)
{
	struct sock *sk = NULL;
	__u8 state;

	if (bpf_core_field_exists(struct trace_event_raw_kfree_skb, rx_sk))
		sk = sonde_cast(struct sock, ctx[3]);
	if (!sk)
		sk = skb->sk;
	if (!sk)
		return NULL;
	state = sk->__sk_common.skc_state;
	return state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV ? NULL : sk;
}

static __always_inline void send_drop(const __u64 *ctx, struct sk_buff *skb, const struct packet_drop_key *key,
				      const struct net_device *device, __u32 namespace, const struct sonde_packet_flow *flow)
{
	struct sock *sk = socket_of(ctx, skb);
	struct sonde_process *owner = NULL;
	struct packet_drop *e;
	__u64 cookie = 0;

	/* Read, not made: without a cookie no program has seen the socket, so nobody knows its owner. */
	if (sk)
		cookie = sk->__sk_common.skc_cookie.counter;
	if (cookie)
		owner = sonde_socket_owner(cookie);
	e = sonde_reserve_owner(packet_drop, owner);
	if (!e)
		return;
	e->reason = key->reason;
	e->class = key->class;
	e->location = ctx[1];
	e->length_bytes = sonde_packet_length(skb);
	__builtin_memcpy(e->interface, key->interface, sizeof(e->interface));
	e->interface_index = device ? device->ifindex : skb->skb_iif;
	e->network_namespace = namespace;
	if (!namespace && sk)
		e->network_namespace = sk->__sk_common.skc_net.net->ns.inum;
	e->socket_cookie = cookie;
	e->flow = *flow;
	if (!e->flow.protocol && sk && sk == skb->sk)
		sonde_packet_flow_of_sender(sk, &e->flow);
	sonde_submit(e);
}

SEC("tp_btf/kfree_skb")
int on_kfree_skb(__u64 *ctx)
{
	struct sk_buff *skb = sonde_cast(struct sk_buff, ctx[0]);
	struct sonde_packet_flow flow = {};
	struct packet_drop_key key = {};
	struct net_device *device;
	__u32 namespace = 0;

	if (bpf_core_field_exists(struct trace_event_raw_kfree_skb, reason)) /* 5.17 */
		key.reason = ctx[2];
	if (is_consumed(key.reason))
		return 0;
	device = sonde_packet_device(skb, &namespace);
	key.class = is_unspecified(key.reason) ? DROP_CLASS_UNKNOWN : classify(key.reason);
	if (key.class != DROP_CLASS_BENIGN || benign) /* in one place: the verifier checks each anew */
		sonde_packet_flow_of(skb, &flow);
	if (is_unspecified(key.reason))
		key.class = classify_unspecified(skb, device, &flow);
	if (device)
		__builtin_memcpy(key.interface, device->name, sizeof(key.interface));
	else if (skb->skb_iif == LOOPBACK_IFINDEX)
		__builtin_memcpy(key.interface, "lo", sizeof("lo"));
	sonde_metric_add(&drops_total, &key, 1);
	if (key.class != DROP_CLASS_BENIGN || benign)
		send_drop(ctx, skb, &key, device, namespace, &flow);
	return 0;
}
