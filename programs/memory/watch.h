/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file watch.h
 * The limits that are watched: of cgroups, and of the node; each with its samples and what was said of it.
 *
 * Bounded: sonde_memory_settings.cgroups_max; those beyond are counted. Takes at most one percent of a CPU: looks
 * less often when looking takes long.
 */

#include "forecast.h"
#include "sources.h"
#include "suspects.h"

/** The settings of the same names (program.bpf.c). */
struct sonde_memory_settings {
	uint64_t sample_interval_ns, horizon_ns, repeat_interval_ns;
	unsigned least_confidence_pct;
	uint64_t least_process_bytes;
	size_t cgroups_max, processes_max;
};

/** CPU time of this thread. */
uint64_t sonde_memory_cpu_ns(void);

struct sonde_memory_watched {
	const struct sonde_memory_settings *settings;
	uint64_t id; /* as sonde_header.cgroup_id; 0: the node */
	char path[SONDE_MEMORY_PATH_SIZE];
	struct sonde_memory_kept_cgroup kept; /* of a cgroup */
	uint64_t limit_bytes, used_bytes;
	struct sonde_memory_series series;
	uint64_t next_ns, interval_ns; /* of its samples: longer for what hardly moves */
	uint64_t seen_ns;	 /* the last time it was there */
	uint64_t first_said_ns;	 /* first forecast of this growth; 0: none */
	uint64_t said_ns;	 /* latest one */
	uint64_t said_ahead_ns;	 /* what it said */
	struct sonde_memory_forecast forecast;
	bool due;		 /* `forecast` is to be said */
	struct sonde_memory_suspects *suspects; /* its processes as they were a look ago, while there is something to say */
};

struct sonde_memory_watch;

/** @param mountinfo "/proc/self/mountinfo". Without a hierarchy only the node is watched. */
int sonde_memory_watch_new(const char *mountinfo, const struct sonde_memory_settings *settings,
			   struct sonde_memory_watch **ret_watch);
void sonde_memory_watch_free(struct sonde_memory_watch **watch);

/** Look at everything that is due; sets `due` of those that there is something to say of. */
void sonde_memory_watch_look(struct sonde_memory_watch *watch, uint64_t now_ns);

/** The node first, then the cgroups. */
size_t sonde_memory_watch_count(const struct sonde_memory_watch *watch);
struct sonde_memory_watched *sonde_memory_watch_get(struct sonde_memory_watch *watch, size_t i);
/** NULL: not watched. */
struct sonde_memory_watched *sonde_memory_watch_find(struct sonde_memory_watch *watch, uint64_t id);
/** Of the limits that hold for a process of this cgroup, the one with the least left; where there is no other, the node's. */
struct sonde_memory_watched *sonde_memory_watch_tightest(struct sonde_memory_watch *watch, const char *path);
const struct sonde_memory_hierarchy *sonde_memory_watch_hierarchy(const struct sonde_memory_watch *watch);
const struct sonde_memory_node *sonde_memory_watch_node(const struct sonde_memory_watch *watch);
const struct sonde_memory_pressure *sonde_memory_watch_pressure(const struct sonde_memory_watch *watch);
/** Cgroups with a limit that found no room, at the last look. */
size_t sonde_memory_watch_untracked(const struct sonde_memory_watch *watch);

/** One sample; sets `due`, and when the next one is to come. */
void sonde_memory_watched_sample(struct sonde_memory_watched *watched, uint64_t now_ns, uint64_t used_bytes);
/** What comes next has nothing to do with what was (a kill): forget the samples. */
void sonde_memory_watched_restart(struct sonde_memory_watched *watched);
/** Whether a forecast is worth an event: the first one, and when the time left is half of what was said. */
bool sonde_memory_watched_should_say(const struct sonde_memory_watched *watched, uint64_t now_ns);
/** Nothing was said of it for so long that a forecast would be a first one. */
bool sonde_memory_watched_is_calm(const struct sonde_memory_watched *watched, uint64_t now_ns);
void sonde_memory_watched_said(struct sonde_memory_watched *watched, uint64_t now_ns);
