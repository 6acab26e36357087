/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a small server: each case is what the server writes, byte by byte, before it closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <base/cleanup.h>
#include <cli/client.h>

#define OK "HTTP/1.0 200 OK\r\n"

static char directory[] = "/tmp/sonde-client-XXXXXX";
static char socket_path[64];
static int listener = -1;

struct server {
	pthread_t thread;
	const char *answer;
	size_t length;
	size_t piece;	   /* bytes a write */
	bool hang;	   /* keep the connection open until the client goes away */
	bool answered;
	char request[65536];
};

static void *serve(void *userdata)
{
	struct server *server = userdata;
	int fd CLEANUP_CLOSE = accept(listener, NULL, NULL);
	size_t n = 0, done = 0, body;
	char *end = NULL, *length;
	char byte;

	while (n < sizeof(server->request) - 1 && recv(fd, server->request + n, 1, 0) == 1) {
		server->request[++n] = '\0';
		end = end ? end : strstr(server->request, "\r\n\r\n");
		length = strstr(server->request, "Content-Length: ");
		body = length ? strtoul(length + 16, NULL, 10) : 0;
		if (end && n == (size_t)(end - server->request) + 4 + body)
			break;
	}
	while (done < server->length) {
		size_t now = server->length - done < server->piece ? server->length - done : server->piece;
		ssize_t written = send(fd, server->answer + done, now, MSG_NOSIGNAL);

		if (written <= 0)
			break;
		done += (size_t)written;
	}
	__atomic_store_n(&server->answered, true, __ATOMIC_RELEASE);
	while (server->hang && recv(fd, &byte, 1, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

static void server_start(struct server *server, const char *answer, size_t length, size_t piece)
{
	server->answer = answer;
	server->length = length;
	server->piece = piece;
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static char said[4096]; /* what the client told on standard error */

static int said_begin(int *ret_pipe)
{
	int fds[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	*ret_pipe = fds[0];
	return saved;
}

static void said_end(int saved, int read_end)
{
	ssize_t n;

	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(read_end, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(read_end);
}

/* Ask the server that answers this; @return as sonde_client_body(). */
static int ask(const char *answer, size_t length, size_t piece, struct sonde_buffer *ret_body)
{
	struct server *server CLEANUP_FREE = calloc(1, sizeof(*server));
	const struct sonde_client_request request = {
		.socket = socket_path, .method = "GET", .path = "/x", .timeout_ms = 20000,
	};
	int r, saved, read_end;

	server_start(server, answer, length, piece);
	saved = said_begin(&read_end);
	r = sonde_client_body(&request, ret_body);
	said_end(saved, read_end);
	pthread_join(server->thread, NULL);
	return r;
}

static void expect_body(const char *answer, const char *body)
{
	static const size_t pieces[] = {1, 7, 1 << 20};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct sonde_buffer found CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

		assert_int_equal(ask(answer, strlen(answer), pieces[i], &found), 0);
		assert_int_equal(found.length, strlen(body));
		assert_memory_equal(found.data ? found.data : "", body, found.length);
	}
}

static void expect_refusal(const char *answer, size_t length, int error, const char *message)
{
	struct sonde_buffer found CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	int r = ask(answer, length, 1000, &found);

	if (r != error || !strstr(said, message))
		fail_msg("%.60s\n-> %d '%s', wanted %d '%s'", answer, r, said, error, message);
	assert_int_equal(found.length, 0);
}

static void bodies(void **state)
{
	expect_body(OK "\r\nhello", "hello");
	expect_body(OK "Content-Length: 5\r\n\r\nhello", "hello");
	expect_body("HTTP/1.1 200 OK\r\ncontent-length:5\r\nX: y\r\n\r\nhello", "hello");
	expect_body(OK "\r\n", "");
	expect_body("HTTP/1.0 204\r\n\r\n", "");
	expect_body(OK "\r\na\r\n\r\nb\r\n\r\n", "a\r\n\r\nb\r\n\r\n");
}

static void the_agents_message_is_passed_on(void **state)
{
	static const char bad[] = "HTTP/1.0 400 Bad\r\n\r\n{\"error\":\"bad_parameter\",\"message\":\"must be a number\",\"parameter\":\"pid\"}";
	static const char bare[] = "HTTP/1.0 503 Busy\r\n\r\n";
	static const char evil[] = "HTTP/1.0 400 Bad\r\n\r\n{\"message\":\"\\u001b[31mred\\n\\u009b2J\"}";

	expect_refusal(bad, strlen(bad), -EINVAL, "sonde: pid: must be a number\n");
	expect_refusal(bare, strlen(bare), -EREMOTEIO, "HTTP status 503");
	expect_refusal(evil, strlen(evil), -EINVAL, "\\x1b[31mred");
	assert_null(strchr(said, 0x1b));
	assert_null(strstr(said, "\xc2\x9b"));
}

static void what_is_no_answer_is_refused(void **state)
{
	static const struct {
		const char *answer;
		const char *message;
	} cases[] = {
		{"", "it closed the connection"},
		{"HTTP/1.0 200 OK\r\nX", "the header ends early"},
		{"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP status line"},
		{"HTTP/1.0 20\r\n\r\n", "no HTTP status line"},
		{"HTTP/1.0 999 x\r\n\r\n", "a bad HTTP status"},
		{"HTTP/1.0 100 x\r\n\r\n", "a bad HTTP status"},
		{OK "Content-Length: x\r\n\r\n", "a bad Content-Length"},
		{OK "Content-Length: -1\r\n\r\n", "a bad Content-Length"},
		{OK "Content-Length: 99999999999999999999\r\n\r\n", "a bad Content-Length"},
		{OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"},
		{OK "Content-Length: 6\r\n\r\nhello", "broke off after 5 of 6 bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_refusal(cases[i].answer, strlen(cases[i].answer), -EBADMSG, cases[i].message);
	expect_refusal("HTTP/1.0 200\0OK\r\n\r\n", 19, -EBADMSG, "a NUL in the header");
}

static void sizes_are_limited(void **state)
{
	size_t length = SONDE_CLIENT_BODY_MAX + 1000000;
	char *text CLEANUP_FREE = malloc(length);

	assert_non_null(text);
	memset(text, 'x', length);
	memcpy(text, OK, strlen(OK));
	expect_refusal(text, SONDE_CLIENT_HEADER_MAX + 200000, -EBADMSG, "a header without end");
	memcpy(text, OK "\r\n", strlen(OK "\r\n"));
	expect_refusal(text, length, -EMSGSIZE, "larger than 64 MiB");
}

struct lines {
	char text[256];
	unsigned n, stop_at;
	int stop_with;
};

static int on_line(char *line, size_t length, void *userdata)
{
	struct lines *lines = userdata;

	assert_int_equal(strlen(line), length);
	snprintf(lines->text + strlen(lines->text), sizeof(lines->text) - strlen(lines->text), "<%s>", line);
	return ++lines->n == lines->stop_at ? lines->stop_with : 0;
}

static int ask_lines(const char *answer, size_t length, bool hang, struct lines *lines)
{
	struct server *server CLEANUP_FREE = calloc(1, sizeof(*server));
	const struct sonde_client_request request = {
		.socket = socket_path, .method = "GET", .path = "/x", .timeout_ms = 20000,
	};
	int r, saved, read_end;

	server->hang = hang;
	server_start(server, answer, length, 3);
	saved = said_begin(&read_end);
	r = sonde_client_lines(&request, on_line, NULL, lines);
	said_end(saved, read_end);
	pthread_join(server->thread, NULL);
	return r;
}

static void answers_come_line_by_line(void **state)
{
	static const char text[] = OK "\r\none\n\ntwo\nthree";
	struct lines lines = {0};

	assert_int_equal(ask_lines(text, strlen(text), false, &lines), 0);
	assert_string_equal(lines.text, "<one><><two><three>");
}

/* A stream never ends by itself: it is over when the callback has enough. */
static void a_callback_stops_a_stream(void **state)
{
	static const char text[] = OK "\r\n1\n2\n3\n4\n";
	struct lines lines = {.stop_at = 2, .stop_with = 1};

	assert_int_equal(ask_lines(text, strlen(text), true, &lines), 1);
	assert_string_equal(lines.text, "<1><2>");
	lines = (struct lines){.stop_at = 3, .stop_with = -EPIPE};
	assert_int_equal(ask_lines(text, strlen(text), true, &lines), -EPIPE);
	assert_string_equal(lines.text, "<1><2><3>");
	assert_string_equal(said, "");
}

static void a_line_without_end_is_refused(void **state)
{
	size_t length = SONDE_CLIENT_LINE_MAX + 200000;
	char *text CLEANUP_FREE = malloc(length);
	struct lines lines = {0};

	assert_non_null(text);
	memset(text, 'x', length);
	memcpy(text, OK "\r\n", strlen(OK "\r\n"));
	assert_int_equal(ask_lines(text, length, true, &lines), -EBADMSG);
	assert_non_null(strstr(said, "a line without end"));
	assert_int_equal(lines.n, 0);
}

static void the_request_is_as_meant(void **state)
{
	static const char answer[] = OK "\r\n{\"a\":1}";
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct server *server CLEANUP_FREE = calloc(1, sizeof(*server));
	struct sonde_client_request request = {
		.socket = socket_path, .method = "POST", .body = "{\"sql\":\"x\"}", .body_type = "application/json", .timeout_ms = 20000,
	};
	json_t *json CLEANUP(json_decrefp) = NULL;

	sonde_client_path(&path, "/api/v1/programs");
	sonde_client_segment(&path, "../a b");
	sonde_client_param(&path, "where", "a = \"\xc3\xa9&#\" and b\r\n");
	sonde_client_param(&path, "none", NULL);
	sonde_client_param(&path, "pid", "-7.~_");
	request.path = path.data;
	server_start(server, answer, strlen(answer), 100);
	assert_int_equal(sonde_client_json(&request, &json), 0);
	pthread_join(server->thread, NULL);
	assert_int_equal(json_integer_value(json_object_get(json, "a")), 1);
	assert_string_equal(server->request,
			    "POST /api/v1/programs/..%2Fa%20b?where=a%20%3D%20%22%C3%A9%26%23%22%20and%20b%0D%0A&pid=-7.~_ HTTP/1.0\r\n"
			    "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
			    "{\"sql\":\"x\"}");
}

static void without_an_agent_the_remedy_is_said(void **state)
{
	struct sonde_client_request request = {.method = "GET", .path = "/", .timeout_ms = 1000};
	struct sonde_buffer body CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	char path[200];
	int saved, read_end, r;

	snprintf(path, sizeof(path), "%s/none.sock", directory);
	request.socket = path;
	saved = said_begin(&read_end);
	r = sonde_client_body(&request, &body);
	said_end(saved, read_end);
	assert_int_equal(r, -ENOENT);
	assert_non_null(strstr(said, "no agent is listening on /tmp/sonde-client-"));
	assert_non_null(strstr(said, "start it with 'sonde run', or read its store with"));

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	saved = said_begin(&read_end);
	r = sonde_client_body(&request, &body);
	said_end(saved, read_end);
	assert_int_equal(r, -ENAMETOOLONG);
	assert_non_null(strstr(said, "longer than 107 bytes"));
}

static void *interrupt(void *userdata)
{
	struct server *server = userdata;

	/* The answer's first line is on its way; whether the client already waits or not must not matter. */
	while (!__atomic_load_n(&server->answered, __ATOMIC_ACQUIRE))
		sched_yield();
	kill(getpid(), SIGINT);
	return NULL;
}

static void a_signal_ends_a_request(void **state)
{
	static const char text[] = OK "\r\n1\n";
	struct server *server CLEANUP_FREE = calloc(1, sizeof(*server));
	const struct sonde_client_request request = {.socket = socket_path, .method = "GET", .path = "/x", .timeout_ms = -1};
	struct lines lines = {0};
	pthread_t thread;

	sonde_client_catch_signals();
	server->hang = true;
	server_start(server, text, strlen(text), 3);
	assert_int_equal(pthread_create(&thread, NULL, interrupt, server), 0);
	assert_int_equal(sonde_client_lines(&request, on_line, NULL, &lines), -EINTR);
	pthread_join(thread, NULL);
	pthread_join(server->thread, NULL);
}

static int setup(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!mkdtemp(directory))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4);
}

static int teardown(void **state)
{
	close(listener);
	unlink(socket_path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies),
		cmocka_unit_test(the_agents_message_is_passed_on),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(answers_come_line_by_line),
		cmocka_unit_test(a_callback_stops_a_stream),
		cmocka_unit_test(a_line_without_end_is_refused),
		cmocka_unit_test(the_request_is_as_meant),
		cmocka_unit_test(without_an_agent_the_remedy_is_said),
		cmocka_unit_test(a_signal_ends_a_request),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
