/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's child. It may die at any time: the rings, the maps and the hooks are held here, so a new one finds every event
 * that the last one had not stored.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <agent/loader_private.h>
#include <agent/worker_private.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>

#define ALIVE_LIMIT_NS (20 * SONDE_NS_PER_S)
#define RESPAWN_MAX_NS (5 * SONDE_NS_PER_S)
#define WORKER_SOCKET 3

static int memory_file(const char *name, const void *content, size_t size)
{
	CLEANUP_CLOSE int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		return -errno;
	if (content && pwrite(fd, content, size, 0) != (ssize_t)size)
		return -EIO;
	return TAKE_FD(fd);
}

int loader_worker_init(struct loader *loader)
{
	loader->socket = -1;
	loader->config_fd = memory_file("sonde-config", loader->config, sizeof(*loader->config));
	loader->checkpoints_fd = memory_file("sonde-checkpoints", NULL, WORKER_SHARED_BYTES);
	/* Opened with the right to see addresses, it keeps showing them to whoever reads it. */
	loader->kallsyms_fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	return loader->config_fd < 0 ? loader->config_fd : loader->checkpoints_fd < 0 ? loader->checkpoints_fd : 0;
}

/* In the child, between fork and exec: only async-signal-safe calls. */
static void worker_exec(int socket)
{
	char *const arguments[] = {(char *)"sonde", (char *)"worker", NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (socket == WORKER_SOCKET ? fcntl(socket, F_SETFD, 0) : dup2(socket, WORKER_SOCKET) < 0)
		_exit(127);
	execv("/proc/self/exe", arguments);
	_exit(127);
}

int loader_worker_spawn(struct loader *loader)
{
	int fds[] = {loader->config_fd, loader->checkpoints_fd, loader->kallsyms_fd};
	struct sonde_message hello = {.kind = SONDE_MESSAGE_HELLO};
	CLEANUP_CLOSE int theirs = -1;
	int pair[2];

	loader->spawn_at_ns = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	loader->socket = pair[0];
	theirs = pair[1];
	loader->worker = fork();
	if (loader->worker < 0) {
		loader->worker = 0;
		return -errno;
	}
	if (!loader->worker)
		worker_exec(theirs);
	loader->worker_ready = loader->worker_lost = false;
	loader->last_alive_ns = sonde_clock_awake_ns();
	loader_send(loader, &hello, fds, loader->kallsyms_fd >= 0 ? 3 : 2);
	loader_programs_tell(loader);
	return 0;
}

void loader_send(struct loader *loader, const struct sonde_message *message, const int *fds, unsigned n_fds)
{
	int r = loader->socket < 0 || loader->worker_lost ? 0 : sonde_message_send(loader->socket, message, fds, n_fds);

	if (r >= 0)
		return;
	/* A worker that is gone is noticed by its end; one that does not listen for a second is as good as gone. */
	loader->worker_lost = true;
	if (r == -EAGAIN && loader->worker > 0) {
		sonde_log_warning("the worker does not take messages: ending it");
		kill(loader->worker, SIGKILL);
	}
}

int loader_worker_died(struct loader *loader, int status)
{
	bool was_ready = loader->worker_ready;

	close(loader->socket);
	loader->socket = -1;
	loader->worker = 0;
	loader->worker_ready = false;
	if (loader->stopping)
		return 0;
	if (!loader->ever_ready && WIFEXITED(status)) {
		sonde_log_err(0, "the worker cannot start (code %d): its message stands above", WEXITSTATUS(status));
		return -ECANCELED;
	}
	if (WIFSIGNALED(status))
		sonde_log_warning("the worker was ended by signal %d (%s): starting a new one", WTERMSIG(status),
				  sigabbrev_np(WTERMSIG(status)) ?: "?");
	else
		sonde_log_warning("the worker ended with code %d: starting a new one", WEXITSTATUS(status));
	/* At once the first time; slower when it dies again and again before it is of use. */
	loader->failures = was_ready ? 0 : loader->failures + 1;
	loader->spawn_at_ns = sonde_clock_boot_ns();
	if (loader->failures) {
		int64_t wait = 50 * SONDE_NS_PER_MS << (loader->failures < 8 ? loader->failures : 8);

		loader->spawn_at_ns += wait < RESPAWN_MAX_NS ? wait : RESPAWN_MAX_NS;
	}
	return 0;
}

static int worker_receive(struct loader *loader, struct sonde_message *ret_message)
{
	int fds[SONDE_MESSAGE_FDS_MAX], r;
	unsigned n_fds = 0;

	r = sonde_message_receive(loader->socket, ret_message, fds, &n_fds);
	/* The worker has no business sending descriptors. */
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
	return r;
}

static void worker_handle(struct loader *loader, const struct sonde_message *message)
{
	switch (message->kind) {
	case SONDE_MESSAGE_READY:
		loader->worker_ready = loader->ever_ready = true;
		loader->failures = 0;
		break;
	case SONDE_MESSAGE_ALIVE:
		if (!message->error)
			loader->last_alive_ns = sonde_clock_awake_ns();
		break;
	case SONDE_MESSAGE_DRAINED: /* of a program that nobody waits for any more */
		break;
	case SONDE_MESSAGE_REQUEST:
		loader_request(loader, message);
		break;
	default:
		sonde_log_warning("the worker sent an unknown message (%u)", message->kind);
	}
}

int loader_worker_message(struct loader *loader)
{
	struct sonde_message message;
	int r = worker_receive(loader, &message);

	if (r == 1)
		worker_handle(loader, &message);
	return r;
}

int loader_worker_wait_drained(struct loader *loader, const char *name, int64_t timeout_ns)
{
	int64_t end = sonde_clock_boot_ns() + timeout_ns, left;
	struct sonde_message message;

	while (loader->socket >= 0 && (left = end - sonde_clock_boot_ns()) > 0) {
		struct pollfd fd = {.fd = loader->socket, .events = POLLIN};
		int r;

		if (poll(&fd, 1, (int)(left / SONDE_NS_PER_MS) + 1) <= 0)
			continue;
		r = worker_receive(loader, &message);
		if (r == 0)
			return -EPIPE;
		if (r != 1)
			continue;
		if (message.kind == SONDE_MESSAGE_DRAINED && !strcmp(message.status.name, name))
			return 0;
		if (message.kind == SONDE_MESSAGE_REQUEST) {
			message.kind = SONDE_MESSAGE_REPLY;
			message.error = -EBUSY;
			snprintf(message.text, sizeof(message.text), "another program is being stopped");
			loader_send(loader, &message, NULL, 0);
		} else {
			worker_handle(loader, &message);
		}
	}
	return loader->socket < 0 ? -EPIPE : -ETIMEDOUT;
}

int64_t loader_worker_watch(struct loader *loader)
{
	int64_t now = sonde_clock_boot_ns(), awake = sonde_clock_awake_ns();

	if (loader->worker && awake - loader->last_alive_ns > ALIVE_LIMIT_NS) {
		sonde_log_err(0, "the worker has made no progress for %lld s: ending it",
			      (long long)(ALIVE_LIMIT_NS / SONDE_NS_PER_S));
		kill(loader->worker, SIGKILL);
		loader->last_alive_ns = awake;
	}
	if (loader->worker)
		return loader->last_alive_ns + ALIVE_LIMIT_NS + 1 - awake;
	if (!loader->spawn_at_ns || loader->stopping)
		return SONDE_NS_PER_S;
	if (loader->spawn_at_ns <= now && loader_worker_spawn(loader) < 0)
		loader->spawn_at_ns = now + SONDE_NS_PER_S;
	return loader->spawn_at_ns ? loader->spawn_at_ns - now : SONDE_NS_PER_S;
}
