/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file count_asked.h A count as it is asked for in words: "pid,command", "sent_bytes". Threads: any. */

#include <store/store.h>

struct sonde_count_asked {
	struct sonde_count_opts opts;
	const struct sonde_column *columns[SONDE_COUNT_BY_MAX]; /* of opts.by */
	unsigned n_by;
	char names[SONDE_COUNT_BY_MAX * 64]; /* of opts.by, cut apart: the struct must stay where it is */
};

/**
 * @brief Look the columns up, each in the first of the types that has it.
 * @param by Names with commas between, or NULL. @param sum A name, or NULL; borrowed.
 * @param ret_wrong What is wrong: a part of `by`, or `sum` itself.
 * @return 0; -ENOENT no such column; -E2BIG more than SONDE_COUNT_BY_MAX columns; -EINVAL the values of `sum` cannot be added up.
 */
int sonde_count_asked_read(struct sonde_count_asked *asked, const struct sonde_type *const *types, size_t n, const char *by,
			   const char *sum, const char **ret_wrong);
