/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file cast.bpf.h
 * Plain loads through a pointer of which the verifier knows nothing: about 2 ns each, where a helper takes 28.
 *
 *	struct sk_buff *skb = sonde_cast(struct sk_buff, context);
 *	struct net_device *device = sonde_load(skb, dev);
 *
 * Also what the verifier knows is quicker to load this way, as far as a pointer is followed: for a field that is a pointer, of a
 * trusted argument, the verifier looks through the names of all the kernel's types several times, in each state of the program
 * that it checks (btf_nested_type_is_trusted(), kernel/bpf/btf.c, since 6.3): about a millisecond of the start each time.
 *
 * Before Linux 6.2 there is no such cast: then sonde_load() is the helper, and gives 0 for memory that cannot be read.
 */

#include <sonde/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;
/* Came with the same release; a function's existence cannot be asked for, nor that of a struct that is only declared. */
struct bpf_list_head___came {
	__u64 first;
};
#define SONDE_CAN_CAST bpf_core_type_exists(struct bpf_list_head___came)

#define sonde_cast(type, pointer) \
	((type *)(SONDE_CAN_CAST ? bpf_rdonly_cast((void *)(pointer), bpf_core_type_id_kernel(type)) : (void *)(pointer)))

#define sonde_load(pointer, field)                                     \
	(SONDE_CAN_CAST ? (pointer)->field : ({                                \
		typeof((pointer)->field) __value = 0;                          \
		bpf_core_read(&__value, sizeof(__value), &(pointer)->field);   \
		__value;                                                       \
	}))

/* Any struct of the kernel that begins with a 64-bit number: a cast to it gives what stands at a place, whatever that is. */
struct timespec64___word {
	__s64 tv_sec;
} __attribute__((preserve_access_index));

/** The 8 bytes at a place in the kernel's memory. */
static __always_inline __u64 sonde_load_word(const void *place)
{
	return sonde_load(sonde_cast(struct timespec64___word, place), tv_sec);
}
