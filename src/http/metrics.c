/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics page: made at most five times a second, whoever asks, so that scraping cannot cost more than that. */
#include <http/metrics.h>

#include <http/health.h>
#include <http/request.h>
#include <export/prometheus.h>

#include <base/clock.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_LIFE_NS (200 * SONDE_NS_PER_MS)

/* The quality of one media range: 1 unless ";q=" says otherwise, in thousandths. */
static unsigned accept_quality(const char *range, size_t length)
{
	unsigned quality = 0, unit = 100;
	char text[128];
	const char *q;

	if (length >= sizeof(text))
		return 0;
	memcpy(text, range, length);
	text[length] = '\0';
	q = strstr(text, "q=");
	if (!q || q[2] != '0')
		return 1000;
	for (q += 3 + (q[3] == '.'); unit && *q >= '0' && *q <= '9'; q++, unit /= 10)
		quality += (unsigned)(*q - '0') * unit;
	return quality;
}

bool sonde_metrics_accept(const char *accept)
{
	unsigned open = 0, plain = 0, quality;
	size_t length;

	for (; accept && *accept; accept += length + (accept[length] == ',')) {
		accept += strspn(accept, " \t");
		length = strcspn(accept, ",");
		quality = accept_quality(accept, length);
		if (!strncasecmp(accept, "application/openmetrics-text", 28))
			open = quality > open ? quality : open;
		else if (!strncasecmp(accept, "text/plain", 10) || !strncmp(accept, "*/*", 3) ||
			 !strncasecmp(accept, "text/*", 6))
			plain = quality > plain ? quality : plain;
	}
	return open && open >= plain;
}

static void metrics_http(struct sonde_http *http)
{
	struct sonde_connections_status status;
	char labels[64];

	for (unsigned i = 0; i < SONDE_LISTENER_MAX; i++) {
		struct sonde_listener *listener = &http->listeners[i];

		if (!listener->daemon)
			continue;
		sonde_connections_status(&listener->connections, &status);
		snprintf(labels, sizeof(labels), "listener=\"%s\"", sonde_listener_name(listener->kind));
		sonde_prometheus_number("sonde_http_connections", "Open HTTP connections; at the limit, the one that has "
					"waited longest for a request is closed for a new one.",
					false, labels, status.open, http->prometheus);
		sonde_prometheus_number("sonde_http_connections_accepted_total", "HTTP connections accepted.", true, labels,
					(double)status.accepted, http->prometheus);
		sonde_prometheus_number("sonde_http_connections_evicted_total",
					"Idle HTTP connections closed to make room. If it grows, look for a client that opens "
					"connections without using them.",
					true, labels, (double)status.evicted, http->prometheus);
		sonde_prometheus_number("sonde_http_connections_timed_out_total",
					"HTTP connections closed because a request or an answer took too long.", true, labels,
					(double)status.timed_out, http->prometheus);
		for (unsigned hundreds = 2; hundreds < 6; hundreds++) {
			snprintf(labels, sizeof(labels), "listener=\"%s\",code=\"%uxx\"",
				 sonde_listener_name(listener->kind), hundreds);
			sonde_prometheus_number("sonde_http_answers_total",
						"HTTP answers by class of status. 5xx: ask /health and the agent's log.", true,
						labels, (double)listener->answers[hundreds], http->prometheus);
		}
	}
	sonde_prometheus_number("sonde_streams", "Open event streams.", false, "", http->n_streams, http->prometheus);
	sonde_prometheus_number("sonde_streams_refused_total", "Event streams refused because too many were open.", true, "",
				(double)http->streams_refused, http->prometheus);
	sonde_prometheus_number("sonde_stream_events_total", "Events sent on streams.", true, "",
				(double)http->stream_events, http->prometheus);
	sonde_prometheus_number("sonde_stream_skipped_events_total",
				"Events not sent because a stream's client was too slow; the client was told. They are in the "
				"store.",
				true, "", (double)http->stream_skipped, http->prometheus);
}

static int metrics_page(struct sonde_http *http, enum sonde_prometheus_format format)
{
	struct sonde_buffer out = SONDE_BUFFER_INIT;
	int64_t now_ns = sonde_connection_now_ns();
	int r;

	if (http->page[format].text && now_ns - http->page[format].made_ns < PAGE_LIFE_NS)
		return 0;
	sonde_prometheus_begin(http->prometheus);
	sonde_prometheus_collect(http->prometheus, http->view);
	metrics_http(http);
	r = sonde_prometheus_write(http->prometheus, format, &out);
	if (r < 0) {
		sonde_buffer_free(&out);
		return r;
	}
	free(http->page[format].text);
	http->page[format].text = out.data;
	http->page[format].length = out.length;
	http->page[format].made_ns = now_ns;
	return 0;
}

void sonde_metrics_free(struct sonde_http *http)
{
	for (unsigned i = 0; i < 2; i++)
		free(http->page[i].text);
}

enum MHD_Result sonde_metrics_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				     const char *version, const char *upload, size_t *upload_size, void **context)
{
	struct sonde_listener *listener = userdata;
	struct sonde_http *http = listener->http;
	enum sonde_prometheus_format format;
	enum MHD_Result result;

	if (sonde_simple_request(listener, connection, method, upload_size, context, &result))
		return result;
	if (strcmp(url, "/metrics"))
		return sonde_simple_answer(listener, connection, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
					   "not found: /metrics\n", 20);
	format = sonde_metrics_accept(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT)) ?
			 SONDE_PROMETHEUS_OPENMETRICS :
			 SONDE_PROMETHEUS_TEXT;
	if (metrics_page(http, format) < 0)
		return sonde_simple_answer(listener, connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8",
					   "no memory\n", 10);
	return sonde_simple_answer(listener, connection, MHD_HTTP_OK,
				   format == SONDE_PROMETHEUS_OPENMETRICS ?
					   "application/openmetrics-text; version=1.0.0; charset=utf-8" :
					   "text/plain; version=0.0.4; charset=utf-8",
				   http->page[format].text, http->page[format].length);
}
