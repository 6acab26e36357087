/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file tally.h
 * A count on its way: what was asked, and what was added up so far. All back ends count with it, so they answer alike.
 *
 * Threads: one.
 */

#include <store/groups.h>

struct sonde_tally {
	struct sonde_count_opts opts;
	unsigned n_by;
	bool unweighted; /* a group's count is that of its rows, not of the events that they stand for */
	struct sonde_groups *groups; /* NULL: no groups */
	struct sonde_group total;
	uint64_t rows;
	bool again; /* a pass after the first: the numbers of all are known */
};

/** Where the columns of the question stand in one type; -1: it has no such column. */
struct sonde_tally_columns {
	int by[SONDE_COUNT_BY_MAX];
	int sum;
};

/**
 * @brief Begin to count rows of these types. @param opts NULL: only their number.
 * @return 0, -ENOENT no type has one of the columns, -EINVAL its sum means nothing, -ENOMEM.
 */
int sonde_tally_begin(struct sonde_tally *tally, const struct sonde_count_opts *opts, const struct sonde_type *const *types,
		      size_t n);
void sonde_tally_free(struct sonde_tally *tally);
void sonde_tally_find(const struct sonde_tally *tally, const struct sonde_type *type, struct sonde_tally_columns *ret_columns);
/** Add rows that share the values (n_by of them; not looked at without groups). */
int sonde_tally_add(struct sonde_tally *tally, const struct sonde_value *values, uint64_t rows, uint64_t weight, int64_t sum);
/** All rows were added. @return 1: begin anew, and add them all again; 0: it is done; -ENOMEM. */
int sonde_tally_pass(struct sonde_tally *tally);
/** Give the answer. @return 0, or what `fn` returned below zero. */
int sonde_tally_end(struct sonde_tally *tally, sonde_group_fn fn, void *userdata, struct sonde_answer *answer);

/** The sum and a row's value as often as its weight says; null adds nothing. Held at the limits of 64 bits. */
int64_t sonde_tally_sum(int64_t sum, const struct sonde_value *value, uint64_t weight);
