/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open connections and their deadlines. A connection that must go is shut down, never closed: libmicrohttpd owns the
 * descriptor, sees the end of file and closes it. It tells us before it closes (MHD_CONNECTION_NOTIFY_CLOSED), so under
 * the lock a number in the list always means the socket it was listed for.
 */
#include <http/connection.h>

#include <http/server.h>

#include <base/clock.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* CLOCK_MONOTONIC, since condition variables know no boot clock. */
int64_t sonde_connection_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SONDE_NS_PER_S + now.tv_nsec;
}

void sonde_connections_init(struct sonde_connections *connections, unsigned max)
{
	pthread_condattr_t attributes;

	*connections = (struct sonde_connections){.max = max};
	TAILQ_INIT(&connections->list);
	pthread_mutex_init(&connections->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&connections->idle, &attributes);
	pthread_condattr_destroy(&attributes);
}

void sonde_connections_destroy(struct sonde_connections *connections)
{
	pthread_cond_destroy(&connections->idle);
	pthread_mutex_destroy(&connections->lock);
}

static void connection_set(struct sonde_connection *connection, enum sonde_connection_state state)
{
	struct sonde_connections *connections = connection->connections;

	if (connection->state == SONDE_CONNECTION_ANSWERING && --connections->answering == 0)
		pthread_cond_broadcast(&connections->idle);
	if (connection->state == SONDE_CONNECTION_STREAMING && --connections->streaming == 0)
		pthread_cond_broadcast(&connections->idle);
	connections->answering += state == SONDE_CONNECTION_ANSWERING;
	connections->streaming += state == SONDE_CONNECTION_STREAMING;
	connection->state = state;
	connection->since_ns = sonde_connection_now_ns();
}

static void connection_shut_down(struct sonde_connection *connection)
{
	connection_set(connection, SONDE_CONNECTION_CLOSING);
	shutdown(connection->fd, SHUT_RDWR);
}

/* Whoever has waited longest without a whole request is the least loss. Answers in progress are never cut for this. */
static void connections_evict(struct sonde_connections *connections)
{
	struct sonde_connection *connection, *oldest = NULL;

	TAILQ_FOREACH(connection, &connections->list, entry)
		if (connection->state == SONDE_CONNECTION_WAITING && (!oldest || connection->since_ns < oldest->since_ns))
			oldest = connection;
	if (!oldest)
		return;
	connection_shut_down(oldest);
	connections->evicted++;
}

struct sonde_connection *sonde_connection_add(struct sonde_connections *connections, int fd)
{
	struct sonde_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->connections = connections;
	connection->fd = fd;
	connection->since_ns = sonde_connection_now_ns();
	pthread_mutex_lock(&connections->lock);
	if (connections->count >= connections->max)
		connections_evict(connections);
	TAILQ_INSERT_TAIL(&connections->list, connection, entry);
	connections->count++;
	connections->accepted++;
	pthread_mutex_unlock(&connections->lock);
	return connection;
}

void sonde_connection_remove(struct sonde_connection *connection)
{
	struct sonde_connections *connections = connection->connections;

	pthread_mutex_lock(&connections->lock);
	connection_set(connection, SONDE_CONNECTION_CLOSING);
	TAILQ_REMOVE(&connections->list, connection, entry);
	connections->count--;
	pthread_mutex_unlock(&connections->lock);
	free(connection);
}

void sonde_connection_set(struct sonde_connection *connection, enum sonde_connection_state state)
{
	pthread_mutex_lock(&connection->connections->lock);
	if (connection->state != SONDE_CONNECTION_CLOSING)
		connection_set(connection, state);
	pthread_mutex_unlock(&connection->connections->lock);
}

bool sonde_connections_check(struct sonde_connections *connections, int64_t now_ns)
{
	struct sonde_connection *connection;
	int64_t age_ns;
	bool open;

	pthread_mutex_lock(&connections->lock);
	TAILQ_FOREACH(connection, &connections->list, entry) {
		age_ns = now_ns - connection->since_ns;
		if ((connection->state == SONDE_CONNECTION_WAITING && age_ns > SONDE_HTTP_REQUEST_S * SONDE_NS_PER_S) ||
		    (connection->state == SONDE_CONNECTION_ANSWERING && age_ns > SONDE_HTTP_ANSWER_S * SONDE_NS_PER_S)) {
			connection_shut_down(connection);
			connections->timed_out++;
		}
	}
	open = connections->count;
	pthread_mutex_unlock(&connections->lock);
	return open;
}

static void wait_until_none(struct sonde_connections *connections, const unsigned *n, int64_t deadline_ns)
{
	struct timespec deadline = {deadline_ns / SONDE_NS_PER_S, deadline_ns % SONDE_NS_PER_S};

	while (*n && !pthread_cond_timedwait(&connections->idle, &connections->lock, &deadline))
		;
}

void sonde_connections_wait_idle(struct sonde_connections *connections, int64_t deadline_ns, int64_t stream_deadline_ns)
{
	pthread_mutex_lock(&connections->lock);
	wait_until_none(connections, &connections->answering, deadline_ns);
	wait_until_none(connections, &connections->streaming, stream_deadline_ns);
	pthread_mutex_unlock(&connections->lock);
}

void sonde_connections_status(struct sonde_connections *connections, struct sonde_connections_status *ret_status)
{
	pthread_mutex_lock(&connections->lock);
	*ret_status = (struct sonde_connections_status){
		.open = connections->count,
		.accepted = connections->accepted,
		.evicted = connections->evicted,
		.timed_out = connections->timed_out,
	};
	pthread_mutex_unlock(&connections->lock);
}
