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

static __always_inline void server_add(struct task_struct *trusted)
{
	struct task_struct *task = sonde_cast(struct task_struct, trusted);
	struct server_key key = {task->group_leader->start_boottime, task->tgid};
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&servers, &key))
		bpf_map_update_elem(&servers, &key, &one, BPF_ANY);
}

static __always_inline bool server_is(struct task_struct *trusted)
{
	struct task_struct *task = sonde_cast(struct task_struct, trusted);
	struct server_key key = {task->group_leader->start_boottime, task->tgid};
	struct task_struct *parent;

	if (bpf_map_lookup_elem(&servers, &key))
		return true;
	/* A server may fork for each connection (dnsmasq); a program it started is another matter. Threads have the flag always. */
	if (!(task->group_leader->flags & PF_FORKNOEXEC))
		return false;
	parent = task->real_parent;
	key.start_time_ns = parent->group_leader->start_boottime;
	key.pid = parent->tgid;
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
