// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Processes from fork to exit, and the cgroups they live in.
 *
 * One event per process and step, never per thread: a thread group has one fork, one exit, and an exec
 * belongs to the group whichever thread called it (the kernel gives that thread the leader's pid first).
 */
#include <sonde/path.bpf.h>
#include <sonde/process.bpf.h>
#include "event.h"

SONDE_EVENT(process, "Processes: fork, exec, exit, and those that were running before sonde");
SONDE_EVENT(control_group, "Control groups made and removed: containers and services start and end");

_Static_assert(PROCESS_PATH_SIZE == SONDE_PATH_SIZE, "the path is built for this size");
_Static_assert(PROCESS_ARGUMENTS_SIZE >= SONDE_PATH_SCRATCH, "the path is built where the arguments go");

/* include/linux/sched.h, include/linux/sched/signal.h */
#define PF_EXITING 0x4
#define SIGNAL_GROUP_EXIT 0x4

static __always_inline bool is_leader(const struct task_struct *task)
{
	return task->pid == task->tgid;
}

static __always_inline __u32 parent_of(const struct task_struct *task)
{
	return sonde_cast(struct task_struct, task)->real_parent->tgid;
}

static __always_inline void fill_common(struct process *e, struct task_struct *task, enum process_kind kind)
{
	e->kind = kind;
	e->parent_pid = parent_of(task);
	e->exit_code = -1;
	e->signal = 0;
	e->lifetime_ns = 0;
	e->arguments_bytes = 0;
	e->origin_start_time_ns = 0;
	e->origin_pid = 0;
	e->arguments_kept = 0;
	e->core_dumped = 2; /* absent */
	e->reserved = 0;
}

/* ---- the table ---- */

struct untracked {
	enum process_kind kind SONDE_DOC("fork, exec, or running: it was there before sonde");
};

struct {
	SONDE_METRIC_MAP(struct untracked, 4);
} untracked SEC(".maps")
SONDE_COUNTER("process_untracked_total", "Processes that found no room in the table that programs share.");

/* Into the table, and who it is for the event. */
static __always_inline void table_set(struct task_struct *task, enum process_kind kind, struct sonde_process *ret_process)
{
	struct sonde_running_process entry = {.instance = sonde_instance(), .parent_pid = parent_of(task)};
	struct untracked key = {.kind = kind};

	sonde_process_of(task, ret_process);
	entry.start_time_ns = ret_process->start_time_ns;
	entry.cgroup_id = ret_process->cgroup_id;
	entry.uid = ret_process->uid;
	__builtin_memcpy(entry.command, ret_process->command, sizeof(entry.command));
	if (bpf_map_update_elem(&sonde_processes, &ret_process->pid, &entry, BPF_ANY))
		sonde_metric_add(&untracked, &key, 1);
}

/* Entries of an earlier run of the program whose processes ended while it did not run. */
static long forget_stale(void *map, const __u32 *pid, struct sonde_running_process *entry, void *context)
{
	if (entry->instance != sonde_instance_number)
		bpf_map_delete_elem(map, pid);
	return 0;
}

/* ---- hooks ---- */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct sonde_process facts;
	struct process *e;

	if (!is_leader(child))
		return 0;
	table_set(child, PROCESS_KIND_FORK, &facts);
	e = sonde_reserve_owner_upto(process, path, &facts);
	if (!e)
		return 0;
	fill_common(e, child, PROCESS_KIND_FORK);
	e->origin_pid = parent->tgid;
	e->origin_start_time_ns = sonde_cast(struct task_struct, parent)->group_leader->start_boottime;
	sonde_submit(e);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct mm_struct *mm = sonde_cast(struct task_struct, task)->mm;
	struct sonde_process facts;
	struct process *e;
	__u64 start, bytes;

	table_set(task, PROCESS_KIND_EXEC, &facts);
	e = sonde_reserve_owner(process, &facts);
	if (!e)
		return 0;
	fill_common(e, task, PROCESS_KIND_EXEC);
	sonde_path_read(mm->exe_file, e->arguments, e->path);
	start = mm->arg_start;
	bytes = mm->arg_end - start;
	e->arguments_bytes = bytes;
	if (bytes > PROCESS_ARGUMENTS_SIZE)
		bytes = PROCESS_ARGUMENTS_SIZE;
	/* The kernel has just written these pages, so a fault is a matter of extreme memory pressure. */
	if (!bpf_probe_read_user(e->arguments, bytes, (void *)start))
		e->arguments_kept = bytes;
	sonde_submit(e);
	return 0;
}

/* What wait() would tell: the whole group's code if something ended the group, else that of its leader. */
static __always_inline void fill_exit(struct process *e, struct task_struct *leader)
{
	struct signal_struct *signal = leader->signal;
	int code = leader->exit_code;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		code = signal->group_exit_code;
	e->signal = code & 0x7f;
	e->core_dumped = (code & 0x80) != 0;
	if (!e->signal)
		e->exit_code = (code >> 8) & 0xff;
	e->lifetime_ns = e->header.time_ns - leader->start_boottime;
}

