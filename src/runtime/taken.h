/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file taken.h
 * Names of events and metrics that have an owner: two programs with an event of one name would share a table, two metrics of one
 * name a series.
 */

#include <schema/schema.h>

/** Is `sonde_NAME` a number of the agent itself? docs/metrics.md has them all. */
bool sonde_metric_is_agents(const char *name);
/**
 * @brief Does `schema` use a name of the program that has `other`?
 * @return 0, -EEXIST with `error`: which, and whose it is.
 */
int sonde_taken_by(const struct sonde_schema *schema, const struct sonde_schema *other, char *error, size_t error_size);
/** The same with all built-in programs, whether they run or not, but one that this one replaces; and with the agent. */
int sonde_taken(const struct sonde_schema *schema, char *error, size_t error_size);
