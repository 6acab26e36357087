/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file hierarchy.h
 * One mounted cgroup hierarchy: where it is, and a bounded walk through it. No capability is needed: cgroup directories
 * can be read by anyone.
 *
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONDE_HIERARCHY_DEPTH_MAX 32
#define SONDE_HIERARCHY_WALK_MAX 65536 /* cgroups */

struct sonde_hierarchy {
	int fd;	      /* of the mounted directory; -1: not found */
	char *prefix; /* path of that directory in the hierarchy, "" for its root */
};

#define SONDE_HIERARCHY_INIT {.fd = -1}

/**
 * @brief Find the unified hierarchy, or that of v1's memory controller.
 * @param mountinfo "/proc/self/mountinfo".
 * @return 0, -ENOENT it is not mounted here.
 */
int sonde_hierarchy_open(const char *mountinfo, bool v1, struct sonde_hierarchy *ret_hierarchy);
void sonde_hierarchy_close(struct sonde_hierarchy *hierarchy);

/** `path` is valid during the call: from the root of the hierarchy, "/" for the root itself. */
typedef void (*sonde_cgroup_fn)(uint64_t id, const char *path, void *userdata);

/** @return the number of cgroups seen, at most SONDE_HIERARCHY_WALK_MAX; negative: the hierarchy cannot be read. */
int sonde_hierarchy_walk(const struct sonde_hierarchy *hierarchy, sonde_cgroup_fn fn, void *userdata);
