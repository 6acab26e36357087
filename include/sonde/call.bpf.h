/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file call.bpf.h
 * System calls for programs that hook all of them (tp_btf/sys_enter, tp_btf/sys_exit): which one it is, whether its process is
 * chosen, and how long it took.
 *
 *	tp_btf/sys_enter:	sonde_call_begin(bpf_get_current_task_btf(), number);
 *	tp_btf/sys_exit:	latency_ns = sonde_call_latency(bpf_get_current_task_btf(), sonde_call_number(regs));
 *	tp_btf/sched_process_exit:	sonde_call_last(task);
 */

#include <sonde/sonde.bpf.h>

#define SONDE_TS_COMPAT 0x2 /* arch/x86/include/asm/thread_info.h */
#define SONDE_TIF_32BIT 22  /* arch/arm64/include/asm/thread_info.h */

/** Of the call that returns; -1 after a signal handler has returned. */
static __always_inline long sonde_call_number(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return (int)regs->orig_ax;
#else
	return regs->syscallno;
#endif
}

/** Whether a 32-bit program made it: then the number means another call. */
static __always_inline bool sonde_call_is_32_bit(const struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return task->thread_info.status & SONDE_TS_COMPAT;
#else
	return task->thread_info.flags & 1ul << SONDE_TIF_32BIT;
#endif
}

/** Why it failed; 0: it did not. No branches: what follows is the same to the verifier. */
static __always_inline __s32 sonde_call_error(long result)
{
	__u64 difference = ((__u64)result >> 12) ^ (~0ull >> 12), failed;

	barrier_var(difference); /* 0: from -4095 (MAX_ERRNO) to -1; no call has -4096 as its result */
	failed = (difference - 1) >> 63;
	barrier_var(failed);
	return -result & -failed;
}

SONDE_SETTING(__u32, pid, 0, "only this process, or another of pid, pid_2, pid_3, pid_4; 0: all");
SONDE_SETTING(__u32, pid_2, 0, "one more; see pid");
SONDE_SETTING(__u32, pid_3, 0, "one more; see pid");
SONDE_SETTING(__u32, pid_4, 0, "one more; see pid");

/** By these settings. Costs nothing where none is set. */
static __always_inline bool sonde_call_is_chosen(const struct task_struct *task)
{
	__u32 tgid;

	if (!pid && !pid_2 && !pid_3 && !pid_4)
		return true;
	tgid = task->tgid; /* never 0 */
	return tgid == pid || tgid == pid_2 || tgid == pid_3 || tgid == pid_4;
}

#define SONDE_CALL_SLOTS 16384 /* a power of 2 */

struct sonde_call_begun {
	__u64 time_ns;
	__u32 number;
	__s32 tid; /* whose slot it is; 0: nobody's */
};

/* By tid. Where two threads want the same one, the second has its own in the map below, which costs some 30 ns at each end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SONDE_CALL_SLOTS);
	__type(key, __u32);
	__type(value, struct sonde_call_begun);
} sonde_call_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sonde_call_begun);
} sonde_calls SEC(".maps");

static __always_inline struct sonde_call_begun *sonde_call_slot(const struct task_struct *task)
{
	__u32 index = task->pid & (SONDE_CALL_SLOTS - 1);

	return bpf_map_lookup_elem(&sonde_call_slots, &index);
}

/** Remember when. Without memory the call has no latency. */
static __always_inline void sonde_call_begin(struct task_struct *task, long number)
{
	struct sonde_call_begun *begun = sonde_call_slot(task);
	__s32 tid = task->pid;

	if (!begun)
		return;
	if (begun->tid != tid && (begun->tid || __sync_val_compare_and_swap(&begun->tid, 0, tid)))
		begun = bpf_task_storage_get(&sonde_calls, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!begun)
		return;
	begun->number = number;
	begun->time_ns = bpf_ktime_get_ns();
}

/** Once for each call. 0: not known, because it began before the program. */
static __always_inline __u64 sonde_call_latency(struct task_struct *task, long number)
{
	struct sonde_call_begun *begun = sonde_call_slot(task);
	__u64 began;

	if (begun && begun->tid != task->pid)
		begun = bpf_task_storage_get(&sonde_calls, task, NULL, 0);
	if (!begun || !begun->time_ns || begun->number != (__u32)number)
		return 0;
	began = begun->time_ns;
	begun->time_ns = 0;
	return bpf_ktime_get_ns() - began;
}

/** The thread makes no more calls (tp_btf/sched_process_exit): others can have its slot. */
static __always_inline void sonde_call_last(const struct task_struct *task)
{
	struct sonde_call_begun *begun = sonde_call_slot(task);

	if (!begun || begun->tid != task->pid)
		return;
	begun->time_ns = 0;
	__sync_lock_test_and_set(&begun->tid, 0);
}
