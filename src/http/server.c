/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners: four libmicrohttpd daemons of one thread each, so that whoever hurts one leaves the others alone.
 * Order of the end: stop accepting, let answers finish, end streams and jobs, and only then stop the daemons, which
 * must not have a suspended connection left.
 */
#include <http/server.h>

#include <http/address.h>
#include <http/health.h>
#include <http/metrics.h>
#include <http/request.h>
#include <export/prometheus.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* Connections that were shut down for a new one are collected a moment later: room for both. */
#define CONNECTIONS_SPARE 16
#define STREAM_END_NS (500 * SONDE_NS_PER_MS) /* for clients to take the end of their streams */
#define STACK_BYTES (256 * 1024)
/* What the kernel buffers for a client that does not read; also bounds what is sent to it in vain. */
#define SEND_BYTES (128 * 1024)
#define SMALL_HEADER_MAX (8 * 1024)

const char *sonde_listener_name(enum sonde_listener_kind kind)
{
	static const char *const names[] = {"metrics", "health", "api", "socket"};

	return names[kind];
}

static void listener_notify(void *userdata, struct MHD_Connection *connection, void **context,
			    enum MHD_ConnectionNotificationCode code)
{
	struct sonde_listener *listener = userdata;
	static _Thread_local bool named;
	const union MHD_ConnectionInfo *info;
	int bytes = SEND_BYTES;

	/* The agent's own connections are events too: under its name, not under that of a library's thread. */
	if (!named)
		named = !pthread_setname_np(pthread_self(), "sonde-http");

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (*context)
			sonde_connection_remove(*context);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!info)
		return;
	(void)setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	*context = sonde_connection_add(&listener->connections, info->connect_fd);
	sonde_watch_connection(listener->http);
}

__attribute__((format(printf, 2, 0)))
static void listener_log(void *userdata, const char *format, va_list args)
{
	char text[256];

	/* Mostly what clients did wrong: of no interest unless one looks for it. */
	vsnprintf(text, sizeof(text), format, args);
	sonde_log_debug("http %s: %.*s", sonde_listener_name(((struct sonde_listener *)userdata)->kind),
			(int)strcspn(text, "\n"), text);
}

static int listener_start(struct sonde_listener *listener, int fd)
{
	bool api = listener->kind == SONDE_LISTENER_API || listener->kind == SONDE_LISTENER_SOCKET;
	MHD_AccessHandlerCallback handler = api					? sonde_request_handle :
					    listener->kind == SONDE_LISTENER_HEALTH ? sonde_health_handle :
										      sonde_metrics_handle;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	listener->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handler, listener,
		MHD_OPTION_EXTERNAL_LOGGER, listener_log, listener, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, listener->connections.max + CONNECTIONS_SPARE,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(api ? SONDE_HTTP_HEADER_MAX : SMALL_HEADER_MAX),
		MHD_OPTION_CONNECTION_TIMEOUT, SONDE_HTTP_STALL_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
		MHD_OPTION_NOTIFY_CONNECTION, listener_notify, listener, MHD_OPTION_NOTIFY_COMPLETED,
		api ? sonde_request_completed : sonde_health_completed, listener, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return listener->daemon ? 0 : -ENOMEM;
}

static int listener_open_tcp(struct sonde_listener *listener, const char *text)
{
	struct sockaddr_storage address;
	CLEANUP_CLOSE int fd = -1;
	socklen_t length;
	int r;

	if (!text || !*text)
		return 0;
	r = sonde_address_parse(text, &address, &length);
	if (r < 0)
		return sonde_log_err(r, "cannot listen for %s on '%s': expected ADDRESS:PORT, :PORT or [IPV6]:PORT",
				     sonde_listener_name(listener->kind), text);
	if (listener->kind == SONDE_LISTENER_API && !sonde_address_is_loopback(&address))
		sonde_log_warning("the API on %s is open to the network: whoever reaches it can read what this host does", text);
	fd = sonde_address_listen(&address, length);
	if (fd < 0)
		return sonde_log_err(fd, "cannot listen for %s on '%s'%s", sonde_listener_name(listener->kind), text,
				     fd == -EADDRINUSE ? " (is another agent running? see: ss -ltnp)" : "");
	r = listener_start(listener, fd);
	if (r < 0)
		return sonde_log_err(r, "cannot start the listener for %s", sonde_listener_name(listener->kind));
	listener->fd = TAKE_FD(fd);
	return 0;
}

static int listener_open_unix(struct sonde_listener *listener, const char *path)
{
	CLEANUP_CLOSE int fd = -1;
	int r;

	if (!path || !*path)
		return 0;
	fd = sonde_address_listen_unix(path);
	if (fd < 0)
		return sonde_log_err(fd, "cannot listen on the socket '%s'%s", path,
				     fd == -EADDRINUSE ? " (another agent listens there)" :
				     fd == -EEXIST     ? " (something that is no socket stands there)" :
							 "");
	strcpy(listener->http->socket_address.sun_path, path); /* fits: it was bound */
	r = listener_start(listener, fd);
	if (r < 0)
		return sonde_log_err(r, "cannot start the listener on '%s'", path);
	listener->fd = TAKE_FD(fd);
	return 0;
}

