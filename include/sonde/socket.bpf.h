/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file socket.bpf.h
 * Sockets for programs: who owns one, and its two ends.
 *
 * The identity of a socket is its cookie (bpf_get_socket_cookie()), never its address or (pid, fd).
 */

#include <sonde/sonde.bpf.h>

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
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	int sk_err_soft;
	__u16 sk_protocol;
	__u16 sk_type;
	__u8 sk_shutdown;
	unsigned long sk_flags;
	kuid_t sk_uid;
	struct socket *sk_socket;
};

#pragma clang attribute pop

/** Who owns a socket. Written by the program `connection`, read by any; without that program it stays empty. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 100000);
	__type(key, __u64); /* socket cookie */
	__type(value, struct sonde_process);
} sonde_sockets SEC(".maps") SONDE_SHARED;

/** The owner of a socket, or NULL: not known. */
static __always_inline struct sonde_process *sonde_socket_owner(__u64 cookie)
{
	return bpf_map_lookup_elem(&sonde_sockets, &cookie);
}

static __always_inline void sonde_address_from_ipv4(sonde_address *address, __be32 ipv4)
{
	__builtin_memset(address, 0, 10);
	address->bytes[10] = 0xff;
	address->bytes[11] = 0xff;
	__builtin_memcpy(&address->bytes[12], &ipv4, 4);
}
