/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest HTTP client that is enough for the agent's socket. The answer is foreign input: header, lines and bodies
 * have limits, and a body that ends before its Content-Length is an error, not a short answer.
 */
#include <cli/client.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <base/cleanup.h>
#include <cli/json.h>
#include <cli/say.h>

#define READ_BYTES (64 * 1024)

struct client {
	const struct sonde_client_request *request;
	int fd;
	unsigned status;
	int64_t content_length; /* -1: to the end of the stream */
	int64_t received;
	struct sonde_buffer input; /* header, then what of the body is not yet consumed */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

void sonde_client_catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a write to a full pipe ends too */

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

void sonde_client_path(struct sonde_buffer *path, const char *route)
{
	sonde_buffer_add_text(path, route);
}

static void escape(struct sonde_buffer *path, const char *text)
{
	for (; *text; text++)
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			sonde_buffer_add_char(path, *text);
		else
			sonde_buffer_printf(path, "%%%02X", (unsigned char)*text);
}

void sonde_client_segment(struct sonde_buffer *path, const char *name)
{
	sonde_buffer_add_char(path, '/');
	escape(path, name);
}

void sonde_client_param(struct sonde_buffer *path, const char *name, const char *value)
{
	if (!value)
		return;
	sonde_buffer_add_char(path, memchr(path->data, '?', path->length) ? '&' : '?');
	sonde_buffer_add_text(path, name);
	sonde_buffer_add_char(path, '=');
	escape(path, value);
}

static int say_no_agent(const char *socket, int error)
{
	switch (-error) {
	case ENOENT:
	case ECONNREFUSED:
		return sonde_say_error(error, "no agent is listening on %s: start it with 'sonde run', or read its store with "
					      "'sonde events --store PATH'", socket);
	case EACCES:
	case EPERM:
		return sonde_say_error(error, "no right to use %s: run this as root or as a member of the socket's group", socket);
	default:
		return sonde_say_error(error, "the agent cannot be reached on %s: %s", socket, strerror(-error));
	}
}

static int client_connect(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = client->request->socket;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return sonde_say_error(-ENAMETOOLONG, "the socket's path is longer than %zu bytes: %s",
				       sizeof(address.sun_path) - 1, path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return say_no_agent(path, -errno);
	client->fd = fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return say_no_agent(path, -errno);
	return 0;
}

/* Signals are held back between the look at `interrupted` and the wait, so none is missed. */
static int poll_interruptible(struct pollfd *fd, const struct timespec *timeout)
{
	sigset_t held, before;
	int n;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, &before);
	n = interrupted ? -EINTR : ppoll(fd, 1, timeout, &before) < 0 ? -errno : fd->revents != 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return n;
}

/* Until the socket is ready, at most the request's timeout. */
static int client_wait(struct client *client, short events)
{
	struct pollfd fd = {.fd = client->fd, .events = events};
	int timeout_ms = client->request->timeout_ms, n;
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000l};

	do
		n = poll_interruptible(&fd, timeout_ms < 0 ? NULL : &timeout);
	while (n == -EINTR && !interrupted);
	if (n == -EINTR)
		return n;
	if (n < 0)
		return sonde_say_error(n, "waiting for the agent failed: %s", strerror(-n));
	if (n == 0)
		return sonde_say_error(-ETIMEDOUT, "the agent on %s has not answered for %d s: 'sonde status' may say why",
				       client->request->socket, timeout_ms / 1000);
	return 0;
}

static int client_send(struct client *client)
{
	const struct sonde_client_request *request = client->request;
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	size_t sent = 0, body_length = request->body ? strlen(request->body) : 0;
	ssize_t n;
	int r;

	sonde_buffer_printf(&text, "%s %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n", request->method, request->path);
	if (request->body_type)
		sonde_buffer_printf(&text, "Content-Type: %s\r\n", request->body_type);
	if (strcmp(request->method, "GET") != 0)
		sonde_buffer_printf(&text, "Content-Length: %zu\r\n", body_length);
	sonde_buffer_add_text(&text, "\r\n");
	sonde_buffer_add(&text, request->body, body_length);
	r = sonde_buffer_error(&text);
	if (r < 0)
		return sonde_say_error(r, "no memory left");
	while (sent < text.length) {
		r = client_wait(client, POLLOUT);
		if (r < 0)
			return r;
		n = send(client->fd, text.data + sent, text.length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EPIPE)
			return 0; /* it may have answered before it closed: a refusal */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return sonde_say_error(-errno, "the request could not be sent: %s", strerror(errno));
		if (n > 0)
			sent += (size_t)n;
	}
	return 0;
}

