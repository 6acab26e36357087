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
 * So no hook relies on an earlier one; each later stage makes up for a missed one.
 */

#include "tcp.bpf.h"

#define PF_KTHREAD 0x00200000
#define MSG_PEEK 0x02
#define MSG_ERRQUEUE 0x2000
#define EINTR 4
#define EISCONN 106
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512 /* and above: never seen by the program, the call goes on */

SONDE_SETTING(__u64, update_interval_ns, 10000000000,
	      "time between the updates of a long-lived connection; 0: no updates");
SONDE_SETTING(__u8, syscall_hooks, 1,
	      "1: learn owner and error when accept() and connect() return; 0: at the first traffic, without any cost to system calls");

/* The iterator's passes, and who runs it: its last look may be what closes a socket. */
__u64 pass_session;
__u32 pass;
__u32 iterating_pid;
/* A socket was seen to be made, so its end will be seen too: UDP has no other sign of it. */
bool sees_sockets_end;

static __always_inline __u64 cookie_of(const struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter; /* 0: nobody has asked for one, so the table does not have it */
}

/* The socket's entry, or `spare`, filled with what the socket itself tells. */
static __always_inline struct entry *entry_or(struct sock *sk, __u64 cookie, enum connection_role role,
					      struct entry *spare)
{
	struct entry *entry = entry_of(cookie);
	struct sonde_process *owner;

	if (entry) {
		barrier_var(entry); /* keeps the compiler from adding offsets before the check, which the verifier refuses */
		return entry;
	}
	spare->cookie = cookie;
	spare->role = role;
	spare->claimed = 1;
	owner = sonde_socket_owner(cookie);
	if (owner)
		spare->owner = *owner;
	sonde_socket_flow(sk, &spare->flow);
	return spare;
}

static __always_inline void connect_started(struct sock *sk)
{
	struct entry fresh = {}, *old;

	fresh.cookie = bpf_get_socket_cookie(sk);
	old = entry_of(fresh.cookie);
	if (old && old->phase == PHASE_STOPPED)
		emit(CONNECTION_KIND_FAIL, old);
	sonde_process_current(&fresh.owner);
	sonde_socket_flow(sk, &fresh.flow);
	fresh.role = CONNECTION_ROLE_CLIENT;
	fresh.phase = PHASE_CONNECTING;
	fresh.claimed = 1;
	fresh.owner_pass = pass;
	fresh.started_ns = bpf_ktime_get_boot_ns();
	entry_add(&fresh);
	owner_set(fresh.cookie, &fresh.owner);
}

static __always_inline void connect_succeeded(struct sock *sk)
{
	struct entry spare = {}, *entry;
	__u64 cookie = bpf_get_socket_cookie(sk);

	entry = entry_or(sk, cookie, CONNECTION_ROLE_CLIENT, &spare);
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
	__u64 cookie = bpf_get_socket_cookie(sk);

	entry = entry_or(sk, cookie, CONNECTION_ROLE_CLIENT, &spare);
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

	fresh.cookie = bpf_get_socket_cookie(sk);
	sonde_socket_flow(sk, &fresh.flow);
	fresh.role = CONNECTION_ROLE_SERVER;
	fresh.phase = PHASE_ESTABLISHED;
	fresh.established_ns = bpf_ktime_get_boot_ns();
	fresh.owner_pass = pass;
	figures_of_tcp(sk, CONNECTION_STATE_ESTABLISHED, &fresh.figures);
	if (!entry_add(&fresh))
		__sync_fetch_and_add(&unclaimed, 1);
}

static __always_inline void connection_ended(struct sock *sk, enum connection_state left)
{
	struct entry spare = {}, *entry;
	__u64 cookie = bpf_get_socket_cookie(sk);

	entry = entry_or(sk, cookie, CONNECTION_ROLE_UNKNOWN, &spare);
	if (entry->phase == PHASE_CONNECTING && entry != &spare) /* the hook of its success was skipped */
		emit(CONNECTION_KIND_CONNECT, entry);
	figures_of_tcp(sk, left, &entry->figures);
	entry->figures.closed_by = closed_by(left, entry->figures.error);
	if (!entry->claimed) {
		entry->ended_ns = bpf_ktime_get_boot_ns();
		entry->phase = PHASE_ENDED;
		return;
	}
	emit(CONNECTION_KIND_CLOSE, entry);
	if (entry != &spare)
		entry_remove(cookie);
}

