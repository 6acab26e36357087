/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file groups.h
 * Numbers by values: by those of one column, or of several together.
 *
 * Threads: one.
 */

#include <store/store.h>

/** Groups of one answer. */
#define SONDE_GROUPS_MAX 65536
#define SONDE_GROUPS_BYTES_MAX (32u << 20) /* of their texts */

struct sonde_groups;

/** Held at the limits of 64 bits. */
static inline int64_t sonde_sum(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? a < 0 ? INT64_MIN : INT64_MAX : sum;
}

/** @param n_values Of each group, at most SONDE_COUNT_BY_MAX. */
int sonde_groups_new(unsigned n_values, struct sonde_groups **ret_groups);
void sonde_groups_free(struct sonde_groups **groups);
/** Add to a group, whose values are copied if it is new. @return 0, -E2BIG too many groups or bytes, -ENOMEM. */
int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *values, uint64_t count, int64_t sum);
/** Largest first, by sum or by count. @return 0, or what `fn` returned below zero; a positive result of `fn` ends it. */
int sonde_groups_each(struct sonde_groups *groups, bool by_sum, sonde_group_fn fn, void *userdata);
/** In the order of their values, as `order` has it. Nothing may be added any more. */
void sonde_groups_sort(struct sonde_groups *groups,
		       int (*order)(const struct sonde_value *a, const struct sonde_value *b, void *userdata), void *userdata);
/** @return false: there are not so many. */
bool sonde_groups_get(const struct sonde_groups *groups, size_t i, struct sonde_group *ret_group);
