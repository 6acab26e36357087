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

#include "changes.h"
#include "watch.h"

#define EARLY_NS 100000000ull	/* an interval is that much shorter, so that no tick is left out */
#define TICK_NS (1000000000ull - EARLY_NS)
#define SCANS_PART 2		/* between two walks over all cgroups so many sample intervals, at least */
#define SCANS_CALM_PART 30	/* while nothing is known to have changed */
#define STILL_FACTOR 4		/* what hardly moves is looked at so much less often */
#define CALM_PART 2		/* with less than this part of a limit in use, cache that becomes memory in use hurries nobody */
#define STILL_PART 64		/* less than this part of what is left between two samples is hardly */
#define COST_DIVISOR 200	/* walks and samples take at most a two-hundredth of a CPU each */
#define WALK_MAX 20000
#define GONE_NS 60000000000ull
#define CALM_FACTOR 6 /* so many times the least interval without a forecast, and the next one is a first one again */

struct sonde_memory_watch {
	struct sonde_memory_settings settings;
	struct sonde_memory_hierarchy hierarchy;
	struct sonde_memory_changes changes; /* of it, since the last walk */
	struct sonde_memory_kept kept_node, kept_pressure;
	struct sonde_memory_node node;
	struct sonde_memory_pressure pressure;
	size_t n, untracked;
	uint64_t next_scan_ns, latest_scan_ns, next_sample_ns, now_ns;
	struct sonde_memory_watched *entries[]; /* settings.cgroups_max, and the node's */
};

static struct sonde_memory_watched *watched_new(const struct sonde_memory_settings *settings)
{
	struct sonde_memory_watched *watched = calloc(1, sizeof(*watched));

	if (!watched)
		return NULL;
	watched->settings = settings;
	watched->kept = SONDE_MEMORY_CGROUP_NOT_KEPT;
	return watched;
}

static void watched_free(struct sonde_memory_watched *watched)
{
	sonde_memory_suspects_free(&watched->suspects);
	sonde_memory_kept_close(&watched->kept.used);
	sonde_memory_kept_close(&watched->kept.stat);
	free(watched);
}

uint64_t sonde_memory_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int sonde_memory_watch_new(const char *mountinfo, const struct sonde_memory_settings *settings,
			   struct sonde_memory_watch **ret_watch)
{
	struct sonde_memory_watch *watch;

	watch = calloc(1, sizeof(*watch) + (settings->cgroups_max + 1) * sizeof(watch->entries[0]));
	if (!watch)
		return -ENOMEM;
	watch->settings = *settings;
	watch->entries[0] = watched_new(&watch->settings);
	if (!watch->entries[0]) {
		free(watch);
		return -ENOMEM;
	}
	watch->n = 1;
	watch->pressure = (struct sonde_memory_pressure){-1, -1};
	watch->kept_node = watch->kept_pressure = SONDE_MEMORY_NOT_KEPT;
	watch->changes.fd = -1;
	if (sonde_memory_hierarchy_open(mountinfo, &watch->hierarchy) < 0)
		watch->hierarchy.fd = -1;
	else
		sonde_memory_changes_open(&watch->changes);
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
	sonde_memory_changes_close(&watch->changes);
	sonde_memory_kept_close(&watch->kept_node);
	sonde_memory_kept_close(&watch->kept_pressure);
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

static bool is_inside(const char *path, const char *outer)
{
	size_t length = strlen(outer);

	return !strncmp(path, outer, length) && (path[length] == '/' || !path[length]);
}

static uint64_t left_of(const struct sonde_memory_watched *watched)
{
	return watched->limit_bytes > watched->used_bytes ? watched->limit_bytes - watched->used_bytes : 0;
}

struct sonde_memory_watched *sonde_memory_watch_tightest(struct sonde_memory_watch *watch, const char *path)
{
	struct sonde_memory_watched *tightest = watch->entries[0];

