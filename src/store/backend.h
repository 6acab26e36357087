/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file backend.h What the back ends share with store.c and nobody else sees. */

#include <store/store.h>

#include <pthread.h>
#include <stdatomic.h>

/** The start of each back end's own struct. */
struct sonde_store {
	const struct sonde_store_ops *ops;
	atomic_bool interrupted; /* sonde_store_interrupt() */
	/* Held around add_type, append, commit, gap and expire: back ends see one writer. The first lock of all to be taken. */
	pthread_mutex_t writing;
	sonde_waiting_fn waiting; /* or NULL */
	void *waiting_userdata;
};

extern const struct sonde_store_ops sonde_store_memory;
extern const struct sonde_store_ops sonde_store_sqlite;

/** For a back end's open and close. */
void sonde_store_init(struct sonde_store *store, const struct sonde_store_ops *ops);
void sonde_store_done(struct sonde_store *store);

/**
 * @brief What waits now. To be asked before the snapshot that an answer is read from: what is stored in between is then said to wait,
 * which is no lie worth a word; the other way round it would be in neither.
 */
void sonde_store_waiting(const struct sonde_store *store, struct sonde_waiting *ret_waiting);

/** Keep the text for sonde_store_error() in this thread. @return `error`. */
int sonde_store_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
