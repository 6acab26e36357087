/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a request on the API: collect the body, check, suspend the connection while a job thread works, answer.
 * The listener's thread itself never works: one slow question cannot hold up another connection.
 *
 * libmicrohttpd calls sonde_request_handle() once for the headers, then for the body, then once more without
 * data, and again after every resume.
 */
#include <http/request.h>

#include <http/access.h>
#include <http/stream.h>
#include <schema/encode.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sonde_json_text(struct sonde_buffer *out, const char *name, const char *text)
{
	sonde_buffer_printf(out, "\"%s\":", name);
	if (text)
		sonde_encode_json_text(text, strlen(text), out);
	else
		sonde_buffer_add_text(out, "null");
}

void sonde_json_bool(struct sonde_buffer *out, const char *name, bool value)
{
	sonde_buffer_printf(out, "\"%s\":%s", name, value ? "true" : "false");
}

void sonde_json_u64(struct sonde_buffer *out, const char *name, uint64_t value)
{
	sonde_buffer_printf(out, "\"%s\":", name);
	sonde_buffer_add_u64(out, value);
}

void sonde_json_i64(struct sonde_buffer *out, const char *name, int64_t value)
{
	sonde_buffer_printf(out, "\"%s\":", name);
	sonde_buffer_add_i64(out, value);
}

int sonde_request_error(struct sonde_request *request, unsigned status, const char *error, const char *parameter,
			const char *format, ...)
{
	struct sonde_buffer *out = &request->out;
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	sonde_buffer_clear(out);
	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "error", error);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "message", message);
	if (parameter) {
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "parameter", parameter);
	}
	sonde_buffer_add_text(out, "}\n");
	request->status = status;
	request->content_type = "application/json";
	request->more = NULL;
	request->last = true;
	return 0;
}

int sonde_request_failed(struct sonde_request *request, int error, const char *what)
{
	switch (error) {
	case -ECANCELED:
	case -ESHUTDOWN:
		return sonde_request_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping", NULL, "the agent is stopping");
	case -ETIMEDOUT:
	case -EBUSY:
		return sonde_request_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", NULL, "cannot %s: %s", what,
					   strerror(-error));
	default:
		return sonde_request_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed", NULL, "cannot %s: %s", what,
					   strerror(-error));
	}
}

int sonde_request_store_failed(struct sonde_request *request, int error)
{
	const char *text = sonde_store_error(request->view->store);

	if (error == -ECANCELED || error == -ENOMEM || !text || !*text)
		return sonde_request_failed(request, error, "ask the store");
	return sonde_request_error(request,
				   error == -ETIMEDOUT || error == -EBUSY ? MHD_HTTP_SERVICE_UNAVAILABLE :
									    MHD_HTTP_INTERNAL_SERVER_ERROR,
				   error == -ETIMEDOUT || error == -EBUSY ? "busy" : "failed", NULL, "%s", text);
}

struct sonde_connection *sonde_request_peer(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void sonde_response_headers(struct MHD_Response *response, const char *content_type)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
}

/* Job thread: the handler, or the next piece. The connection is suspended meanwhile, so the request is ours. */
static void request_run(struct sonde_job *job)
{
	struct sonde_request *request = (struct sonde_request *)((char *)job - offsetof(struct sonde_request, job));
	int r;

	if (!request->handled) {
		/* What still waits in a queue when the time to finish is over is answered, not done. */
		r = request->http->cancelled ? -ECANCELED : request->route->handler(request);
		request->handled = true;
		if (r < 0 || sonde_buffer_error(&request->out))
			sonde_request_failed(request, r < 0 ? r : -ENOMEM, "answer");
		else if (!request->status)
			request->status = MHD_HTTP_OK;
		if (!request->more)
			request->last = true;
	} else if (request->more(request) < 0 || sonde_buffer_error(&request->out)) {
		request->broken = true;
	}
	MHD_resume_connection(request->connection);
}

/* Suspend first: the job may be done, and resume, before submit returns. */
static int request_submit(struct sonde_request *request)
{
	int r;

	MHD_suspend_connection(request->connection);
	request->job.run = request_run;
	r = sonde_jobs_submit(&request->http->jobs, request->route->lane, &request->job);
	if (r < 0)
		MHD_resume_connection(request->connection);
	return r;
}

static ssize_t request_read(void *userdata, uint64_t position, char *buffer, size_t max)
{
	struct sonde_request *request = userdata;
	size_t n = request->out.length - request->taken;

	if (request->broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n) {
		n = n < max ? n : max;
		memcpy(buffer, request->out.data + request->taken, n);
		request->taken += n;
		return (ssize_t)n;
	}
	if (request->last)
		return MHD_CONTENT_READER_END_OF_STREAM;
	sonde_buffer_clear(&request->out);
	request->taken = 0;
	if (request_submit(request) < 0)
		request->broken = true;
	return 0;
}

enum MHD_Result sonde_request_answer(struct sonde_request *request)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	request->answered = true;
	atomic_fetch_add(&request->listener->answers[request->status / 100 % 6], 1);
	if (request->last) {
		/* `out` lives until the request is completed, which is after the response is gone. */
		response = MHD_create_response_from_buffer(request->out.length, request->out.data ? request->out.data : "",
							   MHD_RESPMEM_PERSISTENT);
	} else {
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SONDE_HTTP_HEADER_MAX / 2, request_read,
							     request, NULL);
	}
	if (!response)
		return MHD_NO;
	sonde_response_headers(response, request->content_type ? request->content_type : "application/json");
	if (request->allow[0])
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
	result = MHD_queue_response(request->connection, request->status, response);
	MHD_destroy_response(response);
	return result;
}

