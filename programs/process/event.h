/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

#define PROCESS_PATH_SIZE 256
#define PROCESS_ARGUMENTS_SIZE 512

enum process_kind {
	PROCESS_KIND_FORK,
	PROCESS_KIND_EXEC,
	PROCESS_KIND_EXIT,
	PROCESS_KIND_RUNNING,
};

/* fork and exit end before `path` in the kernel, so the large fields stay last. */
struct process {
	struct sonde_header header;
	enum process_kind kind SONDE_DOC("fork, exec, exit, or running: it was there before sonde");
	sonde_pid parent_pid SONDE_DOC("process that is its parent now") SONDE_ABSENT(0);
	__s32 exit_code SONDE_DOC("what it gave to exit(); none while it runs or when a signal ended it") SONDE_ABSENT(-1)
		SONDE_MAIN;
	sonde_signal signal SONDE_DOC("signal that ended it") SONDE_ABSENT(0);
	sonde_duration_ns lifetime_ns SONDE_DOC("time from fork to exit") SONDE_ABSENT(0);
	sonde_bytes arguments_bytes SONDE_DOC("true size of the arguments; above 512 they are cut") SONDE_ABSENT(0);
	/* fork: the process it is a copy of, which need not be its parent (CLONE_PARENT) */
	__u64 origin_start_time_ns SONDE_HIDDEN;
	__u32 origin_pid SONDE_HIDDEN;
	__u16 arguments_kept SONDE_HIDDEN;
	sonde_bool core_dumped SONDE_DOC("whether its end wrote a core dump") SONDE_ABSENT(2);
	__u8 reserved SONDE_HIDDEN;
	char path[PROCESS_PATH_SIZE]
		SONDE_DOC("executable, as seen in its mount namespace; \"...\" starts one that is cut")
		SONDE_TOP;
	sonde_arguments arguments[PROCESS_ARGUMENTS_SIZE]
		SONDE_DOC("its command line, what looks like a secret replaced by ***") SONDE_LENGTH(arguments_kept);
};

enum control_group_kind {
	CONTROL_GROUP_KIND_CREATE,
	CONTROL_GROUP_KIND_REMOVE,
};

/* Not `struct cgroup`: that is the kernel's. */
struct control_group {
	struct sonde_header header;
	enum control_group_kind kind SONDE_DOC("create or remove");
	__u32 version SONDE_DOC("1 (memory controller's hierarchy) or 2");
	__u64 id SONDE_DOC("number of the cgroup, the inode of its directory");
	char path[512] SONDE_DOC("path below the root of the hierarchy") SONDE_MAIN;
};

/* sonde_header.type: the order of the SONDE_EVENT() in program.bpf.c. */
enum process_type {
	PROCESS_TYPE_PROCESS,
	PROCESS_TYPE_CONTROL_GROUP,
};
