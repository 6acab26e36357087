/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch thread: wakes streams that have something to send and closes connections that are beyond their deadline. While there is
 * no connection it rests until there is one. Invariant: a connection is listed before it looks at `resting`, and `resting` is set
 * before the lists are looked at, so one of the two sees the other.
 */
#include <http/server.h>
#include <http/stream.h>

#include <base/clock.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (128 * 1024)
#define CHECK_NS SONDE_NS_PER_S

static void check(struct sonde_http *http, int64_t now_ns)
{
	bool open = false;

	sonde_streams_look(http);
	sonde_streams_check(http, false);
	http->resting = true;
	for (unsigned i = 0; i < SONDE_LISTENER_MAX; i++)
		open |= sonde_connections_check(&http->listeners[i].connections, now_ns);
	if (open)
		http->resting = false;
}

static void *watch_main(void *userdata)
{
	struct sonde_http *http = userdata;
	struct epoll_event events[SONDE_HTTP_STREAMS_MAX + 1];
	int64_t now_ns, checked_ns = sonde_connection_now_ns();
	eventfd_t ignored;
	bool stop = false;
	int n;

	while (!stop) {
		n = epoll_wait(http->epoll_fd, events, (int)(sizeof(events) / sizeof(events[0])),
			       http->resting ? -1 : (int)(CHECK_NS / SONDE_NS_PER_MS));
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64) {
				sonde_streams_ready(http, events[i].data.u64);
				continue;
			}
			(void)eventfd_read(http->wake_fd, &ignored);
			stop = http->stopping;
			sonde_streams_check(http, stop);
		}
		now_ns = sonde_connection_now_ns();
		if (now_ns - checked_ns < CHECK_NS)
			continue;
		checked_ns = now_ns;
		check(http, now_ns);
	}
	return NULL;
}

void sonde_watch_connection(struct sonde_http *http)
{
	if (atomic_exchange(&http->resting, false))
		sonde_watch_wake(http);
}

void sonde_watch_wake(struct sonde_http *http)
{
	(void)eventfd_write(http->wake_fd, 1);
}

int sonde_watch_start(struct sonde_http *http)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (http->epoll_fd < 0 || http->wake_fd < 0 || epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->wake_fd, &event))
		return -errno;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&http->watch, &attributes, watch_main, http);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	http->watching = !r;
	return r;
}

void sonde_watch_stop(struct sonde_http *http)
{
	if (http->watching) {
		sonde_watch_wake(http);
		pthread_join(http->watch, NULL);
		http->watching = false;
	}
}
