/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's first process. Life: prepare paths, spawn the worker, start the programs while the worker opens its store, watch
 * both, and on SIGTERM or SIGINT: not ready, hooks off, the worker takes what is in the rings and ends, done.
 * Nothing stays attached when this process ends, however it ends: the kernel closes its links. Only filters of clsact (bpf/clsact.h)
 * stay when it is killed; the next one removes them.
 */
#include <agent/loader.h>

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <agent/loader_private.h>
#include <agent/prepare.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <bpf/clsact.h>

static int signals_open(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &signals, NULL))
		return -errno;
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Children that ended. @return 0, -ECANCELED: no use without a worker. */
static int loader_reap(struct loader *loader)
{
	int status, r = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == loader->follower) {
			loader->follower = 0;
			loader->follows_at_ns = loader->follows_next ? sonde_clock_boot_ns() : 0;
		} else if (pid == loader->worker && loader_worker_died(loader, status) < 0) {
			r = -ECANCELED;
		}
	}
	return r;
}

/* @return 1: end in order, 0: go on, negative: cannot go on. */
static int loader_signals(struct loader *loader, int fd)
{
	struct signalfd_siginfo info;
	char error[512];
	int r = 0;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			return 1;
		if (info.ssi_signo == SIGCHLD)
			r = loader_reap(loader);
		else if (loader_reload(loader, error, sizeof(error)) < 0)
			sonde_log_err(0, "the configuration was not taken: %s", error);
		else
			sonde_log_info("configuration: %s", error);
		if (r < 0)
			return r;
	}
	return 0;
}

static void loader_say_ready(struct loader *loader)
{
	const struct sonde_config *c = loader->config;
	const char *names[SONDE_PROGRAMS_MAX];
	size_t n = sonde_manager_list(loader->manager, names, SONDE_PROGRAMS_MAX);
	char running[256] = "";

	for (size_t i = 0; i < n; i++)
		if (sonde_manager_status(loader->manager, names[i])->state == SONDE_PROGRAM_RUNNING &&
		    strlen(running) + strlen(names[i]) + 3 < sizeof(running))
			strcat(strcat(running, running[0] ? ", " : ""), names[i]);
	sonde_log_info("ready: %s; store %s, API %s and %s, metrics %s, health %s", running[0] ? running : "no program runs",
		       c->store.path, c->listen.socket[0] ? c->listen.socket : "off", c->listen.api[0] ? c->listen.api : "off",
		       c->listen.metrics[0] ? c->listen.metrics : "off", c->listen.health[0] ? c->listen.health : "off");
}

/* First what is there: the summary of what the iterators told at the start. When that was shown, what happens from then on. */
static void loader_follow(struct loader *loader)
{
	char *const summary[] = {(char *)"sonde", (char *)"summary", (char *)"--since", (char *)"1m", (char *)"--socket",
				 loader->config->listen.socket, NULL};
	char *const events[] = {(char *)"sonde", (char *)"events", (char *)"--follow", (char *)"--where",
				(char *)"not kind = running", (char *)"--socket", loader->config->listen.socket, NULL};
	sigset_t none;

	loader->follows_at_ns = 0;
	loader->follower = fork();
	if (loader->follower) {
		loader->follows_next = !loader->summary_shown;
		loader->summary_shown = true;
		return;
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", loader->summary_shown ? events : summary);
	_exit(127);
}

static int loader_loop(struct loader *loader, int signal_fd, bool follow)
{
	bool said = false;
	int r;

	for (;;) {
		struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = loader->socket, .events = POLLIN},
				       {.fd = sonde_manager_watch_fd(loader->manager), .events = POLLIN}};
		int64_t wait = loader_worker_watch(loader), due = sonde_manager_run_due(loader->manager),
			look = loader_programs_mend(loader);

		if (loader->worker_ready && !said) {
			said = true;
			loader_say_ready(loader);
			/* After the first commits, or the summary would be empty. */
			if (follow && loader->config->listen.socket[0])
				loader->follows_at_ns = sonde_clock_boot_ns() + SONDE_NS_PER_S;
		}
		if (loader->follows_at_ns && sonde_clock_boot_ns() >= loader->follows_at_ns)
			loader_follow(loader);
		else if (loader->follows_at_ns && loader->follows_at_ns - sonde_clock_boot_ns() < wait)
			wait = loader->follows_at_ns - sonde_clock_boot_ns();
		if (due >= 0 && due < wait)
			wait = due;
		if (look >= 0 && look < wait)
			wait = look;
		fds[1].fd = loader->socket;
		r = poll(fds, ARRAY_SIZE(fds), (int)(wait / SONDE_NS_PER_MS) + 1);
		if (r > 0 && fds[1].revents)
			(void)loader_worker_message(loader);
		r = loader_signals(loader, signal_fd);
		if (r)
			return r;
	}
}