/* @return bytes read, 0 at the end; appended to the input. `block` false: -EAGAIN if nothing is there. */
static ssize_t client_receive(struct client *client, bool block)
{
	char bytes[READ_BYTES];
	ssize_t n;
	int r;

	for (;;) {
		if (interrupted)
			return -EINTR; /* also when there is always more to read */
		n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n >= 0)
			break;
		if (errno == ECONNRESET) {
			n = 0; /* as its end: the length tells whether all of it came */
			break;
		}
		if (errno != EAGAIN && errno != EINTR)
			return sonde_say_error(-errno, "the answer could not be read: %s", strerror(errno));
		if (!block)
			return -EAGAIN;
		r = client_wait(client, POLLIN);
		if (r < 0)
			return r;
	}
	sonde_buffer_add(&client->input, bytes, (size_t)n);
	r = sonde_buffer_error(&client->input);
	return r < 0 ? sonde_say_error(r, "no memory left") : n;
}

static int say_no_answer(const struct client *client, const char *what)
{
	return sonde_say_error(-EBADMSG, "what listens on %s did not answer like an agent: %s", client->request->socket, what);
}

static int header_parse(struct client *client, char *header)
{
	char *line, *rest = NULL, *end;

	line = strtok_r(header, "\r\n", &rest);
	if (!line || strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12 || line[8] != ' ')
		return say_no_answer(client, "no HTTP status line");
	client->status = (unsigned)strtoul(line + 9, NULL, 10);
	if (client->status < 200 || client->status > 599)
		return say_no_answer(client, "a bad HTTP status");
	while ((line = strtok_r(NULL, "\r\n", &rest))) {
		if (!strncasecmp(line, "Transfer-Encoding:", 18))
			return say_no_answer(client, "a chunked answer to HTTP/1.0");
		if (strncasecmp(line, "Content-Length:", 15) != 0)
			continue;
		errno = 0;
		client->content_length = strtoll(line + 15, &end, 10);
		if (errno || *end || client->content_length < 0)
			return say_no_answer(client, "a bad Content-Length");
	}
	return 0;
}

/* Everything up to the empty line; the rest of the input is the body's beginning. */
static int client_read_header(struct client *client)
{
	char *end;
	ssize_t n;
	size_t length;
	int r;

	for (;;) {
		end = client->input.length ? memmem(client->input.data, client->input.length, "\r\n\r\n", 4) : NULL;
		if (end)
			break;
		if (client->input.length > SONDE_CLIENT_HEADER_MAX)
			return say_no_answer(client, "a header without end");
		n = client_receive(client, true);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return say_no_answer(client, client->input.length ? "the header ends early" : "it closed the connection");
	}
	*end = '\0';
	length = (size_t)(end - client->input.data) + 4;
	if (memchr(client->input.data, 0, length - 4))
		return say_no_answer(client, "a NUL in the header");
	r = header_parse(client, client->input.data);
	if (r < 0)
		return r;
	client->input.length -= length;
	memmove(client->input.data, client->input.data + length, client->input.length);
	client->received = (int64_t)client->input.length;
	return 0;
}

/* @return 1: there is more, 0: the body is complete, negative: said. */
static int client_read_more(struct client *client, bool block)
{
	ssize_t n;

	if (client->content_length >= 0 && client->received >= client->content_length)
		return 0;
	n = client_receive(client, block);
	if (n < 0)
		return (int)n;
	if (n == 0 && client->content_length >= 0)
		return sonde_say_error(-EBADMSG, "the answer broke off after %" PRId64 " of %" PRId64 " bytes: the agent may have ended",
				       client->received, client->content_length);
	client->received += n;
	return n > 0;
}