static int request_method(struct sonde_request *request, const char *url, unsigned method)
{
	unsigned methods;

	request->route = sonde_route_find(url, method, request->name, sizeof(request->name), &methods);
	if (request->route)
		return 0;
	if (!methods)
		return !sonde_request_error(request, MHD_HTTP_NOT_FOUND, "not_found", NULL,
					    "no such route; GET / lists them");
	snprintf(request->allow, sizeof(request->allow), "%s%s%s", methods & SONDE_METHOD_GET ? "GET, HEAD" : "",
		 methods == (SONDE_METHOD_GET | SONDE_METHOD_POST) ? ", " : "", methods & SONDE_METHOD_POST ? "POST" : "");
	return !sonde_request_error(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed", NULL,
				    "this route takes %s", request->allow);
}

/* What can be told from the headers alone. */
static int request_check(struct sonde_request *request, const char *url, const char *method)
{
	const char *reason = NULL,
		   *length = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	unsigned status;

	request->head = !strcmp(method, MHD_HTTP_METHOD_HEAD);
	if (url[0] != '/')
		return !sonde_request_error(request, MHD_HTTP_BAD_REQUEST, "bad_request", NULL, "not a path");
	if (!sonde_access_length(request->connection))
		return !sonde_request_error(request, MHD_HTTP_BAD_REQUEST, "bad_request", NULL,
					    "more than one Content-Length or Transfer-Encoding");
	status = request->listener->kind == SONDE_LISTENER_API ? sonde_access_check(request->connection, &reason) : 0;
	if (status)
		return !sonde_request_error(request, status, status == MHD_HTTP_FORBIDDEN ? "forbidden" : "bad_request", NULL,
					    "%s", reason);
	if (request_method(request, url, !strcmp(method, MHD_HTTP_METHOD_GET) || request->head	? SONDE_METHOD_GET :
					 !strcmp(method, MHD_HTTP_METHOD_POST)			? SONDE_METHOD_POST :
												  0))
		return 1;
	if (request->route->admin && request->listener->kind != SONDE_LISTENER_SOCKET)
		return !sonde_request_error(request, MHD_HTTP_FORBIDDEN, "forbidden", NULL,
					    "this changes the agent: it is only possible on the unix socket");
	if (length && strtoull(length, NULL, 10) > SONDE_HTTP_BODY_MAX)
		return !sonde_request_error(request, MHD_HTTP_CONTENT_TOO_LARGE, "too_large", NULL,
					    "the body may have %u bytes", SONDE_HTTP_BODY_MAX);
	if (request->http->stopping)
		return !sonde_request_failed(request, -ESHUTDOWN, "answer");
	return 0;
}

static enum MHD_Result request_start(struct sonde_listener *listener, struct MHD_Connection *connection,
				     const char *url, const char *method, void **context)
{
	struct sonde_connection *peer = sonde_request_peer(connection);
	struct sonde_request *request = peer ? calloc(1, sizeof(*request)) : NULL;

	if (!request)
		return MHD_NO;
	request->listener = listener;
	request->http = listener->http;
	request->view = listener->http->view;
	request->connection = connection;
	request->peer = peer;
	request->body.limit = SONDE_HTTP_BODY_MAX;
	*context = request;
	if (request_check(request, url, method)) {
		sonde_connection_set(peer, SONDE_CONNECTION_ANSWERING);
		return sonde_request_answer(request);
	}
	return MHD_YES;
}

static enum MHD_Result request_complete(struct sonde_request *request)
{
	if (request->body_too_large)
		sonde_request_error(request, MHD_HTTP_CONTENT_TOO_LARGE, "too_large", NULL, "the body may have %u bytes",
				    SONDE_HTTP_BODY_MAX);
	else if (!sonde_params_read(request)) {
		if (request->route->stream)
			return sonde_stream_start(request);
		/* If it is refused the connection was resumed, and we are called again with this answer. */
		if (request_submit(request))
			sonde_request_failed(request, -ESHUTDOWN, "answer");
		return MHD_YES;
	}
	return sonde_request_answer(request);
}

enum MHD_Result sonde_request_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				     const char *version, const char *upload, size_t *upload_size, void **context)
{
	struct sonde_request *request = *context;

	if (!request)
		return request_start(userdata, connection, url, method, context);
	if (*upload_size) {
		sonde_buffer_add(&request->body, upload, *upload_size);
		request->body_too_large |= request->body.failed;
		*upload_size = 0;
		return MHD_YES;
	}
	if (request->answered)
		return MHD_YES;
	if (request->started)
		return sonde_request_answer(request);
	request->started = true;
	sonde_connection_set(request->peer, SONDE_CONNECTION_ANSWERING);
	return request_complete(request);
}

void sonde_request_completed(void *userdata, struct MHD_Connection *connection, void **context,
			     enum MHD_RequestTerminationCode code)
{
	struct sonde_request *request = *context;

	if (!request)
		return;
	*context = NULL;
	sonde_connection_set(request->peer, SONDE_CONNECTION_WAITING);
	if (request->stream)
		sonde_stream_end(request);
	if (request->free_state)
		request->free_state(request->state);
	sonde_params_free(&request->params);
	sonde_buffer_free(&request->body);
	sonde_buffer_free(&request->out);
	free(request);
}