/* Someone turns out to own a connection that waited to be accepted. Once, whoever notices first. */
static __always_inline void claim(struct entry *entry, const struct sonde_process *owner, bool in_accept)
{
	if (__sync_val_compare_and_swap(&entry->claimed, 0, 1))
		return;
	__sync_fetch_and_add(&unclaimed, -1);
	entry->owner = *owner;
	entry->owner_pass = pass;
	owner_set(entry->cookie, owner);
	if (in_accept)
		entry->accept_wait_ns = bpf_ktime_get_boot_ns() - entry->established_ns;
	emit(CONNECTION_KIND_ACCEPT, entry);
	if (entry->phase == PHASE_ENDED) {
		emit(CONNECTION_KIND_CLOSE, entry);
		entry_remove(entry->cookie);
	}
}

static __always_inline void claim_for_current(struct entry *entry, bool in_accept)
{
	struct sonde_process current;

	sonde_process_current(&current);
	claim(entry, &current, in_accept);
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
	struct entry *entry;

	if (!cookie)
		return 0;
	entry = entry_of(cookie);
	if (entry) {
		switch (entry->phase) {
		case PHASE_STOPPED:
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
		case PHASE_CONNECTING: /* the hook of its failure was skipped */
			figures_of_tcp(sk, CONNECTION_STATE_SYN_SENT, &entry->figures);
			emit(CONNECTION_KIND_FAIL, entry);
			break;
		case PHASE_REPORTED:
			break;
		}
		if (!entry->claimed)
			__sync_fetch_and_add(&unclaimed, -1);
		entry_remove(cookie);
	}
	bpf_map_delete_elem(&sonde_sockets, &cookie);
	return 0;
}

/* accept() and connect() as they return, for owner and errno. */

#if defined(__TARGET_ARCH_x86)
struct pt_regs___syscall {
	unsigned long di, si, dx;
} __attribute__((preserve_access_index));
#define SYSCALL_ARGUMENT(regs, x86, arm64) BPF_CORE_READ((struct pt_regs___syscall *)(regs), x86)
#elif defined(__TARGET_ARCH_arm64)
/* The first register holds the result by then; the kernel keeps the argument beside it. */
struct pt_regs___syscall {
	unsigned long orig_x0, regs[31];
} __attribute__((preserve_access_index));
#define SYSCALL_ARGUMENT(regs, x86, arm64) BPF_CORE_READ((struct pt_regs___syscall *)(regs), arm64)
#endif

