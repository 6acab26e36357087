/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store costs, on real events: it records some from the programs while something happens (bench/store.sh makes that),
 * then gives them to the store again and again, later each time, and to plain SQLite rows with three indexes; then it asks.
 *
 *	bench_store FOLDER SECONDS EVENTS SUSTAIN
 *	bench_store FOLDER EVENTS			only counts by columns of very many values (store_groups.c)
 *
 * EVENTS in the store, a tenth of them in plain SQLite, and 1,000,000 a second for SUSTAIN seconds; one JSON line for each figure.
 */
#include "store.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <store/recording.h>

#include <inttypes.h>
#include <sonde/types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BATCH 2048
#define COMMIT_NS (200 * SONDE_NS_PER_MS)
#define COMMIT_EVENTS 200000 /* 1,000,000 a second */
#define ROUNDS 5

static struct bench {
	struct recording recording;
	int64_t span_ns; /* of the recording */
	const char *folder;
} bench = {
	/* No program has more than its share, so that the mixture is much the same whatever else goes on. */
	.recording = {.programs = {{"process", 20000}, {"connection", 160000}, {"packet_drop", 20000}, {"dns", 2000}}, .n_programs = 4},
};

void bench_die(const char *what)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, sonde_store_error(NULL));
	exit(1);
}

void bench_figure(const char *name, double value, const char *unit)
{
	printf("{\"figure\": \"%s\", \"value\": %.4g, \"unit\": \"%s\"}\n", name, value, unit);
	fflush(stdout);
}

int64_t bench_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * SONDE_NS_PER_S + now.tv_nsec;
}

/* ---- record ---- */

