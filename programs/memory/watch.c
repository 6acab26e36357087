/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of limits. Invariant: the first entry is the node's and stays; all others have a limit below the node's memory.
 * A cgroup that is gone stays for a while, as its last kill may still be on its way through the ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sonde/types.h>

#include "watch.h"

#define SCAN_NS 2000000000ull	/* between two walks over all cgroups, at least */
#define SAMPLE_NS 900000000ull	/* below the time between two ticks, so that none is left out */
#define SAMPLE_MAX_NS 3900000000ull /* of what hardly moves */
#define STILL_PART 64		/* less than this part of what is left between two samples is hardly */
#define COST_DIVISOR 200	/* walks and samples take at most a two-hundredth of a CPU each */
#define WALK_MAX 20000
#define GONE_NS 60000000000ull
#define SAY_NS 10000000000ull /* between two forecasts of one limit, at least */
#define CALM_NS 60000000000ull /* without a forecast for so long, the next one is a first one again */

struct sonde_memory_watch {
	struct sonde_memory_hierarchy hierarchy;
	struct sonde_memory_node node;
	struct sonde_memory_pressure pressure;
	struct sonde_memory_watched *entries[SONDE_MEMORY_WATCHED_MAX + 1];
	size_t n, untracked;
	uint64_t next_scan_ns, next_sample_ns, now_ns;
};

