/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file identifier.h
 * The one rule for the names that people give to programs, events, settings and metrics: they stand as they are in C, SQL, JSON,
 * Prometheus, and a program's name in a path too.
 */

#include <stdbool.h>
#include <stddef.h>

#define SONDE_IDENTIFIER_RULE "a-z, 0-9 and _, the first a letter"
#define SONDE_PROGRAM_NAME_MAX 32 /* bytes, the NUL too */

/** Does it keep to the rule, with at most `length` characters? */
bool sonde_identifier_is_good(const char *name, size_t length);
/** The same for a program's name. */
bool sonde_program_name_is_good(const char *name);
