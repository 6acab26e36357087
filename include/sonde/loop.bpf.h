/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file loop.bpf.h
 * A loop that costs the agent's start next to nothing: the verifier goes through its body until nothing new can come of another
 * round, two or three times as a rule, and not once for each round that the loop may make.
 *
 *	static long step(__u32 round, struct walk *walk)
 *	{
 *		...
 *		return done; // 1 ends the loop
 *	}
 *	sonde_loop(64, step, &walk);
 *
 * What the body's work depends on from round to round stands in the struct, which is a local variable of the caller. Each round
 * calls `step`, so a short loop (up to some eight rounds) is better written as usual.
 */

#include <sonde/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Linux 5.17. Before it the verifier takes its time. */
enum bpf_func_id___loop {
	BPF_FUNC_loop___here = 181,
};

#define sonde_loop(rounds, step, context)                                                        \
	do {                                                                                     \
		if (bpf_core_enum_value_exists(enum bpf_func_id___loop, BPF_FUNC_loop___here)) { \
			bpf_loop((rounds), (step), (context), 0);                                \
		} else {                                                                         \
			for (__u32 round_ = 0; round_ < (rounds); round_++)                      \
				if ((step)(round_, (context)))                                   \
					break;                                                   \
		}                                                                                \
	} while (0)
