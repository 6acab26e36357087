/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file connection.h
 * The open connections of one listener and since when each is in its state, so that deadlines hold whatever a client
 * does (libmicrohttpd's own timeout starts again with every byte), and a full house makes room by closing the connection
 * that has been waiting longest.
 *
 * Threads: any; a lock for each listener.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum sonde_connection_state {
	SONDE_CONNECTION_WAITING,   /* for a whole request */
	SONDE_CONNECTION_ANSWERING,
	SONDE_CONNECTION_STREAMING, /* no deadline but that of a stalled client */
	SONDE_CONNECTION_CLOSING,   /* shut down by us, not yet collected */
};

struct sonde_connection {
	struct sonde_connections *connections;
	int fd;
	enum sonde_connection_state state;
	int64_t since_ns;
	TAILQ_ENTRY(sonde_connection) entry;
};

struct sonde_connections {
	pthread_mutex_t lock;
	TAILQ_HEAD(, sonde_connection) list;
	unsigned count, max;
	unsigned answering, streaming; /* in these states; `idle` is signalled when one falls to 0 */
	pthread_cond_t idle;
	uint64_t accepted, evicted, timed_out;
};

struct sonde_connections_status {
	unsigned open;
	uint64_t accepted, evicted, timed_out;
};

void sonde_connections_init(struct sonde_connections *connections, unsigned max);
void sonde_connections_destroy(struct sonde_connections *connections);
/** @return the connection, or NULL: no memory (the caller drops it). Closes the longest waiting one if there are too many. */
struct sonde_connection *sonde_connection_add(struct sonde_connections *connections, int fd);
void sonde_connection_remove(struct sonde_connection *connection);
void sonde_connection_set(struct sonde_connection *connection, enum sonde_connection_state state);
/** Shut down what is beyond its deadline. @return some are open. */
bool sonde_connections_check(struct sonde_connections *connections, int64_t now_ns);
/**
 * @brief Wait until no answer is in progress and every stream has ended, each until its time (CLOCK_MONOTONIC).
 * @param stream_deadline_ns Of a client that does not take the end of its stream.
 */
void sonde_connections_wait_idle(struct sonde_connections *connections, int64_t deadline_ns, int64_t stream_deadline_ns);
void sonde_connections_status(struct sonde_connections *connections, struct sonde_connections_status *ret_status);
int64_t sonde_connection_now_ns(void);
