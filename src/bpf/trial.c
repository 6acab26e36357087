/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/trial.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/log.h>

#define SECONDS 60 /* for all of it, the verifier's part too */

/* Other threads may have held locks: nothing here may log. A byte comes out if libbpf came back, whatever it said. */
static void child_load(const struct sonde_object_opts *opts, int out)
{
	struct sonde_object_opts own = *opts;
	const struct rlimit none = {};
	struct sonde_object *object;
	char error[512];
	sigset_t all;

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGALRM, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	alarm(SECONDS);
	sonde_log_set_level(SONDE_LOG_ERROR);
	own.shared = NULL; /* nothing is pinned */
	if (!sonde_object_new(&own, error, sizeof(error), &object))
		sonde_object_free(&object); /* finds out whether it wrote where it must not */
	_exit(write(out, "", 1) != 1);
}

int sonde_object_try(const struct sonde_object_opts *opts, char *error, size_t error_size)
{
	int ends[2], status = 0;
	ssize_t n;
	pid_t child;
	char byte;

	if (pipe2(ends, O_CLOEXEC)) {
		snprintf(error, error_size, "cannot make a pipe: %s", strerror(errno));
		return -errno;
	}
	child = fork();
	if (!child)
		child_load(opts, ends[1]);
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		snprintf(error, error_size, "cannot make a process to try it in: %s", strerror(errno));
		return -errno;
	}
	while ((n = read(ends[0], &byte, 1)) < 0 && errno == EINTR)
		;
	close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) /* or the loader was first: what came out is enough */
		;
	if (n == 1)
		return 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(error, error_size, "not a usable BPF object: loading it takes longer than %d s", SECONDS);
	else
		snprintf(error, error_size, "not a usable BPF object: it is damaged, libbpf crashes loading it: build it anew");
	return -EBADMSG;
}
