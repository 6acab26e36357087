/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file cast.bpf.h
 * Plain loads through a pointer of which the verifier knows nothing: about 1 ns each, where a helper takes 28.
 *
 *	struct sk_buff *skb = sonde_cast(struct sk_buff, context);
 *	struct net_device *device = sonde_load(skb, dev);
 *
 * Before Linux 6.2 there is no such cast: then sonde_load() is the helper, and gives 0 for memory that cannot be read.
 */

#include <sonde/sonde.bpf.h>

extern void *bpf_rdonly_cast(const void *pointer, __u32 type) __ksym __weak;
struct bpf_list_head; /* came with the same release; a function's existence cannot be asked for */
#define SONDE_CAN_CAST bpf_core_type_exists(struct bpf_list_head)

#define sonde_cast(type, pointer) \
	((type *)(SONDE_CAN_CAST ? bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)) : (void *)(pointer)))

#define sonde_load(pointer, field)                                                                \
	({                                                                                        \
		typeof((pointer)->field) __value = 0;                                             \
		if (SONDE_CAN_CAST)                                                               \
			__value = (pointer)->field;                                               \
		else                                                                              \
			bpf_core_read(&__value, sizeof(__value), &(pointer)->field);              \
		__value;                                                                          \
	})
