/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file front.bpf.h
 * Counting in front of the hash map of flush.bpf.h, where hooks run hundreds of thousands of times a second: what comes again and
 * again is added up in a slot of its CPU, without a look-up in the map and without an atomic, and goes to the map's entry at each
 * interval, or when the slot is given to another key. For hooks that run with preemption off, and never one within another
 * (tp_btf/sys_enter, tp_btf/sys_exit).
 *
 *	if (sonde_front_add(&key, hash, &amount))	// the slot has this key
 *		return;
 *	entry = ...;					// look it up in the map, so that it lives
 *	if (entry && !sonde_front_claim(&key, hash, &amount))
 *		...;					// add the amount to the entry
 *
 * The program has sonde_front_fold(): an amount from a slot comes to the entry of its key. The entry is there: the fold looks it up
 * at each interval as long as a slot has its key (an amount of 0 is only that), before the flush; sonde_is_gone() waits for it too.
 *
 * Invariant: the counts of slots only ever grow, and `taken` says how much of them is in the map. Only the slot's CPU writes the
 * counts, so they need no atomic. It gives the slot to another key only with SONDE_FRONT_MOVING in `taken`, and `taken` is greater
 * after it: so whoever takes on another CPU and finds `taken` unchanged took from the key that it read.
 */

#include <sonde/gone.bpf.h> /* its iterator has to be the first */
#include <sonde/histogram.bpf.h>

#define SONDE_FRONT_SLOTS 256 /* of each CPU; a power of 2 */
#define SONDE_FRONT_SUMS 2
#define SONDE_FRONT_MOVING (1ull << 63)

/** What makes two amounts the same; never all zeroes. What does not need all words leaves them 0. */
struct sonde_front_key {
	__u64 words[3];
	__u64 bucket; /* of a histogram in the entry */
};

struct sonde_amount {
	__u64 count;
	__u64 sums[SONDE_FRONT_SUMS];
};

/* Sums first: then no flush finds one without its count. */
static __always_inline void sonde_amount_add(struct sonde_amount *to, __u32 *buckets, __u32 n, const struct sonde_amount *amount,
					     __u32 bucket)
{
	for (int i = 0; i < SONDE_FRONT_SUMS; i++)
		if (amount->sums[i])
			__sync_fetch_and_add(&to->sums[i], amount->sums[i]);
	sonde_histogram_add(buckets, n, bucket, amount->count);
	__sync_fetch_and_add(&to->count, amount->count);
}

/** To a value of the map: `amount` stands first in `total`, and its histogram is `buckets`. */
#define sonde_total_add(total, add, bucket) \
	sonde_amount_add(&(total)->amount, (total)->buckets, sizeof((total)->buckets) / sizeof(*(total)->buckets), add, bucket)

struct sonde_front_slot {
	struct sonde_front_key key;
	__u64 wanted; /* hash of the last key that did not get this slot */
	struct sonde_amount counted, taken;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SONDE_FRONT_SLOTS);
	__type(key, __u32);
	__type(value, struct sonde_front_slot);
} sonde_front SEC(".maps");

static __always_inline void sonde_front_fold(const struct sonde_front_key *key, const struct sonde_amount *amount);

static __always_inline struct sonde_front_slot *sonde_front_slot(__u64 hash)
{
	__u32 index = hash & (SONDE_FRONT_SLOTS - 1);

	return bpf_map_lookup_elem(&sonde_front, &index);
}

/* The count last, for whoever takes reads it first: no sum is ever taken later than its count. */
static __always_inline void sonde_front_put(struct sonde_front_slot *slot, const struct sonde_amount *amount)
{
	volatile struct sonde_amount *counted = &slot->counted;

	for (int i = 0; i < SONDE_FRONT_SUMS; i++)
		counted->sums[i] += amount->sums[i];
#if defined(__TARGET_ARCH_x86) /* keeps stores in order */
	counted->count += amount->count;
#else
	__sync_fetch_and_add(&slot->counted.count, amount->count);
#endif
}