static __always_inline int accept_returned(struct trace_event_raw_sys_exit *context)
{
	struct entry fresh = {}, *entry;
	const struct sock *sk;

	if (!syscall_hooks || context->ret < 0)
		return 0;
	sk = sonde_socket_of_fd(context->ret);
	if (!sk || !sonde_family_is_inet(BPF_CORE_READ(sk, __sk_common.skc_family)) ||
	    BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	fresh.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	entry = entry_of(fresh.cookie);
	if (entry) {
		claim_for_current(entry, true);
		return 0;
	}
	/* With TCP Fast Open the connection is accepted before it is established: it is claimed later. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == CONNECTION_STATE_SYN_RECV)
		return 0;
	sonde_process_current(&fresh.owner);
	sonde_socket_flow_probed(sk, &fresh.flow);
	fresh.role = CONNECTION_ROLE_SERVER;
	fresh.phase = PHASE_ESTABLISHED;
	fresh.claimed = 1;
	fresh.owner_pass = pass;
	fresh.figures.state = CONNECTION_STATE_ESTABLISHED;
	fresh.figures.retransmits = ABSENT;
	emit(CONNECTION_KIND_ACCEPT, &fresh);
	if (!fresh.cookie)
		return 0;
	entry_add(&fresh);
	owner_set(fresh.cookie, &fresh.owner);
	return 0;
}

SEC("?tp/syscalls/sys_exit_accept")
int on_accept(struct trace_event_raw_sys_exit *context)
{
	return accept_returned(context);
}

SEC("?tp/syscalls/sys_exit_accept4")
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
	void *address = (void *)SYSCALL_ARGUMENT(regs, si, regs[1]);
	unsigned long length = SYSCALL_ARGUMENT(regs, dx, regs[2]);

	__builtin_memset(requested, 0, sizeof(*requested));
	if (length >= sizeof(*requested))
		bpf_probe_read_user(requested, sizeof(*requested), address);
	else if (length >= offsetof(struct requested, ipv6))
		bpf_probe_read_user(requested, offsetof(struct requested, ipv6), address);
	else if (length >= sizeof(requested->family))
		bpf_probe_read_user(requested, sizeof(requested->family), address);
}

/* A connect() that failed without a connection ever having been tried, or that is new to us (UDP). */
static __always_inline void connect_reported(const struct sock *sk, __u64 cookie, int error,
					     const struct requested *requested)
{
	struct entry fresh = {};
	int r = 0;

	fresh.cookie = cookie;
	sonde_process_current(&fresh.owner);
	sonde_socket_flow_probed(sk, &fresh.flow);
	fresh.role = CONNECTION_ROLE_CLIENT;
	fresh.phase = PHASE_ESTABLISHED;
	fresh.claimed = 1;
	fresh.owner_pass = pass;
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
	emit(CONNECTION_KIND_CONNECT, &fresh);
	fresh.established_ns = bpf_ktime_get_boot_ns();
	if (sees_sockets_end && cookie)
		r = entry_add(&fresh);
	if (r)
		sonde_map_full(); /* its close cannot be made */
	if (cookie)
		owner_set(cookie, &fresh.owner);
}

static __always_inline void tcp_connect_returned(const struct sock *sk, __u64 cookie, int error)
{
	struct entry *entry = cookie ? entry_of(cookie) : NULL;
	struct requested requested;

	if (!entry) {
		requested_address(&requested);
		if (requested.family != AF_UNSPEC) /* that asks for a disconnect */
			connect_reported(sk, cookie, error, &requested);
		return;
	}
	if (entry->phase == PHASE_STOPPED) {
		entry->figures.error = error;
		entry->figures.closed_by = CONNECTION_CLOSED_BY_UNKNOWN;
		emit(CONNECTION_KIND_FAIL, entry);
		entry_remove(cookie);
	} else if (entry->phase == PHASE_REPORTED) {
		entry_remove(cookie);
	}
}

static __always_inline void udp_connect_returned(const struct sock *sk, __u64 cookie, int error)
{
	struct entry *entry = cookie ? entry_of(cookie) : NULL;
	struct requested requested;

	requested_address(&requested);
	if (entry && !error) { /* disconnected, or connected to another peer */
		entry->figures.closed_by = CONNECTION_CLOSED_BY_LOCAL;
		emit(CONNECTION_KIND_CLOSE, entry);
		entry_remove(cookie);
	}
	if (requested.family != AF_UNSPEC)
		connect_reported(sk, cookie, error, &requested);
}

SEC("?tp/syscalls/sys_exit_connect")
int on_connect(struct trace_event_raw_sys_exit *context)
{
	struct pt_regs *regs;
	const struct sock *sk;
	long error = -context->ret;
	__u16 protocol;
	__u64 cookie;

	if (!syscall_hooks || error >= ERESTARTSYS || error == EINPROGRESS || error == EALREADY || error == EISCONN ||
	    error == EINTR)
		return 0; /* no result of a connection */
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	sk = sonde_socket_of_fd(SYSCALL_ARGUMENT(regs, di, orig_x0));
	if (!sk || !sonde_family_is_inet(BPF_CORE_READ(sk, __sk_common.skc_family)))
		return 0;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (protocol == IPPROTO_TCP && error)
		tcp_connect_returned(sk, cookie, error);
	else if (protocol == IPPROTO_UDP)
		udp_connect_returned(sk, cookie, error);
	return 0;
}

/* Traffic: bytes of UDP, and the owner of a connection that came around accept(). */

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
	else if (sk->sk_protocol == IPPROTO_UDP)
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

/* Sockets as they are made and let go, in the process that does it. Both always allow it. */

SEC("?cgroup/sock_create")
int on_socket(struct bpf_sock *context)
{
	struct sonde_process owner;

	sonde_process_current(&owner);
	owner_set(bpf_get_socket_cookie(context), &owner);
	sees_sockets_end = true;
	return 1;
}

/* The last one to hold a socket is its owner, if the owner has let it go before. */
static __always_inline void hand_over_to_current(struct entry *entry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sonde_process current;

	if (task->flags & PF_KTHREAD || (__u32)task->tgid == iterating_pid)
		return;
	sonde_process_of(task, &current);
	if (!same_process(&current, &entry->owner))
		entry->owner = current;
}

SEC("?cgroup/sock_release")
int on_release(struct bpf_sock *context)
{
	__u64 cookie = bpf_get_socket_cookie(context);
	struct entry *entry = entry_of(cookie);

	if (entry) {
		if (!entry->claimed)
			claim_for_current(entry, false);
		else
			hand_over_to_current(entry);
		if (context->protocol == IPPROTO_UDP) {
			entry->figures.closed_by = CONNECTION_CLOSED_BY_LOCAL;
			emit(CONNECTION_KIND_CLOSE, entry);
			entry_remove(cookie);
		}
	}
	if (context->protocol != IPPROTO_TCP) /* TCP goes on until tcp_destroy_sock */
		bpf_map_delete_elem(&sonde_sockets, &cookie);
	return 1;
}

/*
 * All open files, once at the start and at each interval: finds what is older than sonde, gives the updates, and
 * follows sockets that were handed to another process.
 */

static __always_inline bool worth_an_entry(struct sock *sk)
{
	__u8 state = sk->__sk_common.skc_state;

	if (sk->sk_protocol == IPPROTO_UDP)
		return state == CONNECTION_STATE_ESTABLISHED;
	return sk->sk_protocol == IPPROTO_TCP && state != CONNECTION_STATE_CLOSE && state != CONNECTION_STATE_LISTEN;
}

static __always_inline void found(struct sock *sk, __u64 cookie, const struct sonde_process *holder)
{
	struct entry fresh = {};
	__u8 state = sk->__sk_common.skc_state;

	fresh.cookie = cookie;
	fresh.owner = *holder;
	sonde_socket_flow(sk, &fresh.flow);
	fresh.phase = PHASE_ESTABLISHED;
	fresh.claimed = 1;
	fresh.owner_pass = fresh.update_pass = pass;
	if (sk->sk_protocol == IPPROTO_UDP) {
		fresh.role = CONNECTION_ROLE_CLIENT; /* only connect() makes a connection of it */
		fresh.figures.sent_bytes = fresh.figures.received_bytes = fresh.figures.retransmits = ABSENT;
	} else {
		fresh.role = role_of_tcp(sk, state);
		figures_of_tcp(sk, state, &fresh.figures);
		fresh.figures.error = 0;
		if (state == CONNECTION_STATE_SYN_SENT) {
			fresh.role = CONNECTION_ROLE_CLIENT;
			fresh.phase = PHASE_CONNECTING;
		}
	}
	if (!entry_add(&fresh) && fresh.phase == PHASE_ESTABLISHED)
		emit(CONNECTION_KIND_UPDATE, &fresh);
}

static __always_inline void seen_again(struct sock *sk, struct entry *entry, const struct sonde_process *holder)
{
	if (!entry->claimed) {
		claim(entry, holder, false);
		return;
	}
	/* A whole pass went by in which the owner did not hold it any more. */
	if (!same_process(&entry->owner, holder) && pass - entry->owner_pass >= 2) {
		entry->owner = *holder;
		owner_set(entry->cookie, holder);
	}
	if (same_process(&entry->owner, holder))
		entry->owner_pass = pass;
	if (entry->phase != PHASE_ESTABLISHED || entry->update_pass == pass ||
	    bpf_ktime_get_boot_ns() - entry->established_ns < update_interval_ns)
		return;
	entry->update_pass = pass; /* it may be held by several processes, several times */
	if (sk->sk_protocol == IPPROTO_TCP) {
		figures_of_tcp(sk, sk->__sk_common.skc_state, &entry->figures);
		entry->figures.error = 0;
	}
	emit(CONNECTION_KIND_UPDATE, entry);
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
	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !sonde_family_is_inet(sk->__sk_common.skc_family))
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	sonde_process_of(task, &holder);
	if (!sonde_socket_owner(cookie))
		owner_set(cookie, &holder);
	entry = entry_of(cookie);
	if (entry)
		seen_again(sk, entry, &holder);
	else if (worth_an_entry(sk))
		found(sk, cookie, &holder);
	return 0;
}
