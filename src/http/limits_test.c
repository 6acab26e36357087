/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that are slow, silent, greedy or malicious, and what the others notice of them: nothing. */
#include <http/http_test.h>

#include <http/address.h>

static struct test_agent *agent;

#define ROWS 20000

static int setup(void **state)
{
	struct test_connection c = test_connection_of(5, "big", "connect", 0);
	struct sonde_batch_full *batch;

	agent = test_agent_new();
	for (unsigned i = 0; i < ROWS; i += 1000) {
		batch = sonde_batch_new();
		for (unsigned j = 0; j < 1000; j++)
			test_event_add(batch, &test_types[0], &c, sonde_clock_wall_ns());
		test_store(agent, batch);
		sonde_batch_unref(&batch->batch);
	}
	test_agent_serve(agent, 64);
	return 0;
}

static int teardown(void **state)
{
	test_agent_free(agent);
	return 0;
}

static void expect(const char *listener, const char *path, unsigned status)
{
	struct test_answer answer = test_ask(agent, listener, "GET", path, NULL);

	if (answer.status != status)
		fail_msg("%s %s: %u", listener, path, answer.status);
	test_answer_free(&answer);
}

static void expect_all(void)
{
	expect("health", "/liveness", 200);
	expect("metrics", "/metrics", 200);
	expect("api", "/api/v1/status", 200);
	expect("socket", "/api/v1/status", 200);
}

/* More half-sent requests and silent connections than a listener takes, on every listener at once. */
static void slow_requests(void **state)
{
	static const char *const listeners[] = {"health", "metrics", "api"};
	int fds[3 * 200];

	for (unsigned i = 0; i < 3 * 200; i++) {
		fds[i] = test_connect(sonde_http_port(agent->http, listeners[i % 3]));
		if (i % 2)
			test_send(fds[i], "GET /health HTTP/1.1\r\nHost: loc");
	}
	for (unsigned i = 0; i < 20; i++)
		expect_all();
	for (unsigned i = 0; i < 3 * 200; i++)
		close(fds[i]);
	expect_all();
}

/* Big answers that nobody takes; the rows for them are not made before somebody does. */
static void answers_that_nobody_reads(void **state)
{
	int fds[40];

	for (unsigned i = 0; i < 40; i++) {
		fds[i] = test_connect(sonde_http_port(agent->http, "api"));
		test_send(fds[i], "GET /api/v1/events?limit=10000 HTTP/1.0\r\nHost: localhost\r\n\r\n");
	}
	for (unsigned i = 0; i < 20; i++)
		expect_all();
	for (unsigned i = 0; i < 40; i++)
		close(fds[i]);
}

static void a_long_answer_is_whole(void **state)
{
	struct test_answer answer = test_ask(agent, "api", "GET", "/api/v1/events?limit=10000", NULL);
	json_t *json = test_json(&answer);
	const char *line, *last = NULL;
	size_t lines = 0;

	assert_int_equal(json_array_size(json_object_get(json, "events")), 10000);
	assert_int_equal(test_int(json, "count"), 10000);
	assert_true(json_is_string(json_object_get(json, "next")));
	json_decref(json);
	test_answer_free(&answer);
	answer = test_ask(agent, "socket", "GET", "/api/v1/events?limit=10000&format=ndjson", NULL);
	for (line = answer.body; *line; line = strchr(line, '\n') + 1, lines++)
		last = line;
	assert_int_equal(lines, 10001);
	json = json_loads(last, 0, NULL);
	assert_int_equal(test_int(json_object_get(json, "answer"), "count"), 10000);
	json_decref(json);
	test_answer_free(&answer);
}

