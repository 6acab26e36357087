/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file sources.h
 * The small files that memory use is read from: cgroup hierarchies and /proc. All of them are open to every user.
 *
 * Every function that gives an int: 0, or a negative errno (-ENOENT: the cgroup or process is gone; -EINVAL: the file
 * says something else than it should).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"

#define SONDE_MEMORY_UNLIMITED UINT64_MAX
#define SONDE_MEMORY_PATH_SIZE 512

/** The memory controller's hierarchy: v1's, or the unified one if the controller is there. */
struct sonde_memory_hierarchy {
	int fd; /* of its root; -1: there is none */
	bool v1;
};

/** @param mountinfo "/proc/self/mountinfo". @return -ENOENT: no hierarchy has the controller. */
int sonde_memory_hierarchy_open(const char *mountinfo, struct sonde_memory_hierarchy *ret_hierarchy);

/** Of the file that has a cgroup's limit. */
const char *sonde_memory_limit_name(const struct sonde_memory_hierarchy *hierarchy);
/** @param path Of the cgroup below the root, starting with '/'. */
int sonde_memory_read_limit(const struct sonde_memory_hierarchy *hierarchy, const char *path, uint64_t *ret_bytes);

/** What a cgroup's use is read from. */
struct sonde_memory_kept_cgroup {
	struct sonde_memory_kept used, stat;
	uint64_t used_bytes, cache_bytes; /* the last time; 0: not known */
};
#define SONDE_MEMORY_CGROUP_NOT_KEPT ((struct sonde_memory_kept_cgroup){SONDE_MEMORY_NOT_KEPT, SONDE_MEMORY_NOT_KEPT})
/**
 * Without the file cache that nobody used of late: it gives way before anything is killed.
 * @param calm_bytes While less is used in all, and not a page more or less than the last time, the cache is taken to be the same too.
 */
int sonde_memory_read_working_set(struct sonde_memory_kept_cgroup *kept, const struct sonde_memory_hierarchy *hierarchy,
				  const char *path, uint64_t calm_bytes, uint64_t *ret_bytes);

/** Calls `found` for each cgroup below `path`, parents first. @return how many were seen; stops at `max`. */
size_t sonde_memory_walk(const struct sonde_memory_hierarchy *hierarchy, const char *path, size_t max,
			 void (*found)(void *userdata, const char *path, uint64_t inode), void *userdata);

struct sonde_memory_node {
	uint64_t total_bytes, available_bytes, swap_bytes;
};
int sonde_memory_read_node(struct sonde_memory_kept *kept, struct sonde_memory_node *ret_node);

/** Percent of the last 10 s, rounded; -1: not known (PSI is off). */
struct sonde_memory_pressure {
	int some_pct, full_pct;
};
void sonde_memory_read_node_pressure(struct sonde_memory_kept *kept, struct sonde_memory_pressure *ret_pressure);
/** Cgroups of v1 have none. */
void sonde_memory_read_pressure(const struct sonde_memory_hierarchy *hierarchy, const char *path,
				struct sonde_memory_pressure *ret_pressure);

struct sonde_memory_process {
	uint64_t start_time_ns; /* in steps of 10 ms */
	uint64_t anon_bytes, file_bytes, shmem_bytes, swap_bytes, page_table_bytes;
	uint32_t pid, uid;
	int oom_score_adj;
	char command[16];
};
int sonde_memory_read_process(uint32_t pid, struct sonde_memory_process *ret_process);
int sonde_memory_read_resident(uint32_t pid, uint64_t *ret_bytes);
/** Without pages of files and shared memory. @param kept Its own, for each process. */
int sonde_memory_read_anonymous(struct sonde_memory_kept *kept, uint32_t pid, uint64_t *ret_bytes);
/** When it started, in ticks since boot. */
int sonde_memory_read_start(uint32_t pid, uint64_t *ret_ticks);
/** Its cgroup in this hierarchy. */
int sonde_memory_read_cgroup(const struct sonde_memory_hierarchy *hierarchy, uint32_t pid, char ret_path[SONDE_MEMORY_PATH_SIZE]);

/** Processes of the node (hierarchy NULL), or of a cgroup without those below it. @return how many, `max` at most. */
size_t sonde_memory_read_pids(const struct sonde_memory_hierarchy *hierarchy, const char *path, uint32_t *pids, size_t max);

/* The formats, for tests. */
bool sonde_memory_parse_number(const char *text, uint64_t *ret_number); /* "max": SONDE_MEMORY_UNLIMITED */
/** A line "NAME[:] NUMBER ...". */
bool sonde_memory_parse_field(const char *text, const char *name, uint64_t *ret_number);
void sonde_memory_parse_pressure(const char *text, struct sonde_memory_pressure *ret_pressure);
/** The whole of /proc/PID/cgroup; the path of a cgroup may hold anything. */
bool sonde_memory_parse_cgroup(const char *text, bool v1, char ret_path[SONDE_MEMORY_PATH_SIZE]);
/** The whole of /proc/PID/stat; the command in it may hold anything. */
bool sonde_memory_parse_start(const char *text, uint64_t *ret_ticks);
