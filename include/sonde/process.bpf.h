/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file process.bpf.h
 * The processes that run, for programs: of whom only the pid is at hand, the rest stands here.
 *
 *	struct sonde_running_process *process = sonde_running_process(pid);
 *	if (process)
 *		...	// process->command, process->parent_pid
 */

#include <sonde/sonde.bpf.h>

/** As of the process's last fork or exec. */
struct sonde_running_process {
	__u64 start_time_ns;
	__u64 cgroup_id;
	__u64 instance; /* of the program `process` that wrote it */
	__u32 parent_pid;
	__u32 uid;
	char command[SONDE_COMMAND_LENGTH];
};

#ifndef SONDE_PROCESSES_MAX
#define SONDE_PROCESSES_MAX 65536
#endif

/** Every process, by pid. Kept by the program `process`; without it, empty. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SONDE_PROCESSES_MAX);
	__type(key, __u32);
	__type(value, struct sonde_running_process);
} sonde_processes SEC(".maps") SONDE_SHARED;

/** NULL: it does not run, or the table is full (metric `process_untracked_total`). */
static __always_inline struct sonde_running_process *sonde_running_process(__u32 pid)
{
	return bpf_map_lookup_elem(&sonde_processes, &pid);
}