static void sizes_are_limited(void **state)
{
	static char big[70000];
	struct test_answer answer;
	char *request;
	int fd;

	memset(big, 'x', sizeof(big) - 1);
	answer = test_ask(agent, "api", "POST", "/api/v1/sql", big);
	assert_int_equal(answer.status, 413);
	test_answer_free(&answer);
	/* Without a length: known only when it has come. */
	fd = test_connect(sonde_http_port(agent->http, "api"));
	assert_true(asprintf(&request,
			     "POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "%zx\r\n%s\r\n0\r\n\r\n", strlen(big), big) > 0);
	test_send(fd, request);
	free(request);
	answer = test_receive(fd);
	assert_int_equal(answer.status, 413);
	test_answer_free(&answer);
	fd = test_connect(sonde_http_port(agent->http, "api"));
	assert_true(asprintf(&request, "GET / HTTP/1.0\r\nHost: localhost\r\nX: %s\r\n\r\n", big) > 0);
	test_send(fd, request);
	free(request);
	answer = test_receive(fd);
	assert_true(!answer.status || answer.status == 431 || answer.status == 413);
	test_answer_free(&answer);
	fd = test_connect(sonde_http_port(agent->http, "api"));
	assert_true(asprintf(&request, "GET /api/v1/events?where=%s HTTP/1.0\r\nHost: localhost\r\n\r\n", big) > 0);
	test_send(fd, request);
	free(request);
	answer = test_receive(fd);
	assert_true(!answer.status || answer.status == 414 || answer.status == 431);
	test_answer_free(&answer);
	expect_all();
}

/* Bytes that are no HTTP, cut anywhere. */
static void garbage(void **state)
{
	static const char valid[] = "POST /api/v1/sql?limit=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nSELECT 1";
	static const char *const junk[] = {
		"GET / HTTP/9.9\r\n\r\n", "GET /%zz?%=%&&&== HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
	}, *const unfinished[] = {
		"\r\n\r\n", "GET", "\x16\x03\x01\x02",
		"POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
	};
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		int fd = test_connect(sonde_http_port(agent->http, "api"));
		struct test_answer answer;

		test_send(fd, junk[i]);
		answer = test_receive(fd);
		if (answer.status == 200)
			fail_msg("taken: %s", junk[i]);
		test_answer_free(&answer);
	}
	for (size_t i = 0; i < sizeof(unfinished) / sizeof(unfinished[0]); i++) {
		int fd = test_connect(sonde_http_port(agent->http, "api"));

		test_send(fd, unfinished[i]);
		close(fd);
	}
	for (size_t length = 0; length < sizeof(valid) - 1; length++) {
		int fd = test_connect_unix(agent->socket);

		assert_int_equal(send(fd, valid, length, MSG_NOSIGNAL), length);
		close(fd);
	}
	expect_all();
}

static void addresses(void **state)
{
	static const char *const good[] = {":0", "127.0.0.1:0", "localhost:0", "[::1]:0", "0.0.0.0:0"},
				 *const bad[] = {"", "9090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
						 "example.org:80", "::1:80", "[::1:80", "[]:80", "127.0.0.1:80:80", "[127.0.0.1]:80",
						 "127.0.0.1:-1", "999.0.0.1:80"};
	struct sockaddr_storage address;
	socklen_t length;
	int fd;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(sonde_address_parse(good[i], &address, &length), 0);
		fd = sonde_address_listen(&address, length);
		if (fd < 0 && fd != -EADDRNOTAVAIL && fd != -EAFNOSUPPORT)
			fail_msg("%s: %s", good[i], strerror(-fd));
		close(fd);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sonde_address_parse(bad[i], &address, &length) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

/* The file of a dead agent is replaced; a living one, and what is no socket, are left alone. */
static void the_socket_file(void **state)
{
	char path[128];
	FILE *file;
	int fd;

	assert_int_equal(sonde_address_listen_unix(agent->socket), -EADDRINUSE);
	expect("socket", "/api/v1/status", 200);
	snprintf(path, sizeof(path), "%s/other", agent->directory);
	fd = sonde_address_listen_unix(path);
	assert_true(fd >= 0);
	close(fd); /* the file stays, as after a crash */
	fd = sonde_address_listen_unix(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("precious", file);
	fclose(file);
	assert_int_equal(sonde_address_listen_unix(path), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(sonde_address_listen_unix("/nonexistent-directory/sock"), -ENOENT);
}

static void a_port_in_use_is_an_error(void **state)
{
	struct sonde_http_opts opts = {.health = "127.0.0.1:0"};
	struct sonde_http *http = NULL;
	char address[64];

	snprintf(address, sizeof(address), "127.0.0.1:%d", sonde_http_port(agent->http, "api"));
	opts.api = address;
	assert_int_equal(sonde_http_new(&agent->view, &opts, &http), -EADDRINUSE);
	assert_null(http);
	opts.api = "nonsense";
	assert_int_equal(sonde_http_new(&agent->view, &opts, &http), -EINVAL);
	assert_null(http);
	expect_all();
}

/* Questions, streams, half requests and unread answers under way: the end comes all the same. */
static void the_end_under_load(void **state)
{
	for (unsigned round = 0; round < 5; round++) {
		struct test_agent *own = test_agent_new();
		int fds[60];

		test_agent_serve(own, 0);
		for (unsigned i = 0; i < 60; i++) {
			fds[i] = i % 2 ? test_connect_unix(own->socket) : test_connect(sonde_http_port(own->http, "api"));
			test_send(fds[i], i % 4 == 0 ? "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n" :
					  i % 4 == 1 ? "GET /api/v1/stat" :
					  i % 4 == 2 ? "GET /api/v1/summary HTTP/1.1\r\nHost: localhost\r\n\r\n" :
						       "GET /api/v1/events?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
		}
		sonde_http_free(&own->http, 100 * SONDE_NS_PER_MS);
		for (unsigned i = 0; i < 60; i++)
			close(fds[i]);
		test_agent_free(own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_requests),	     cmocka_unit_test(answers_that_nobody_reads),
		cmocka_unit_test(a_long_answer_is_whole),    cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(garbage),		     cmocka_unit_test(addresses),
		cmocka_unit_test(the_socket_file),	     cmocka_unit_test(a_port_in_use_is_an_error),
		cmocka_unit_test(the_end_under_load),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