static int by_time(const void *a, const void *b)
{
	const struct sonde_event *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static void record(int seconds)
{
	struct sonde_event *events;
	size_t n;

	if (recording_begin(&bench.recording))
		bench_die("cannot record");
	fprintf(stderr, "recording\n");
	sleep((unsigned)seconds);
	recording_end(&bench.recording);
	events = bench.recording.events;
	n = bench.recording.n;
	if (n < 1000)
		bench_die("too little happened: bench/store.sh makes events");
	/* As they came: readers deliver one program's batch after the other's, nearly in order of time. */
	for (size_t i = 0; i < n; i += BATCH)
		qsort(&events[i], n - i < BATCH ? n - i : BATCH, sizeof(*events), by_time);
	for (size_t i = 0; i < n; i++)
		if (events[i].time_ns - events[0].time_ns > bench.span_ns)
			bench.span_ns = events[i].time_ns - events[0].time_ns;
	bench.span_ns++;
	fprintf(stderr, "recorded %zu events:", n);
	for (size_t i = 0; i < bench.recording.n_programs; i++)
		fprintf(stderr, " %zu %s", bench.recording.programs[i].n, bench.recording.programs[i].name);
	fprintf(stderr, "\n");
}

/* Event number `i` of an endless recording. */
struct sonde_event bench_event_at(uint64_t i)
{
	struct sonde_event event = bench.recording.events[i % bench.recording.n];

	event.time_ns += (int64_t)(i / bench.recording.n) * bench.span_ns;
	return event;
}

/* Events with their records beside them, as the reader of a ring makes them: fresh copies in one buffer. */
struct batch {
	struct sonde_event events[BATCH];
	uint32_t n;
	size_t used;
	_Alignas(8) char records[1 << 20];
};

static bool batch_add(struct batch *batch, uint64_t i)
{
	struct sonde_event event = bench_event_at(i);
	char *record = batch->records + batch->used;

	if (batch->n == BATCH || batch->used + event.length + 8 > sizeof(batch->records))
		return false;
	event.record = memcpy(record, event.record, event.length);
	batch->used += (event.length + 7) & ~7u;
	batch->events[batch->n++] = event;
	return true;
}

static void add_types(struct sonde_store *store)
{
	if (recording_add_types(&bench.recording, store))
		bench_die("types");
}

/* ---- write ---- */

static struct batch batch;

/* Events `first` to `first` + n - 1. @param store NULL: only make them, to know what that costs. */
static void append(struct sonde_store *store, uint64_t first, uint64_t n)
{
	for (uint64_t at = first; at < first + n;) {
		batch.n = 0;
		batch.used = 0;
		while (at < first + n && batch_add(&batch, at))
			at++;
		if (store && sonde_store_append(store, batch.events, batch.n))
			bench_die("append");
	}
}

static void fill(struct sonde_store *store, uint64_t n, uint64_t commit_events)
{
	uint64_t commits = 0;

	for (uint64_t at = 0; at < n; at += commit_events) {
		append(store, at, n - at < commit_events ? n - at : commit_events);
		if (store && sonde_store_commit(store, NULL, 0))
			bench_die("commit");
		if (++commits % 5 == 0 && store && sonde_store_expire(store, sonde_clock_wall_ns()))
			bench_die("expire");
	}
}

static double generator_ns(uint64_t n, uint64_t commit_events)
{
	int64_t start = bench_cpu_ns();

	fill(NULL, n, commit_events);
	return (double)(bench_cpu_ns() - start) / (double)n;
}

static struct sonde_store *write_store(const char *name, uint64_t n, uint64_t commit_events, const char *what)
{
	char path[256], text[128];
	struct sonde_store_opts opts = {.path = path, .names = sonde_enrich_names(bench.recording.enrich), .merge_cpu_pct = 100};
	struct sonde_store *store;
	int64_t cpu, wall;
	double own = generator_ns(1000000, commit_events);
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", bench.folder, name);
	if (sonde_store_open(&opts, &store))
		bench_die("open");
	add_types(store);
	cpu = bench_cpu_ns();
	wall = sonde_clock_boot_ns();
	fill(store, n, commit_events);
	cpu = bench_cpu_ns() - cpu;
	wall = sonde_clock_boot_ns() - wall;
	snprintf(text, sizeof(text), "CPU, %s", what);
	bench_figure(text, (double)cpu / (double)n - own, "ns/event");
	snprintf(text, sizeof(text), "rate, %s", what);
	bench_figure(text, (double)n * 1e9 / (double)wall, "events/s");
	sonde_store_close(&store);
	if (stat(path, &st))
		bench_die("stat");
	snprintf(text, sizeof(text), "size, %s", what);
	bench_figure(text, (double)st.st_size / (double)n, "bytes/event");
	if (sonde_store_open(&opts, &store))
		bench_die("open");
	return store;
}

/* ---- a steady stream ---- */

/* "VmRSS" or "VmHWM" of this process, bytes. */
double bench_memory(const char *name)
{
	char line[256];
	long kilobytes = 0;
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			kilobytes = strtol(line + strlen(name) + 1, NULL, 10);
	if (file)
		fclose(file);
	return (double)kilobytes * 1024;
}

/* From now on VmHWM is the most since now: the recording, which is ours, does not count. */
void bench_memory_mark(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "5", 1) != 1)
		bench_die("/proc/self/clear_refs");
	close(fd);
}

/* @return how many of the commits were not done when the next one was due. */
static unsigned stream(struct sonde_store *store, unsigned commits)
{
	int64_t due_ns = sonde_clock_boot_ns();
	unsigned late = 0;

	for (unsigned i = 0; i < commits; i++) {
		int64_t now_ns;

		append(store, (uint64_t)i * COMMIT_EVENTS, COMMIT_EVENTS);
		if (sonde_store_commit(store, NULL, 0) || (i % 5 == 4 && sonde_store_expire(store, sonde_clock_wall_ns())))
			bench_die("commit");
		due_ns += COMMIT_NS;
		now_ns = sonde_clock_boot_ns();
		late += now_ns > due_ns;
		if (now_ns < due_ns)
			nanosleep(&(struct timespec){.tv_nsec = due_ns - now_ns}, NULL);
	}
	return late;
}

