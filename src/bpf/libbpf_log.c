/* SPDX-License-Identifier: Apache-2.0 */
/* libbpf prints; we want sentences. Keeps the most telling complaint of each thread: the first after the last was taken. */
#include <bpf/libbpf_log.h>

#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/log.h>

static _Thread_local char first[512], taken[512];

static int log_keep(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[2048], *line = text;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	if (!strncmp(line, "libbpf: ", 8))
		line += 8;
	sonde_log_debug("libbpf: %s", line);
	/* The verifier's log itself says nothing to a user; the line before it does. */
	if (!first[0] && level == LIBBPF_WARN && !strstr(line, "-- BEGIN PROG LOAD LOG"))
		snprintf(first, sizeof(first), "%s", line);
	return 0;
}

static void log_take_over(void)
{
	libbpf_set_print(log_keep);
}

void sonde_libbpf_log_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, log_take_over);
	first[0] = '\0';
}

const char *sonde_libbpf_message(void)
{
	memcpy(taken, first, sizeof(taken));
	first[0] = '\0';
	return taken;
}

const char *sonde_attach_reason(const char *section, int error)
{
	static _Thread_local char reason[128];
	const char *why = strerror(-error);

	if (error == -ENOENT && !strncmp(section, "tp/", 3) && access("/sys/kernel/tracing/events", F_OK))
		why = "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing";
	else if (error == -ENOENT)
		why = "this kernel does not have it";
	else if (error == -EPERM || error == -EACCES)
		why = "not permitted: needs root or CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN";
	else if (error == -ENOTDIR || error == -ENODEV)
		why = "no cgroup v2 hierarchy is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified";
	snprintf(reason, sizeof(reason), "%s", why);
	return reason;
}
