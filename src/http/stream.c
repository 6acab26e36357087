/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams. A stream without work is a suspended connection and costs no thread; the watch thread resumes it when its
 * subscription becomes readable. Invariant: `suspended` and the state of libmicrohttpd's connection change together
 * under streams_lock, so a connection is never resumed twice nor left asleep with work waiting.
 */
#include <http/stream.h>

#include <http/request.h>
#include <schema/encode.h>

#include <base/clock.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define QUEUE_BYTES (4ul << 20) /* records that may wait for a slow client before some are skipped */
#define TURN_EVENTS 1024	  /* looked at before the other connections of the thread get their turn */
#define OUT_BYTES (32 * 1024)

struct sonde_stream {
	LIST_ENTRY(sonde_stream) entry;
	struct sonde_request *request;
	uint64_t id;
	struct sonde_subscription *subscription;
	struct sonde_selection selection;
	bool lines;	/* JSON lines, not server-sent events */
	bool suspended; /* under streams_lock */
	bool unfinished; /* suspended only to give others their turn */
	bool probe;	 /* the client may be gone: only writing tells */
	const struct sonde_batch *batch;
	uint32_t next; /* event of the batch */
	uint64_t skipped_told;
	unsigned stalls_told;
	int64_t sent_ns;
	struct sonde_buffer out;
	size_t taken;
};

static void stream_event(struct sonde_stream *stream, const struct sonde_event *event)
{
	struct sonde_http *http = stream->request->http;
	struct sonde_value values[SONDE_COLUMNS_MAX];
	const struct sonde_query *query = &stream->selection.query;

	if (query->type && strcmp(query->type, event->type->name))
		return;
	sonde_event_values(event, http->view->names, values);
	if (!sonde_selection_match(&stream->selection, event->type, values))
		return;
	if (!stream->lines) {
		sonde_buffer_add_text(&stream->out, "id: ");
		sonde_buffer_add_i64(&stream->out, event->time_ns);
		sonde_buffer_add_text(&stream->out, "\nevent: ");
		sonde_buffer_add_text(&stream->out, event->type->name);
		sonde_buffer_add_text(&stream->out, "\ndata: ");
	}
	sonde_encode_json(event->type, values, &stream->out);
	sonde_buffer_add_text(&stream->out, stream->lines ? "\n" : "\n\n");
	atomic_fetch_add_explicit(&http->stream_events, 1, memory_order_relaxed);
}

static void stream_skipped(struct sonde_stream *stream)
{
	uint64_t skipped = sonde_subscription_skipped(stream->subscription), more = skipped - stream->skipped_told;

	if (!more)
		return;
	stream->skipped_told = skipped;
	atomic_fetch_add_explicit(&stream->request->http->stream_skipped, more, memory_order_relaxed);
	sonde_buffer_add_text(&stream->out, stream->lines ? "{" : "event: skipped\ndata: {");
	sonde_json_u64(&stream->out, "skipped", more);
	sonde_buffer_add_text(&stream->out, stream->lines ? "}\n" : "}\n\n");
}

/* Events wait in the rings: silence does not mean that nothing happens. */
static void stream_stalled(struct sonde_stream *stream)
{
	struct sonde_http *http = stream->request->http;

	if (stream->stalls_told == http->n_stalls)
		return;
	pthread_mutex_lock(&http->streams_lock);
	stream->stalls_told = http->n_stalls;
	if (http->stall[0]) {
		sonde_buffer_add_text(&stream->out, stream->lines ? "{" : "event: stalled\ndata: {");
		sonde_json_text(&stream->out, "stalled", http->stall);
		sonde_buffer_add_text(&stream->out, stream->lines ? "}\n" : "}\n\n");
	}
	pthread_mutex_unlock(&http->streams_lock);
}

