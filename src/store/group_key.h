/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file group_key.h
 * The values of a group as bytes: equal if and only if the values are.
 *
 * Threads: any.
 */

#include <schema/schema.h>

size_t sonde_group_key_length(const struct sonde_value *values, unsigned n);
void sonde_group_key_write(const struct sonde_value *values, unsigned n, char *out);
/** The values borrow from the key. */
void sonde_group_key_read(const char *key, unsigned n, struct sonde_value *ret_values);
/** Of the values that two keys stand for. */
int sonde_group_key_order(const char *a, const char *b, unsigned n);