static void sustain(unsigned seconds)
{
	char path[256];
	struct sonde_store_opts opts = {.path = path, .names = sonde_enrich_names(bench.recording.enrich), .merge_cpu_pct = 5};
	unsigned commits = seconds * (unsigned)(SONDE_NS_PER_S / COMMIT_NS), late;
	uint64_t n = (uint64_t)commits * COMMIT_EVENTS;
	double own = generator_ns(1000000, COMMIT_EVENTS), before;
	struct sonde_store_status status;
	struct sonde_store *store;
	int64_t cpu, wall;

	snprintf(path, sizeof(path), "%s/stream.db", bench.folder);
	before = bench_memory("VmRSS");
	bench_memory_mark();
	cpu = bench_cpu_ns();
	wall = sonde_clock_boot_ns();
	if (sonde_store_open(&opts, &store))
		bench_die("open");
	add_types(store);
	late = stream(store, commits);
	wall = sonde_clock_boot_ns() - wall;
	cpu = bench_cpu_ns() - cpu;
	sonde_store_status(store, &status);
	bench_figure("rate, a steady stream", (double)n * 1e9 / (double)wall, "events/s");
	bench_figure("CPU, a steady stream", ((double)cpu - own * (double)n) / (double)wall, "cores");
	bench_figure("memory, a steady stream", (bench_memory("VmHWM") - before) / (1 << 20), "MiB");
	bench_figure("commits that were late, a steady stream", late, "commits");
	bench_figure("events missing, a steady stream", (double)n - (double)status.readable, "events");
	sonde_store_close(&store);
	unlink(path);
}

/* ---- ask ---- */

static int take_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	(*(uint64_t *)userdata)++;
	return 0;
}

static int take_group(const struct sonde_group *group, void *userdata)
{
	(*(uint64_t *)userdata)++;
	return 0;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void ask(struct sonde_store *store, const struct sonde_query *query, const struct sonde_count_opts *count, const char *what)
{
	double ms[ROUNDS];
	struct sonde_answer answer;
	uint64_t n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t start = sonde_clock_boot_ns();

		n = 0;
		if (count ? sonde_store_count(store, query, count, take_group, &n, &answer) :
			    sonde_store_query(store, query, take_row, &n, &answer))
			bench_die(what);
		ms[i] = (double)(sonde_clock_boot_ns() - start) / 1e6;
	}
	qsort(ms, ROUNDS, sizeof(*ms), order);
	fprintf(stderr, "%s: %" PRIu64 " rows or groups\n", what, n);
	bench_figure(what, ms[ROUNDS / 2], "ms");
}

static int take_sql(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	return 0;
}

/* Once: these take seconds. */
static void ask_sql(struct sonde_store *store, const char *sql, const char *what)
{
	int64_t start = sonde_clock_boot_ns();
	struct sonde_answer answer;

	if (sonde_store_sql(store, sql, 0, 600 * SONDE_NS_PER_S, take_sql, NULL, &answer, NULL))
		bench_die(sql);
	fprintf(stderr, "%s: %" PRIu64 " rows\n", sql, answer.rows);
	bench_figure(what ?: sql, (double)(sonde_clock_boot_ns() - start) / 1e6, "ms");
}

/* Of the newest 200,000 events together: rows of more than some million find no room. */
static void ask_joins(struct sonde_store *store, uint64_t n)
{
	int64_t since_ns = bench_event_at(n > 200000 ? n - 200000 : 0).time_ns;
	char sql[256];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM connection c JOIN process p USING (pid) WHERE c.time >= %" PRId64
				   " AND p.time >= %" PRId64, since_ns, since_ns);
	ask_sql(store, sql, "connection JOIN process USING (pid), 200,000 events");
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM connection WHERE time >= %" PRId64
				   " AND pid IN (SELECT pid FROM process WHERE time >= %" PRId64 ")", since_ns, since_ns);
	ask_sql(store, sql, "connection WHERE pid IN (SELECT pid FROM process), 200,000 events");
}

static void ask_in_sql(struct sonde_store *store, uint64_t n)
{
	ask_sql(store, "SELECT count(*) FROM connection", NULL);
	ask_sql(store, "SELECT command, count(*) FROM connection GROUP BY command", NULL);
	ask_sql(store, "SELECT command, max(time) FROM connection GROUP BY command", NULL);
	ask_sql(store, "SELECT count(DISTINCT time) FROM connection", NULL);
	ask_joins(store, n);
}