static int http_start(struct sonde_http *http, const struct sonde_http_opts *opts)
{
	int r = sonde_prometheus_new(&http->prometheus);

	if (!r)
		r = sonde_watch_start(http);
	if (r < 0)
		return sonde_log_err(r, "cannot start the HTTP listeners");
	r = listener_open_tcp(&http->listeners[SONDE_LISTENER_HEALTH], opts->health);
	if (!r)
		r = listener_open_tcp(&http->listeners[SONDE_LISTENER_METRICS], opts->metrics);
	if (!r)
		r = listener_open_tcp(&http->listeners[SONDE_LISTENER_API], opts->api);
	if (!r)
		r = listener_open_unix(&http->listeners[SONDE_LISTENER_SOCKET], opts->socket);
	return r;
}

int sonde_http_new(const struct sonde_view *view, const struct sonde_http_opts *opts, struct sonde_http **ret_http)
{
	struct sonde_http *http = calloc(1, sizeof(*http));
	int r;

	if (!http)
		return -ENOMEM;
	http->view = view;
	http->epoll_fd = http->wake_fd = -1;
	pthread_mutex_init(&http->streams_lock, NULL);
	LIST_INIT(&http->streams);
	for (unsigned i = 0; i < SONDE_LISTENER_MAX; i++) {
		struct sonde_listener *listener = &http->listeners[i];

		listener->http = http;
		listener->kind = (enum sonde_listener_kind)i;
		listener->fd = -1;
		sonde_connections_init(&listener->connections,
				       opts->max_connections ? opts->max_connections : SONDE_HTTP_CONNECTIONS_MAX);
	}
	r = sonde_jobs_start(&http->jobs);
	if (!r)
		r = http_start(http, opts);
	if (r < 0) {
		sonde_http_free(&http, 0);
		return r;
	}
	*ret_http = http;
	return 0;
}

int sonde_http_port(const struct sonde_http *http, const char *listener_name)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	for (unsigned i = 0; i < SONDE_LISTENER_SOCKET; i++) {
		const struct sonde_listener *listener = &http->listeners[i];

		if (strcmp(sonde_listener_name(listener->kind), listener_name))
			continue;
		if (!listener->daemon || getsockname(listener->fd, (struct sockaddr *)&address, &length))
			return -ENOTCONN;
		return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port :
							    ((struct sockaddr_in6 *)&address)->sin6_port);
	}
	return -ENOENT;
}

static void http_finish(struct sonde_http *http, int64_t timeout_ns)
{
	int64_t deadline_ns = sonde_connection_now_ns() + timeout_ns, stream_deadline_ns;

	/* First the file, so that a new agent can take the place at once. */
	if (http->socket_address.sun_path[0])
		unlink(http->socket_address.sun_path);
	/* Probes are answered, and say "stopping", until the last moment. */
	for (unsigned i = SONDE_LISTENER_API; i < SONDE_LISTENER_MAX; i++)
		if (http->listeners[i].daemon)
			MHD_quiesce_daemon(http->listeners[i].daemon);
	http->stopping = true;
	sonde_watch_stop(http);
	stream_deadline_ns = sonde_connection_now_ns() + STREAM_END_NS;
	stream_deadline_ns = stream_deadline_ns < deadline_ns ? stream_deadline_ns : deadline_ns;
	for (unsigned i = 0; i < SONDE_LISTENER_MAX; i++)
		sonde_connections_wait_idle(&http->listeners[i].connections, deadline_ns, stream_deadline_ns);
	http->cancelled = true;
}

void sonde_http_free(struct sonde_http **pointer, int64_t timeout_ns)
{
	struct sonde_http *http = TAKE_PTR(*pointer);

	if (!http)
		return;
	http_finish(http, timeout_ns);
	sonde_jobs_stop(&http->jobs);
	for (unsigned i = 0; i < SONDE_LISTENER_MAX; i++) {
		struct sonde_listener *listener = &http->listeners[i];

		if (listener->daemon) {
			MHD_quiesce_daemon(listener->daemon); /* else it would close our descriptor */
			MHD_stop_daemon(listener->daemon);
		}
		if (listener->fd >= 0)
			close(listener->fd);
		sonde_connections_destroy(&listener->connections);
	}
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	if (http->wake_fd >= 0)
		close(http->wake_fd);
	sonde_metrics_free(http);
	sonde_prometheus_free(&http->prometheus);
	pthread_mutex_destroy(&http->streams_lock);
	free(http);
}
