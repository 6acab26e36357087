/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sonde trace PROGRAM...: programs at once, in this process, without an agent and without a store. What a reader thread
 * delivers is printed there and then; a slow terminal makes the ring fill, and the ledger at the end says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <bpf/embedded.h>
#include <bpf/features.h>
#include <config/config.h>
#include <cli/command.h>
#include <cli/output.h>
#include <cli/say.h>
#include <cli/user_object.h>
#include <config/options.h>
#include <runtime/attachment.h>
#include <runtime/manager.h>
#include <schema/filter.h>

#define TRACE_PROGRAMS_MAX 8

struct trace {
	const struct sonde_options *options;
	struct sonde_manager *manager;
	struct sonde_enrich *enrich;
	struct sonde_query query; /* which events */
	struct sonde_object_setting settings[SONDE_SETTINGS_MAX];
	uint32_t settings_known; /* bit i: a program has it */
	struct sonde_filter *where;
	struct sonde_output output;
	unsigned n;
	char names[TRACE_PROGRAMS_MAX][SONDE_PROGRAM_NAME_MAX];
	struct sonde_source *sources[TRACE_PROGRAMS_MAX];
	int done_fd;		/* readable: enough was shown, or nobody reads */
	pthread_mutex_t lock;	/* of what follows, and of the output */
	uint64_t shown;
	bool done;
};

static void trace_show(struct trace *trace, const struct sonde_event *event)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];

	sonde_event_values(event, sonde_enrich_names(trace->enrich), values);
	if (!sonde_query_match(&trace->query, values) ||
	    (trace->query.where && !sonde_filter_match(trace->query.where, event->type, values)))
		return;
	if (sonde_output_row(&trace->output, event->type, values) < 0)
		trace->done = true;
	trace->shown++;
	if (trace->options->limit && trace->shown == (uint64_t)trace->options->limit)
		trace->done = true;
}

static void trace_deliver(struct sonde_source *source, struct sonde_batch_full *batch, void *userdata)
{
	struct trace *trace = userdata;
	struct sonde_checkpoint checkpoint;

	pthread_mutex_lock(&trace->lock);
	for (uint32_t i = 0; i < batch->batch.n && !trace->done; i++)
		trace_show(trace, &batch->batch.events[i]);
	if (sonde_output_flush(&trace->output) < 0)
		trace->done = true;
	if (trace->done)
		eventfd_write(trace->done_fd, 1);
	pthread_mutex_unlock(&trace->lock);
	sonde_source_checkpoint(source, &checkpoint);
	checkpoint.position = batch->position;
	checkpoint.consumed += batch->consumed;
	checkpoint.invalid += batch->invalid;
	checkpoint.stored += batch->batch.n;
	sonde_source_commit(source, &checkpoint);
	sonde_batch_unref(&batch->batch);
}

/* Those of the given settings that the program has. */
static int trace_choose(struct trace *trace, const char *word, const char *name, struct sonde_object_setting *ret_settings,
			size_t *ret_n)
{
	const struct sonde_embedded *embedded = sonde_embedded_find(name);
	struct sonde_schema *schema CLEANUP(sonde_schema_free) = NULL;
	const char *why;
	char error[512];
	int r = 0;

	if (!trace->options->n_settings)
		return SONDE_EXIT_DONE;
	if (sonde_user_object_is_path(word))
		r = sonde_user_object_schema(word, &schema);
	else if (embedded)
		(void)sonde_embedded_schema(embedded, NULL, &why, &schema); /* its load would say it too */
	if (!schema)
		return r;
	for (unsigned i = 0; i < trace->options->n_settings; i++) {
		r = sonde_setting_check(schema, trace->settings[i].name, trace->settings[i].value, error, sizeof(error));
		if (r < 0 && (r != -ENOENT || trace->options->n_arguments == 1))
			return sonde_say_error(SONDE_EXIT_USAGE, "%s: %s", name, error);
		if (r < 0)
			continue;
		ret_settings[(*ret_n)++] = trace->settings[i];
		trace->settings_known |= 1u << i;
	}
	return SONDE_EXIT_DONE;
}

/* "connection", or the path of an object. */
static int trace_register(struct trace *trace, const char *word)
{
	struct sonde_program_spec spec = {.name = trace->names[trace->n], .enabled = true};
	struct sonde_object_setting settings[SONDE_SETTINGS_MAX];
	int r;

	r = sonde_user_object_name(word, trace->names[trace->n]);
	if (r)
		return r;
	spec.object_path = sonde_user_object_is_path(word) ? word : NULL;
	spec.settings = settings;
	r = trace_choose(trace, word, spec.name, settings, &spec.n_settings);
	if (r)
		return r;
	spec.attach = trace->options->attach;
	r = sonde_manager_register(trace->manager, &spec);
	if (r == -ENOENT)
		return sonde_say_error(SONDE_EXIT_USAGE, "there is no program '%s': 'sonde programs' lists them", word);
	if (r == -EEXIST)
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' stands there twice", word);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s", strerror(-r));
	trace->n++;
	return SONDE_EXIT_DONE;
}