	for (size_t i = 1; i < watch->n; i++)
		if (is_inside(path, watch->entries[i]->path) && left_of(watch->entries[i]) < left_of(tightest))
			tightest = watch->entries[i];
	return tightest;
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

static uint64_t calm_ns(const struct sonde_memory_settings *settings)
{
	uint64_t longer = settings->repeat_interval_ns > settings->sample_interval_ns ? settings->repeat_interval_ns :
										 settings->sample_interval_ns;

	return longer * CALM_FACTOR;
}

bool sonde_memory_watched_is_calm(const struct sonde_memory_watched *watched, uint64_t now_ns)
{
	return !watched->said_ns || now_ns - watched->said_ns >= calm_ns(watched->settings);
}

bool sonde_memory_watched_should_say(const struct sonde_memory_watched *watched, uint64_t now_ns)
{
	if (sonde_memory_watched_is_calm(watched, now_ns))
		return true;
	return now_ns - watched->said_ns >= watched->settings->repeat_interval_ns &&
	       watched->forecast.time_to_limit_ns <= watched->said_ahead_ns / 2;
}

void sonde_memory_watched_said(struct sonde_memory_watched *watched, uint64_t now_ns)
{
	if (sonde_memory_watched_is_calm(watched, now_ns))
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

	sonde_memory_changes_of(&watch->changes, &watch->hierarchy, path);
	if (sonde_memory_read_limit(&watch->hierarchy, path, &limit) < 0 || !limit || limit >= watch->node.total_bytes)
		return;
	watched = sonde_memory_watch_find(watch, id);
	if (!watched && watch->n <= watch->settings.cgroups_max)
		watched = watched_new(&watch->settings);
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
	uint64_t begin = sonde_memory_cpu_ns(), cost, interval = watch->settings.sample_interval_ns * SCANS_PART;

	watch->untracked = 0;
	if (watch->hierarchy.fd >= 0) {
		sonde_memory_changes_of(&watch->changes, &watch->hierarchy, "");
		sonde_memory_walk(&watch->hierarchy, "", WALK_MAX, scan_found, watch);
	}
	drop_gone(watch);
	cost = (sonde_memory_cpu_ns() - begin) * COST_DIVISOR;
	watch->next_scan_ns = watch->now_ns + (cost > interval ? cost : interval) - EARLY_NS;
	watch->latest_scan_ns = watch->now_ns + watch->settings.sample_interval_ns * SCANS_CALM_PART;
}

/* What changed is not asked for before it can be walked over, or it would be forgotten. */
static bool scan_is_due(struct sonde_memory_watch *watch)
{
	if (watch->now_ns < watch->next_scan_ns)
		return false;
	return watch->now_ns >= watch->latest_scan_ns || sonde_memory_changes_any(&watch->changes, &watch->hierarchy);
}

static uint64_t next_interval(const struct sonde_memory_watched *watched, uint64_t used)
{
	uint64_t moved = used > watched->used_bytes ? used - watched->used_bytes : watched->used_bytes - used;
	uint64_t left = watched->limit_bytes > used ? watched->limit_bytes - used : 0, twice = watched->interval_ns * 2;
	uint64_t interval = watched->settings->sample_interval_ns, longest = interval * STILL_FACTOR - EARLY_NS;

	if (!watched->interval_ns || moved > left / STILL_PART)
		return interval - EARLY_NS;
	return twice < longest ? twice : longest;
}

void sonde_memory_watched_sample(struct sonde_memory_watched *watched, uint64_t now_ns, uint64_t used)
{
	watched->interval_ns = next_interval(watched, used);
	watched->used_bytes = used;
	watched->series.silence_ns = watched->settings->sample_interval_ns * STILL_FACTOR * 4;
	sonde_memory_series_add(&watched->series, now_ns, used);
	watched->due = sonde_memory_predict(&watched->series, watched->limit_bytes, watched->settings->horizon_ns,
					    &watched->forecast) &&
		       watched->forecast.confidence_pct >= watched->settings->least_confidence_pct &&
		       sonde_memory_watched_should_say(watched, now_ns);
	/* Who grows is told by one more look, which should not take long. */
	watched->next_ns = now_ns + (watched->due ? TICK_NS : watched->interval_ns);
}

/* Never less often than the interval says: a kill tells what the last look saw. */
static void sample_node(struct sonde_memory_watch *watch)
{
	struct sonde_memory_watched *node = watch->entries[0];
	uint64_t latest = watch->now_ns + watch->settings.sample_interval_ns - EARLY_NS;

	node->due = false;
	if (watch->now_ns < node->next_ns || sonde_memory_read_node(&watch->kept_node, &watch->node) < 0)
		return;
	node->limit_bytes = watch->node.total_bytes;
	sonde_memory_watched_sample(node, watch->now_ns, watch->node.total_bytes - watch->node.available_bytes);
	if (node->next_ns > latest)
		node->next_ns = latest;
	sonde_memory_read_node_pressure(&watch->kept_pressure, &watch->pressure);
}

static void sample(struct sonde_memory_watch *watch)
{
	uint64_t begin = sonde_memory_cpu_ns(), cost, used;

	sample_node(watch);
	for (size_t i = 1; i < watch->n; i++) {
		struct sonde_memory_watched *watched = watch->entries[i];

		watched->due = false;
		if (watch->now_ns >= watched->next_ns &&
		    sonde_memory_read_working_set(&watched->kept, &watch->hierarchy, watched->path,
						  watched->limit_bytes / CALM_PART, &used) == 0)
			/* Not the time of the tick: there may have been a kill since, and what it left did not lead to it. */
			sonde_memory_watched_sample(watched, boot_ns(), used);
	}
	cost = (sonde_memory_cpu_ns() - begin) * COST_DIVISOR;
	watch->next_sample_ns = watch->now_ns + (cost > TICK_NS ? cost : TICK_NS);
}

void sonde_memory_watch_look(struct sonde_memory_watch *watch, uint64_t now_ns)
{
	watch->now_ns = now_ns;
	if (!watch->node.total_bytes && sonde_memory_read_node(&watch->kept_node, &watch->node) < 0)
		watch->node.total_bytes = SONDE_MEMORY_UNLIMITED - 1;
	if (scan_is_due(watch))
		scan(watch);
	if (now_ns >= watch->next_sample_ns)
		sample(watch);
}
