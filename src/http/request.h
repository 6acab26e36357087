/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file request.h
 * One request and its answer. A handler (job thread) reads the parameters and fills `out`; an answer too big for one
 * piece goes on through `more`, which is called again when the client has taken what was in `out`.
 *
 * Threads: a request belongs to the listener's thread, or, while its connection is suspended, to one job thread.
 */

#include <microhttpd.h>
#include <base/buffer.h>
#include <http/params.h>
#include <http/router.h>
#include <http/server.h>

#define SONDE_PIECE_BYTES (64 * 1024) /* `more` ends a piece of an answer about here */

struct sonde_request {
	struct sonde_job job;
	struct sonde_listener *listener;
	struct sonde_http *http;
	const struct sonde_view *view;
	struct MHD_Connection *connection;
	struct sonde_connection *peer;
	const struct sonde_route *route;
	char name[64]; /* what stood for * in the route's path, or "" */
	struct sonde_params params;
	struct sonde_buffer body;
	bool head, started, body_too_large, handled, answered;
	/* answer */
	unsigned status;
	const char *content_type;
	char allow[32]; /* with 405 */
	struct sonde_buffer out;
	size_t taken; /* of out */
	int (*more)(struct sonde_request *request); /* next piece; sets `last` with the end. Negative: broken off */
	bool last, broken;
	void *state; /* the handler's, released by free_state */
	void (*free_state)(void *state);
	struct sonde_stream *stream;
};

/** Turn the answer into a JSON error. `parameter` may be NULL. @return 0, so that handlers return it. */
int sonde_request_error(struct sonde_request *request, unsigned status, const char *error, const char *parameter,
			const char *format, ...) __attribute__((format(printf, 5, 6)));
/** 400 of a parameter. */
#define sonde_request_bad(request, parameter, ...) \
	sonde_request_error((request), MHD_HTTP_BAD_REQUEST, "bad_parameter", (parameter), __VA_ARGS__)
/** An error of the store or the agent (negative errno), as 5xx. */
int sonde_request_failed(struct sonde_request *request, int error, const char *what);
/** An error of a store query, with the store's own words. Thread: the one that asked. */
int sonde_request_store_failed(struct sonde_request *request, int error);
/** `"name":` with the text as a JSON string after it. */
void sonde_json_text(struct sonde_buffer *out, const char *name, const char *text);
void sonde_json_bool(struct sonde_buffer *out, const char *name, bool value);
void sonde_json_u64(struct sonde_buffer *out, const char *name, uint64_t value);
void sonde_json_i64(struct sonde_buffer *out, const char *name, int64_t value);

/** libmicrohttpd's callbacks of the API listeners. */
enum MHD_Result sonde_request_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				     const char *version, const char *upload, size_t *upload_size, void **context);
void sonde_request_completed(void *userdata, struct MHD_Connection *connection, void **context,
			     enum MHD_RequestTerminationCode code);
/** Queue the answer as it stands in the request. */
enum MHD_Result sonde_request_answer(struct sonde_request *request);
/** The connection's place in its listener's list; NULL: there was no memory for it. */
struct sonde_connection *sonde_request_peer(struct MHD_Connection *connection);
/** The headers that every answer carries. */
void sonde_response_headers(struct MHD_Response *response, const char *content_type);
