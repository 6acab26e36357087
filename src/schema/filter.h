/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file filter.h
 * The --where language: a condition over the columns of a type.
 *
 *	remote_port = 443 and (command ~ "ngin" or pid in (1, 2)) and not error = null
 *
 * Operators: = != < <= > >=, ~ (contains) !~, in (...), and or not, parentheses. Literals: numbers with units (10ms, 1.5MiB,
 * 2s), words, "strings" with \" \\ \xNN, addresses and networks (10.0.0.0/8, ::1), null, true, false, times (RFC 3339).
 * A column that the type does not have is an error with its position; in a query over several types it is null.
 *
 * Threads: a filter does not change once made. Limits: 4 KiB of text, 64 terms, depth 16.
 */

#include <schema/schema.h>

struct sonde_filter;

/** @return 0; -EINVAL: `ret_error` says what is wrong at which character (borrowed, until the next call in this thread). */
int sonde_filter_new(const char *text, const char **ret_error, struct sonde_filter **ret_filter);
void sonde_filter_free(struct sonde_filter **filter);
/** Check the names against a type. @return 0 or -ENOENT with `ret_error`. */
int sonde_filter_check(const struct sonde_filter *filter, const struct sonde_type *type, const char **ret_error);
/** Does the row match? `values` has type->n_columns values. Comparison with null is false, but for = null and != null. */
bool sonde_filter_match(const struct sonde_filter *filter, const struct sonde_type *type, const struct sonde_value *values);
