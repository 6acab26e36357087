// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * OOM kills, as they happen. The victim is the tracepoint's argument; the current process is the one that asked for memory.
 * (Growth and forecasts are the user side's: program.c.)
 *
 * oom/mark_victim also fires for a task that is on its way out anyway and only gets access to the reserves, and again
 * for each of its threads. A true kill is told by the cgroup's own count of kills, which the kernel raises just before.
 */
#include <sonde/sonde.bpf.h>
#include "event.h"
#include "mappings.bpf.h"

SONDE_EVENT(memory, "Memory: processes killed for want of it, and limits that will be reached soon");
SONDE_EVENT(memory_history, "What led to a kill for want of memory: use and pressure of the last minutes, and what the victim had");

/* But for `mappings` these are read by the user side. */
SONDE_SETTING_BETWEEN(__u64, sample_interval_ns, 1000000000, 1000000000, 60000000000,
		      "time between two looks at a limit; at what hardly moves up to four times as long");
SONDE_SETTING_BETWEEN(__u64, horizon_ns, 600000000000, 1000000000, 2400000000000,
		      "a limit that will be reached later than this is not forecast");
SONDE_SETTING_BETWEEN(__u32, least_confidence_pct, 0, 0, 100, "forecasts that are less sure than this are not told");
SONDE_SETTING_BETWEEN(__u64, repeat_interval_ns, 10000000000, 1000000000, 3600000000000,
		      "time between two forecasts of one limit, at least");
SONDE_SETTING_BETWEEN(__u64, history_ns, 1260000000000, 10000000000, 1260000000000,
		      "time before a kill that its memory_history covers, at most");
SONDE_SETTING_BETWEEN(__u32, watched_cgroups, 1024, 1, 4096, "cgroups with a limit that are watched, at most; each takes 6 KiB");
SONDE_SETTING_BETWEEN(__u32, watched_processes, 256, 0, 1024,
		      "processes that are watched by themselves, the largest; each takes 6 KiB; 0: none");
SONDE_SETTING_BETWEEN(__u64, least_process_bytes, 67108864, 1048576, 1099511627776,
		      "processes with less memory of their own than this are not watched by themselves");
SONDE_SETTING_BETWEEN(__u32, mappings, 8, 0, 8, "mappings of a victim that its memory_history names, at most; 0: they are not looked at");

#define CGROUP_DEPTH 16
/* CPUs take their cgroup's memory in advance, and the charge that failed is not in the count. */
#define CHARGE_SLACK_PAGES 1024

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	long counter;
} atomic_long_t;

struct page_counter {
	atomic_long_t usage;
	unsigned long max;
};

struct cgroup_subsys_state___parent {
	struct cgroup_subsys_state___parent *parent;
	struct cgroup *cgroup;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	atomic_long_t memory_events_local[9];
};

enum memcg_memory_event {
	MEMCG_OOM_KILL = 4,
};

/* 6.15 renamed it */
struct kernfs_node___underscored {
	struct kernfs_node *__parent;
};

struct percpu_counter {
	__s64 count;
};

struct mm_struct___percpu {
	struct percpu_counter rss_stat[4];
	atomic_long_t pgtables_bytes;
};

/* before 6.2 */
struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct___counts {
	struct mm_rss_stat rss_stat;
};

/* include/linux/mm_types_task.h, the same since 4.5; without a name there, so not to be relocated. */
enum {
	MM_FILEPAGES,
	MM_ANONPAGES,
	MM_SWAPENTS,
	MM_SHMEMPAGES,
};

struct signal_struct___oom {
	short oom_score_adj;
};

#pragma clang attribute pop

struct scope_key {
	enum memory_scope scope SONDE_DOC("whose limit was reached: a cgroup's, or the memory of the node");
};

struct {
	SONDE_METRIC_MAP(struct scope_key, 4);
} oom_kills SEC(".maps") SONDE_COUNTER("memory_oom_kills_total", "Processes that the kernel killed for want of memory");

/* Kills that a cgroup has counted, by its id. One that is not here has none yet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} kills_seen SEC(".maps");

/* Processes that were reported, where no cgroup counts. */
struct process_key {
	__u64 start_time_ns;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process_key);
	__type(value, __u8);
} reported SEC(".maps");

