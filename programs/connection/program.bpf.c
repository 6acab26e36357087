/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Connections: the hooks.
 *
 * TCP's life is read off its state changes; the owner of a socket is who called connect() or accept(), not who
 * happens to run when a packet changes the state. What has no state change (UDP, a connect() that fails before
 * a packet is sent) comes from the results of the system calls. Where those hooks are missing, or io_uring goes
 * around them, the first traffic tells the owner.
 *
 * Tracing programs do not nest on a CPU: a hook that an interrupt brings while the same hook runs there is skipped.
 * So no hook relies on an earlier one that ran in an interrupt; each later stage makes up for a missed one.
 */

#include "tcp.bpf.h"

SONDE_SETTING_BETWEEN(__u64, update_interval_ns, 10000000000, 0, 86400000000000,
		      "time between the updates of a long-lived connection; 0: no updates");
SONDE_SETTING_BETWEEN(__u8, syscall_hooks, 1, 0, 1,
		      "1: learn owner and error when accept() and connect() return; 0: at the first traffic");

#include "claim.bpf.h"
#include "syscalls.bpf.h"
#include "sockets.bpf.h"
#include "iterator.bpf.h"

/* The socket's entry, or `spare`, filled with what the socket itself tells. */
static __always_inline struct entry *entry_or(struct sock *sk, enum connection_role role, enum phase phase,
					      struct entry *spare)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct entry *entry = entry_of(cookie);

	if (entry) {
		barrier_var(entry); /* keeps the compiler from adding offsets before the check, which the verifier refuses */
		return entry;
	}
	entry_begin(spare, cookie, role, phase);
	sonde_socket_flow(sk, &spare->flow);
	return spare;
}

static __always_inline void listening(struct sock *sk)
{
	struct entry fresh = {};

	entry_begin(&fresh, bpf_get_socket_cookie(sk), CONNECTION_ROLE_SERVER, PHASE_NONE);
	sonde_process_current(&fresh.owner);
	entry_add(&fresh);
}

static __always_inline void connect_started(struct sock *sk)
{
	struct entry fresh = {}, *old;
	__u64 cookie = bpf_get_socket_cookie(sk);

	old = entry_of(cookie);
	if (old && old->phase == PHASE_STOPPED)
		emit(CONNECTION_KIND_FAIL, old);
	entry_begin(&fresh, cookie, CONNECTION_ROLE_CLIENT, PHASE_CONNECTING);
	sonde_process_current(&fresh.owner);
	sonde_socket_flow(sk, &fresh.flow);
	fresh.started_ns = bpf_ktime_get_boot_ns();
	entry_add(&fresh);
}

static __always_inline void connect_succeeded(struct sock *sk)
{
	struct entry spare = {}, *entry;

	entry = entry_or(sk, CONNECTION_ROLE_CLIENT, PHASE_CONNECTING, &spare);
	entry->established_ns = bpf_ktime_get_boot_ns();
	if (entry->started_ns)
		entry->connect_ns = entry->established_ns - entry->started_ns;
	entry->phase = PHASE_ESTABLISHED;
	sonde_socket_flow(sk, &entry->flow);
	figures_of_tcp(sk, CONNECTION_STATE_ESTABLISHED, &entry->figures);
	emit(CONNECTION_KIND_CONNECT, entry);
	if (entry == &spare)
		entry_add(&spare);
}

static __always_inline void connect_failed(struct sock *sk)
{
	struct entry spare = {}, *entry;

	entry = entry_or(sk, CONNECTION_ROLE_CLIENT, PHASE_CONNECTING, &spare);
	if (entry->started_ns)
		entry->connect_ns = bpf_ktime_get_boot_ns() - entry->started_ns;
	sonde_socket_flow(sk, &entry->flow);
	figures_of_tcp(sk, CONNECTION_STATE_SYN_SENT, &entry->figures);
	if (entry->figures.error) {
		entry->phase = PHASE_REPORTED;
	} else {
		/* Either connect() itself is failing, or the owner gives up: which, is known in a moment. */
		entry->figures.closed_by = CONNECTION_CLOSED_BY_LOCAL;
		entry->phase = PHASE_STOPPED;
	}
	if (entry->phase == PHASE_REPORTED || entry == &spare)
		emit(CONNECTION_KIND_FAIL, entry);
}

