/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file filter.h
 * The --where language: a condition over the columns of a type.
 *
 *	remote_port = 443 and (command ~ "ngin" or pid in (1, 2)) and not error = null
 *
 * Conditions: COLUMN OPERATOR VALUE, COLUMN in (VALUE, ...), COLUMN not in (VALUE, ...), joined by `and`, `or`, `not` and
 * parentheses; `not` binds closest, then `and`.
 * Operators: = (or ==) != < <= > >=, ~ (contains) and !~.
 * Values: numbers with units (10ms, 1.5MiB, 2s), words, "strings" or 'strings' with \" \' \\ \xNN, addresses and networks (10.0.0.0/8,
 * ::1), null, true, false, times (2026-11-20, 2026-11-20T22:52:54.5Z, also with +01:00; without a zone: UTC). Units: ns us
 * ms s m h d; B KiB MiB GiB kB MB GB. Without a unit a number counts in the column's own (ns, bytes). A word may
 * hold letters, digits, _ . : / + - @ % and bytes above 127; anything else needs quotes.
 *
 * What a comparison means follows from the value in the row:
 * - number: exact, also beyond 2^53 and for fractions (1.5ms);
 * - text: = is exact, < and > go by bytes, ~ finds the text anywhere and takes A-Z and a-z as the same. Arguments are
 *   compared with one blank between words, unquoted;
 * - address: = ~ and `in` are true for a network that it is in; IPv4 addresses are in IPv4 networks only;
 * - true and false: = and !=;
 * - null: `= null` is true, all other comparisons with it are false, != VALUE too. `not` turns around what it is given.
 *
 * A column that the type does not have is an error with its position (sonde_filter_check()); in a query over several
 * types it is null.
 *
 * Threads: any number may use a filter at once.
 * Limits: 4 KiB of text, 64 values (each value of an `in` list counts), depth 16.
 */

#include <stdbool.h>

#include <schema/schema.h>

#define SONDE_FILTER_TEXT_MAX 4096
#define SONDE_FILTER_VALUES_MAX 64
#define SONDE_FILTER_DEPTH_MAX 16

struct sonde_filter;

/** @return 0; -EINVAL: `ret_error` says what is wrong at which character (borrowed, until the next call in this thread). */
int sonde_filter_new(const char *text, const char **ret_error, struct sonde_filter **ret_filter);
void sonde_filter_free(struct sonde_filter **filter);
/**
 * @brief Check names and values against a type.
 * @return 0; -ENOENT: the type has no such column; -EINVAL: the column cannot be compared with that value (pid = "abc").
 * `ret_error` says which and where.
 */
int sonde_filter_check(const struct sonde_filter *filter, const struct sonde_type *type, const char **ret_error);
/** The same against several types: of each comparison it is enough that one of them can make it. Without types all is right. */
int sonde_filter_check_any(const struct sonde_filter *filter, const struct sonde_type *const *types, size_t n, const char **ret_error);
/** Does the row match? `values` has type->n_columns values. */
bool sonde_filter_match(const struct sonde_filter *filter, const struct sonde_type *type, const struct sonde_value *values);
/** The type's columns that the filter looks at, as bits: the values of the others do not matter to sonde_filter_match(). */
uint64_t sonde_filter_columns(const struct sonde_filter *filter, const struct sonde_type *type);