/* Encode waiting events until a buffer full or a turn is done. @return false: nothing more is waiting. */
static bool stream_fill(struct sonde_stream *stream)
{
	unsigned looked = 0;

	stream_skipped(stream);
	stream_stalled(stream);
	while (stream->out.length < OUT_BYTES && looked < TURN_EVENTS) {
		if (!stream->batch) {
			stream->batch = sonde_subscription_next(stream->subscription);
			stream->next = 0;
			if (!stream->batch)
				return false;
		}
		for (; stream->next < stream->batch->n && stream->out.length < OUT_BYTES && looked < TURN_EVENTS; looked++)
			stream_event(stream, &stream->batch->events[stream->next++]);
		if (stream->next == stream->batch->n) {
			sonde_batch_unref(stream->batch);
			stream->batch = NULL;
		}
	}
	return true;
}

/* One-shot and level-triggered: what became readable since we looked is reported at once. */
static void stream_arm(struct sonde_stream *stream, int operation)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = stream->id};

	epoll_ctl(stream->request->http->epoll_fd, operation, sonde_subscription_fd(stream->subscription), &event);
}

static void stream_suspend(struct sonde_stream *stream, bool unfinished)
{
	struct sonde_http *http = stream->request->http;

	pthread_mutex_lock(&http->streams_lock);
	/* Checked under the lock that the last resuming takes: none is left suspended for good. */
	if (!http->stopping) {
		stream->suspended = true;
		stream->unfinished = unfinished;
		MHD_suspend_connection(stream->request->connection);
		if (!unfinished)
			stream_arm(stream, EPOLL_CTL_MOD);
	}
	pthread_mutex_unlock(&http->streams_lock);
	if (unfinished)
		sonde_watch_wake(http);
}

