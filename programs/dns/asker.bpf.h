/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/* Who asks whom: what a question has to say besides its message. */

#include "places.bpf.h"

struct sock___locked {
	struct {
		int owned;
	} sk_lock;
} __attribute__((preserve_access_index));

/*
 * A datagram is sent by who asks. A segment may as well be sent by an acknowledgement that makes room for it, while anything
 * runs on this CPU: then the socket is not locked by a process, and its owner is known from elsewhere or not at all.
 */
static __always_inline void asker(struct __sk_buff *skb, __u8 protocol, struct question *question)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sonde_process *owner;
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp;

	question->role = DNS_ROLE_CLIENT;
	if (protocol == IPPROTO_TCP) {
		tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
		if (!tcp || !BPF_CORE_READ((struct sock___locked *)tcp, sk_lock.owned)) {
			owner = sonde_socket_owner(bpf_get_socket_cookie(skb));
			if (owner) {
				question->owner = *owner;
				if (server_was(owner))
					question->role = DNS_ROLE_RESOLVER;
			} else {
				__builtin_memset(&question->owner, 0, sizeof(question->owner));
			}
			return;
		}
	}
	sonde_process_of(task, &question->owner);
	if (server_is(task))
		question->role = DNS_ROLE_RESOLVER;
}

/* What a connected socket was given; what leaves may go elsewhere by now (DNAT). */
static __always_inline void server_of_socket(struct __sk_buff *skb, struct question *question)
{
	struct bpf_sock *sk = skb->sk;
	__u32 words[4];

	if (!sk || !sk->dst_port)
		return;
	question->server_port = bpf_ntohs(sk->dst_port);
	if (sk->family == AF_INET) {
		sonde_address_from_ipv4(&question->server_address, sk->dst_ip4);
	} else {
		words[0] = sk->dst_ip6[0];
		words[1] = sk->dst_ip6[1];
		words[2] = sk->dst_ip6[2];
		words[3] = sk->dst_ip6[3];
		__builtin_memcpy(&question->server_address, words, sizeof(words));
	}
}

/* All but what question_read() tells. Then it waits, or is copied to where it does. */
static __always_inline void question_fill(struct __sk_buff *skb, const struct packet *packet, struct question *question)
{
	asker(skb, packet->protocol, question);
	question->server_address = packet->destination;
	question->server_port = packet->destination_port;
	server_of_socket(skb, question);
	question->transport = packet->protocol;
	question->tries = 1;
	question->shares_id = 0;
	question->asked_ns = question->sent_ns = bpf_ktime_get_boot_ns();
}
