/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes. They ask the agent and nothing else: no store, no lock that a query holds, so they answer while all else is
 * stuck. They name programs and reasons, never a process, a path or an address.
 */
#include <http/health.h>

#include <http/request.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char started; /* its address marks a request whose headers were seen */

int sonde_simple_request(struct sonde_listener *listener, struct MHD_Connection *connection, const char *method,
			 size_t *upload_size, void **context, enum MHD_Result *ret_result)
{
	struct MHD_Response *response;

	*ret_result = MHD_YES;
	if (!*context) {
		if (!sonde_request_peer(connection)) {
			*ret_result = MHD_NO;
			return 1;
		}
		*context = &started;
		return 1;
	}
	if (*upload_size) {
		*upload_size = 0;
		return 1;
	}
	sonde_connection_set(sonde_request_peer(connection), SONDE_CONNECTION_ANSWERING);
	if (!strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD))
		return 0;
	response = MHD_create_response_from_buffer(8, (void *)(uintptr_t)"use GET\n", MHD_RESPMEM_MUST_COPY);
	*ret_result = MHD_NO;
	if (!response)
		return 1;
	atomic_fetch_add(&listener->answers[4], 1);
	sonde_response_headers(response, "text/plain; charset=utf-8");
	MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	*ret_result = MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
	MHD_destroy_response(response);
	return 1;
}

enum MHD_Result sonde_simple_answer(struct sonde_listener *listener, struct MHD_Connection *connection, unsigned status,
				    const char *content_type, const char *text, size_t length)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(length, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	atomic_fetch_add(&listener->answers[status / 100 % 6], 1);
	sonde_response_headers(response, content_type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

void sonde_health_completed(void *userdata, struct MHD_Connection *connection, void **context,
			    enum MHD_RequestTerminationCode code)
{
	if (*context)
		sonde_connection_set(sonde_request_peer(connection), SONDE_CONNECTION_WAITING);
	*context = NULL;
}

const char *sonde_health_status(const struct sonde_health *health)
{
	if (!health->ready || !health->alive)
		return "unhealthy";
	return health->reason[0] ? "degraded" : "healthy";
}

static int health_json(const struct sonde_view *view, const struct sonde_health *health, struct sonde_buffer *out)
{
	struct sonde_program_status *programs = calloc(SONDE_PROGRAMS_MAX, sizeof(*programs));
	size_t n = programs ? view->programs(view->userdata, programs, SONDE_PROGRAMS_MAX) : 0;

	sonde_buffer_add_char(out, '{');
	sonde_json_bool(out, "ready", health->ready);
	sonde_buffer_add_char(out, ',');
	sonde_json_bool(out, "alive", health->alive);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "timestamp", time(NULL));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "status", sonde_health_status(health));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "reason", health->reason);
	sonde_buffer_add_text(out, ",\"programs\":[");
	for (size_t i = 0; i < n; i++) {
		sonde_buffer_add_text(out, i ? ",{" : "{");
		sonde_json_text(out, "name", programs[i].name);
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "state", sonde_program_state_name(programs[i].state));
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "reason", programs[i].reason);
		sonde_buffer_add_char(out, ',');
		sonde_json_bool(out, "required", programs[i].required);
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_text(out, "]}\n");
	free(programs);
	return sonde_buffer_error(out);
}

/* 200 with the word, or 503 with one line that says why not. */
static enum MHD_Result health_probe(struct sonde_listener *listener, struct MHD_Connection *connection, bool good,
				    const char *word, const char *reason)
{
	char text[300];

	snprintf(text, sizeof(text), "%s\n", reason[0] ? reason : "no reason given");
	return sonde_simple_answer(listener, connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
				   "text/plain; charset=utf-8", good ? word : text, strlen(good ? word : text));
}

enum MHD_Result sonde_health_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				    const char *version, const char *upload, size_t *upload_size, void **context)
{
	struct sonde_listener *listener = userdata;
	const struct sonde_view *view = listener->http->view;
	struct sonde_buffer out = SONDE_BUFFER_INIT;
	struct sonde_health health = {0};
	enum MHD_Result result;

	if (sonde_simple_request(listener, connection, method, upload_size, context, &result))
		return result;
	view->health(view->userdata, &health);
	if (listener->http->stopping) {
		health.ready = false;
		snprintf(health.reason, sizeof(health.reason), "the agent is stopping");
	}
	if (!strcmp(url, "/liveness"))
		return health_probe(listener, connection, health.alive, "OK", health.reason);
	if (!strcmp(url, "/readiness"))
		return health_probe(listener, connection, health.ready, "Ready", health.reason);
	if (strcmp(url, "/health"))
		return sonde_simple_answer(listener, connection, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
					   "not found: /liveness /readiness /health\n", 40);
	if (health_json(view, &health, &out))
		result = MHD_NO;
	else
		result = sonde_simple_answer(listener, connection,
					     health.ready && health.alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
					     "application/json", out.data, out.length);
	sonde_buffer_free(&out);
	return result;
}
