/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file program.h
 * The user-space part of a program (programs/NAME/program.c), for what the kernel cannot do. Most programs need none.
 *
 * It defines `const struct sonde_program_hooks sonde_program_NAME_hooks`; the build finds it by the file's existence.
 *
 * record() may also turn a record into another event: set header.type, rewrite the fields, set the length. A record of a type from
 * SONDE_INNER_TYPE on is no event and must be turned into one.
 *
 * Threads: a program's hooks run in its own reader thread, one at a time. They must not block; record() must not open files.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sonde/types.h>

struct sonde_hook_context;

struct sonde_program_hooks {
	/**
	 * @brief Every record of the ring, before anything else sees it.
	 * @param record Private copy; may be changed in place (redaction). Aligned to 8.
	 * @param length Bytes of the record; never below sizeof(struct sonde_header).
	 * @return 1: deliver the record; negative: it is invalid (counted as such, and goes no further).
	 */
	int (*record)(struct sonde_hook_context *context, struct sonde_header *record, size_t *length);
	/**
	 * @brief About every `tick_ns`, in the reader's thread: look at what has no hook in the kernel, sonde_emit() what is found.
	 * @param now_ns CLOCK_BOOTTIME. May read small files of /proc and /sys, nothing that can hang.
	 */
	void (*tick)(struct sonde_hook_context *context, __u64 now_ns);
	__u64 tick_ns; /* 0: never; at least 10 ms */
	/** The program is stopped: free what sonde_program_state() points to. NULL: nothing to do. */
	void (*stop)(struct sonde_hook_context *context);
	/** record() calls sonde_known_name_set(): events with names wait until it has seen what happened before them. */
	bool tells_names;
};

/** Where the program keeps a pointer to its own data; NULL at first. */
void **sonde_program_state(struct sonde_hook_context *context);

/**
 * @brief Add an event that user space made; only from tick(). It is counted in the ledger as `made`.
 * @param record Whole, header included: time_ns, type, weight 1, and the process (or flag SONDE_PROCESS_UNKNOWN). Copied.
 * The sequence is given here.
 * @param source Where the facts are from: "procfs", "cgroupfs", "netlink". Static text.
 * @return 0; -EPERM not from tick(); -EINVAL unknown type or wrong length; -ENOBUFS too many at one tick (1,000).
 */
int sonde_emit(struct sonde_hook_context *context, const struct sonde_header *record, size_t length, const char *source);

/**
 * @brief What a SONDE_SETTING() of the program is. It stays the same as long as the program runs: read it once, into
 * sonde_program_state(), as this asks the kernel.
 * @return The value; 0: the program has no setting of that name.
 */
__s64 sonde_setting(struct sonde_hook_context *context, const char *name);

/* The process table (kept by the agent for all programs; thread-safe). */

/** What is known of a process. Texts are valid until the hook returns, or until its fourth further look-up. */
struct sonde_known_process {
	__u64 start_time_ns;
	__u32 pid, parent_pid, uid;
	const char *command;
	const char *path;	 /* of the executable, or "" */
	const char *arguments;	 /* NUL-separated, redacted, or "" */
	__u32 arguments_length;
};

/** Remember or replace (pid, start_time_ns). No text may be NULL; of a path 1023 bytes are kept, of the arguments 256. */
void sonde_known_process_set(struct sonde_hook_context *context, const struct sonde_known_process *process);
/** @return 0, -ENOENT */
int sonde_known_process_get(struct sonde_hook_context *context, __u32 pid, __u64 start_time_ns,
			    struct sonde_known_process *ret_process);
/** It exited at `time_ns` (boot time): it stays known for a while. */
void sonde_known_process_exit(struct sonde_hook_context *context, __u32 pid, __u64 start_time_ns, __u64 time_ns);
/**
 * A cgroup was made: its path below the hierarchy's root. Events of its processes then name their container.
 * Only for the hierarchies that sonde_header.cgroup_id speaks of: v2, and (with SONDE_CGROUP_V1 in the id) v1's memory.
 */
void sonde_known_cgroup_set(struct sonde_hook_context *context, __u64 cgroup_id, const char *path);

/** A name that a process was told for an address. */
struct sonde_known_name {
	sonde_address address;
	const char *name;
	__u64 answered_ns; /* CLOCK_BOOTTIME; from then on it holds */
	__u32 ttl_seconds; /* so long; less than 5 count as 5 (the connection that follows), more than a day as a day */
};

/**
 * Remember or replace. Columns with SONDE_NAMED then show it in events of the process, and of others in its cgroup that
 * learned no name for the address themselves. Of a name 255 bytes are kept.
 * @param asker The process, by the header of its record.
 */
void sonde_known_name_set(struct sonde_hook_context *context, const struct sonde_header *asker, const struct sonde_known_name *name);

/**
 * @brief Hide what looks like a secret in a command line, in place.
 * Values of words like --password=x, --token x, API_KEY=x, and user:password@ in URLs become "***".
 * Of more than 4096 bytes only the first 4096 are kept.
 * @param arguments NUL-separated words. @param length Bytes; @return the new length (never more).
 */
size_t sonde_redact_arguments(char *arguments, size_t length, size_t capacity);
