/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file gaps.h
 * What a store knows about what it does not have: gaps, the times at which somebody wrote, what retention dropped. And what
 * that means for an answer.
 *
 * Threads: a list belongs to whoever holds its lock.
 */

#include <store/store.h>

#define SONDE_GAPS_MAX 512

struct sonde_gaps {
	struct sonde_gap items[SONDE_GAPS_MAX];
	size_t n;
};

/** A time in which a writer was there. */
struct sonde_run {
	int64_t from_ns, to_ns; /* to_ns INT64_MAX: it still is */
};

struct sonde_coverage {
	const struct sonde_gap *gaps;
	size_t n_gaps;
	const struct sonde_run *runs; /* by time */
	size_t n_runs;
	int64_t dropped_until_ns; /* newest event of the asked types that retention dropped; INT64_MIN: none */
	const char *program;	  /* of the asked type; NULL: all types */
	const struct sonde_waiting *waiting; /* or NULL; its gaps are among `gaps` */
	int64_t now_ns;
};

/**
 * @brief Add a gap. One that continues an older one of the same program and cause (at most a second between) extends it.
 * Beyond SONDE_GAPS_MAX the two oldest of one program and cause become one: less precise, never hidden.
 */
void sonde_gaps_add(struct sonde_gaps *gaps, const struct sonde_gap *gap);
/** Add the losses that are not noted yet; those that have been noted since they were asked for are there already. */
void sonde_gaps_add_waiting(struct sonde_gaps *gaps, const struct sonde_waiting *waiting);
/** @return whether there was one that lasted. */
bool sonde_gaps_end(struct sonde_gaps *gaps, const char *program, const char *cause, int64_t to_ns);

/**
 * @brief Fill complete, lost and reason of an answer.
 * A gap that touches the span counts whole: nobody knows how its losses spread. A query over all types is touched by every
 * program's gaps, but not by what is disabled. since_ns INT64_MIN means from the first run on, so only then the time before it is not missed.
 */
void sonde_coverage_judge(const struct sonde_coverage *coverage, const struct sonde_query *query,
			  struct sonde_answer *answer);
/** Say also what blocks that were damaged had, as far as it is known. */
void sonde_answer_damaged(struct sonde_answer *answer, uint64_t lost);
/** Make it the worth of two answers together. */
void sonde_answer_join(struct sonde_answer *answer, const struct sonde_answer *other);
/** Incomplete for this reason too. */
void sonde_answer_incomplete(struct sonde_answer *answer, const char *text);
