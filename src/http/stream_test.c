/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: what arrives, in which form, and that a client that does not read hurts nobody. */
#include <http/http_test.h>
#include <http/server.h>

static struct test_agent *agent;

static int setup(void **state)
{
	agent = test_agent_new();
	test_agent_serve(agent, 0);
	return 0;
}

static int teardown(void **state)
{
	test_agent_free(agent);
	return 0;
}

static void publish(unsigned n, uint32_t pid, const char *command)
{
	struct sonde_batch_full *batch = sonde_batch_new();
	struct test_connection c = test_connection_of(pid, command, "connect", 0);

	assert_non_null(batch);
	for (unsigned i = 0; i < n; i++) {
		c.remote_port = (__u16)(i + 1);
		test_event_add(batch, &test_types[0], &c, sonde_clock_wall_ns());
	}
	sonde_bus_publish(agent->view.bus, &batch->batch);
	sonde_batch_unref(&batch->batch);
}

struct stream {
	int fd;
	char text[1 << 16];
	size_t length;
};

/* Wait until the text is there. */
static void stream_expect(struct stream *stream, const char *wanted)
{
	ssize_t n;

	while (!strstr(stream->text, wanted)) {
		/* Of a long stream only the end is kept; a line is far shorter. */
		if (stream->length > sizeof(stream->text) / 2) {
			memmove(stream->text, stream->text + stream->length - 1024, 1024);
			stream->length = 1024;
		}
		n = recv(stream->fd, stream->text + stream->length, sizeof(stream->text) - 1 - stream->length, 0);
		if (n <= 0)
			fail_msg("the stream ended without '%s': %s", wanted, stream->text);
		stream->length += (size_t)n;
		stream->text[stream->length] = '\0';
	}
}

static void stream_open(struct stream *stream, int fd, const char *path)
{
	char request[512];

	*stream = (struct stream){.fd = fd};
	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
	test_send(fd, request);
	stream_expect(stream, "\r\n\r\n");
}

static int api(void)
{
	return test_connect(sonde_http_port(agent->http, "api"));
}

static void server_sent_events(void **state)
{
	struct stream stream;

	stream_open(&stream, api(), "/api/v1/stream?command=curl&where=remote_port+in+(1,2)");
	assert_non_null(strstr(stream.text, "Content-Type: text/event-stream"));
	publish(1, 7, "other");
	publish(3, 7, "curl");
	stream_expect(&stream, "\"remote_port\":2");
	assert_non_null(strstr(stream.text, "id: "));
	assert_non_null(strstr(stream.text, "\nevent: connection\ndata: {\"time\":"));
	assert_null(strstr(stream.text, "\"other\""));
	assert_null(strstr(stream.text, "\"remote_port\":3"));
	publish(1, 7, "curl");
	stream_expect(&stream, "\"remote_port\":2");
	close(stream.fd);
}

