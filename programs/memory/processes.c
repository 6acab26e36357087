/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of large processes. Invariant: a process is (pid, start time): with another start time its samples begin anew.
 * What counts is its own (anonymous) memory, as pages of files give way before anything is killed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"

#define PIDS_MAX 32768
#define COST_DIVISOR 400 /* walks and samples take at most a four-hundredth of a CPU each */
#define SCANS_PART 5 /* between two walks over all processes so many sample intervals, at least */

struct large {
	uint64_t bytes;
	uint32_t pid;
};

struct sonde_memory_processes {
	struct sonde_memory_settings settings;
	size_t n;
	uint64_t next_scan_ns, next_sample_ns;
	uint32_t pids[PIDS_MAX];
	struct large large[PIDS_MAX];
	struct sonde_memory_grower *growers[]; /* settings.processes_max, the largest of the last walk */
};

int sonde_memory_processes_new(const struct sonde_memory_settings *settings, struct sonde_memory_processes **ret_processes)
{
	struct sonde_memory_processes *p;

	p = calloc(1, sizeof(*p) + settings->processes_max * sizeof(p->growers[0]));
	if (!p)
		return -ENOMEM;
	p->settings = *settings;
	*ret_processes = p;
	return 0;
}

static void drop(struct sonde_memory_processes *p, size_t i)
{
	free(p->growers[i]);
	p->growers[i] = p->growers[--p->n];
}

void sonde_memory_processes_free(struct sonde_memory_processes **pointer)
{
	struct sonde_memory_processes *p = *pointer;

	*pointer = NULL;
	while (p && p->n)
		drop(p, 0);
	free(p);
}

size_t sonde_memory_processes_count(const struct sonde_memory_processes *p)
{
	return p->n;
}

struct sonde_memory_grower *sonde_memory_processes_get(struct sonde_memory_processes *p, size_t i)
{
	return i < p->n ? p->growers[i] : NULL;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct large *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* The largest ones, the largest first. */
static size_t find_large(struct sonde_memory_processes *p)
{
	size_t n = sonde_memory_read_pids(NULL, NULL, p->pids, PIDS_MAX), n_large = 0;
	uint64_t bytes;

	for (size_t i = 0; i < n; i++)
		if (sonde_memory_read_anonymous(p->pids[i], &bytes) == 0 && bytes >= p->settings.least_process_bytes)
			p->large[n_large++] = (struct large){bytes, p->pids[i]};
	qsort(p->large, n_large, sizeof(p->large[0]), compare_sizes);
	return n_large < p->settings.processes_max ? n_large : p->settings.processes_max;
}

static bool is_among(const struct large *large, size_t n, uint32_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (large[i].pid == pid)
			return true;
	return false;
}

static struct sonde_memory_grower *find(struct sonde_memory_processes *p, uint32_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->growers[i]->pid == pid)
			return p->growers[i];
	return NULL;
}

/* Adds what is new, and sees to it that what is known is still the same process, and in the same place. */
static void follow(struct sonde_memory_processes *p, struct sonde_memory_watch *watch, uint32_t pid)
{
	struct sonde_memory_grower *grower = find(p, pid);
	char path[SONDE_MEMORY_PATH_SIZE];
	uint64_t ticks;

	if (sonde_memory_read_start(pid, &ticks) < 0)
		return;
	if (!grower) {
		grower = calloc(1, sizeof(*grower));
		if (!grower)
			return;
		p->growers[p->n++] = grower;
	}
	if (grower->pid != pid || grower->start_ticks != ticks)
		*grower = (struct sonde_memory_grower){.pid = pid, .start_ticks = ticks, .watched.settings = &p->settings};
	if (sonde_memory_read_cgroup(sonde_memory_watch_hierarchy(watch), pid, path) < 0)
		path[0] = '\0';
	grower->limit_id = sonde_memory_watch_tightest(watch, path)->id;
}

static void scan(struct sonde_memory_processes *p, struct sonde_memory_watch *watch, uint64_t now_ns)
{
	uint64_t begin = sonde_memory_cpu_ns(), cost, interval = p->settings.sample_interval_ns * SCANS_PART;
	size_t n = find_large(p);

	for (size_t i = 0; i < p->n;) {
		if (is_among(p->large, n, p->growers[i]->pid))
			i++;
		else
			drop(p, i);
	}
	for (size_t i = 0; i < n; i++)
		follow(p, watch, p->large[i].pid);
	cost = (sonde_memory_cpu_ns() - begin) * COST_DIVISOR;
	p->next_scan_ns = now_ns + (cost > interval ? cost : interval);
}

static void sample_one(struct sonde_memory_grower *grower, struct sonde_memory_watch *watch, uint64_t now_ns)
{
	const struct sonde_memory_watched *limit = sonde_memory_watch_find(watch, grower->limit_id);
	struct sonde_memory_watched *watched = &grower->watched;
	uint64_t bytes;

	watched->due = false;
	if (now_ns < watched->next_ns)
		return;
	if (!limit || sonde_memory_read_anonymous(grower->pid, &bytes) < 0) {
		grower->since_ns = 0;
		return;
	}
	watched->limit_bytes = bytes;
	if (limit->limit_bytes > limit->used_bytes)
		watched->limit_bytes += limit->limit_bytes - limit->used_bytes;
	sonde_memory_watched_sample(watched, now_ns, bytes);
	if (!watched->due)
		grower->since_ns = 0;
	else if (!grower->since_ns)
		grower->since_ns = now_ns;
}

void sonde_memory_processes_look(struct sonde_memory_processes *p, struct sonde_memory_watch *watch, uint64_t now_ns)
{
	uint64_t begin, cost;

	if (!p->settings.processes_max)
		return;
	if (now_ns >= p->next_scan_ns)
		scan(p, watch, now_ns);
	if (now_ns < p->next_sample_ns)
		return;
	begin = sonde_memory_cpu_ns();
	for (size_t i = 0; i < p->n; i++)
		sample_one(p->growers[i], watch, now_ns);
	cost = (sonde_memory_cpu_ns() - begin) * COST_DIVISOR;
	p->next_sample_ns = now_ns + cost;
}

bool sonde_memory_grower_should_say(const struct sonde_memory_grower *grower, const struct sonde_memory_watched *limit,
				    uint64_t now_ns)
{
	uint64_t patience_ns = grower->watched.settings->repeat_interval_ns;

	return grower->watched.due && now_ns - grower->since_ns >= patience_ns && !limit->due && !limit->suspects &&
	       sonde_memory_watched_is_calm(limit, now_ns);
}
