/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Sockets as a process makes, uses and releases them: the bytes of UDP, the owner of a connection that came around
 * accept(), the end of what has no other end.
 */

#include "claim.bpf.h"

#define MSG_PEEK 0x02
#define MSG_ERRQUEUE 0x2000

static __always_inline void on_traffic(struct sock *sk, int length, bool sent)
{
	struct entry *entry;
	__u64 cookie;

	if (!sonde_family_is_inet(sk->__sk_common.skc_family))
		return;
	if (sk->sk_protocol == IPPROTO_UDP) {
		if (length < 0 || sk->__sk_common.skc_state != CONNECTION_STATE_ESTABLISHED)
			return; /* not connected */
	} else if (sk->sk_protocol != IPPROTO_TCP || unclaimed <= 0) {
		return;
	}
	cookie = cookie_of(sk);
	entry = cookie ? entry_of(cookie) : NULL;
	if (!entry)
		return;
	if (!entry->claimed)
		claim_for_current(entry, false);
	else if (sk->sk_protocol == IPPROTO_UDP && entry->figures.sent_bytes != ABSENT)
		__sync_fetch_and_add(sent ? &entry->figures.sent_bytes : &entry->figures.received_bytes, length);
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int length, int flags)
{
	on_traffic(sk, length, true);
	return 0;
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int length, int flags)
{
	if (!(flags & (MSG_PEEK | MSG_ERRQUEUE)))
		on_traffic(sk, length, false);
	return 0;
}

/* 1 lets the process go on: these two could forbid, and never do. */

SEC("?cgroup/sock_create")
int on_socket(struct bpf_sock *context)
{
	struct entry fresh = {};

	sees_sockets_end = true;
	if (context->protocol == IPPROTO_TCP)
		return 1; /* its owner is who connects, listens or accepts */
	entry_begin(&fresh, bpf_get_socket_cookie(context), CONNECTION_ROLE_UNKNOWN, PHASE_NONE);
	sonde_process_current(&fresh.owner);
	fresh.flow.protocol = context->protocol;
	entry_add(&fresh);
	return 1;
}

SEC("?cgroup/sock_release")
int on_release(struct bpf_sock *context)
{
	__u64 cookie = bpf_get_socket_cookie(context);
	struct entry *entry = entry_of(cookie);

	if (!entry)
		return 1;
	if (!entry->claimed)
		claim_for_current(entry, false);
	else
		hand_over_to_current(entry);
	if (context->protocol == IPPROTO_TCP)
		return 1; /* it lives on until tcp_destroy_sock */
	if (entry->phase == PHASE_ESTABLISHED) {
		entry->figures.closed_by = CONNECTION_CLOSED_BY_LOCAL;
		emit(CONNECTION_KIND_CLOSE, entry);
	}
	bpf_map_delete_elem(&sonde_sockets, &cookie);
	return 1;
}
