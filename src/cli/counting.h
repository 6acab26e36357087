/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file counting.h Numbers of events by values, for `count` and `top`: asked of the agent or of a store's file, and shown. */

#include <jansson.h>
#include <cli/options.h>

#define SONDE_COUNTING_GROUPS_MAX 10000

struct sonde_counting {
	json_t *groups; /* rows: the values of --by, the number of events, the sum if one was asked for */
	int64_t count, sum, more_groups;
};

/**
 * @brief Ask as --by, --sum, --limit and the filters say. What went wrong has been said.
 * @param type NULL: all. @param limit Of the groups.
 * @return an exit code; free it either way.
 */
int sonde_counting_ask(const struct sonde_options *options, const char *type, int64_t limit, struct sonde_counting *ret_counting);
/** @return an exit code. */
int sonde_counting_print(const struct sonde_options *options, const struct sonde_counting *counting);
void sonde_counting_free(struct sonde_counting *counting);
