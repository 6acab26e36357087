/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file stream.h
 * Events as they happen, to clients that stay connected: server-sent events or JSON lines.
 *
 * Whoever sees the headers of the answer misses no event after that moment; what a slow client misses is told to it.
 */

#include <microhttpd.h>
#include <http/server.h>

struct sonde_request;

/** Answer the request with a stream. Listener's thread. */
enum MHD_Result sonde_stream_start(struct sonde_request *request);
/** The connection is over. */
void sonde_stream_end(struct sonde_request *request);

/* For the watch thread: */
/** The stream with this number has something to send (its subscription became readable). */
void sonde_streams_ready(struct sonde_http *http, uint64_t id);
/** Do events have to wait? sonde_streams_check() then tells it to the streams. */
void sonde_streams_look(struct sonde_http *http);
/** Resume streams that have more to do, whose heartbeat is due, or all of them (the agent stops). */
void sonde_streams_check(struct sonde_http *http, bool all);
