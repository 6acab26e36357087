/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file gone.bpf.h
 * Processes that have ended, for programs that count by process (flush.bpf.h): nothing can be added any more to what they have in
 * a table, so the next sweep removes it once it is told:
 *
 *	if (sonde_is_gone(&entry->owner, &entry->count) || sonde_count_is_over(&entry->count))
 *		bpf_map_delete_elem(...);
 */

#include <sonde/flush.bpf.h>

#define SONDE_GONE_MAX 32768

struct sonde_gone_key {
	__u64 start_time_ns;
	__u32 pid;
	__u32 reserved;
};

/* Those of the last two intervals, as far as there is room: of the others it is only not known. Value: whether an interval's
 * iterators began since. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_GONE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct sonde_gone_key);
	__type(value, __u8);
} sonde_gone SEC(".maps");

/* Every thread counts itself out of `live` before it comes here: at 0 none of them will return from a system call again. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_process_gone, struct task_struct *task)
{
	struct sonde_gone_key key = {};
	__u8 told = 0;

	if (task->signal->live.counter)
		return 0;
	key.start_time_ns = task->group_leader->start_boottime;
	key.pid = task->tgid;
	bpf_map_update_elem(&sonde_gone, &key, &told, BPF_ANY);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(sonde_gone)
int at_interval_gone(struct bpf_iter__bpf_map_elem *context)
{
	struct sonde_gone_key key;
	__u8 *told = SONDE_ELEMENT(context, &sonde_gone, &key);

	if (told && *told)
		bpf_map_delete_elem(&sonde_gone, &key);
	else if (told)
		*told = 1;
	return 0;
}

/**
 * And everything that it counted is told: what stood in front of the map (front.bpf.h) too, for it was gone before the interval's
 * iterators began. at_interval_gone() is the first of them.
 */
static __always_inline bool sonde_is_gone(const struct sonde_process *process, const __u64 *count)
{
	struct sonde_gone_key key = {.start_time_ns = process->start_time_ns, .pid = process->pid};
	const __u8 *told = bpf_map_lookup_elem(&sonde_gone, &key);

	/* In this order: what is not in the count now never will be. */
	return told && *told && !(*(volatile const __u64 *)count & SONDE_COUNTED);
}
