/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file flush.bpf.h
 * Counting in a hash map that many CPUs add to, and telling what was counted at each interval, without losing an increment.
 * A program has one such map, and two iterators over it, in this order: the flush tells, the sweep removes. Hooks that run very often
 * count in front of it: front.bpf.h.
 *
 * Every value has a __u64 count that also says whether the entry lives. An addition goes to the count last, and the flush takes
 * the count first (both atomically), so no other figure is ever told without its count.
 * The flush leaves every count idle until the next addition; what is still idle after the next flush is swept. In between lies an
 * interval, because a hash map uses the memory of a removed entry again at once: whoever finds it idle takes it back before
 * adding, and when it is SONDE_DEAD nobody can still hold it from before. Of a process that is gone nothing can come: gone.bpf.h.
 *
 * Why the flush removes nothing: where it waits for room in the ring, the kernel goes on by the place in the bucket, and would pass
 * over an entry for each that was removed before it. Where one was added it shows one twice: so the count says which flush it was.
 */

#include <sonde/sonde.bpf.h>

#define SONDE_IDLE (1ull << 63)
#define SONDE_DEAD (1ull << 62)
#define SONDE_SESSION_SHIFT 48 /* up to SONDE_DEAD: which flush */
#define SONDE_COUNTED ((1ull << SONDE_SESSION_SHIFT) - 1)

__u64 sonde_count_idle; /* what the last flush, or the present one, leaves in a count */

/** After a look-up: may be added to. False: look it up again (once; if it is false again the entry is just going away). */
static __always_inline bool sonde_count_lives(__u64 *count)
{
	__u64 now = *(volatile __u64 *)count;

	if (!(now & SONDE_IDLE))
		return true;
	if (now & SONDE_DEAD)
		return false;
	/* If this fails it was taken back or told by another CPU, which gives it an interval more, or it is dead now. */
	return !(__sync_val_compare_and_swap(count, now, now & SONDE_COUNTED) & SONDE_DEAD);
}

/** The value of a key, to be added to now: its count, which stands first in it. NULL: there is none, or it is just going away. */
static __always_inline void *sonde_count_find(void *map, const void *key)
{
	__u64 *count;

	for (int i = 0; i < 2; i++) {
		count = bpf_map_lookup_elem(map, key);
		if (!count || sonde_count_lives(count))
			return count;
	}
	return NULL;
}

/** In the flush: is there something to tell? Then take it: exchange it for sonde_count_idle, SONDE_COUNTED has what it was. */
static __always_inline bool sonde_count_is_new(__u64 *count, const struct bpf_iter_meta *meta)
{
	__u64 now = *(volatile __u64 *)count;

	sonde_count_idle = SONDE_IDLE | (meta->session_id << SONDE_SESSION_SHIFT & (SONDE_DEAD - 1));
	if (!now)
		now = __sync_val_compare_and_swap(count, 0, sonde_count_idle);
	return now & SONDE_COUNTED;
}

/** In the sweep: nothing came since the flush before the last one; remove the entry. */
static __always_inline bool sonde_count_is_over(__u64 *count)
{
	__u64 now = *(volatile __u64 *)count;

	return now & SONDE_IDLE && !(now & SONDE_COUNTED) && now != sonde_count_idle &&
	       __sync_val_compare_and_swap(count, now, SONDE_IDLE | SONDE_DEAD) == now;
}

#define SONDE_FLUSH_PATIENCE 1000 /* tries, of 1 ms each: more than a run at an interval makes (bpf/object_attach.c) */

__u64 sonde_flush_session;
__u32 sonde_flush_refusals;

/**
 * Before sonde_reserve() in an at_interval_ iterator: is there room? If not, return 1, and the same element comes again a moment
 * later, when the reader has made some; what finds none in time is told at the next interval. Only at the end, when that has
 * lasted a second, it says there is: the reserve then fails and is counted.
 */
static __always_inline bool sonde_flush_room(const struct bpf_iter_meta *meta, __u64 size)
{
	if (meta->session_id != sonde_flush_session) {
		sonde_flush_session = meta->session_id;
		sonde_flush_refusals = 0;
	}
	if (bpf_ringbuf_query(&sonde_ring, BPF_RB_AVAIL_DATA) + size + BPF_RINGBUF_HDR_SZ + 8 <=
	    bpf_ringbuf_query(&sonde_ring, BPF_RB_RING_SIZE))
		return true;
	if (sonde_flush_refusals >= SONDE_FLUSH_PATIENCE)
		return true;
	sonde_flush_refusals++;
	return false;
}
