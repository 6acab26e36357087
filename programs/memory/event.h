/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

#define MEMORY_CGROUP_SIZE 512
#define MEMORY_CURVE_SIZE 1024
#define MEMORY_MAPPINGS_SIZE 1536
#define MEMORY_MAPPINGS_MAX 8
#define MEMORY_MAPPING_NAME_SIZE 256 /* SONDE_PATH_SIZE */

enum memory_kind {
	MEMORY_KIND_OOM_KILL,
	MEMORY_KIND_FORECAST,
	MEMORY_KIND_UNTRACKED, /* there are more cgroups with a limit than the table holds */
};

enum memory_scope {
	MEMORY_SCOPE_UNKNOWN,
	MEMORY_SCOPE_CGROUP,
	MEMORY_SCOPE_NODE,
};

/* Sizes come from the kernel in pages; the user side makes bytes of them (a page's size is no constant of BPF code). */
struct memory {
	struct sonde_header header;
	enum memory_kind kind SONDE_DOC("oom_kill, forecast, or untracked: too many cgroups to watch them all");
	enum memory_scope scope SONDE_DOC("whose limit it is: a cgroup's, or the memory of the node") SONDE_ABSENT(0);
	sonde_pid victim_pid SONDE_DOC("process that was killed; of a forecast, the one that grows most") SONDE_ABSENT(0);
	sonde_uid victim_uid SONDE_DOC("user of the victim") SONDE_ABSENT(-1);
	char victim_command[SONDE_COMMAND_LENGTH] SONDE_DOC("name of the victim") SONDE_ABSENT(0) SONDE_MAIN;
	sonde_bytes limit_bytes SONDE_DOC("the limit") SONDE_ABSENT(0);
	sonde_bytes used_bytes SONDE_DOC("used of it; of a forecast without the cache that gives way first") SONDE_ABSENT(0);
	sonde_bytes slope_bytes_per_second SONDE_DOC("how fast it grows") SONDE_ABSENT(0);
	sonde_duration_ns time_to_limit_ns SONDE_DOC("when the limit is reached if it goes on like this") SONDE_ABSENT(0)
		SONDE_MAIN;
	sonde_bytes anon_bytes SONDE_DOC("the victim's own memory") SONDE_ABSENT(-1);
	sonde_bytes file_bytes SONDE_DOC("the victim's pages of files") SONDE_ABSENT(-1);
	sonde_bytes shmem_bytes SONDE_DOC("the victim's pages of shared memory and tmpfs") SONDE_ABSENT(-1);
	sonde_bytes swap_bytes SONDE_DOC("what the victim has in swap") SONDE_ABSENT(-1);
	sonde_bytes page_table_bytes SONDE_DOC("the victim's page tables") SONDE_ABSENT(-1);
	__s32 oom_score SONDE_DOC("the victim's weight for the kernel: thousandths of the limit, oom_score_adj added")
		SONDE_ABSENT(-2000);
	__s32 oom_score_adj SONDE_DOC("its adjustment, -1000 to 1000") SONDE_ABSENT(-2000);
	sonde_percent confidence_pct SONDE_DOC("how sure the forecast is") SONDE_ABSENT(0) SONDE_MAIN;
	sonde_percent pressure_some_pct SONDE_DOC("share of the last 10 s in which some task waited for memory") SONDE_ABSENT(-1);
	sonde_percent pressure_full_pct SONDE_DOC("share of the last 10 s in which all tasks did") SONDE_ABSENT(-1);
	__u32 untracked SONDE_DOC("cgroups with a limit that are not watched") SONDE_ABSENT(0);
	__u64 limit_cgroup_id SONDE_HIDDEN;  /* whose limit it is; as sonde_header.cgroup_id */
	__u64 victim_cgroup_id SONDE_HIDDEN; /* the header's, from the kernel, is that of the process that asked */
	char cgroup[MEMORY_CGROUP_SIZE] SONDE_DOC("path of the cgroup whose limit it is; scope node: of the victim's") SONDE_TOP
		SONDE_MAIN;
};

