/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file enrich.h
 * What user space adds to an event: names of containers, symbols, processes and addresses. All tables are bounded.
 *
 * Threads: every function may be called from any thread. Texts that are returned are interned: they live as long as the process
 * (names of addresses do not, see sonde_names).
 * No capability is needed: cgroup names are looked up by walking the mounted hierarchies (inode number = cgroup id),
 * kernel symbols come from a descriptor that the loader opened.
 */

#include <stddef.h>
#include <stdint.h>
#include <schema/schema.h>
#include <sonde/program.h>

struct sonde_enrich;

struct sonde_enrich_opts {
	int kallsyms_fd;      /* /proc/kallsyms opened with the right to see addresses; -1: symbols stay numbers. Not owned. */
	uint32_t max_processes; /* 0: 65536 */
	uint32_t max_cgroups;	/* 0: 16384 */
	uint32_t max_names;	/* of addresses; 0: 16384 */
};

int sonde_enrich_new(const struct sonde_enrich_opts *opts, struct sonde_enrich **ret_enrich);
void sonde_enrich_free(struct sonde_enrich **enrich);

/** For the schema's encoders; valid as long as the enrich. */
const struct sonde_names *sonde_enrich_names(struct sonde_enrich *enrich);
/** Container or unit of a cgroup (sonde_header.cgroup_id), or NULL: the host itself or unknown. */
const char *sonde_enrich_container(struct sonde_enrich *enrich, uint64_t cgroup_id);
/** Context of a program's hooks (include/sonde/program.h); one for each program is copied from it (hook_context.h). */
struct sonde_hook_context *sonde_enrich_hook_context(struct sonde_enrich *enrich);

struct sonde_enrich_status {
	uint64_t processes, processes_evicted, cgroups, cgroups_evicted, symbols, strings, string_bytes;
	uint64_t strings_refused; /* look-ups that got "(too many names)" instead of their name */
	uint64_t cgroups_unknown; /* ids that are in no hierarchy that can be seen here */
	uint64_t cgroup_walks;
	uint64_t names, names_evicted; /* of addresses */
};
void sonde_enrich_status(struct sonde_enrich *enrich, struct sonde_enrich_status *ret_status);

/**
 * @brief The container or unit that a cgroup path names. A pure function.
 * Docker, containerd, CRI-O, podman, LXC, systemd-nspawn: the container's id (64 hex digits as they are) or name;
 * systemd: the unit ("nginx.service", "session-3.scope"). Nested cgroups belong to the outermost container.
 * @return length of the name copied to ret_name, 0: none.
 */
size_t sonde_container_of_path(const char *path, char *ret_name, size_t size);