/* Two threads can both find live == 0 as they exit; the second must not report the process again. */
struct process_key {
	__u64 start_time_ns;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process_key);
	__type(value, __u8);
} reported_exits SEC(".maps");

static __always_inline bool is_group_dead(const __u64 *ctx, struct task_struct *task)
{
	/* 6.16 gave the tracepoint an exact answer as its second argument. */
	if (bpf_core_field_exists(struct trace_event_raw_sched_process_exit, group_dead)) {
		return (bool)ctx[1];
	} else {
		struct process_key key = {task->group_leader->start_boottime, task->tgid};
		__u8 reported = 1;

		return task->signal->live.counter == 0 &&
		       !bpf_map_update_elem(&reported_exits, &key, &reported, BPF_NOEXIST);
	}
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *task = sonde_cast(struct task_struct, ctx[0]);
	__u32 pid = task->tgid;
	struct process *e;

	if (!is_group_dead(ctx, task))
		return 0;
	bpf_map_delete_elem(&sonde_processes, &pid);
	/* The leader may be gone since long; pid and command of the process are still its own. */
	e = sonde_reserve_task_upto(process, path, task->group_leader);
	if (!e)
		return 0;
	fill_common(e, task->group_leader, PROCESS_KIND_EXIT);
	fill_exit(e, task->group_leader);
	sonde_submit(e);
	return 0;
}

struct arguments_at {
	bool readable;
};

static long look_at_arguments(struct task_struct *task, struct vm_area_struct *area, struct arguments_at *found)
{
	found->readable = !area->vm_file;
	return 0;
}

/*
 * Reading another process's memory can sleep for as long as that process wants: it may hold its memory lock in a hung
 * system call, or have moved its arguments to a file of a file system that never answers. bpf_find_vma()
 * only tries the lock, and private memory of no file needs nobody's answer (/proc/PID/cmdline looks for that too).
 */
static __always_inline void read_arguments_of(struct process *e, struct task_struct *task, struct mm_struct *mm)
{
	struct arguments_at found = {};
	__u64 start, bytes;

	start = mm->arg_start;
	bytes = mm->arg_end - start;
	if (!bytes || bpf_find_vma(task, start, look_at_arguments, &found, 0) || !found.readable)
		return;
	e->arguments_bytes = bytes;
	if (bytes > PROCESS_ARGUMENTS_SIZE)
		bytes = PROCESS_ARGUMENTS_SIZE;
	if (!bpf_copy_from_user_task(e->arguments, bytes, (void *)start, task, 0))
		e->arguments_kept = bytes;
}

/* Its exit is past. */
static __always_inline bool is_zombie(const struct task_struct *task)
{
	return task->flags & PF_EXITING && task->signal->live.counter == 0;
}

SEC("?iter.s/task")
int at_start_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *known = sonde_cast(struct task_struct, task);
	struct sonde_process facts;
	struct mm_struct *mm;
	struct process *e;

	if (!task) /* the end */
		bpf_for_each_map_elem(&sonde_processes, forget_stale, NULL, 0);
	if (!task || !is_leader(task))
		return 0;
	if (is_zombie(known))
		return 0;
	table_set(task, PROCESS_KIND_RUNNING, &facts);
	if (is_zombie(known)) /* in this moment: nobody else takes it out */
		bpf_map_delete_elem(&sonde_processes, &facts.pid);
	e = sonde_reserve_owner(process, &facts);
	if (!e)
		return 0;
	fill_common(e, task, PROCESS_KIND_RUNNING);
	e->path[0] = '\0';
	mm = known->mm;
	if (mm) { /* not a kernel thread, nor a leader that left its threads behind */
		sonde_path_read(mm->exe_file, e->arguments, e->path);
		read_arguments_of(e, task, mm);
	}
	sonde_submit(e);
	return 0;
}

/* The version of the hierarchy if events name cgroups of it (sonde_task_cgroup()), else 0. */
static __always_inline __u32 hierarchy_version(const struct cgroup_root *root)
{
	if (root->hierarchy_id == 0) /* the default hierarchy is the first that is made, at boot */
		return 2;
	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	return root->subsys_mask & 1u << bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) ? 1 : 0;
}

static __always_inline int send_cgroup(struct cgroup *trusted, const char *path, enum control_group_kind kind)
{
	struct cgroup *cgroup = sonde_cast(struct cgroup, trusted);
	__u32 version = hierarchy_version(cgroup->root);
	struct control_group *e;

	if (!version)
		return 0;
	e = sonde_reserve(control_group);
	if (!e)
		return 0;
	e->kind = kind;
	e->version = version;
	e->id = cgroup->kn->id;
	if (bpf_probe_read_kernel_str(e->path, sizeof(e->path), path) < 0)
		e->path[0] = '\0';
	sonde_submit(e);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	return send_cgroup(cgroup, path, CONTROL_GROUP_KIND_CREATE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	return send_cgroup(cgroup, path, CONTROL_GROUP_KIND_REMOVE);
}