/* The black box: what led to a kill. */
struct memory_history {
	struct sonde_header header;
	enum memory_scope scope SONDE_DOC("whose memory: a cgroup's, or the node's");
	sonde_pid victim_pid SONDE_DOC("process that was killed");
	char victim_command[SONDE_COMMAND_LENGTH] SONDE_DOC("name of the victim") SONDE_MAIN;
	sonde_bytes limit_bytes SONDE_DOC("the limit") SONDE_ABSENT(0);
	sonde_bytes least_bytes SONDE_DOC("least that was used") SONDE_ABSENT(-1);
	sonde_bytes most_bytes SONDE_DOC("most that was used, as far as looked at, and at the kill") SONDE_ABSENT(-1);
	sonde_duration_ns span_ns SONDE_DOC("time that the curve covers") SONDE_ABSENT(0);
	sonde_duration_ns warned_ns SONDE_DOC("how long before the kill its first forecast was said") SONDE_ABSENT(0);
	sonde_percent pressure_some_pct SONDE_DOC("share of the last 10 s in which some task waited for memory") SONDE_ABSENT(-1);
	sonde_percent pressure_full_pct SONDE_DOC("share of the last 10 s in which all tasks did") SONDE_ABSENT(-1);
	char cgroup[MEMORY_CGROUP_SIZE] SONDE_DOC("path of the cgroup whose limit it is; scope node: of the victim's") SONDE_TOP;
	sonde_count mapping_count SONDE_DOC("mappings that the victim had") SONDE_ABSENT(0);
	sonde_count mappings_looked SONDE_DOC("how many of these were looked at, from the lowest address on") SONDE_ABSENT(0);
	char curve[MEMORY_CURVE_SIZE] SONDE_DOC("what was used: seconds before the kill:MiB, the oldest first; the last is what its oom_kill says") SONDE_MAIN;
	char mappings[MEMORY_MAPPINGS_SIZE]
		SONDE_DOC("biggest mappings of the victim: MiB of addresses:rights:name, the biggest first") SONDE_ABSENT(0);
};

/* The kernel's, include/linux/mm.h. */
#define VM_READ 1
#define VM_WRITE 2
#define VM_EXEC 4
#define VM_SHARED 8

enum memory_mapping_kind {
	MEMORY_MAPPING_KIND_NONE, /* there are not so many */
	MEMORY_MAPPING_KIND_FILE,
	MEMORY_MAPPING_KIND_ANONYMOUS, /* a name is the one that the process gave it */
	MEMORY_MAPPING_KIND_HEAP,
	MEMORY_MAPPING_KIND_STACK,
};

struct memory_mapping {
	__u64 bytes; /* of the address space; not all of them need have memory */
	__u64 place; /* the kernel's, while the name is not yet read */
	__u32 rights; /* VM_...; 0: not known */
	enum memory_mapping_kind kind;
	char name[MEMORY_MAPPING_NAME_SIZE];
};

struct memory_mappings {
	__u64 count;  /* that the process has; 0: they could not be looked at */
	__u64 looked; /* how many of them were looked at */
	__u64 vma, mm; /* the kernel's, while they are looked at */
	struct memory_mapping biggest[MEMORY_MAPPINGS_MAX]; /* in no order */
};

/* What the kernel side sends of a kill (type SONDE_INNER_TYPE); the user side makes a `memory` of it, and later a `memory_history`. */
struct memory_kill {
	struct memory memory;
	struct memory_mappings mappings;
	char scratch[2 * MEMORY_MAPPING_NAME_SIZE]; /* SONDE_PATH_SCRATCH; at first a struct maple_walk */
};

/* sonde_header.type: the order of the SONDE_EVENT() in program.bpf.c. */
enum memory_type {
	MEMORY_TYPE_MEMORY,
	MEMORY_TYPE_HISTORY,
};