static void ask_all(struct sonde_store *store, uint64_t n)
{
	struct sonde_query query = {.since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
	struct sonde_event middle = bench_event_at(n / 2), last = bench_event_at(n - 1);
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	const char *error;

	ask(store, &query, &(struct sonde_count_opts){}, "count of all");
	ask(store, &query, &(struct sonde_count_opts){.by = {"command"}}, "group by command, all types");
	ask(store, &query, &(struct sonde_count_opts){.by = {"pid"}}, "group by pid, all types");
	ask(store, &query, &(struct sonde_count_opts){.by = {"pid", "command"}}, "group by pid and command, all types");
	query.type = "connection";
	ask(store, &query, &(struct sonde_count_opts){.by = {"remote_address"}}, "group by remote_address, connection");
	query.type = middle.type->name;
	query.pid = middle.record->pid;
	query.since_ns = middle.time_ns - 5 * SONDE_NS_PER_MS;
	query.until_ns = middle.time_ns + 5 * SONDE_NS_PER_MS;
	ask(store, &query, NULL, "by pid, type and time (10 ms in the middle)");
	query.since_ns = INT64_MIN;
	query.until_ns = INT64_MAX;
	query.limit = 100;
	ask(store, &query, NULL, "the last 100 of a pid and type");
	query.pid = 4194303; /* nobody has it */
	ask(store, &query, NULL, "by a pid that is not there");
	query = (struct sonde_query){.since_ns = last.time_ns - 60 * SONDE_NS_PER_S, .until_ns = INT64_MAX, .pid = -1, .limit = 1000};
	ask(store, &query, NULL, "the last 1000 of all types");
	query.limit = 0;
	query.since_ns = INT64_MIN;
	query.type = "connection";
	if (sonde_filter_new("remote_port = 1 or duration_ns > 1h", &error, &where))
		bench_die(error);
	query.where = where;
	ask(store, &query, &(struct sonde_count_opts){}, "count by a condition on two columns, connection");
}

/* ---- the store in memory ---- */

static void memory(uint64_t n)
{
	struct sonde_store_opts opts = {.path = "memory", .max_bytes = 1ull << 30, .names = sonde_enrich_names(bench.recording.enrich)};
	struct sonde_store_status status;
	struct sonde_store *store;
	struct sonde_query all = {.since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
	struct sonde_count_opts by_command = {.by = {"command"}};
	double own = generator_ns(n, COMMIT_EVENTS);
	int64_t cpu;

	if (sonde_store_open(&opts, &store))
		bench_die("open");
	add_types(store);
	cpu = bench_cpu_ns();
	fill(store, n, COMMIT_EVENTS);
	bench_figure("CPU, in memory", (double)(bench_cpu_ns() - cpu) / (double)n - own, "ns/event");
	sonde_store_status(store, &status);
	bench_figure("size, in memory", (double)status.bytes / (double)status.readable, "bytes/event");
	ask(store, &all, &by_command, "group by command, all types, in memory");
	sonde_store_close(&store);
}

int main(int argc, char *argv[])
{
	struct sonde_store *store;
	uint64_t n;

	if (argc == 3) {
		sonde_log_set_level(SONDE_LOG_ERROR);
		bench_groups(argv[1], strtoull(argv[2], NULL, 10));
		return 0;
	}
	if (argc != 5) {
		fprintf(stderr, "usage: bench_store FOLDER [SECONDS] EVENTS [SUSTAIN]\n");
		return 2;
	}
	bench.folder = argv[1];
	n = strtoull(argv[3], NULL, 10);
	sonde_log_set_level(SONDE_LOG_ERROR);
	record(atoi(argv[2]));
	sustain((unsigned)atoi(argv[4]));
	store = write_store("slow.db", n / 10, 2000, "2,000 events a commit (10,000/s)");
	sonde_store_close(&store);
	store = write_store("events.db", n, COMMIT_EVENTS, "200,000 events a commit (1,000,000/s)");
	ask_all(store, n);
	ask_in_sql(store, n);
	sonde_store_close(&store);
	memory(n / 10);
	bench_plain(bench.folder, n / 10, sonde_enrich_names(bench.recording.enrich));
	recording_free(&bench.recording);
	return 0;
}