/* A new connection of a listening socket. Nobody owns it before it is accepted. */
static __always_inline void child_established(struct sock *sk)
{
	struct entry fresh = {};

	entry_begin(&fresh, bpf_get_socket_cookie(sk), CONNECTION_ROLE_SERVER, PHASE_ESTABLISHED);
	fresh.claimed = 0;
	sonde_socket_flow(sk, &fresh.flow);
	fresh.established_ns = bpf_ktime_get_boot_ns();
	figures_of_tcp(sk, CONNECTION_STATE_ESTABLISHED, &fresh.figures);
	if (!entry_add(&fresh))
		__sync_fetch_and_add(&unclaimed, 1);
}

static __always_inline void connection_ended(struct sock *sk, enum connection_state left)
{
	struct entry spare = {}, *entry;

	entry = entry_or(sk, CONNECTION_ROLE_UNKNOWN, PHASE_ESTABLISHED, &spare);
	if (entry->phase == PHASE_CONNECTING)
		connect_success_noticed(entry);
	figures_of_tcp(sk, left, &entry->figures);
	entry->figures.closed_by = closed_by(left, entry->figures.error);
	if (!entry->claimed) {
		entry->ended_ns = bpf_ktime_get_boot_ns();
		entry->phase = PHASE_ENDED;
		return;
	}
	entry->phase = PHASE_CLOSED;
	emit(CONNECTION_KIND_CLOSE, entry);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_set_state, struct sock *sk, int old, int new)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	switch (new) {
	case CONNECTION_STATE_SYN_SENT:
		connect_started(sk);
		break;
	case CONNECTION_STATE_ESTABLISHED:
		/* A client is in SYN_RECV when both sides open at once: it has its entry already. */
		if (old == CONNECTION_STATE_SYN_RECV && !entry_of(cookie_of(sk)))
			child_established(sk);
		else
			connect_succeeded(sk);
		break;
	case CONNECTION_STATE_LISTEN:
		listening(sk);
		break;
	case CONNECTION_STATE_CLOSE:
		if (old == CONNECTION_STATE_SYN_SENT || (old == CONNECTION_STATE_SYN_RECV && entry_of(cookie_of(sk))))
			connect_failed(sk);
		else if (old != CONNECTION_STATE_SYN_RECV && old != CONNECTION_STATE_LISTEN &&
			 old != CONNECTION_STATE_CLOSE)
			connection_ended(sk, old);
		break;
	}
	return 0;
}

/* The end of every TCP socket: says what could not be said before, and forgets. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	__u64 cookie = cookie_of(sk);
	struct entry *entry = cookie ? entry_of(cookie) : NULL;

	if (!entry)
		return 0;
	switch (entry->phase) {
	case PHASE_STOPPED:
		emit(CONNECTION_KIND_FAIL, entry);
		break;
	case PHASE_CONNECTING: /* the hook of its failure was skipped */
		figures_of_tcp(sk, CONNECTION_STATE_SYN_SENT, &entry->figures);
		emit(CONNECTION_KIND_FAIL, entry);
		break;
	case PHASE_ESTABLISHED: /* the hook of its end was skipped */
		figures_of_tcp(sk, CONNECTION_STATE_UNKNOWN, &entry->figures);
		entry->figures.closed_by = closed_by(CONNECTION_STATE_UNKNOWN, entry->figures.error);
		emit(CONNECTION_KIND_CLOSE, entry);
		break;
	case PHASE_ENDED:
		emit(CONNECTION_KIND_CLOSE, entry);
		break;
	default:
		break;
	}
	if (!entry->claimed)
		__sync_fetch_and_add(&unclaimed, -1);
	bpf_map_delete_elem(&sonde_sockets, &cookie);
	return 0;
}