static void watched_free(struct sonde_memory_watched *watched)
{
	sonde_memory_suspects_free(&watched->suspects);
	free(watched);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int sonde_memory_watch_new(const char *mountinfo, struct sonde_memory_watch **ret_watch)
{
	struct sonde_memory_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->entries[0] = calloc(1, sizeof(*watch->entries[0]));
	if (!watch->entries[0]) {
		free(watch);
		return -ENOMEM;
	}
	watch->n = 1;
	watch->pressure = (struct sonde_memory_pressure){-1, -1};
	if (sonde_memory_hierarchy_open(mountinfo, &watch->hierarchy) < 0)
		watch->hierarchy.fd = -1;
	*ret_watch = watch;
	return 0;
}

void sonde_memory_watch_free(struct sonde_memory_watch **pointer)
{
	struct sonde_memory_watch *watch = *pointer;

	*pointer = NULL;
	if (!watch)
		return;
	for (size_t i = 0; i < watch->n; i++)
		watched_free(watch->entries[i]);
	if (watch->hierarchy.fd >= 0)
		close(watch->hierarchy.fd);
	free(watch);
}

size_t sonde_memory_watch_count(const struct sonde_memory_watch *watch)
{
	return watch->n;
}

struct sonde_memory_watched *sonde_memory_watch_get(struct sonde_memory_watch *watch, size_t i)
{
	return i < watch->n ? watch->entries[i] : NULL;
}

struct sonde_memory_watched *sonde_memory_watch_find(struct sonde_memory_watch *watch, uint64_t id)
{
	for (size_t i = 0; i < watch->n; i++)
		if (watch->entries[i]->id == id)
			return watch->entries[i];
	return NULL;
}

const struct sonde_memory_hierarchy *sonde_memory_watch_hierarchy(const struct sonde_memory_watch *watch)
{
	return &watch->hierarchy;
}

const struct sonde_memory_node *sonde_memory_watch_node(const struct sonde_memory_watch *watch)
{
	return &watch->node;
}

const struct sonde_memory_pressure *sonde_memory_watch_pressure(const struct sonde_memory_watch *watch)
{
	return &watch->pressure;
}

size_t sonde_memory_watch_untracked(const struct sonde_memory_watch *watch)
{
	return watch->untracked;
}

void sonde_memory_watched_restart(struct sonde_memory_watched *watched)
{
	watched->series = (struct sonde_memory_series){0};
	watched->first_said_ns = watched->said_ns = watched->said_ahead_ns = 0;
	watched->due = false;
}

bool sonde_memory_watched_should_say(const struct sonde_memory_watched *watched, uint64_t now_ns)
{
	if (!watched->said_ns || now_ns - watched->said_ns >= CALM_NS)
		return true;
	return now_ns - watched->said_ns >= SAY_NS &&
	       watched->forecast.time_to_limit_ns <= watched->said_ahead_ns / 2;
}

void sonde_memory_watched_said(struct sonde_memory_watched *watched, uint64_t now_ns)
{
	if (!watched->said_ns || now_ns - watched->said_ns >= CALM_NS)
		watched->first_said_ns = now_ns;
	watched->said_ns = now_ns;
	watched->said_ahead_ns = watched->forecast.time_to_limit_ns;
	watched->due = false;
}

/* One cgroup of the walk. */
static void scan_found(void *userdata, const char *path, uint64_t inode)
{
	struct sonde_memory_watch *watch = userdata;
	uint64_t id = watch->hierarchy.v1 ? inode | SONDE_CGROUP_V1 : inode, limit;
	struct sonde_memory_watched *watched;

	if (sonde_memory_read_limit(&watch->hierarchy, path, &limit) < 0 || !limit || limit >= watch->node.total_bytes)
		return;
	watched = sonde_memory_watch_find(watch, id);
	if (!watched && watch->n <= SONDE_MEMORY_WATCHED_MAX)
		watched = calloc(1, sizeof(*watched));
	if (!watched) {
		watch->untracked++;
		return;
	}
	if (!watched->id)
		watch->entries[watch->n++] = watched;
	watched->id = id;
	watched->limit_bytes = limit;
	watched->seen_ns = watch->now_ns;
	strncpy(watched->path, path, sizeof(watched->path) - 1); /* a cgroup of v1 can be renamed */
}

static void drop_gone(struct sonde_memory_watch *watch)
{
	for (size_t i = 1; i < watch->n;) {
		if (watch->now_ns - watch->entries[i]->seen_ns < GONE_NS) {
			i++;
			continue;
		}
		watched_free(watch->entries[i]);
		watch->entries[i] = watch->entries[--watch->n];
	}
}

static void scan(struct sonde_memory_watch *watch)
{
	uint64_t begin = cpu_ns(), cost;

	watch->untracked = 0;
	if (watch->hierarchy.fd >= 0)
		sonde_memory_walk(&watch->hierarchy, "", WALK_MAX, scan_found, watch);
	drop_gone(watch);
	cost = (cpu_ns() - begin) * COST_DIVISOR;
	watch->next_scan_ns = watch->now_ns + (cost > SCAN_NS ? cost : SCAN_NS) - SCAN_NS / 10;
}

static uint64_t next_interval(const struct sonde_memory_watched *watched, uint64_t used)
{
	uint64_t moved = used > watched->used_bytes ? used - watched->used_bytes : watched->used_bytes - used;
	uint64_t left = watched->limit_bytes > used ? watched->limit_bytes - used : 0, twice = watched->interval_ns * 2;

	if (!watched->interval_ns || moved > left / STILL_PART)
		return SAMPLE_NS;
	return twice < SAMPLE_MAX_NS ? twice : SAMPLE_MAX_NS;
}

void sonde_memory_watched_sample(struct sonde_memory_watched *watched, uint64_t now_ns, uint64_t used)
{
	watched->interval_ns = next_interval(watched, used);
	watched->used_bytes = used;
	sonde_memory_series_add(&watched->series, now_ns, used);
	watched->due = sonde_memory_predict(&watched->series, watched->limit_bytes, SONDE_MEMORY_HORIZON_NS,
					    &watched->forecast) &&
		       sonde_memory_watched_should_say(watched, now_ns);
	/* Who grows is told by one more look, which should not take long. */
	watched->next_ns = now_ns + (watched->due ? SAMPLE_NS : watched->interval_ns);
}

static void sample(struct sonde_memory_watch *watch)
{
	uint64_t begin = cpu_ns(), cost, used;

	if (sonde_memory_read_node(&watch->node) == 0) {
		watch->entries[0]->limit_bytes = watch->node.total_bytes;
		used = watch->node.total_bytes - watch->node.available_bytes;
		sonde_memory_watched_sample(watch->entries[0], watch->now_ns, used);
	}
	sonde_memory_read_pressure(&watch->hierarchy, NULL, &watch->pressure);
	for (size_t i = 1; i < watch->n; i++) {
		watch->entries[i]->due = false;
		if (watch->now_ns >= watch->entries[i]->next_ns &&
		    sonde_memory_read_working_set(&watch->hierarchy, watch->entries[i]->path, &used) == 0)
			sonde_memory_watched_sample(watch->entries[i], watch->now_ns, used);
	}
	cost = (cpu_ns() - begin) * COST_DIVISOR;
	watch->next_sample_ns = watch->now_ns + (cost > SAMPLE_NS ? cost : SAMPLE_NS);
}

void sonde_memory_watch_look(struct sonde_memory_watch *watch, uint64_t now_ns)
{
	watch->now_ns = now_ns;
	if (!watch->node.total_bytes && sonde_memory_read_node(&watch->node) < 0)
		watch->node.total_bytes = SONDE_MEMORY_UNLIMITED - 1;
	if (now_ns >= watch->next_scan_ns)
		scan(watch);
	if (now_ns >= watch->next_sample_ns)
		sample(watch);
}
