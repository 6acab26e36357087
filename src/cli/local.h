/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file local.h --store PATH: the store's file is read here, beside a running agent or without any. */

#include <cli/options.h>
#include <store/store.h>

#define SONDE_DEFAULT_STORE "/var/lib/sonde/events.db"

struct sonde_local {
	const char *path;
	struct sonde_store *store;
	struct sonde_filter *where;
	struct sonde_query query;
	size_t page_bytes; /* sonde_local_pages() */
};

/**
 * @brief Open options->store read-only and make the query that the options ask for, of `type` (NULL: all).
 * @return 0, or an exit code (positive): it has been said why. Close it either way.
 */
int sonde_local_open(const struct sonde_options *options, const char *type, struct sonde_local *local);
/** Whether the path can be that of a store. @return 0, or an exit code: it has been said why not, and what to do. */
int sonde_local_check(const char *path);
/** Say why a store cannot be read that passed the check, and what to do. @return an exit code */
int sonde_local_say_unread(const char *path, int error);
/**
 * @brief The rows of the query, page after page, each a question of its own: who reads slowly what is written must not hold the
 * store's old pages, and has all the time there is.
 * @param row Gets each row, and keeps it as text; 1 when that is local->page_bytes. A few at first, so that something is soon there.
 * @param write Is called after each page, to write what was kept.
 * @param ret_answer Of all pages together.
 * @return 0, or what one of them, or the store, returned below zero.
 */
int sonde_local_pages(struct sonde_local *local, sonde_row_fn row, int (*write)(void *userdata), void *userdata,
		      struct sonde_answer *ret_answer);
void sonde_local_close(struct sonde_local *local);
const struct sonde_type *sonde_local_type(struct sonde_local *local, const char *name); /* or NULL */
