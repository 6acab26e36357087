/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file ledger.h
 * The account of every event of a program, from the hook to the store.
 *
 *	entered   = denied + throttled + sampled_out + map_full + ring_full + submitted
 *	submitted = consumed + in_ring
 *	consumed + made = stored + invalid + limited + queue_dropped + pending
 *	stored    = readable + expired
 *
 * Each number is counted where it happens, none is derived from the others (but `readable`), so the residual proves
 * something: it is 0 whenever the counters could be read while nothing moved (`settled`).
 */

#include <stdbool.h>
#include <stdint.h>

struct sonde_ledger {
	char program[32];
	uint64_t recursion_misses; /* in front: hooks that the kernel skipped (bpf_prog_info.recursion_misses) */
	uint64_t entered, denied, throttled, sampled_out, map_full, ring_full, submitted;
	uint64_t overflowed;	   /* metric increments without room for their key */
	uint64_t consumed, in_ring;
	uint64_t made;		   /* events that the program's user-space code made (sonde_emit()) */
	uint64_t stored, invalid, limited, queue_dropped, pending;
	uint64_t readable, expired;
	int64_t residual;
	bool settled;
};

/** Sets `residual`: the sum of the absolute differences of the four equations. */
void sonde_ledger_balance(struct sonde_ledger *ledger);
