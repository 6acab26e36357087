/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file cgroups.h
 * cgroup id -> container or unit, for the unified hierarchy and (SONDE_CGROUP_V1) that of v1's memory controller. Learned when a
 * cgroup is made (sonde_cgroups_set()), else by walking the hierarchy, at most once a second each.
 *
 * Threads: any. A look-up that misses may walk: 4 to 7 ms per 1,000 cgroups, 19 the first time (the kernel makes their inodes).
 */

#include <enrich/intern.h>

#define SONDE_CGROUP_UNKNOWN_NS 60000000000ll /* an id that no walk found is not looked for again so long */

struct sonde_cgroups;

struct sonde_cgroups_status {
	uint64_t cgroups; /* known now */
	uint64_t evicted;
	uint64_t unknown; /* ids that a walk did not find, now */
	uint64_t walks;
};

/** @param names Borrowed for the life of the table. */
int sonde_cgroups_new(uint32_t max, struct sonde_intern *names, struct sonde_cgroups **ret_cgroups);
void sonde_cgroups_free(struct sonde_cgroups **cgroups);
/** Learn all cgroups that are there now, before anybody waits for an answer. */
void sonde_cgroups_learn(struct sonde_cgroups *cgroups);
/** Interned, or NULL: the host itself, or unknown. */
const char *sonde_cgroups_container(struct sonde_cgroups *cgroups, uint64_t id);
/** @param path From the root of its hierarchy. */
void sonde_cgroups_set(struct sonde_cgroups *cgroups, uint64_t id, const char *path);
void sonde_cgroups_status(struct sonde_cgroups *cgroups, struct sonde_cgroups_status *ret_status);
