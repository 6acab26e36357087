/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file processes.h
 * The process table: what the programs told of each process, by (pid, start time). Bounded in entries and in bytes of text.
 * A process that exited stays known for SONDE_PROCESS_KEPT_NS, or until its room is needed.
 *
 * Threads: any.
 */

#include <stdint.h>
#include <sonde/program.h>

#define SONDE_PROCESS_KEPT_NS 60000000000ll
#define SONDE_PROCESS_PATH_MAX 1023	/* bytes that are kept of it */
#define SONDE_PROCESS_ARGUMENTS_MAX 256 /* bytes that are kept of them */

struct sonde_processes;

struct sonde_processes_status {
	uint64_t processes; /* now, the exited ones included */
	uint64_t evicted;   /* removed before their time: no room */
	uint64_t text_bytes;
};

int sonde_processes_new(uint32_t max, struct sonde_processes **ret_processes);
void sonde_processes_free(struct sonde_processes **processes);
/** @return 0, -ENOMEM: not remembered. A process that is known as exited stays so. */
int sonde_processes_set(struct sonde_processes *processes, const struct sonde_known_process *process);
/** @return 0, -ENOENT. The texts are copies of this thread: valid until its fourth call from here. */
int sonde_processes_get(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns,
			struct sonde_known_process *ret_process);
void sonde_processes_exit(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns, uint64_t time_ns);
void sonde_processes_status(struct sonde_processes *processes, struct sonde_processes_status *ret_status);
