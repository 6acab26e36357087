/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file server.h
 * Inner shape of the HTTP faces, for the files of this folder only.
 *
 * Threads: every listener has one libmicrohttpd thread that only moves bytes; it never asks the store and never waits.
 * Handlers run on the job threads (jobs.h), while their connection is suspended. One watch thread (watch.c) wakes the
 * streams and enforces the deadlines.
 */

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/un.h>
#include <http/connection.h>
#include <http/http.h>
#include <http/jobs.h>

#define SONDE_HTTP_CONNECTIONS_MAX 128u  /* per listener, unless the caller says otherwise */
#define SONDE_HTTP_HEADER_MAX (32u * 1024) /* request line and headers; MHD answers 431 beyond */
#define SONDE_HTTP_BODY_MAX (64u * 1024)
#define SONDE_HTTP_REQUEST_S 10u /* to send a whole request; also how long an idle connection is kept */
#define SONDE_HTTP_STALL_S 10u	 /* an answer of which the client takes nothing */
#define SONDE_HTTP_ANSWER_S 60u	 /* a whole answer; streams are exempt */
#define SONDE_HTTP_STREAMS_MAX 32u
#define SONDE_HTTP_HEARTBEAT_S 10u
#define SONDE_STALL_MAX 512

enum sonde_listener_kind {
	SONDE_LISTENER_METRICS,
	SONDE_LISTENER_HEALTH,
	SONDE_LISTENER_API,    /* TCP: reads only, Host and Origin are checked */
	SONDE_LISTENER_SOCKET, /* unix socket: file permissions guard it, so it may also change things */
	SONDE_LISTENER_MAX,
};

struct MHD_Daemon;
struct sonde_prometheus;
struct sonde_stream;

struct sonde_listener {
	struct sonde_http *http;
	enum sonde_listener_kind kind;
	struct MHD_Daemon *daemon; /* NULL: off */
	int fd;			   /* listening socket, ours to close once the daemon was quiesced; else -1 */
	struct sonde_connections connections;
	_Atomic uint64_t answers[6]; /* by hundreds of the status code */
};

struct sonde_http {
	const struct sonde_view *view;
	struct sonde_listener listeners[SONDE_LISTENER_MAX];
	struct sonde_jobs jobs;
	atomic_bool stopping;  /* no new work; streams end */
	atomic_bool cancelled; /* the time to finish is over: running answers stop at the next row */
	struct sockaddr_un socket_address; /* sun_path "" unless the socket file is ours to remove */
	/* watch thread */
	pthread_t watch;
	bool watching;
	atomic_bool resting; /* until there is a connection */
	int epoll_fd, wake_fd;
	pthread_mutex_t streams_lock;
	LIST_HEAD(, sonde_stream) streams;
	_Atomic unsigned n_streams;
	uint64_t next_stream_id;
	/* Why events wait in the rings and may come late, "" while they do not, and how often that has begun: under streams_lock. */
	char stall[SONDE_STALL_MAX];
	_Atomic unsigned n_stalls;
	_Atomic uint64_t streams_refused, stream_events, stream_skipped;
	/* metrics page, used by the thread of that listener alone */
	struct sonde_prometheus *prometheus;
	struct {
		char *text;
		size_t length;
		int64_t made_ns;
	} page[2]; /* by enum sonde_prometheus_format */
};

const char *sonde_listener_name(enum sonde_listener_kind kind);

/** Start and stop the watch thread. */
int sonde_watch_start(struct sonde_http *http);
void sonde_watch_stop(struct sonde_http *http);
/** Look at the streams now. Any thread. */
void sonde_watch_wake(struct sonde_http *http);
/** There is a new connection, in its list already. Any thread. */
void sonde_watch_connection(struct sonde_http *http);
