/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file socket.bpf.h
 * Sockets for programs: who owns one, and its two ends.
 *
 * The identity of a socket is its cookie (bpf_get_socket_cookie()), never its address or (pid, fd).
 */

#include <sonde/sonde.bpf.h>
#include <linux/in.h>

#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net {
	struct ns_common ns;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	int sk_err_soft;
	__u16 sk_protocol;
	__u16 sk_type;
	__u8 sk_shutdown;
	kuid_t sk_uid;
	struct socket *sk_socket;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct minmax_sample {
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	__u64 bytes_sent, bytes_retrans, bytes_received, bytes_acked;
	__u32 snd_nxt, snd_una;
	__u32 srtt_us;
	__u32 total_retrans;
	struct minmax rtt_min;
};

/* The numbers of sock_common.skc_flags; read through bpf_core_enum_value(). */
enum sock_flags {
	SOCK_DEAD,
	SOCK_DONE,
};

#pragma clang attribute pop

/** What is remembered of a socket. */
struct sonde_socket {
	struct sonde_process owner; /* pid 0: not known */
	__u64 rest[22];		    /* the matter of the program `connection` */
};

#ifndef SONDE_SOCKETS_MAX
#define SONDE_SOCKETS_MAX 100000
#endif

/** Every socket of IPv4 and IPv6 whose owner is known. Kept by the program `connection`; without it, empty. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SONDE_SOCKETS_MAX);
	__type(key, __u64); /* socket cookie */
	__type(value, struct sonde_socket);
} sonde_sockets SEC(".maps") SONDE_SHARED;

/** The owner of a socket, or NULL: not known. */
static __always_inline struct sonde_process *sonde_socket_owner(__u64 cookie)
{
	struct sonde_socket *socket = bpf_map_lookup_elem(&sonde_sockets, &cookie);

	return socket && socket->owner.pid ? &socket->owner : NULL;
}

static __always_inline bool sonde_family_is_inet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline void sonde_address_from_ipv4(sonde_address *address, __be32 ipv4)
{
	__builtin_memset(address, 0, 10);
	address->bytes[10] = 0xff;
	address->bytes[11] = 0xff;
	__builtin_memcpy(&address->bytes[12], &ipv4, 4);
}

/* 0.0.0.0 is an address not chosen yet: absent, as :: is. */
static __always_inline void sonde_address_from_ipv4_or_absent(sonde_address *address, __be32 ipv4)
{
	if (ipv4)
		sonde_address_from_ipv4(address, ipv4);
	else
		__builtin_memset(address, 0, sizeof(*address));
}

/** The two ends of a socket (a BTF pointer; AF_INET or AF_INET6), by plain loads. */
static __always_inline void sonde_socket_flow(const struct sock *sk, struct sonde_socket_flow *flow)
{
	const struct sock_common *common = &sk->__sk_common;

	if (common->skc_family == AF_INET6) {
		__u32 *local = (__u32 *)&flow->local_address, *remote = (__u32 *)&flow->remote_address;

		for (int i = 0; i < 4; i++) {
			local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		sonde_address_from_ipv4_or_absent(&flow->local_address, common->skc_rcv_saddr);
		sonde_address_from_ipv4_or_absent(&flow->remote_address, common->skc_daddr);
	}
	flow->local_port = common->skc_num;
	/* skc_num is given back before the state becomes CLOSE; inet_sport stays. */
	if (!flow->local_port)
		flow->local_port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	flow->remote_port = bpf_ntohs(common->skc_dport);
	flow->protocol = (__u8)sk->sk_protocol;
	__builtin_memset(flow->flow_padding, 0, sizeof(flow->flow_padding));
}

/** The same, of a socket known by its address only (from a walk of kernel memory). */
static __always_inline void sonde_socket_flow_probed(const struct sock *sk, struct sonde_socket_flow *flow)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&flow->local_address, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&flow->remote_address, sk, __sk_common.skc_v6_daddr);
	} else {
		sonde_address_from_ipv4_or_absent(&flow->local_address, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		sonde_address_from_ipv4_or_absent(&flow->remote_address, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
	flow->local_port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	flow->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	flow->protocol = (__u8)BPF_CORE_READ(sk, sk_protocol);
	__builtin_memset(flow->flow_padding, 0, sizeof(flow->flow_padding));
}

/** The socket behind a file descriptor of the current process, to be read by BPF_CORE_READ() only. NULL: no socket. */
static __always_inline const struct sock *sonde_socket_of_fd(unsigned int fd)
{
	struct files_struct *open = sonde_cast(struct task_struct, bpf_get_current_task_btf())->files;
	struct socket *socket;
	struct file *file;

	if (!open || fd >= open->fdt->max_fds)
		return NULL;
	file = (struct file *)sonde_load_word(open->fdt->fd + fd);
	if (!file)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	/* private_data means something else in a file that is no socket: only a socket points back. */
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return NULL;
	return BPF_CORE_READ(socket, sk);
}
