/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file processes.h
 * The largest processes, each with its samples: who grows towards a limit that does not yet fill up itself, because others below
 * it give back meanwhile.
 *
 * Bounded: sonde_memory_settings.processes_max. Looking for them takes at most a quarter of a percent of a CPU, and so does sampling.
 */

#include "watch.h"

struct sonde_memory_grower {
	uint32_t pid;
	uint64_t start_ticks;
	struct sonde_memory_kept kept; /* its size is read from */
	uint64_t limit_id; /* of sonde_memory_watched: the one that it will reach first */
	uint64_t since_ns; /* there has been a forecast without a pause; 0: there is none */
	/* What it has itself, against that and what the limit has left. */
	struct sonde_memory_watched watched;
};

struct sonde_memory_processes;

int sonde_memory_processes_new(const struct sonde_memory_settings *settings, struct sonde_memory_processes **ret_processes);
void sonde_memory_processes_free(struct sonde_memory_processes **processes);
/** Look at all that are due, after the watch has looked. */
void sonde_memory_processes_look(struct sonde_memory_processes *processes, struct sonde_memory_watch *watch, uint64_t now_ns);
size_t sonde_memory_processes_count(const struct sonde_memory_processes *processes);
struct sonde_memory_grower *sonde_memory_processes_get(struct sonde_memory_processes *processes, size_t i);
/**
 * Whether this growth is worth an event of its own: it has been foreseen for a while, and of its limit nothing was said.
 * @param limit The one of limit_id.
 */
bool sonde_memory_grower_should_say(const struct sonde_memory_grower *grower, const struct sonde_memory_watched *limit,
				    uint64_t now_ns);
