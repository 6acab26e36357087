/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/* accept() and connect() as they return, for the owner and the errno. */

#include "claim.bpf.h"

#define EINTR 4
#define EISCONN 106
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512 /* and above: never seen by the program, the call goes on */

/* A socket was seen to be made, so its end will be seen too: UDP has no other sign of it. */
bool sees_sockets_end;

static __always_inline int accept_returned(struct trace_event_raw_sys_exit *context)
{
	struct entry fresh = {}, *entry;
	const struct sock *sk;
	__u64 cookie;

	if (context->ret < 0)
		return 0;
	sk = sonde_socket_of_fd(context->ret);
	if (!sk || !sonde_family_is_inet(BPF_CORE_READ(sk, __sk_common.skc_family)) ||
	    BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	entry = entry_of(cookie);
	if (entry) {
		claim_for_current(entry, true);
		return 0;
	}
	/* With TCP Fast Open the connection is accepted before it is established: it is claimed later. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == CONNECTION_STATE_SYN_RECV)
		return 0;
	entry_begin(&fresh, cookie, CONNECTION_ROLE_SERVER, PHASE_ESTABLISHED);
	sonde_process_current(&fresh.owner);
	sonde_socket_flow_probed(sk, &fresh.flow);
	fresh.figures.state = CONNECTION_STATE_ESTABLISHED;
	fresh.figures.retransmits = ABSENT;
	emit(CONNECTION_KIND_ACCEPT, &fresh);
	if (cookie)
		entry_add(&fresh);
	return 0;
}

SEC("?tp/syscalls/sys_exit_accept")
SONDE_ONLY_IF(syscall_hooks)
int on_accept(struct trace_event_raw_sys_exit *context)
{
	return accept_returned(context);
}

SEC("?tp/syscalls/sys_exit_accept4")
SONDE_ONLY_IF(syscall_hooks)
int on_accept4(struct trace_event_raw_sys_exit *context)
{
	return accept_returned(context);
}

/* struct sockaddr_in and sockaddr_in6 as they lie in the caller's memory. */
struct requested {
	__u16 family;
	__be16 port;
	__be32 ipv4; /* IPv6: the flow label */
	__u8 ipv6[16];
};

static __always_inline void requested_address(struct requested *requested)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	void *address = (void *)PT_REGS_PARM2_CORE_SYSCALL(regs);
	unsigned long length = PT_REGS_PARM3_CORE_SYSCALL(regs);

	__builtin_memset(requested, 0, sizeof(*requested));
	if (length >= sizeof(*requested))
		bpf_probe_read_user(requested, sizeof(*requested), address);
	else if (length >= offsetof(struct requested, ipv6))
		bpf_probe_read_user(requested, offsetof(struct requested, ipv6), address);
	else if (length >= sizeof(requested->family))
		bpf_probe_read_user(requested, sizeof(requested->family), address);
}

/* The tracepoint that counts the bytes of UDP came with Linux 6.3. */
typedef void (*btf_trace_sock_send_length)(void *, struct sock *, int, int);

/* A connect() that failed before the socket changed its state, or one of UDP, whose state nobody tells. */
static __always_inline void connect_reported(const struct sock *sk, __u64 cookie, int error,
					     const struct requested *requested)
{
	struct entry fresh = {};

	entry_begin(&fresh, cookie, CONNECTION_ROLE_CLIENT, PHASE_ESTABLISHED);
	sonde_process_current(&fresh.owner);
	sonde_socket_flow_probed(sk, &fresh.flow);
	fresh.figures.error = error;
	fresh.figures.retransmits = ABSENT;
	if (error) {
		fresh.flow.remote_port = bpf_ntohs(requested->port);
		if (requested->family == AF_INET)
			sonde_address_from_ipv4(&fresh.flow.remote_address, requested->ipv4);
		else
			__builtin_memcpy(&fresh.flow.remote_address, requested->ipv6, sizeof(requested->ipv6));
		emit(CONNECTION_KIND_FAIL, &fresh);
		return;
	}
	if (!bpf_core_type_exists(btf_trace_sock_send_length))
		fresh.figures.sent_bytes = fresh.figures.received_bytes = ABSENT;
	emit(CONNECTION_KIND_CONNECT, &fresh);
	fresh.established_ns = bpf_ktime_get_boot_ns();
	if (sees_sockets_end && cookie && entry_add(&fresh))
		sonde_map_full(); /* its close cannot be made */
}

static __always_inline void tcp_connect_returned(const struct sock *sk, __u64 cookie, int error)
{
	struct entry *entry = cookie ? entry_of(cookie) : NULL;
	struct requested requested;

	if (!error) {
		if (entry && BPF_CORE_READ(sk, __sk_common.skc_state) == CONNECTION_STATE_ESTABLISHED)
			connect_success_noticed(entry);
		return;
	}
	if (entry && entry->phase == PHASE_STOPPED) {
		entry->phase = PHASE_NONE;
		entry->figures.error = error;
		entry->figures.closed_by = CONNECTION_CLOSED_BY_UNKNOWN;
		emit(CONNECTION_KIND_FAIL, entry);
		return;
	}
	if (entry && entry->phase != PHASE_NONE && entry->phase != PHASE_CLOSED) {
		if (entry->phase == PHASE_REPORTED)
			entry->phase = PHASE_NONE;
		return;
	}
	requested_address(&requested);
	if (requested.family != AF_UNSPEC) /* that asks for a disconnect */
		connect_reported(sk, cookie, error, &requested);
}

static __always_inline void udp_connect_returned(const struct sock *sk, __u64 cookie, int error)
{
	struct entry *entry = cookie ? entry_of(cookie) : NULL;
	struct requested requested;

	requested_address(&requested);
	if (entry && entry->phase == PHASE_ESTABLISHED && !error) { /* disconnected, or connected to another peer */
		entry->phase = PHASE_NONE;
		entry->figures.closed_by = CONNECTION_CLOSED_BY_LOCAL;
		emit(CONNECTION_KIND_CLOSE, entry);
	}
	if (requested.family != AF_UNSPEC)
		connect_reported(sk, cookie, error, &requested);
}

SEC("?tp/syscalls/sys_exit_connect")
SONDE_ONLY_IF(syscall_hooks)
int on_connect(struct trace_event_raw_sys_exit *context)
{
	struct pt_regs *regs;
	const struct sock *sk;
	long error = -context->ret;
	__u16 protocol;
	__u64 cookie;

	if (error >= ERESTARTSYS || error == EINPROGRESS || error == EALREADY || error == EISCONN ||
	    error == EINTR)
		return 0; /* no result of a connection */
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	sk = sonde_socket_of_fd(PT_REGS_PARM1_CORE_SYSCALL(regs));
	if (!sk || !sonde_family_is_inet(BPF_CORE_READ(sk, __sk_common.skc_family)))
		return 0;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (protocol == IPPROTO_TCP)
		tcp_connect_returned(sk, cookie, error);
	else if (protocol == IPPROTO_UDP)
		udp_connect_returned(sk, cookie, error);
	return 0;
}