static void loader_stop(struct loader *loader)
{
	struct sonde_message message = {.kind = SONDE_MESSAGE_STOP};
	int64_t end = sonde_clock_boot_ns() + loader->config->shutdown_timeout_ns * 9 / 10;
	int status;

	loader->stopping = true;
	loader_send(loader, &message, NULL, 0);
	if (loader->follower > 0)
		kill(loader->follower, SIGTERM);
	loader_programs_detach(loader);
	message.kind = SONDE_MESSAGE_FINISH;
	loader_send(loader, &message, NULL, 0);
	while (loader->worker > 0 && waitpid(loader->worker, &status, WNOHANG) == 0) {
		if (sonde_clock_boot_ns() > end) {
			sonde_log_warning("the worker does not end in time: ending it");
			kill(loader->worker, SIGKILL);
			waitpid(loader->worker, &status, 0);
			break;
		}
		usleep(2000);
	}
	if (loader->follower > 0)
		waitpid(loader->follower, NULL, 0);
	sonde_log_info("stopped");
}

/* Without pins all works as well; only a killed agent's successor begins with empty maps. */
static void loader_pin_maps(struct loader *loader)
{
	const struct sonde_config *config = loader->config;
	char error[512] = "";
	int r = config->shared_maps.path[0] ? sonde_manager_pin_maps(loader->manager, config->shared_maps.path,
								      config->shared_maps.keep, error, sizeof(error)) : 0;

	if (r < 0)
		sonde_log_warning("shared maps are not pinned: %s", error[0] ? error : strerror(-r));
}

/* Whatever programs run now: what is left costs each packet. */
static void loader_sweep(void)
{
	unsigned n = sonde_clsact_sweep();

	if (n)
		sonde_log_info("removed %u filters that a killed sonde left on network interfaces", n);
}

/*
 * Each load takes the kernel's types into memory anew, 12 MB. From the system and back again each time, page by page, that
 * would be a tenth of the start.
 */
static void loader_keep_memory(bool keep)
{
	(void)mallopt(M_MMAP_THRESHOLD, keep ? 1 << 25 : 1 << 17);
	(void)mallopt(M_TRIM_THRESHOLD, keep ? 1 << 28 : 1 << 17);
	if (!keep)
		(void)malloc_trim(0);
}

static int loader_start(struct loader *loader)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	int r;

	(void)mallopt(M_ARENA_MAX, 1); /* threads that load programs leave no heap behind */
	loader_keep_memory(true);
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited); /* maps count against it before Linux 5.11 */
	r = sonde_user_find(loader->config->user, &loader->user);
	if (r < 0)
		return sonde_log_err(r, "there is no user '%s': make it, or set 'user' in the configuration",
				     loader->config->user);
	loader_sweep();
	r = sonde_prepare_paths(loader->config, &loader->user);
	if (r >= 0)
		r = sonde_manager_new(&loader->manager);
	if (r >= 0)
		loader_pin_maps(loader);
	if (r >= 0)
		r = loader_programs_register(loader);
	if (r >= 0)
		r = loader_worker_init(loader);
	if (r >= 0)
		r = loader_worker_spawn(loader);
	if (r >= 0)
		r = loader_programs_start(loader);
	loader_keep_memory(false);
	return r;
}

int sonde_loader_run(const struct sonde_loader_opts *opts)
{
	struct loader loader = {.config = opts->config, .given = opts->given, .socket = -1, .config_fd = -1, .checkpoints_fd = -1,
				.kallsyms_fd = -1};
	CLEANUP_CLOSE int signal_fd = signals_open();
	int r;

	sonde_log_set_level(opts->config->log_level);
	signal(SIGPIPE, SIG_IGN);
	if (signal_fd < 0)
		return sonde_log_err(1, "cannot take signals: %s", strerror(-signal_fd));
	r = loader_start(&loader);
	if (r >= 0)
		r = loader_loop(&loader, signal_fd, opts->follow);
	if (loader.manager) /* else nothing was started */
		loader_stop(&loader);
	sonde_manager_free(&loader.manager);
	for (int *fd = (int[]){loader.config_fd, loader.checkpoints_fd, loader.kallsyms_fd, loader.socket, -2}; *fd != -2; fd++)
		if (*fd >= 0)
			close(*fd);
	return r < 0;
}