static void json_lines(void **state)
{
	struct stream stream;
	char *line, *rest;
	unsigned n = 0;

	stream_open(&stream, test_connect_unix(agent->socket), "/api/v1/stream?format=ndjson&pid=8&type=connection");
	publish(5, 8, "a\"b\n\xff\xc3");
	publish(5, 9, "x");
	stream_expect(&stream, "\"remote_port\":5");
	for (line = strtok_r(strstr(stream.text, "\r\n\r\n") + 4, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		json_t *json = json_loads(line, 0, NULL);

		assert_non_null(json);
		assert_int_equal(test_int(json, "remote_port"), ++n);
		json_decref(json);
	}
	assert_int_equal(n, 5);
	close(stream.fd);
}

static void await_no_stall(void)
{
	bool stalled = true;

	while (stalled) {
		usleep(10000);
		pthread_mutex_lock(&agent->http->streams_lock);
		stalled = agent->http->stall[0];
		pthread_mutex_unlock(&agent->http->streams_lock);
	}
}

/* Silence has a reason when events wait: it is told once, each time that it begins. */
static void a_stall_is_told(void **state)
{
	struct stream lines, events, late;

	stream_open(&lines, api(), "/api/v1/stream?format=ndjson");
	stream_open(&events, api(), "/api/v1/stream");
	test_health_set(agent, false, "the first");
	stream_expect(&lines, "\n{\"stalled\":\"the first\"}\n");
	stream_expect(&events, "\nevent: stalled\ndata: {\"stalled\":\"the first\"}\n\n");
	stream_open(&late, api(), "/api/v1/stream?format=ndjson");
	stream_expect(&late, "{\"stalled\":\"the first\"}\n");
	close(late.fd);
	test_health_set(agent, true, "");
	await_no_stall();
	publish(1, 7, "curl");
	stream_expect(&lines, "\"curl\"");
	test_health_set(agent, false, "the second");
	stream_expect(&lines, "{\"stalled\":\"the second\"}\n");
	assert_null(strstr(strstr(lines.text, "the first") + 1, "the first"));
	test_health_set(agent, true, "");
	await_no_stall(); /* or the next streams would be told */
	close(lines.fd);
	close(events.fd);
}

/* Far more bytes than what is queued and buffered for a client, yet soon done: it must read again before it is dropped. */
#define ROUNDS 60u
#define FLOOD 500u

/* One client takes nothing; the other gets every event, and the one that slept is told what it missed. */
static void a_client_that_does_not_read(void **state)
{
	struct stream slow, live;
	char wanted[64], bytes[65536];
	uint64_t skipped = 0, seen = 0;
	ssize_t n;

	stream_open(&slow, api(), "/api/v1/stream?format=ndjson");
	stream_open(&live, api(), "/api/v1/stream?pid=77&format=ndjson");
	for (unsigned i = 1; i <= ROUNDS; i++) {
		publish(FLOOD, 1, "flood");
		publish(i, 77, "live"); /* its last one has port i */
		snprintf(wanted, sizeof(wanted), "\"remote_port\":%u,", i);
		stream_expect(&live, wanted);
		assert_null(strstr(live.text, "\"skipped\""));
	}
	/* Now the sleeper reads: what it gets and what it is told it missed make the whole. */
	for (size_t kept = 0; skipped + seen < ROUNDS * FLOOD + ROUNDS * (ROUNDS + 1) / 2;) {
		n = recv(slow.fd, bytes + kept, sizeof(bytes) - 1 - kept, 0);
		if (n <= 0)
			fail_msg("ended at %llu seen, %llu skipped", (unsigned long long)seen, (unsigned long long)skipped);
		bytes[kept + (size_t)n] = '\0';
		char *line = bytes, *end;

		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			if (!strncmp(line, "{\"skipped\":", 11))
				skipped += strtoull(line + 11, NULL, 10);
			else if (*line)
				seen++;
		}
		kept = strlen(line);
		memmove(bytes, line, kept + 1);
	}
	assert_true(skipped > 0);
	assert_int_equal(skipped + seen, ROUNDS * FLOOD + ROUNDS * (ROUNDS + 1) / 2);
	close(slow.fd);
	close(live.fd);
}

static void too_many_streams_are_refused(void **state)
{
	struct stream *streams = calloc(32, sizeof(*streams));
	struct test_answer answer;
	unsigned refused = 0, tries = 0; /* a minute is the limit */

	for (unsigned i = 0; i < 32; i++) {
		stream_open(&streams[i], api(), "/api/v1/stream");
		if (!strstr(streams[i].text, " 200 ")) { /* those of the test before may still have their places */
			close(streams[i--].fd);
			assert_true(tries++ < 600);
			usleep(100000);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		answer = test_ask(agent, "api", "GET", "/api/v1/stream", NULL);
		refused += answer.status == 503;
		test_answer_free(&answer);
	}
	assert_int_equal(refused, 3);
	answer = test_ask(agent, "api", "GET", "/api/v1/status", NULL);
	assert_int_equal(answer.status, 200);
	test_answer_free(&answer);
	for (unsigned i = 0; i < 32; i++)
		close(streams[i].fd);
	/* The places of clients that went away become free without any event. */
	do {
		assert_true(tries++ < 600);
		usleep(100000);
		stream_open(&streams[0], api(), "/api/v1/stream");
		close(streams[0].fd);
	} while (!strstr(streams[0].text, " 200 "));
	free(streams);
}

/* The agent stops: streams end as streams, not as broken connections; the socket's file is gone. */
static void streams_end_with_the_agent(void **state)
{
	struct test_agent *own = test_agent_new();
	struct stream chunked;
	struct stat st;
	int fd;

	test_agent_serve(own, 0);
	fd = test_connect(sonde_http_port(own->http, "api"));
	chunked = (struct stream){.fd = fd};
	test_send(fd, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	stream_expect(&chunked, "events of sonde");
	assert_int_equal(lstat(own->socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	sonde_http_free(&own->http, 5 * SONDE_NS_PER_S);
	assert_null(own->http);
	stream_expect(&chunked, "\r\n0\r\n");
	assert_int_equal(lstat(own->socket, &st), -1);
	close(fd);
	test_agent_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_sent_events),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(a_stall_is_told),
		cmocka_unit_test(a_client_that_does_not_read),
		cmocka_unit_test(too_many_streams_are_refused),
		cmocka_unit_test(streams_end_with_the_agent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