/* A value that cannot fit its column is wrong everywhere; a column that one type lacks may be in another. */
static int trace_check_filter(const struct trace *trace, const struct sonde_schema *schema)
{
	const char *error = NULL;
	uint32_t lacking = 0;

	for (uint32_t i = 0; trace->where && i < schema->n_types; i++) {
		int r = sonde_filter_check(trace->where, &schema->types[i], &error);

		lacking += r == -ENOENT;
		if (r == -EINVAL || (lacking == schema->n_types && trace->options->n_arguments == 1))
			return sonde_say_error(SONDE_EXIT_USAGE, "--where: %s", error);
	}
	return SONDE_EXIT_DONE;
}

static int trace_begin(struct trace *trace, unsigned i)
{
	const char *name = trace->names[i];
	const struct sonde_program_status *status = sonde_manager_status(trace->manager, name);
	int r;

	r = sonde_manager_load(trace->manager, name);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s%s", name, status->reason, sonde_privilege_hint(r));
	r = trace_check_filter(trace, sonde_manager_schema(trace->manager, name));
	if (r)
		return r;
	r = sonde_source_attach_local(trace->manager, name, trace->enrich, trace_deliver, trace, &trace->sources[i]);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: its ring cannot be read: %s", name, strerror(-r));
	r = sonde_manager_attach(trace->manager, name);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s%s", name, status->reason, sonde_privilege_hint(r));
	if (status->reason[0])
		sonde_say_note("%s: %s", name, status->reason);
	return SONDE_EXIT_DONE;
}

static void trace_changed(const char *name, void *userdata)
{
	const struct trace *trace = userdata;
	const struct sonde_program_status *status = sonde_manager_status(trace->manager, name);

	sonde_say_note("%s: %s", name, status->waits ? status->reason : "its network interfaces are there, and all hooks attached again");
}

static void trace_wait(struct trace *trace, int signal_fd)
{
	int64_t end = trace->options->for_ns ? sonde_clock_boot_ns() + trace->options->for_ns : INT64_MAX;
	struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = trace->done_fd, .events = POLLIN},
			       {.fd = sonde_manager_watch_fd(trace->manager), .events = POLLIN}};

	for (;;) {
		int64_t due = sonde_manager_run_due(trace->manager), look = sonde_manager_mend(trace->manager, trace_changed, trace),
			left = end - sonde_clock_boot_ns();
		int timeout;

		if (left <= 0)
			return;
		if (due >= 0 && due < left)
			left = due;
		if (look >= 0 && look < left)
			left = look;
		timeout = left / SONDE_NS_PER_MS > 60000 ? 60000 : (int)(left / SONDE_NS_PER_MS) + 1;
		if (poll(fds, ARRAY_SIZE(fds), timeout) > 0 && (fds[0].revents || fds[1].revents))
			return;
	}
}

static void trace_ledger(const struct trace *trace)
{
	struct sonde_ledger l;

	for (unsigned i = 0; i < trace->n; i++) {
		if (!trace->sources[i])
			continue;
		sonde_source_ledger(trace->sources[i], &l);
		fprintf(stderr,
			"ledger %s: missed %lu, entered %lu = denied %lu + throttled %lu + sampled_out %lu + map_full %lu + "
			"ring_full %lu + submitted %lu; consumed %lu, in_ring %lu, invalid %lu, residual %ld\n",
			l.program, l.recursion_misses, l.entered, l.denied, l.throttled, l.sampled_out, l.map_full,
			l.ring_full, l.submitted, l.consumed, l.in_ring, l.invalid, l.residual);
	}
}

static int trace_settings(struct trace *trace)
{
	for (unsigned i = 0; i < trace->options->n_settings; i++) {
		const char *text = trace->options->settings[i], *value = strchr(text, '=') + 1;
		char name[sizeof(trace->settings[i].name)];

		snprintf(name, sizeof(name), "%.*s", (int)(value - 1 - text), text);
		if (sonde_config_setting_parse(name, value, &trace->settings[i]) < 0)
			return sonde_say_error(SONDE_EXIT_USAGE, "--set %s: bad value '%s'; allowed is %s", name, value,
					       sonde_config_setting_allowed(name));
		if (trace->settings[i].interface[0] && !if_nametoindex(trace->settings[i].interface))
			return sonde_say_error(SONDE_EXIT_USAGE, "--set %s: there is no network interface '%s'", name, value);
	}
	return SONDE_EXIT_DONE;
}

