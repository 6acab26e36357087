/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * All open files, once at the start and at each interval: finds what is older than sonde, gives the updates, and
 * follows sockets that were handed to another process.
 */

#include "tcp.bpf.h"
#include "claim.bpf.h"

__u64 pass_session;

static __always_inline bool is_connection(struct sock *sk)
{
	__u8 state = sk->__sk_common.skc_state;

	if (sk->sk_protocol == IPPROTO_UDP)
		return state == CONNECTION_STATE_ESTABLISHED;
	return sk->sk_protocol == IPPROTO_TCP && state != CONNECTION_STATE_CLOSE && state != CONNECTION_STATE_LISTEN;
}

static __always_inline void found(struct sock *sk, __u64 cookie, const struct sonde_process *holder)
{
	enum connection_state state = sk->__sk_common.skc_state;
	struct entry fresh = {};

	entry_begin(&fresh, cookie, CONNECTION_ROLE_UNKNOWN, PHASE_NONE);
	fresh.owner = *holder;
	fresh.update_pass = pass;
	sonde_socket_flow(sk, &fresh.flow);
	if (is_connection(sk)) {
		fresh.phase = PHASE_ESTABLISHED;
		if (sk->sk_protocol == IPPROTO_UDP) {
			fresh.role = CONNECTION_ROLE_CLIENT; /* only connect() makes a connection of it */
			fresh.figures.sent_bytes = fresh.figures.received_bytes = ABSENT;
			fresh.figures.retransmits = ABSENT;
		} else {
			fresh.role = role_of_tcp(sk, state);
			figures_of_tcp(sk, state, &fresh.figures);
			fresh.figures.error = 0;
		}
		if (state == CONNECTION_STATE_SYN_SENT) {
			fresh.role = CONNECTION_ROLE_CLIENT;
			fresh.phase = PHASE_CONNECTING;
		}
	}
	entry_add(&fresh);
	if (fresh.phase == PHASE_ESTABLISHED)
		emit(CONNECTION_KIND_UPDATE, &fresh);
}

static __always_inline void seen_again(struct sock *sk, struct entry *entry, const struct sonde_process *holder)
{
	bool tcp = sk->sk_protocol == IPPROTO_TCP;

	entry->instance = sonde_instance();
	if (!entry->claimed) {
		claim(entry, holder, false);
		return;
	}
	/* A whole pass went by in which the owner did not hold it any more. */
	if (!same_process(&entry->owner, holder) && pass - entry->owner_pass >= 2)
		entry->owner = *holder;
	if (same_process(&entry->owner, holder))
		entry->owner_pass = pass;
	if (tcp && sk->__sk_common.skc_state == CONNECTION_STATE_ESTABLISHED)
		connect_success_noticed(entry);
	if (entry->phase != PHASE_ESTABLISHED || entry->update_pass == pass ||
	    bpf_ktime_get_boot_ns() - entry->established_ns < update_interval_ns)
		return;
	entry->update_pass = pass; /* several processes may hold it, several times */
	if (tcp) {
		figures_of_tcp(sk, sk->__sk_common.skc_state, &entry->figures);
		entry->figures.error = 0;
	}
	emit(CONNECTION_KIND_UPDATE, entry);
}

/* Entries of an earlier run of the program whose sockets were closed while it did not run. */
static long forget_stale(void *map, const __u64 *key, struct entry *entry, void *context)
{
	if (entry->instance != sonde_instance_number)
		bpf_map_delete_elem(map, key);
	return 0;
}

SEC("iter/task_file")
int at_start_and_interval_sockets(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct sonde_process holder;
	struct socket *socket;
	struct entry *entry;
	struct sock *sk;
	__u64 cookie;

	if (context->meta->session_id != pass_session) {
		pass_session = context->meta->session_id;
		pass++;
		iterating_pid = bpf_get_current_pid_tgid() >> 32;
	}
	if (!task || !file) {
		if (pass == 1) /* the end of the first */
			bpf_for_each_map_elem(&sonde_sockets, forget_stale, NULL, 0);
		return 0;
	}
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !sonde_family_is_inet(sk->__sk_common.skc_family))
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	sonde_process_of(task, &holder);
	entry = entry_of(cookie);
	if (entry && (entry->phase != PHASE_NONE || !is_connection(sk)))
		seen_again(sk, entry, &holder);
	else
		found(sk, cookie, &holder);
	return 0;
}
