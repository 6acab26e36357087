/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file noted.h
 * What has been noted as lost, ring by ring. In shared memory it outlives the worker, so nothing is noted twice or never.
 *
 * Threads: a note belongs to whoever holds its lock.
 */

#include <runtime/source.h>

#define SONDE_NOTED_MAX 64

struct sonde_noted {
	uint64_t ring_id; /* 0: free */
	char program[SONDE_PROGRAM_NAME_MAX];
	struct sonde_counters counters;
	uint64_t recursion_misses;
	int64_t until_ns;	/* wall clock */
	int64_t waits_since_ns; /* the oldest event that was not stored then; until_ns if there was none */
};

/** The place of a ring: its own if the worker before us had it, else a free one; NULL: there is none. */
struct sonde_noted *sonde_noted_of(struct sonde_noted *all, const struct sonde_checkpoint *checkpoint);
/**
 * @brief What a source lost since it was noted.
 * @param ret_gaps SONDE_WAITING_CAUSES_MAX of them.
 * @param ret_now The note to be made when these gaps are in the store.
 * @return number of gaps
 */
size_t sonde_noted_look(const struct sonde_noted *noted, const struct sonde_source *source, struct sonde_gap *ret_gaps,
			struct sonde_noted *ret_now);
/** The gap of a ring that is no longer there: what waited in it, and what came later. How much that was nobody knows. */
void sonde_noted_gone(const struct sonde_noted *noted, struct sonde_gap *ret_gap);
/** Wall clock of the oldest event of a source that is not stored; INT64_MAX: nothing waits. */
int64_t sonde_noted_waits_since_ns(const struct sonde_source *source);
