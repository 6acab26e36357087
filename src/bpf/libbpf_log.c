/* SPDX-License-Identifier: Apache-2.0 */
/* libbpf prints; we want sentences. Keeps the most telling complaint of each thread: the first after the last was taken. */
#include <bpf/libbpf_log.h>

#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>

static _Thread_local char first[512], taken[512];

/* Lines that the verifier ends its log with, whatever it found. */
static bool is_statistics(const char *line)
{
	return !strncmp(line, "processed ", 10) || !strncmp(line, "verification time", 17) || !strncmp(line, "stack depth", 11) ||
	       !strncmp(line, "-- END", 6);
}

/*
 * The verifier's log is pages of registers; its last line is the verdict, and the last line of source in front of that is
 * where. Puts both behind the name of the function that `first` starts with, in place of "load failed: Invalid argument".
 */
static void log_verdict(char *log)
{
	const char *verdict = "", *source = "";
	char function[64];

	for (char *line = log, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		sonde_log_debug("verifier: %s", line);
		if (!strncmp(line, "; ", 2) && next && *next && !is_statistics(next))
			source = line + 2;
		else if (line[0] && !is_statistics(line))
			verdict = line;
	}
	snprintf(function, sizeof(function), "%.*s", (int)strcspn(first, ":"), first);
	if (verdict[0])
		snprintf(first, sizeof(first), "%s: %s%s%s", function, verdict, source[0] ? ", at: " : "", source);
}

__attribute__((format(printf, 2, 0)))
static int log_keep(enum libbpf_print_level level, const char *format, va_list args)
{
	CLEANUP_FREE char *text = NULL;
	char *line, *log;

	if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	line = strncmp(text, "libbpf: ", 8) ? text : text + 8;
	log = strstr(line, "-- BEGIN PROG LOAD LOG --\n");
	if (log) {
		log_verdict(strchr(log, '\n') + 1);
		return 0;
	}
	line[strcspn(line, "\n")] = '\0';
	sonde_log_debug("libbpf: %s", line);
	if (!first[0] && level == LIBBPF_WARN)
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

/* Of hooks on interfaces; NULL: as of all others. */
static const char *interface_reason(int error)
{
	switch (error) {
	case -ENODEV:
		return "there is no such network interface";
	case -EINVAL:
		return "this kernel does not have it: Linux 6.6 has, and 'attach: auto' does without";
	case -ENOENT:
		return "this kernel has neither tcx nor clsact and its filters: load the modules sch_ingress and cls_bpf";
	case -EBUSY:
		return "a qdisc 'ingress' is there, where clsact would have to be: see tc qdisc show";
	case -EOPNOTSUPP:
		return "the filters there are shared with other interfaces (see tc qdisc show), or this kernel has none";
	case -ENOSPC:
		return "filters of other kinds have all of the first priorities: see tc filter show";
	default:
		return NULL;
	}
}

const char *sonde_attach_reason(const char *section, int error)
{
	static _Thread_local char reason[128];
	const char *why = strerror(-error), *interface = strncmp(section, "tcx/", 4) ? NULL : interface_reason(error);

	if (interface)
		why = interface;
	else if (error == -ENOENT && !strncmp(section, "tp/", 3) && access("/sys/kernel/tracing/events", F_OK))
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
