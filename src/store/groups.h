/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file groups.h
 * Sums by value, for counts with group_by.
 *
 * Threads: one.
 */

#include <schema/schema.h>

/** Distinct values of one answer. */
#define SONDE_GROUPS_MAX 65536

struct sonde_groups;

int sonde_groups_new(struct sonde_groups **ret_groups);
void sonde_groups_free(struct sonde_groups **groups);
/** Add to the sum of a value, which is copied if it is new. @return 0, -E2BIG more than SONDE_GROUPS_MAX values, -ENOMEM. */
int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *value, uint64_t weight);
/** Largest first. @return 0, or what `fn` returned below zero; a positive result of `fn` ends it. */
int sonde_groups_each(struct sonde_groups *groups,
		      int (*fn)(const struct sonde_value *group, uint64_t count, void *userdata), void *userdata);
