/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of large processes. Invariant: a process is (pid, start time): with another start time its samples begin anew.
 * What counts is its own (anonymous) memory, as pages of files give way before anything is killed. Most processes of a node are far
 * from large, and many are the kernel's, which have no memory: looking at each of them costs the same, so they take turns.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"

#define PIDS_MAX 32768
#define COST_DIVISOR 400 /* walks and samples take at most a four-hundredth of a CPU each */
#define SCANS_PART 5 /* between two walks over all processes so many sample intervals, at least */
#define SMALL_PART 4 /* less than this part of a large one is small */
#define TURNS_SMALL 4 /* one in so many walks looks at it */
#define TURNS_EMPTY 16

struct large {
	uint64_t bytes;
	uint32_t pid;
};

/* A process as a walk saw it. */
struct seen {
	uint32_t pid, turns;
};

struct sonde_memory_processes {
	struct sonde_memory_settings settings;
	size_t n, n_seen;
	uint64_t next_scan_ns, next_sample_ns;
	uint32_t n_scans;
	uint32_t pids[PIDS_MAX];
	struct seen seen[PIDS_MAX], seen_before[PIDS_MAX];
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
	sonde_memory_kept_close(&p->growers[i]->kept);
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

/* Between fork and exec a process can have nothing for a moment: it is believed the second time. */
static uint32_t turns_for(const struct sonde_memory_processes *p, uint64_t bytes, uint32_t turns)
{
	if (bytes >= p->settings.least_process_bytes / SMALL_PART)
		return 1;
	return bytes || turns < TURNS_SMALL ? TURNS_SMALL : TURNS_EMPTY;
}

/* How often the last walk said to look; of a new one at once. @param at In the last walk; pids rise, in both. */
static uint32_t turns_before(const struct sonde_memory_processes *p, size_t n_before, uint32_t pid, size_t *at)
{
	while (*at < n_before && p->seen_before[*at].pid < pid)
		(*at)++;
	return *at < n_before && p->seen_before[*at].pid == pid ? p->seen_before[*at].turns : 1;
}

/* The largest ones, the largest first. */
static size_t find_large(struct sonde_memory_processes *p)
{
	size_t n = sonde_memory_read_pids(NULL, NULL, p->pids, PIDS_MAX), n_large = 0, n_before = p->n_seen, at = 0;
	uint64_t bytes;

	memcpy(p->seen_before, p->seen, n_before * sizeof(p->seen[0]));
	p->n_seen = 0;
	p->n_scans++;
	for (size_t i = 0; i < n; i++) {
		struct seen seen = {p->pids[i], turns_before(p, n_before, p->pids[i], &at)};
		struct sonde_memory_kept once = SONDE_MEMORY_NOT_KEPT;

		if ((p->n_scans + seen.pid) % seen.turns == 0 && sonde_memory_read_anonymous(&once, seen.pid, &bytes) == 0) {
			seen.turns = turns_for(p, bytes, seen.turns);
			if (bytes >= p->settings.least_process_bytes)
				p->large[n_large++] = (struct large){bytes, seen.pid};
		}
		sonde_memory_kept_close(&once);
		p->seen[p->n_seen++] = seen;
	}
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
		grower->kept = SONDE_MEMORY_NOT_KEPT;
		p->growers[p->n++] = grower;
	}
	if (grower->pid != pid || grower->start_ticks != ticks) {
		sonde_memory_kept_close(&grower->kept);
		*grower = (struct sonde_memory_grower){
			.pid = pid, .start_ticks = ticks, .kept = SONDE_MEMORY_NOT_KEPT, .watched.settings = &p->settings};
	}
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

	if (now_ns < watched->next_ns)
		return;
	if (!limit || sonde_memory_read_anonymous(&grower->kept, grower->pid, &bytes) < 0) {
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
	for (size_t i = 0; i < p->n; i++) /* what is told is what this look found: a process may be gone since the last one */
		p->growers[i]->watched.due = false;
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
