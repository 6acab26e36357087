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

/* Global, so that the verifier looks at its branches once, and not at what follows for each of them. */
__noinline int sonde_histogram_find(__u32 n, __u32 first, __u64 duration_ns)
{
	__u32 exponent = sonde_exponent_of(duration_ns), bucket = exponent > first ? exponent - first : 0;

	return bucket < n ? bucket : n - 1;
}

/** Which one it belongs to. */
static __always_inline __u32 sonde_histogram_bucket(__u32 n, __u32 first, __u64 duration_ns)
{
	return duration_ns ? sonde_histogram_find(n, first, duration_ns) : SONDE_NO_BUCKET;
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