static ssize_t stream_read(void *userdata, uint64_t position, char *buffer, size_t max)
{
	struct sonde_stream *stream = userdata;
	int64_t now_ns = sonde_connection_now_ns();
	bool more = true;
	size_t n;

	if (stream->taken == stream->out.length) {
		if (stream->request->http->stopping)
			return MHD_CONTENT_READER_END_OF_STREAM;
		sonde_buffer_clear(&stream->out);
		stream->taken = 0;
		more = stream_fill(stream);
		if (!stream->out.length &&
		    (stream->probe || now_ns - stream->sent_ns >= SONDE_HTTP_HEARTBEAT_S * SONDE_NS_PER_S))
			sonde_buffer_add_text(&stream->out, stream->lines ? "\n" : ": heartbeat\n\n");
		stream->probe = false;
		if (sonde_buffer_error(&stream->out))
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	n = stream->out.length - stream->taken;
	if (!n) {
		stream_suspend(stream, more);
		return 0;
	}
	n = n < max ? n : max;
	memcpy(buffer, stream->out.data + stream->taken, n);
	stream->taken += n;
	stream->sent_ns = now_ns;
	return (ssize_t)n;
}

static void stream_resume(struct sonde_stream *stream)
{
	stream->suspended = false;
	MHD_resume_connection(stream->request->connection);
}

void sonde_streams_ready(struct sonde_http *http, uint64_t id)
{
	struct sonde_stream *stream;

	pthread_mutex_lock(&http->streams_lock);
	LIST_FOREACH(stream, &http->streams, entry)
		if (stream->id == id && stream->suspended)
			stream_resume(stream);
	pthread_mutex_unlock(&http->streams_lock);
}

/*
 * Has the client closed its end? A suspended connection is not looked at by libmicrohttpd, so its place would stay taken
 * until the next heartbeat. It may also have closed its sending side only: a heartbeat finds out, it hurts nobody.
 */
static bool stream_client_closed(const struct sonde_stream *stream)
{
	struct pollfd fd = {.fd = stream->request->peer->fd, .events = POLLRDHUP};

	return poll(&fd, 1, 0) == 1;
}

void sonde_streams_check(struct sonde_http *http, bool all)
{
	int64_t now_ns = sonde_connection_now_ns();
	struct sonde_stream *stream;

	pthread_mutex_lock(&http->streams_lock);
	LIST_FOREACH(stream, &http->streams, entry) {
		if (!stream->suspended)
			continue;
		stream->probe = stream_client_closed(stream);
		if (all || stream->unfinished || stream->probe || stream->stalls_told != http->n_stalls ||
		    now_ns - stream->sent_ns >= SONDE_HTTP_HEARTBEAT_S * SONDE_NS_PER_S)
			stream_resume(stream);
	}
	pthread_mutex_unlock(&http->streams_lock);
}

void sonde_streams_look(struct sonde_http *http)
{
	struct sonde_store_status store;
	struct sonde_health health;
	const char *stall;

	if (!http->n_streams)
		return;
	http->view->health(http->view->userdata, &health);
	sonde_store_status(http->view->store, &store);
	stall = health.alive ? store.error : health.reason;
	pthread_mutex_lock(&http->streams_lock);
	http->n_stalls += stall[0] && !http->stall[0];
	snprintf(http->stall, sizeof(http->stall), "%s", stall);
	pthread_mutex_unlock(&http->streams_lock);
}

static void stream_free(struct sonde_stream *stream)
{
	if (stream->batch)
		sonde_batch_unref(stream->batch);
	sonde_bus_unsubscribe(&stream->subscription);
	sonde_selection_free(&stream->selection);
	sonde_buffer_free(&stream->out);
	free(stream);
}

/* @return 0; 1: refused, the answer says why; negative: failed. */
static int stream_new(struct sonde_request *request, struct sonde_stream **ret_stream)
{
	static const char *const formats[] = {"sse", "ndjson", NULL};
	struct sonde_http *http = request->http;
	struct sonde_stream *stream;
	unsigned format;
	int r;

	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->request = request;
	r = sonde_param_word(request, "format", formats, &format) ||
	    sonde_selection_read(request, INT64_MIN, &stream->selection);
	if (!r)
		r = sonde_bus_subscribe(http->view->bus, stream->selection.query.type, QUEUE_BYTES, &stream->subscription);
	if (r) {
		stream_free(stream);
		return r;
	}
	stream->lines = format == 1;
	stream->sent_ns = sonde_connection_now_ns();
	/* Opens the stream for clients that wait for a first byte. */
	sonde_buffer_add_text(&stream->out, stream->lines ? "\n" : ": events of sonde\n\n");
	*ret_stream = stream;
	return 0;
}

static bool stream_list(struct sonde_http *http, struct sonde_stream *stream)
{
	bool room;

	pthread_mutex_lock(&http->streams_lock);
	room = http->n_streams < SONDE_HTTP_STREAMS_MAX;
	if (room) {
		stream->id = ++http->next_stream_id;
		stream->stalls_told = http->n_stalls - (http->stall[0] != '\0');
		LIST_INSERT_HEAD(&http->streams, stream, entry);
		http->n_streams++;
		stream_arm(stream, EPOLL_CTL_ADD);
	}
	pthread_mutex_unlock(&http->streams_lock);
	return room;
}

static enum MHD_Result stream_answer(struct sonde_request *request, struct sonde_stream *stream)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, OUT_BYTES, stream_read, stream, NULL);
	if (!response)
		return MHD_NO;
	request->answered = true;
	sonde_connection_set(request->peer, SONDE_CONNECTION_STREAMING);
	atomic_fetch_add(&request->listener->answers[2], 1);
	sonde_response_headers(response, stream->lines ? "application/x-ndjson" : "text/event-stream");
	result = MHD_queue_response(request->connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result sonde_stream_start(struct sonde_request *request)
{
	struct sonde_stream *stream = NULL;
	int r = stream_new(request, &stream);

	if (!r && !stream_list(request->http, stream)) {
		stream_free(stream);
		atomic_fetch_add(&request->http->streams_refused, 1);
		sonde_request_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", NULL, "%u streams are open, no more are served",
				    SONDE_HTTP_STREAMS_MAX);
		r = 1;
	}
	if (r) {
		if (r < 0)
			sonde_request_failed(request, r, "open a stream");
		return sonde_request_answer(request);
	}
	request->stream = stream;
	return stream_answer(request, stream);
}

void sonde_stream_end(struct sonde_request *request)
{
	struct sonde_http *http = request->http;
	struct sonde_stream *stream = request->stream;

	pthread_mutex_lock(&http->streams_lock);
	LIST_REMOVE(stream, entry);
	http->n_streams--;
	epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, sonde_subscription_fd(stream->subscription), NULL);
	pthread_mutex_unlock(&http->streams_lock);
	request->stream = NULL;
	stream_free(stream);
}