static int client_read_body(struct client *client)
{
	int r;

	do {
		if (client->input.length > SONDE_CLIENT_BODY_MAX)
			return sonde_say_error(-EMSGSIZE, "the answer is larger than %d MiB: narrow the question, or use -n",
					       SONDE_CLIENT_BODY_MAX >> 20);
		r = client_read_more(client, true);
	} while (r > 0);
	return r;
}

/* The API's errors are {"error":..., "message":..., "parameter":...}. */
static int say_refused(struct client *client)
{
	json_t *json CLEANUP(json_decrefp) = NULL;
	const char *message = NULL, *parameter = NULL;
	int r = client_read_body(client);

	if (r < 0)
		return r;
	if (client->input.length)
		json = sonde_json_read(client->input.data, client->input.length, NULL);
	if (json) {
		message = json_string_value(json_object_get(json, "message"));
		parameter = json_string_value(json_object_get(json, "parameter"));
	}
	if (!message)
		return sonde_say_error(client->status == 400 ? -EINVAL : -EREMOTEIO, "the agent answered with HTTP status %u", client->status);
	return sonde_say_error(client->status == 400 ? -EINVAL : -EREMOTEIO, "%s%s%s", parameter ? parameter : "", parameter ? ": " : "", message);
}

static void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	sonde_buffer_free(&client->input);
}

/* Up to the first byte of a body with status 2xx. */
static int client_ask(struct client *client)
{
	int r;

	r = client_connect(client);
	if (r == 0)
		r = client_send(client);
	if (r == 0)
		r = client_read_header(client);
	if (r == 0 && client->status >= 300)
		r = say_refused(client);
	return r;
}

/* All whole lines of the input. @return as the callback. */
static int lines_give(struct client *client, size_t *scanned, sonde_client_line_fn line, void *userdata)
{
	size_t start = 0;
	char *end;
	int r = 0;

	while (r == 0 && *scanned < client->input.length) {
		end = memchr(client->input.data + *scanned, '\n', client->input.length - *scanned);
		if (!end) {
			*scanned = client->input.length;
			break;
		}
		*end = '\0';
		r = line(client->input.data + start, (size_t)(end - client->input.data) - start, userdata);
		start = *scanned = (size_t)(end - client->input.data) + 1;
	}
	if (start) {
		client->input.length -= start;
		*scanned -= start;
		memmove(client->input.data, client->input.data + start, client->input.length);
	}
	if (r == 0 && client->input.length > SONDE_CLIENT_LINE_MAX)
		return say_no_answer(client, "a line without end");
	return r;
}

int sonde_client_lines(const struct sonde_client_request *request, sonde_client_line_fn line, sonde_client_idle_fn idle,
		       void *userdata)
{
	struct client client CLEANUP(client_close) = {.request = request, .fd = -1, .content_length = -1};
	size_t scanned = 0;
	int r, more;

	r = client_ask(&client);
	if (r < 0)
		return r;
	do {
		r = lines_give(&client, &scanned, line, userdata);
		if (r != 0)
			return r;
		more = client_read_more(&client, false);
		if (more == -EAGAIN) {
			r = idle ? idle(userdata) : 0;
			if (r != 0)
				return r;
			more = client_read_more(&client, true);
		}
	} while (more > 0);
	if (more == 0 && client.input.length) { /* a last line without its end */
		sonde_buffer_add_char(&client.input, '\0');
		return line(client.input.data, client.input.length - 1, userdata);
	}
	return more;
}

int sonde_client_body(const struct sonde_client_request *request, struct sonde_buffer *ret_body)
{
	struct client client CLEANUP(client_close) = {.request = request, .fd = -1, .content_length = -1};
	int r;

	r = client_ask(&client);
	if (r == 0)
		r = client_read_body(&client);
	if (r < 0)
		return r;
	*ret_body = client.input;
	client.input = (struct sonde_buffer)SONDE_BUFFER_INIT;
	return 0;
}

int sonde_client_json(const struct sonde_client_request *request, json_t **ret_json)
{
	struct sonde_buffer body CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_error_t error;
	json_t *json;
	int r;

	r = sonde_client_body(request, &body);
	if (r < 0)
		return r;
	json = sonde_json_read(body.length ? body.data : "", body.length, &error);
	if (!json)
		return sonde_say_error(-EBADMSG, "what listens on %s did not answer like an agent: %s", request->socket, error.text);
	*ret_json = json;
	return 0;
}
