/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/* What a TCP socket tells of its connection: counters, who ended it, and which side it is. */

#include "table.bpf.h"

/* Linux numbers of the errors that end a connection; the same on all architectures sonde runs on. */
#define EPIPE 32
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111

/* The FIN has a place in the sequence space and bytes_received counts it; tcp_fin() sets SOCK_DONE. */
static __always_inline bool fin_was_received(const struct sock *sk)
{
	return sk->__sk_common.skc_flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_DONE));
}

static __always_inline void figures_of_tcp(struct sock *sk, enum connection_state state, struct figures *figures)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	__u64 received;
	__u32 smallest;

	figures->state = state;
	figures->error = sk->sk_err;
	if (!tcp)
		return;
	received = tcp->bytes_received;
	if (received && fin_was_received(sk))
		received--;
	smallest = tcp->rtt_min.s[0].v;
	figures->sent_bytes = tcp->bytes_sent - tcp->bytes_retrans;
	figures->received_bytes = received;
	figures->rtt_ns = (__u64)(tcp->srtt_us >> 3) * 1000; /* kept times 8 */
	figures->min_rtt_ns = smallest == ~0u ? 0 : (__u64)smallest * 1000;
	figures->retransmits = tcp->total_retrans;
}

/*
 * How a connection ended, by the state it left and its error. A close in order passes through LAST_ACK (the
 * peer's FIN was first), or through FIN_WAIT2 or CLOSING (ours was). From any other state without an error,
 * the kernel drops the connection because this side wants it so, and sends a reset.
 */
static __always_inline enum connection_closed_by closed_by(enum connection_state left, __s32 error)
{
	switch (error) {
	case 0:
		break;
	case EPIPE: /* a reset after the peer's FIN */
	case ECONNRESET:
	case ECONNREFUSED:
		return CONNECTION_CLOSED_BY_REMOTE_RESET;
	case ECONNABORTED: /* ss -K */
		return CONNECTION_CLOSED_BY_LOCAL_RESET;
	case ETIMEDOUT:
		return CONNECTION_CLOSED_BY_TIMEOUT;
	default:
		return CONNECTION_CLOSED_BY_NETWORK;
	}
	switch (left) {
	case CONNECTION_STATE_LAST_ACK:
		return CONNECTION_CLOSED_BY_REMOTE;
	case CONNECTION_STATE_FIN_WAIT2:
	case CONNECTION_STATE_CLOSING:
		return CONNECTION_CLOSED_BY_LOCAL;
	case CONNECTION_STATE_ESTABLISHED:
	case CONNECTION_STATE_FIN_WAIT1:
	case CONNECTION_STATE_CLOSE_WAIT:
		return CONNECTION_CLOSED_BY_LOCAL_RESET;
	default:
		return CONNECTION_CLOSED_BY_UNKNOWN;
	}
}

/*
 * Which side opened a connection that is older than sonde. The socket does not say, but its counters do: bytes_acked
 * of a client has the SYN in it, that of a server has not (its SYN was acknowledged before the socket was made).
 * Exact while no FIN was sent; counters that move while they are read give no answer, or this one.
 */
static __always_inline enum connection_role role_of_tcp(struct sock *sk, enum connection_state state)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	__u64 sent, rest;

	if (!tcp || (state != CONNECTION_STATE_ESTABLISHED && state != CONNECTION_STATE_CLOSE_WAIT))
		return CONNECTION_ROLE_UNKNOWN;
	sent = tcp->bytes_sent - tcp->bytes_retrans;
	rest = tcp->bytes_acked + (__u32)(tcp->snd_nxt - tcp->snd_una) - sent;
	if (sent != tcp->bytes_sent - tcp->bytes_retrans || rest > 1)
		return CONNECTION_ROLE_UNKNOWN;
	return rest ? CONNECTION_ROLE_CLIENT : CONNECTION_ROLE_SERVER;
}