/** False: the slot has another key. */
static __always_inline bool sonde_front_add(const struct sonde_front_key *key, __u64 hash, const struct sonde_amount *amount)
{
	struct sonde_front_slot *slot = sonde_front_slot(hash);

	/* One branch: the verifier goes through all that follows for each. */
	if (!slot || (slot->key.words[0] ^ key->words[0]) | (slot->key.words[1] ^ key->words[1]) |
			     (slot->key.words[2] ^ key->words[2]) | (slot->key.bucket ^ key->bucket))
		return false;
	sonde_front_put(slot, amount);
	return true;
}

/* What is new comes to the map's entry, which then lives for another interval. Not on the slot's own CPU. */
static __noinline int sonde_front_take(struct sonde_front_slot *slot)
{
	__u64 taken = __sync_fetch_and_add(&slot->taken.count, 0); /* an atomic is a barrier too */
	volatile struct sonde_front_slot *now = slot;
	struct sonde_front_key key;
	struct sonde_amount amount;
	__u64 before[SONDE_FRONT_SUMS];

	if (!taken || taken & SONDE_FRONT_MOVING)
		return 0;
	for (int i = 0; i < 3; i++)
		key.words[i] = now->key.words[i];
	key.bucket = now->key.bucket;
	for (int i = 0; i < SONDE_FRONT_SUMS; i++)
		before[i] = now->taken.sums[i];
	amount.count = now->counted.count;
	__sync_fetch_and_add(&slot->taken.count, 0);
	for (int i = 0; i < SONDE_FRONT_SUMS; i++)
		amount.sums[i] = now->counted.sums[i];
	if (__sync_val_compare_and_swap(&slot->taken.count, taken, amount.count) != taken)
		return 0;
	amount.count -= taken;
	for (int i = 0; i < SONDE_FRONT_SUMS; i++) {
		__u64 total = amount.sums[i];

		amount.sums[i] = 0;
		if (amount.count && total != before[i] &&
		    __sync_val_compare_and_swap(&slot->taken.sums[i], before[i], total) == before[i])
			amount.sums[i] = total - before[i];
	}
	sonde_front_fold(&key, &amount);
	return 0;
}

/* The same on its own CPU, for another key: nobody takes any more until sonde_front_claim() lets them. */
static __noinline int sonde_front_leave(struct sonde_front_slot *slot)
{
	struct sonde_amount amount = slot->counted;
	struct sonde_front_key key = slot->key;

	amount.count -= __sync_lock_test_and_set(&slot->taken.count, (amount.count + 1) | SONDE_FRONT_MOVING);
	for (int i = 0; i < SONDE_FRONT_SUMS; i++)
		amount.sums[i] -= __sync_lock_test_and_set(&slot->taken.sums[i], amount.sums[i]);
	if (amount.count)
		sonde_front_fold(&key, &amount);
	return 0;
}

/** The second time in a row that a key wants the slot it gets it, with this amount in it. False: not so. */
static __always_inline bool sonde_front_claim(const struct sonde_front_key *key, __u64 hash, const struct sonde_amount *amount)
{
	struct sonde_front_slot *slot = sonde_front_slot(hash);

	if (!slot)
		return false;
	if (slot->wanted != hash) {
		slot->wanted = hash;
		return false;
	}
	sonde_front_leave(slot);
	slot->key = *key;
	*(volatile __u64 *)&slot->counted.count += 1; /* as much as leaving took too much */
	__sync_lock_test_and_set(&slot->taken.count, slot->counted.count);
	sonde_front_put(slot, amount);
	return true;
}

static long sonde_front_take_cpu(__u32 cpu, void *index)
{
	struct sonde_front_slot *slot = bpf_map_lookup_percpu_elem(&sonde_front, index, cpu);

	if (!slot)
		return 1; /* there are no more */
	sonde_front_take(slot);
	return 0;
}

#define SONDE_CPUS_MAX 8192 /* CONFIG_NR_CPUS */

SEC("iter/bpf_map_elem")
SONDE_OVER(sonde_front)
int at_interval_front(struct bpf_iter__bpf_map_elem *context)
{
	const __u32 *shown = context->key;
	__u32 index;

	if (!shown)
		return 0;
	index = *shown;
	bpf_loop(SONDE_CPUS_MAX, sonde_front_take_cpu, &index, 0);
	return 0;
}
