/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a count by a column costs whose values are as many as in a flood: a build that opens files, random names. Half of the rows
 * have one of 1,000 paths, the others all paths in turn, so that each block has nearly as many different ones as rows.
 */
#include "store.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <sonde/types.h>
#include <store/store.h>

#include <inttypes.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 2048
#define COMMIT_EVENTS 204800
#define HOT 1000
#define LIMIT 10

struct record {
	struct sonde_header header;
	char path[64];
};

static const struct sonde_column columns[] = {
	{.name = "time", .type = SONDE_INT, .semantic = SONDE_SEMANTIC_TIME},
	{.name = "type", .type = SONDE_TEXT},
	{.name = "pid", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PID},
	{.name = "tid", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PID},
	{.name = "uid", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_UID},
	{.name = "command", .type = SONDE_TEXT},
	{.name = "container", .type = SONDE_TEXT},
	{.name = "source", .type = SONDE_TEXT},
	{.name = "weight", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_COUNT},
	{.name = "path", .type = SONDE_TEXT, .is_chars = true, .offset = offsetof(struct record, path),
	 .size = sizeof(((struct record *)0)->path), .length_offset = -1},
};

static const struct sonde_type type = {
	.name = "opened", .doc = "Files", .size = sizeof(struct record), .n_columns = ARRAY_SIZE(columns), .columns = columns,
};

static void record_make(struct record *record, uint64_t i, uint64_t values)
{
	uint64_t value = i % 2 ? i / 2 * 7919 % values : i / 2 * i % HOT;

	memset(record, 0, sizeof(*record));
	record->header = (struct sonde_header){.sequence = i, .pid = (uint32_t)(1000 + value % 30000), .weight = 1};
	snprintf(record->header.command, sizeof(record->header.command), "cc%d", (int)(value % 20));
	snprintf(record->path, sizeof(record->path), "/home/build/src/part-%03d/object-%08" PRIu64 ".o", (int)(value % 997), value);
}

static void fill(struct sonde_store *store, uint64_t n, uint64_t values)
{
	static struct record records[BATCH];
	static struct sonde_event events[BATCH];
	int64_t start_ns = sonde_clock_wall_ns() - (int64_t)n * 1000;

	for (uint64_t at = 0; at < n;) {
		size_t filled = 0;

		for (; filled < BATCH && at < n; filled++, at++) {
			record_make(&records[filled], at, values);
			events[filled] = (struct sonde_event){.type = &type, .record = &records[filled].header, .source = "ebpf",
							      .length = sizeof(*records), .time_ns = start_ns + (int64_t)at * 1000};
		}
		if (sonde_store_append(store, events, filled) ||
		    ((at % COMMIT_EVENTS == 0 || at == n) && sonde_store_commit(store, NULL, 0)))
			bench_die("store");
	}
}

static int take(const struct sonde_group *group, void *userdata)
{
	(*(uint64_t *)userdata)++;
	return 0;
}

static int64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * SONDE_NS_PER_S + now.tv_nsec;
}

static void ask(struct sonde_store *store, const char *where, uint64_t values, struct sonde_count_opts count)
{
	struct sonde_query query = {.since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
	double before = bench_memory("VmRSS");
	struct sonde_answer answer = {};
	char what[128], text[160];
	uint64_t n = 0;
	int64_t cpu_ns;

	count.limit = LIMIT;
	snprintf(what, sizeof(what), "top by %s%s%s, %" PRIu64 " paths, in %s", count.by[0], count.by[1] ? " and " : "",
		 count.by[1] ?: "", values, where);
	bench_memory_mark();
	cpu_ns = thread_cpu_ns();
	if (sonde_store_count(store, &query, &count, take, &n, &answer))
		bench_die(what);
	cpu_ns = thread_cpu_ns() - cpu_ns;
	fprintf(stderr, "%s: %" PRIu64 " groups\n", what, answer.groups);
	snprintf(text, sizeof(text), "CPU, %s", what);
	bench_figure(text, (double)cpu_ns / 1e6, "ms");
	snprintf(text, sizeof(text), "memory, %s", what);
	bench_figure(text, (bench_memory("VmHWM") - before) / (1 << 20), "MiB");
}

static void ask_all(const char *path, uint64_t n, uint64_t values)
{
	bool in_memory = !strcmp(path, "memory");
	struct sonde_store_opts opts = {.path = path, .max_bytes = in_memory ? 4ull << 30 : 0};
	struct sonde_store *store;

	if (sonde_store_open(&opts, &store) || sonde_store_add_type(store, &type))
		bench_die("open");
	fill(store, n, values);
	if (!in_memory) { /* nothing but the count goes on */
		sonde_store_close(&store);
		opts.read_only = true;
		if (sonde_store_open(&opts, &store))
			bench_die("open");
	}
	ask(store, in_memory ? "memory" : "a file", values, (struct sonde_count_opts){.by = {"path"}});
	ask(store, in_memory ? "memory" : "a file", values, (struct sonde_count_opts){.by = {"pid", "path"}});
	ask(store, in_memory ? "memory" : "a file", values, (struct sonde_count_opts){.by = {"command"}});
	sonde_store_close(&store);
}

void bench_groups(const char *folder, uint64_t n)
{
	static const uint64_t values[] = {65000, 200000, 2000000};
	char path[256];

	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* as in the agent */
	snprintf(path, sizeof(path), "%s/groups.db", folder);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		ask_all(path, n, values[i]);
		unlink(path);
	}
	ask_all("memory", n / 10, values[1]);
}
