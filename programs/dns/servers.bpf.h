/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Which processes serve names: a question of theirs may be another's question passed on. They are known by the
 * port they are bound to: from the files that are open at the start, then as they bind, and as they answer.
 */

#include "wire.bpf.h"

SONDE_SETTING_BETWEEN(__u16, port, 53, 1, 65535, "port of DNS servers");
SONDE_SETTING(__u16, second_port, 0, "another port of DNS servers; 0: none");

/* include/linux/sched.h */
#define PF_FORKNOEXEC 0x40

#define SERVERS_MAX 1024

struct server_key {
	__u64 start_time_ns;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SERVERS_MAX);
	__type(key, struct server_key);
	__type(value, __u8);
} servers SEC(".maps");

static __always_inline bool is_dns_port(__u16 number)
{
	return number == port || (second_port && number == second_port);
}

/*
 * What a CPU has last found out, since the same process mostly comes again at once: the last that is a server, and the last that is
 * none as long as no server comes to be. An interrupt amid a change may leave a mixture, which is no process.
 */
struct found {
	volatile struct server_key server, other;
	volatile __u64 changes; /* of `servers`, when `other` was none */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct found);
} founds SEC(".maps");

__u64 server_changes;

static __always_inline struct found *found_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&founds, &zero);
}

static __always_inline bool found_is(const volatile struct server_key *found, const struct server_key *key)
{
	return found->pid == key->pid && found->start_time_ns == key->start_time_ns;
}

static __always_inline void found_set(volatile struct server_key *found, const struct server_key *key)
{
	found->start_time_ns = key->start_time_ns;
	found->pid = key->pid;
}

static __always_inline void server_add(struct task_struct *trusted)
{
	struct task_struct *task = sonde_cast(struct task_struct, trusted);
	struct server_key key = {task->group_leader->start_boottime, task->tgid};
	struct found *found = found_here();
	__u8 one = 1;

	if (!found || found_is(&found->server, &key))
		return;
	if (!bpf_map_lookup_elem(&servers, &key)) {
		bpf_map_update_elem(&servers, &key, &one, BPF_ANY);
		__sync_fetch_and_add(&server_changes, 1);
	}
	found_set(&found->server, &key);
}

/* A server may fork for each connection (dnsmasq); a program it started is another matter. Threads have the flag always. */
static __always_inline bool server_is_parent(struct task_struct *task)
{
	struct task_struct *parent = task->real_parent;
	struct server_key key = {parent->group_leader->start_boottime, parent->tgid};

	return task->group_leader->flags & PF_FORKNOEXEC && bpf_map_lookup_elem(&servers, &key);
}

static __always_inline bool server_is(struct task_struct *trusted)
{
	struct task_struct *task = sonde_cast(struct task_struct, trusted);
	struct server_key key = {task->group_leader->start_boottime, task->tgid};
	__u64 changes = *(volatile __u64 *)&server_changes;
	struct found *found = found_here();

	if (!found || (found->changes == changes && found_is(&found->other, &key)))
		return false;
	if (found_is(&found->server, &key))
		return true;
	if (bpf_map_lookup_elem(&servers, &key) || server_is_parent(task))
		return true;
	found_set(&found->other, &key);
	found->changes = changes; /* last: of a mixture it is too old */
	return false;
}

/* The same of a process that may have ended. */
static __always_inline bool server_was(const struct sonde_process *process)
{
	struct server_key key = {process->start_time_ns, process->pid};

	return bpf_map_lookup_elem(&servers, &key);
}

/* 1 lets the process go on: these two could forbid, and never do. */

SEC("?cgroup/post_bind4")
int on_bind4(struct bpf_sock *context)
{
	if (is_dns_port(context->src_port))
		server_add(bpf_get_current_task_btf());
	return 1;
}

SEC("?cgroup/post_bind6")
int on_bind6(struct bpf_sock *context)
{
	if (is_dns_port(context->src_port))
		server_add(bpf_get_current_task_btf());
	return 1;
}

SEC("?iter/task_file")
int at_start_servers(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	/* Bound to the port and to no peer; a client's socket has a peer. */
	if (sk && sonde_family_is_inet(sk->__sk_common.skc_family) && !sk->__sk_common.skc_dport &&
	    is_dns_port(sk->__sk_common.skc_num))
		server_add(task);
	return 0;
}
