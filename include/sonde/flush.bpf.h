/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file flush.bpf.h
 * Counting in a hash map that many CPUs add to, and telling what was counted at each interval, without losing an increment.
 *
 * Every value has a __u64 count that says whether the entry lives. An addition goes to the count last, and the flush takes the
 * count first (both atomically), so no other figure is ever told without its count.
 * An idle entry is removed in two steps, an interval apart, because a hash map uses the memory of a removed entry again at once: whoever
 * finds it SONDE_IDLE takes it back before adding, and when it is SONDE_DEAD nobody can still hold it from before.
 */

#include <sonde/sonde.bpf.h>

#define SONDE_IDLE (1ull << 63)
#define SONDE_DEAD (1ull << 62 | SONDE_IDLE)

/** After a look-up: may be added to. False: look it up again (once; if it is false again the entry is just going away). */
static __always_inline bool sonde_count_lives(__u64 *count)
{
	return !(*(volatile __u64 *)count & SONDE_IDLE) ||
	       __sync_val_compare_and_swap(count, SONDE_IDLE, 0) == SONDE_IDLE;
}

enum sonde_count_state {
	SONDE_COUNT_NEW,     /* there is something to tell */
	SONDE_COUNT_NOTHING, /* since the last time */
	SONDE_COUNT_OVER,    /* nor before: remove the entry */
};

/** In the flush, which must be the only one at a time. */
static __always_inline enum sonde_count_state sonde_count_state(__u64 *count)
{
	__u64 now = *(volatile __u64 *)count;

	if (!now)
		now = __sync_val_compare_and_swap(count, 0, SONDE_IDLE);
	else if (now & SONDE_IDLE && __sync_val_compare_and_swap(count, SONDE_IDLE, SONDE_DEAD) == SONDE_IDLE)
		return SONDE_COUNT_OVER;
	return now && !(now & SONDE_IDLE) ? SONDE_COUNT_NEW : SONDE_COUNT_NOTHING;
}

#define SONDE_FLUSH_PATIENCE 1000 /* tries, of 1 ms each */

__u64 sonde_flush_session;
__u32 sonde_flush_refusals;

/**
 * Before sonde_reserve() in an at_interval_ iterator: is there room? If not, return 1, and the same element comes again a moment
 * later, when the reader has made some. When that has lasted a second, it says there is: the reserve then fails and is counted.
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