static int trace_run(struct trace *trace, int signal_fd)
{
	char list[TRACE_PROGRAMS_MAX * (SONDE_PROGRAM_NAME_MAX + 2)] = "";
	int r = trace_settings(trace);

	for (unsigned i = 0; i < trace->options->n_arguments && !r; i++)
		r = trace_register(trace, trace->options->arguments[i]);
	for (unsigned i = 0; i < trace->options->n_settings && !r; i++)
		if (!(trace->settings_known & 1u << i))
			r = sonde_say_error(SONDE_EXIT_USAGE, "--set %s: none of these programs has such a setting",
					    trace->settings[i].name);
	for (unsigned i = 0; i < trace->n && !r; i++) {
		r = trace_begin(trace, i);
		strcat(strcat(list, i ? ", " : ""), trace->names[i]);
	}
	if (r)
		return r;
	fprintf(stderr, "tracing %s; Ctrl-C ends it\n", list);
	trace_wait(trace, signal_fd);
	for (unsigned i = 0; i < trace->n; i++)
		sonde_manager_detach(trace->manager, trace->names[i]);
	for (unsigned i = 0; i < trace->n; i++)
		sonde_source_stop(trace->sources[i]);
	trace_ledger(trace);
	return SONDE_EXIT_DONE;
}

/* What ends it in order: also that its terminal is closed, unless it was started by nohup. */
static int signals_open(void)
{
	struct sigaction hangup;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
		sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int run(const struct sonde_options *options)
{
	struct trace trace = {.options = options, .done_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	CLEANUP_CLOSE int signal_fd = -1, kallsyms = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	struct sonde_enrich_opts enrich = {.kallsyms_fd = kallsyms};
	const char *error;
	enum sonde_log_level level;
	int r;

	if (options->log_level && !sonde_log_parse_level(options->log_level, &level))
		sonde_log_set_level(level);
	signal_fd = signals_open();
	trace.done_fd = eventfd(0, EFD_CLOEXEC);
	if (options->where && sonde_filter_new(options->where, &error, &trace.where) < 0)
		return sonde_say_error(SONDE_EXIT_USAGE, "--where: %s", error);
	if (signal_fd < 0 || trace.done_fd < 0 || sonde_manager_new(&trace.manager) < 0 ||
	    sonde_enrich_new(&enrich, &trace.enrich) < 0 || sonde_output_open(options, &trace.output) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory or descriptors left");
	trace.query = (struct sonde_query){
		.pid = options->pid, .command = options->command, .container = options->container, .where = trace.where,
	};
	if (options->n_arguments > 1)
		sonde_output_mix(&trace.output);
	r = trace_run(&trace, signal_fd);
	for (unsigned i = 0; i < trace.n; i++)
		sonde_source_free(&trace.sources[i]);
	sonde_manager_free(&trace.manager);
	sonde_enrich_free(&trace.enrich);
	sonde_filter_free(&trace.where);
	sonde_output_close(&trace.output);
	close(trace.done_fd);
	return r;
}

const struct sonde_command sonde_command_trace = {
	.name = "trace",
	.arguments = "PROGRAM...",
	.summary = "show what one program sees, at once and without an agent",
	.help = "Loads the programs, prints their events as they happen until Ctrl-C, --for or -n\n"
		"ends it, and closes with the ledger on standard error: what entered, what was\n"
		"delivered, what was lost and where. PROGRAM is the name of a built-in program or\n"
		"the path of an object of your own (./mine.bpf.o). Needs root, or CAP_BPF,\n"
		"CAP_PERFMON and CAP_NET_ADMIN. Nothing is stored.",
	.examples = "sonde trace connection --for 10s    # who connects where, for ten seconds\n"
		    "sonde trace packet_drop connection  # drops, with the owners of their sockets\n"
		    "sonde trace process -n 5 -o json    # the next five process events",
	.options = SONDE_TAKES_FILTER | SONDE_TAKES_OUTPUT | SONDE_TAKES(FOR) | SONDE_TAKES(SET) | SONDE_TAKES(ATTACH) |
		   SONDE_TAKES(LIMIT) | SONDE_TAKES(LOG_LEVEL),
	.min_arguments = 1,
	.max_arguments = TRACE_PROGRAMS_MAX,
	.run = run,
};
