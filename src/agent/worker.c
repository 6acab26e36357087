/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker process. It gives up every right before it looks at anything, then opens the store and the faces and does what
 * the loader says. When the loader is gone (end of the socket) it saves what is in the rings and ends.
 */
#include <agent/worker.h>

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <agent/worker_private.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <security/privileges.h>

#define BEAT_MS 5000 /* the loader waits four times as long */
#define LARGE_BYTES (128 * 1024) /* from here on a block is given back to the system when it is freed */
#define EXIT_CANNOT_START 3

static int worker_hello(struct worker *worker)
{
	struct pollfd first = {.fd = worker->socket, .events = POLLIN};
	int fds[SONDE_MESSAGE_FDS_MAX], r;
	struct sonde_message message;
	unsigned n_fds = 0;

	if (poll(&first, 1, -1) < 0)
		return -errno;
	r = sonde_message_receive(worker->socket, &message, fds, &n_fds);
	if (r != 1 || message.kind != SONDE_MESSAGE_HELLO || n_fds < 2)
		return r < 0 ? r : -EPIPE;
	if (pread(fds[0], &worker->config, sizeof(worker->config), 0) != sizeof(worker->config))
		return -EIO;
	worker->shared = mmap(NULL, WORKER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	worker->kallsyms_fd = n_fds > 2 ? fds[2] : -1;
	close(fds[0]);
	close(fds[1]);
	return worker->shared == MAP_FAILED ? -errno : 0;
}

static int worker_open(struct worker *worker)
{
	const struct sonde_config *config = &worker->config;
	struct sonde_enrich_opts enrich = {.kallsyms_fd = worker->kallsyms_fd};
	struct sonde_writer_opts writer = {
		.commit_interval_ns = config->store.commit_interval_ns, .starting = true,
		.noted = (struct sonde_noted *)(worker->shared + WORKER_CHECKPOINTS_BYTES),
	};
	struct sonde_store_opts store = {
		.path = config->store.path, .max_bytes = config->store.max_bytes, .max_age_ns = config->store.max_age_ns,
		.merge_cpu_pct = config->store.merge_cpu_pct,
		.checkpoints = worker->shared, .checkpoints_size = WORKER_CHECKPOINTS_BYTES,
	};
	struct sonde_http_opts http = {
		.metrics = config->listen.metrics, .health = config->listen.health, .api = config->listen.api,
		.socket = config->listen.socket,
	};
	int r;

	r = sonde_enrich_new(&enrich, &worker->enrich);
	if (r >= 0)
		r = sonde_bus_new(&worker->bus);
	if (r >= 0)
		r = sonde_window_new(sonde_clock_boot_ns(), &worker->window);
	if (r < 0)
		return sonde_log_err(r, "cannot start");
	store.names = sonde_enrich_names(worker->enrich);
	r = sonde_store_open(&store, &worker->store);
	if (r < 0)
		return sonde_log_err(0, "cannot open the store '%s': %s", store.path,
				     sonde_store_error(NULL)[0] ? sonde_store_error(NULL) : strerror(-r)) ?: r;
	writer.store = worker->store;
	r = sonde_writer_new(&writer, &worker->writer);
	if (r < 0)
		return sonde_log_err(r, "cannot start the store's writer");
	worker_view_init(worker);
	return sonde_http_new(&worker->view, &http, &worker->http);
}

/* Everything that is in the rings gets into the store; then the faces close. */
static void worker_finish(struct worker *worker)
{
	int64_t limit = worker->config.shutdown_timeout_ns * 6 / 10, start = sonde_clock_boot_ns();

	worker->stopping = true;
	sonde_store_interrupt(worker->store); /* a query that runs would take from the time for the rings */
	sonde_writer_stop(worker->writer, start + limit / 2);
	worker_programs_stop(worker);
	sonde_http_free(&worker->http, limit / 4);
	sonde_writer_free(&worker->writer, start + limit);
	for (unsigned i = 0; i < worker->n_programs; i++)
		sonde_source_free(&worker->programs[i].source);
	sonde_store_close(&worker->store);
}

/* @return 1: go on, 0: the end. */
static int worker_message(struct worker *worker)
{
	int fds[SONDE_MESSAGE_FDS_MAX], r;
	struct sonde_message message;
	unsigned n_fds = 0;

	r = sonde_message_receive(worker->socket, &message, fds, &n_fds);
	if (r == -EAGAIN)
		return 1;
	if (r != 1) {
		sonde_log_warning("the loader is gone: saving what is in the rings");
		worker_programs_tell_unreported(worker);
		return 0;
	}
	switch (message.kind) {
	case SONDE_MESSAGE_PROGRAM:
		(void)worker_program_add(worker, &message, fds, n_fds);
		break;
	case SONDE_MESSAGE_STATUS:
		worker_program_status(worker, &message.status);
		break;
	case SONDE_MESSAGE_GONE:
		worker_program_gone(worker, message.status.name, message.at_ns);
		message.kind = SONDE_MESSAGE_DRAINED;
		(void)sonde_message_send(worker->socket, &message, NULL, 0);
		break;
	case SONDE_MESSAGE_STARTED:
		worker_programs_tell_gaps(worker);
		if (!worker->started)
			sonde_writer_started(worker->writer);
		worker->started = true;
		break;
	case SONDE_MESSAGE_STOP:
		worker->stopping = true;
		break;
	case SONDE_MESSAGE_FINISH:
		return 0;
	case SONDE_MESSAGE_REPLY:
		worker_reply(worker, &message);
		break;
	default:
		sonde_log_warning("unknown message %u of the loader", message.kind);
	}
	return 1;
}

static void worker_loop(struct worker *worker)
{
	struct sonde_message alive = {.kind = SONDE_MESSAGE_ALIVE};
	struct pollfd socket = {.fd = worker->socket, .events = POLLIN};
	int64_t next_beat = 0;
	bool on = true;

	while (on) {
		int64_t now = sonde_clock_boot_ns();

		worker->beat_ns = now;
		if (now >= next_beat) {
			alive.error = worker_alive(worker, alive.text, sizeof(alive.text)) ? 0 : -ETIMEDOUT;
			(void)sonde_message_send(worker->socket, &alive, NULL, 0);
			next_beat = now + BEAT_MS * SONDE_NS_PER_MS;
		}
		if (poll(&socket, 1, BEAT_MS) > 0) {
			worker->beat_ns = sonde_clock_boot_ns(); /* the wait was no standstill */
			on = worker_message(worker);
		}
	}
}

int sonde_worker_run(int socket)
{
	CLEANUP_FREE struct worker *worker = calloc(1, sizeof(*worker));
	struct sonde_message ready = {.kind = SONDE_MESSAGE_READY};
	struct sonde_user user;
	sigset_t signals;
	int r;

	sonde_log_set_name("worker");
	(void)prctl(PR_SET_NAME, "sonde-worker"); /* else it is called as what was executed: exe */
	/* A heap for each thread, and a threshold that grows with each batch that is freed, keep what a burst took. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	/* The terminal's Ctrl-C reaches the loader, which ends us in order; its death is the end of the socket. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!worker)
		return EXIT_CANNOT_START;
	worker->socket = socket;
	worker->kallsyms_fd = -1;
	worker->started_ns = sonde_clock_wall_ns();
	pthread_rwlock_init(&worker->lock, NULL);
	pthread_mutex_init(&worker->control_lock, NULL);
	pthread_mutex_init(&worker->request_lock, NULL);
	pthread_cond_init(&worker->request_done, NULL);
	r = worker_hello(worker);
	if (r < 0)
		return sonde_log_err(EXIT_CANNOT_START, "the loader does not greet: %s", strerror(-r));
	sonde_log_set_level(worker->config.log_level);
	r = sonde_user_find(worker->config.user, &user);
	if (r >= 0)
		r = sonde_privileges_drop(&user);
	if (r < 0)
		return sonde_log_err(EXIT_CANNOT_START, "cannot give up rights: %s", strerror(-r));
	worker->beat_ns = sonde_clock_boot_ns();
	r = worker_open(worker);
	if (r < 0)
		return EXIT_CANNOT_START;
	(void)sonde_message_send(socket, &ready, NULL, 0);
	worker_loop(worker);
	worker_finish(worker);
	return 0;
}
