/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as its faces see it (runtime/view.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <agent/worker_private.h>
#include <base/clock.h>
#include <base/wait.h>

#define PROGRESS_LIMIT_NS (10 * SONDE_NS_PER_S)
#define REQUEST_TIMEOUT_NS (10 * SONDE_NS_PER_S)

static size_t view_programs(void *userdata, struct sonde_program_status *ret, size_t max)
{
	struct worker *worker = userdata;
	size_t n = 0;

	pthread_rwlock_rdlock(&worker->lock);
	for (; n < worker->n_programs && n < max; n++) {
		const struct worker_program *program = &worker->programs[n];

		ret[n] = program->status;
		for (uint32_t i = 0; program->source && i < ret[n].n_hooks; i++)
			(void)sonde_source_hook_stats(program->source, i, &ret[n].hooks[i].runs,
						      &ret[n].hooks[i].run_time_ns);
	}
	pthread_rwlock_unlock(&worker->lock);
	return n;
}

static size_t view_ledger(void *userdata, struct sonde_ledger *ret, size_t max)
{
	struct worker *worker = userdata;
	size_t n = 0;

	pthread_rwlock_rdlock(&worker->lock);
	for (unsigned i = 0; i < worker->n_programs && n < max; i++) {
		struct sonde_source *source = worker->programs[i].source;
		struct sonde_checkpoint kept;

		if (!source)
			continue;
		sonde_source_checkpoint(source, &kept);
		sonde_source_ledger(source, &ret[n]);
		/* What retention dropped since, only the store knows. */
		if (sonde_store_checkpoint(worker->store, kept.program, kept.ring_id, &kept) >= 0) {
			ret[n].expired = kept.expired;
			ret[n].readable = ret[n].stored - kept.expired;
			sonde_ledger_balance(&ret[n]);
		}
		n++;
	}
	pthread_rwlock_unlock(&worker->lock);
	return n;
}

/* Every thread has made progress lately. The writer does each few seconds, however idle, a reader sleeps until there is something to do. */
static bool view_alive(struct worker *worker, char *reason, size_t size)
{
	int64_t limit = sonde_clock_boot_ns() - PROGRESS_LIMIT_NS;

	if (worker->beat_ns < limit)
		snprintf(reason, size, "the main thread makes no progress");
	else if (sonde_writer_progress_ns(worker->writer) < limit)
		snprintf(reason, size, "the store's writer makes no progress");
	else
		reason[0] = '\0';
	for (unsigned i = 0; !reason[0] && i < worker->n_programs; i++)
		if (worker->programs[i].source && sonde_source_look(worker->programs[i].source) < limit)
			snprintf(reason, size, "the reader of %s makes no progress", worker->programs[i].status.name);
	return !reason[0];
}

static bool view_ready(struct worker *worker, char *reason, size_t size)
{
	if (worker->stopping)
		snprintf(reason, size, "the agent is stopping");
	else if (!worker->started)
		snprintf(reason, size, "programs are being started");
	else
		return true;
	return false;
}

/*
 * One program that failed, or that waits for a network interface, is said with its reason; of several the names, so that none of
 * them is cut off.
 */
static size_t view_failed(struct worker *worker, char *reason, size_t size)
{
	const struct sonde_program_status *failed = NULL;
	char names[256] = "";
	size_t n = 0, used = 0;

	for (unsigned i = 0; i < worker->n_programs; i++) {
		const struct sonde_program_status *status = &worker->programs[i].status;

		if (status->state != SONDE_PROGRAM_FAILED && !status->waits)
			continue;
		failed = status;
		if (used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", n ? ", " : "", status->name);
		n++;
	}
	if (!failed)
		return 0;
	if (n == 1)
		return (size_t)snprintf(reason, size, "program %s%s: %s", failed->name, failed->waits ? "" : " failed",
					failed->reason);
	return (size_t)snprintf(reason, size, "%zu programs failed, or wait: %s", n, names);
}

/* What is not as configured, though the rest works. */
static void view_degraded(struct worker *worker, char *reason, size_t size)
{
	struct sonde_store_status store;
	size_t n;

	reason[0] = '\0';
	n = view_failed(worker, reason, size);
	sonde_store_status(worker->store, &store);
	if (store.error[0] && n < size)
		snprintf(reason + n, size - n, "%sstore: %s", n ? "; " : "", store.error);
}

bool worker_alive(struct worker *worker, char *reason, size_t size)
{
	bool alive;

	pthread_rwlock_rdlock(&worker->lock);
	alive = view_alive(worker, reason, size);
	pthread_rwlock_unlock(&worker->lock);
	return alive;
}

void worker_health(void *userdata, struct sonde_health *ret_health)
{
	struct worker *worker = userdata;
	struct sonde_health health = {};

	pthread_rwlock_rdlock(&worker->lock);
	health.alive = view_alive(worker, health.reason, sizeof(health.reason));
	health.ready = health.alive && view_ready(worker, health.reason, sizeof(health.reason));
	if (health.ready)
		view_degraded(worker, health.reason, sizeof(health.reason));
	pthread_rwlock_unlock(&worker->lock);
	*ret_health = health;
}

static const struct sonde_schema *view_schema(void *userdata, const char *name)
{
	struct worker *worker = userdata;
	struct worker_program *program;
	const struct sonde_schema *schema;

	pthread_rwlock_rdlock(&worker->lock);
	program = worker_program_find(worker, name);
	schema = program ? program->schema : NULL;
	pthread_rwlock_unlock(&worker->lock);
	return schema;
}

static void view_settings(void *userdata, const char *name, sonde_setting_fn fn, void *fn_userdata)
{
	struct worker *worker = userdata;
	const struct worker_program *program;

	pthread_rwlock_rdlock(&worker->lock);
	program = worker_program_find(worker, name);
	for (uint32_t i = 0; program && program->source && i < program->schema->n_settings; i++)
		fn(&program->schema->settings[i], sonde_source_setting(program->source, &program->schema->settings[i]), fn_userdata);
	pthread_rwlock_unlock(&worker->lock);
}

static void view_metrics(void *userdata, sonde_metric_fn fn, void *fn_userdata)
{
	struct worker *worker = userdata;

	pthread_rwlock_rdlock(&worker->lock);
	for (unsigned i = 0; i < worker->n_programs; i++)
		for (uint32_t k = 0; worker->programs[i].source && k < worker->programs[i].schema->n_metrics; k++)
			(void)sonde_source_metric(worker->programs[i].source, k, fn, fn_userdata);
	pthread_rwlock_unlock(&worker->lock);
}

static double process_rss_bytes(pid_t pid)
{
	unsigned long pages = 0;
	char path[40];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void view_numbers(void *userdata, sonde_number_fn fn, void *to)
{
	struct worker *worker = userdata;
	struct sonde_enrich_status enrich;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	sonde_enrich_status(worker->enrich, &enrich);
	fn("process_cpu_seconds_total", "CPU time of the worker.", true, "",
	   (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6, to);
	fn("process_resident_memory_bytes", "Resident memory of the agent's processes.", false, "process=\"worker\"",
	   process_rss_bytes(getpid()), to);
	fn("process_resident_memory_bytes", "Resident memory of the agent's processes.", false, "process=\"loader\"",
	   process_rss_bytes(getppid()), to);
	fn("process_start_time_seconds", "When the worker started, since 1970; it moves when the worker was restarted.", false,
	   "", (double)worker->started_ns / 1e9, to);
	fn("known_processes", "Processes in the process table.", false, "", (double)enrich.processes, to);
	fn("known_processes_evicted_total", "Processes that left the table for want of room: later events of theirs can lack path and parent.", true,
	   "", (double)enrich.processes_evicted, to);
	fn("known_address_names", "Names of addresses that processes learned from the DNS.", false, "", (double)enrich.names, to);
	fn("known_address_names_evicted_total", "Names that were forgotten before their time for want of room: later events lack them.", true,
	   "", (double)enrich.names_evicted, to);
	fn("known_cgroups", "Control groups whose name is known.", false, "", (double)enrich.cgroups, to);
}

/* ---- requests to the loader ---- */

void worker_reply(struct worker *worker, const struct sonde_message *reply)
{
	pthread_mutex_lock(&worker->request_lock);
	worker->reply = *reply;
	worker->reply_id = reply->id;
	pthread_cond_broadcast(&worker->request_done);
	pthread_mutex_unlock(&worker->request_lock);
}

static int request_verb(const char *verb, const char *program)
{
	if (!program)
		return !strcmp(verb, "reload") ? SONDE_REQUEST_CONFIGURATION : -EINVAL;
	if (!strcmp(verb, "start"))
		return SONDE_REQUEST_START;
	if (!strcmp(verb, "stop"))
		return SONDE_REQUEST_STOP;
	return !strcmp(verb, "reload") ? SONDE_REQUEST_RELOAD : -EINVAL;
}

static int view_control(void *userdata, const char *verb, const char *program, char *ret_error, size_t error_size)
{
	struct worker *worker = userdata;
	struct sonde_message request = {.kind = SONDE_MESSAGE_REQUEST};
	int64_t until = sonde_clock_boot_ns() + REQUEST_TIMEOUT_NS;
	int r = request_verb(verb, program);

	if (r < 0)
		return r;
	request.verb = (uint32_t)r;
	snprintf(request.status.name, sizeof(request.status.name), "%s", program ?: "");
	pthread_mutex_lock(&worker->control_lock);
	pthread_mutex_lock(&worker->request_lock);
	request.id = ++worker->next_id;
	r = sonde_message_send(worker->socket, &request, NULL, 0);
	while (!r && worker->reply_id != request.id)
		r = -sonde_cond_wait_for(&worker->request_done, &worker->request_lock, until - sonde_clock_boot_ns());
	if (!r) {
		r = worker->reply.error;
		snprintf(ret_error, error_size, "%s", worker->reply.text);
	} else {
		snprintf(ret_error, error_size, "the loader does not answer: %s", strerror(-r));
	}
	pthread_mutex_unlock(&worker->request_lock);
	pthread_mutex_unlock(&worker->control_lock);
	return r;
}

void worker_view_init(struct worker *worker)
{
	worker->view = (struct sonde_view){
		.userdata = worker,
		.bus = worker->bus,
		.window = worker->window,
		.store = worker->store,
		.names = sonde_enrich_names(worker->enrich),
		.version = SONDE_VERSION,
		.programs = view_programs,
		.ledger = view_ledger,
		.health = worker_health,
		.schema = view_schema,
		.settings = view_settings,
		.control = view_control,
		.metrics = view_metrics,
		.numbers = view_numbers,
	};
}
