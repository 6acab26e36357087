/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file local.h --store PATH: the store's file is read here, beside a running agent or without any. */

#include <cli/options.h>
#include <store/store.h>

struct sonde_local {
	struct sonde_store *store;
	struct sonde_filter *where;
	struct sonde_query query;
};

/**
 * @brief Open options->store read-only and make the query that the options ask for, of `type` (NULL: all).
 * @return 0, or an exit code (positive): it has been said why. Close it either way.
 */
int sonde_local_open(const struct sonde_options *options, const char *type, struct sonde_local *local);
void sonde_local_close(struct sonde_local *local);
const struct sonde_type *sonde_local_type(struct sonde_local *local, const char *name); /* or NULL */
