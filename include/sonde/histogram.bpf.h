/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file histogram.bpf.h
 * A histogram of durations in the entry of a map, for the quantiles of its events: __u32 buckets[n]. The first holds what takes up
 * to 2^`first` ns, each next one what takes up to twice as long, and the last also all that takes longer.
 * `n` and `first` are constants of the program: an entry that grows above a power of two takes twice the memory.
 */

#include <sonde/sonde.bpf.h>

#define SONDE_HISTOGRAM_MAX 32 /* buckets */

#define SONDE_NO_BUCKET (~0u) /* the duration is not known */

/** Which one it belongs to. But for that no branches: the verifier would look at what follows for each bucket. n: up to 32. */
static __always_inline __u32 sonde_histogram_bucket(__u32 n, __u32 first, __u64 duration_ns)
{
	const __u64 most = (1ull << (n - 1)) - 1;
	__u64 rest, bucket = 0, step;

	if (!duration_ns)
		return SONDE_NO_BUCKET;
	rest = (duration_ns - 1) >> first;
	rest = (rest | -sonde_is_above(rest, most)) & most;
#pragma unroll
	for (int bits = 16; bits; bits /= 2) {
		step = sonde_is_above(rest, (1ull << bits) - 1) * bits;
		rest >>= step;
		bucket += step;
	}
	return bucket + rest;
}

/** By many CPUs at once. */
static __always_inline void sonde_histogram_add(__u32 *buckets, __u32 n, __u32 bucket, __u32 times)
{
	barrier_var(bucket); /* the verifier does not follow how it was found */
	if (bucket < n)
		__sync_fetch_and_add(&buckets[bucket], times);
}

/** Takes what is in, and tells the upper ends of the buckets that the quantiles fall into; 0: it is empty. */
static __always_inline void sonde_histogram_take(__u32 *buckets, __u32 n, __u32 first, __u64 *ret_p50_ns, __u64 *ret_p99_ns)
{
	__u64 total = 0, below = 0;
	__u32 taken[SONDE_HISTOGRAM_MAX];

	for (__u32 i = 0; i < n; i++) {
		taken[i] = __sync_lock_test_and_set(&buckets[i], 0);
		total += taken[i];
	}
	*ret_p50_ns = *ret_p99_ns = 0;
	for (__u32 i = 0; i < n; i++) {
		below += taken[i];
		if (total && !*ret_p50_ns && below * 2 >= total)
			*ret_p50_ns = 1ull << (first + i);
		if (total && !*ret_p99_ns && below * 100 >= total * 99)
			*ret_p99_ns = 1ull << (first + i);
	}
}
