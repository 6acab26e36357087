/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file http.h
 * The agent's HTTP faces: metrics, health, and the API on TCP and on a unix socket, each its own listener.
 *
 * Limits (a slow, silent or greedy client never holds up anything else): connections per listener, header and
 * body sizes, time to send a request, time without progress when reading an answer.
 */

#include <runtime/view.h>

struct sonde_http;

struct sonde_http_opts {
	const char *metrics; /* "0.0.0.0:9090", ":9090", "[::1]:9090"; NULL or "": off */
	const char *health;
	const char *api;
	const char *socket;	/* path; made with mode 0660 */
	unsigned max_connections; /* per listener; 0: 128 */
};

/** @return 0; the first listener that cannot be opened fails it, with the reason logged: -EADDRINUSE, -EACCES, -EINVAL ... */
int sonde_http_new(const struct sonde_view *view, const struct sonde_http_opts *opts, struct sonde_http **ret_http);
/** Stop accepting, let answers in progress finish (up to timeout_ns), end the streams, close. */
void sonde_http_free(struct sonde_http **http, int64_t timeout_ns);
/** The port that the TCP listener "metrics", "health" or "api" is bound to (for address ":0"), or -ENOENT, -ENOTCONN: it is off. */
int sonde_http_port(const struct sonde_http *http, const char *listener);
