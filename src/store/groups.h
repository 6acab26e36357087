/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file groups.h
 * Numbers by values: by those of one column, or of several together.
 *
 * There may be more groups than memory is meant for. So one pass over the rows counts only those whose hash lies in a range, which
 * becomes narrower whenever the memory is full; the next pass takes the range behind it, and so on. Of each pass the largest stay.
 * The answer is exact however many there are; few groups need one pass.
 *
 * Threads: one.
 */

#include <store/store.h>

/** Of an answer; what its limit keeps comes on top. */
#define SONDE_GROUPS_BYTES (32u << 20)

struct sonde_groups_opts {
	unsigned n_values; /* of each group, at most SONDE_COUNT_BY_MAX */
	bool by_sum;	   /* the largest sum is first, not the largest count */
	size_t limit;	   /* groups that are kept */
	size_t bytes;	   /* for those of one pass */
};

struct sonde_groups;

/** Held at the limits of 64 bits. */
static inline int64_t sonde_sum(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? a < 0 ? INT64_MIN : INT64_MAX : sum;
}

int sonde_groups_new(const struct sonde_groups_opts *opts, struct sonde_groups **ret_groups);
void sonde_groups_free(struct sonde_groups **groups);
/** Add to a group, whose values are copied if it is new. @return 0, -E2BIG one group alone is too large, -ENOMEM. */
int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *values, uint64_t count, int64_t sum);
/** All rows were added. @return 1: add them all again, for other groups; 0: it is done; -ENOMEM. */
int sonde_groups_pass(struct sonde_groups *groups);
/** How many there are, also beyond the limit. */
uint64_t sonde_groups_number(const struct sonde_groups *groups);
/** Largest first; equal ones in the order of their values. @return 0, or what `fn` returned below zero; a positive result ends it. */
int sonde_groups_each(struct sonde_groups *groups, sonde_group_fn fn, void *userdata);
