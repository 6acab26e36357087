/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file client.h
 * Requests to the agent over its unix socket. HTTP/1.0: one connection a request, and an answer that is neither chunked
 * nor kept open, so its end is the end of the stream.
 *
 * Threads: a client is used by one thread. Errors are said (sonde_say_error()) where they happen, with the remedy.
 */

#include <base/buffer.h>
#include <jansson.h>

#define SONDE_CLIENT_HEADER_MAX (16 * 1024)
#define SONDE_CLIENT_LINE_MAX (1024 * 1024)	   /* of an answer that is read line by line */
#define SONDE_CLIENT_BODY_MAX (64 * 1024 * 1024) /* of an answer that is read whole */

/** A path with its query string, built piece by piece. */
void sonde_client_path(struct sonde_buffer *path, const char *route);
/** Adds "?name=value" or "&name=value" with all that is not plain escaped; nothing if value is NULL. */
void sonde_client_param(struct sonde_buffer *path, const char *name, const char *value);
/** One more segment: "/name". */
void sonde_client_segment(struct sonde_buffer *path, const char *name);

struct sonde_client_request {
	const char *socket;
	const char *method; /* "GET" */
	const char *path;
	const char *body;   /* NULL: none */
	const char *body_type;
	int timeout_ms;	    /* without progress; -1: wait for ever (streams) */
};

/** A line of the answer, NUL-terminated, without its end. @return 0 to go on, 1 to stop, negative: error, passed through. */
typedef int (*sonde_client_line_fn)(char *line, size_t length, void *userdata);
/** Nothing more is there at the moment: a stream's listener writes out what it has. May be NULL. The same results. */
typedef int (*sonde_client_idle_fn)(void *userdata);

/**
 * @brief Ask and read the answer line by line.
 * @return 0: read to its end, 1: the callback stopped it, -EINTR: Ctrl-C. Else negative, and it has been said:
 * -EINVAL the question is wrong (400) and -EREMOTEIO the agent refused or failed (its message was said), -ECONNREFUSED no agent, -EBADMSG not an answer, ...
 * An error of the callback is passed through and not said.
 */
int sonde_client_lines(const struct sonde_client_request *request, sonde_client_line_fn line, sonde_client_idle_fn idle,
		       void *userdata);
/** Ask and read the whole answer as JSON; the caller owns it (json_decref). */
int sonde_client_json(const struct sonde_client_request *request, json_t **ret_json);
/** Ask and read the whole answer. */
int sonde_client_body(const struct sonde_client_request *request, struct sonde_buffer *ret_body);

/** From now on SIGINT and SIGTERM end a running request with -EINTR instead of the process. */
void sonde_client_catch_signals(void);
