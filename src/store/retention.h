/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file retention.h
 * How old an event is, by a wall clock that somebody may set.
 *
 * Age is measured along a trail: the wall clock as long as it moves like the boot clock. When it jumps forward, the trail
 * goes on with the boot clock, until as much time has passed as events are kept: by then all from before the jump have
 * really reached their age. So a jump deletes nothing that is not old. Backward jumps only keep events for longer.
 * The store keeps the trail in its file, so that it goes on over a restart.
 *
 * Threads: the writer's.
 */

#include <stdbool.h>
#include <stdint.h>

struct sonde_retention {
	int64_t wall_ns;   /* a point of the trail; INT64_MIN: none yet */
	int64_t boot_ns;   /* the boot clock at this point; 0: it was started since, or that is not known */
	int64_t clock_ns;  /* the wall clock at this point */
	int64_t waited_ns; /* since the wall clock jumped away from the trail; -1: they are one */
	uint64_t jumps;
};

/** No more is known of the trail than the wall clock when the store was last written, INT64_MIN: it is new. */
void sonde_retention_init(struct sonde_retention *retention, int64_t last_seen_ns);
/** Events older than the result have reached their age. */
int64_t sonde_retention_cutoff(struct sonde_retention *retention, int64_t now_ns, int64_t boot_ns, int64_t max_age_ns);