/* The memory controller's state of the task's cgroup; to be read by BPF_CORE_READ() only. NULL: no such controller. */
static __always_inline struct cgroup_subsys_state___parent *memory_state(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state___parent *css = NULL;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	bpf_core_read(&css, sizeof(css), &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return css;
}

static __always_inline struct mem_cgroup *controller_of(struct cgroup_subsys_state___parent *css)
{
	return (void *)css - bpf_core_field_offset(struct mem_cgroup, css);
}

static __always_inline __u64 id_of(struct cgroup_subsys_state___parent *css)
{
	__u64 id = BPF_CORE_READ(css, cgroup, kn, id);

	return BPF_CORE_READ(css, cgroup, root, hierarchy_id) ? id | SONDE_CGROUP_V1 : id;
}

static __always_inline __u64 kills_of(struct cgroup_subsys_state___parent *css)
{
	struct mem_cgroup *memcg = controller_of(css);
	long count = 0;

	bpf_core_read(&count, sizeof(count),
		      &memcg->memory_events_local[bpf_core_enum_value(enum memcg_memory_event, MEMCG_OOM_KILL)].counter);
	return count;
}

/* What was killed before sonde must not be taken for the next kill. */
SEC("iter/task")
int at_start_kills(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct cgroup_subsys_state___parent *css;
	__u64 id, kills;

	if (!task || task->pid != task->tgid)
		return 0;
	css = memory_state(sonde_cast(struct task_struct, task));
	if (!css)
		return 0;
	kills = kills_of(css);
	if (!kills)
		return 0;
	id = id_of(css);
	bpf_map_update_elem(&kills_seen, &id, &kills, BPF_NOEXIST);
	return 0;
}

static __always_inline bool is_kill(struct task_struct *victim, struct cgroup_subsys_state___parent *css)
{
	struct process_key process = {victim->group_leader->start_boottime, victim->tgid};
	__u64 id, kills = css ? kills_of(css) : 0, *seen;
	__u8 one = 1;

	/* Without the controller (cgroup_disable=memory) all are in a root that counts nothing: once for each process then. */
	if (!kills && (!css || !BPF_CORE_READ(css, parent)))
		return !bpf_map_update_elem(&reported, &process, &one, BPF_NOEXIST);
	id = id_of(css);
	seen = bpf_map_lookup_elem(&kills_seen, &id);
	if (kills <= (seen ? *seen : 0))
		return false;
	/* Kills are made one after the other (oom_lock), so this one is the only one that is new. */
	bpf_map_update_elem(&kills_seen, &id, &kills, BPF_ANY);
	return true;
}

static __always_inline bool is_at_limit(struct cgroup_subsys_state___parent *css)
{
	struct mem_cgroup *memcg = controller_of(css);
	unsigned long max = BPF_CORE_READ(memcg, memory.max), slack = CHARGE_SLACK_PAGES;
	long usage = BPF_CORE_READ(memcg, memory.usage.counter);

	if (slack > max / 8)
		slack = max / 8;
	return usage >= 0 && (unsigned long)usage + slack >= max;
}

/* Global, by addresses: so that the verifier looks at it once, and not in each round of the loop below. */
__noinline int is_inside(__u64 inner, __u64 outer)
{
	struct cgroup_subsys_state___parent *css = (void *)inner;
	int i;

	for (i = 0; i < CGROUP_DEPTH && css; i++) {
		if (css == (void *)outer)
			return true;
		css = BPF_CORE_READ(css, parent);
	}
	return false;
}

/* The cgroup whose limit was hit: the innermost at its limit that holds both the victim and who asked. NULL: the node's. */
static __always_inline struct cgroup_subsys_state___parent *limit_of(struct cgroup_subsys_state___parent *victim,
								     struct cgroup_subsys_state___parent *trigger)
{
	struct cgroup_subsys_state___parent *css = victim;
	int i;

	for (i = 0; i < CGROUP_DEPTH && css; i++) {
		if (!BPF_CORE_READ(css, parent)) /* the root has no limit */
			return NULL;
		if (is_at_limit(css) && is_inside((__u64)trigger, (__u64)css))
			return css;
		css = BPF_CORE_READ(css, parent);
	}
	return NULL;
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node)
{
	if (bpf_core_field_exists(struct kernfs_node___underscored, __parent))
		return BPF_CORE_READ((struct kernfs_node___underscored *)node, __parent);
	return BPF_CORE_READ(node, parent);
}

#define NAME_SIZE 256 /* of one component, NUL included: NAME_MAX */

/* Global, for the verifier as is_inside(). @return where the next component goes; 0: there is no room for it. */
__noinline int path_append(struct memory *e, __u32 position, __u64 node)
{
	long n;

	if (!e || position >= MEMORY_CGROUP_SIZE - NAME_SIZE - 1)
		return 0;
	e->cgroup[position++] = '/';
	n = bpf_probe_read_kernel_str(&e->cgroup[position], NAME_SIZE, BPF_CORE_READ((struct kernfs_node *)node, name));
	return n <= 0 || n > NAME_SIZE ? 0 : position + n - 1;
}

/* The path from the root of the hierarchy; what is too long loses its end. */
static __always_inline void path_of(struct cgroup_subsys_state___parent *css, struct memory *e)
{
	struct kernfs_node *nodes[CGROUP_DEPTH] = {}, *node = BPF_CORE_READ(css, cgroup, kn);
	__u32 position = 0, next;
	int i;

	for (i = 0; i < CGROUP_DEPTH; i++) {
		struct kernfs_node *above = node ? parent_of(node) : NULL;

		if (!above)
			break;
		nodes[CGROUP_DEPTH - 1 - i] = node;
		node = above;
	}
	e->cgroup[0] = '/';
	e->cgroup[1] = '\0';
	for (i = 0; i < CGROUP_DEPTH; i++) {
		if (!nodes[i])
			continue;
		next = path_append(e, position, (__u64)nodes[i]);
		if (!next)
			break;
		position = next;
	}
}

/*
 * A macro, as a relocation of an array's element needs a constant index. The counters of each CPU are not added (nor does the
 * kernel for its own report): a count can be off by some 32 pages for each CPU, and below 0.
 */
#define PAGES_OF(mm, member)                                                                                          \
	({                                                                                                            \
		__s64 count_;                                                                                         \
		if (bpf_core_type_exists(struct mm_rss_stat))                                                         \
			count_ = BPF_CORE_READ((struct mm_struct___counts *)(mm), rss_stat.count[member].counter);     \
		else                                                                                                  \
			count_ = BPF_CORE_READ((struct mm_struct___percpu *)(mm), rss_stat[member].count);            \
		(__u64)(count_ < 0 ? 0 : count_);                                                                     \
	})

static __always_inline void fill_sizes(struct memory *e, struct task_struct *victim)
{
	struct mm_struct *mm = victim->mm;

	e->anon_bytes = PAGES_OF(mm, MM_ANONPAGES);
	e->file_bytes = PAGES_OF(mm, MM_FILEPAGES);
	e->shmem_bytes = PAGES_OF(mm, MM_SHMEMPAGES);
	e->swap_bytes = PAGES_OF(mm, MM_SWAPENTS);
	e->page_table_bytes = BPF_CORE_READ((struct mm_struct___percpu *)mm, pgtables_bytes.counter);
}

static __always_inline void fill_limit(struct memory *e, struct cgroup_subsys_state___parent *victim,
				       struct cgroup_subsys_state___parent *limit)
{
	struct mem_cgroup *memcg = controller_of(limit);

	if (limit) {
		e->scope = MEMORY_SCOPE_CGROUP;
		e->limit_bytes = BPF_CORE_READ(memcg, memory.max);
		e->used_bytes = BPF_CORE_READ(memcg, memory.usage.counter);
		e->limit_cgroup_id = id_of(limit);
	} else {
		e->scope = MEMORY_SCOPE_NODE;
		e->limit_bytes = e->used_bytes = e->limit_cgroup_id = 0;
	}
	e->cgroup[0] = '\0';
	if (limit || victim)
		path_of(limit ?: victim, e);
}

static __always_inline void fill_rest(struct memory *e)
{
	e->kind = MEMORY_KIND_OOM_KILL;
	e->slope_bytes_per_second = e->time_to_limit_ns = 0;
	e->oom_score = -2000;
	e->confidence_pct = 0;
	e->pressure_some_pct = e->pressure_full_pct = -1;
	e->untracked = 0;
}

static __always_inline int report(struct task_struct *trusted)
{
	struct task_struct *victim = sonde_cast(struct task_struct, trusted);
	struct cgroup_subsys_state___parent *css = memory_state(victim), *limit = NULL;
	struct task_struct *leader = victim->group_leader;
	struct scope_key key = {};
	struct sonde_process current;
	struct memory_kill *kill;
	struct memory *e;

	if (!is_kill(victim, css))
		return 0;
	if (css)
		limit = limit_of(css, memory_state(sonde_cast(struct task_struct, bpf_get_current_task_btf())));
	key.scope = limit ? MEMORY_SCOPE_CGROUP : MEMORY_SCOPE_NODE;
	sonde_metric_add(&oom_kills, &key, 1);
	sonde_process_current(&current);
	kill = sonde_reserve_inner(memory_kill, 0, &current);
	if (!kill)
		return 0;
	e = &kill->memory;
	fill_rest(e);
	fill_sizes(e, victim);
	fill_limit(e, css, limit);
	e->victim_pid = victim->tgid;
	e->victim_uid = victim->cred->uid.val;
	__builtin_memcpy(e->victim_command, leader->comm, SONDE_COMMAND_LENGTH);
	e->victim_cgroup_id = sonde_task_cgroup(victim);
	e->oom_score_adj = BPF_CORE_READ((struct signal_struct___oom *)victim->signal, oom_score_adj);
	mappings_clear(&kill->mappings);
	if (mappings)
		mappings_read(&kill->mappings, kill->scratch, victim);
	sonde_submit(kill);
	return 0;
}

/* Before 6.8 the argument is a number, no task: the verifier then refuses this, and forecasts remain. */
SEC("?tp_btf/mark_victim")
int BPF_PROG(on_mark_victim, struct task_struct *victim)
{
	return report(victim);
}
