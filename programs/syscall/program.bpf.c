// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * System calls as they return: counted by process and call, or one by one with their arguments.
 *
 * The hook costs every call of the node, so this program is off by default, and asks for the second hook (to measure time)
 * only when told to.
 */
#include "tally.bpf.h"

SONDE_OFF_BY_DEFAULT;

SONDE_SETTING(__u64, update_interval_ns, 10000000000, "time between two reports of what was counted");
SONDE_SETTING(__u32, pid, 0, "only this process; 0: all");
SONDE_SETTING(__s32, number, -1, "only the system call of this number; -1: all");
SONDE_SETTING(__u8, single, 0, "1: one event per call, with its arguments; needs pid or number");
SONDE_SETTING(__u8, latency, 0, "1: measure how long the calls take; costs a second hook");

#define TS_COMPAT 0x2 /* arch/x86/include/asm/thread_info.h */
#define TIF_32BIT 22  /* arch/arm64/include/asm/thread_info.h */
#define MAX_ERRNO 4095
#define EINTR 4
#define ERESTARTSYS 512 /* and up to 516: interrupted by a signal; the program sees EINTR, or the call again */

struct begun {
	__u64 time_ns;
	long number;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct begun);
} begun SEC(".maps");

static __always_inline bool is_wanted(const struct task_struct *task, long called)
{
	return called >= 0 && (!pid || (__u32)task->tgid == pid) && (number < 0 || called == number);
}

static __always_inline long number_of(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return (int)regs->orig_ax; /* -1 after a signal handler has returned */
#else
	return regs->syscallno;
#endif
}

static __always_inline bool is_32_bit(const struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return task->thread_info.status & TS_COMPAT;
#else
	return task->thread_info.flags & 1ul << TIF_32BIT;
#endif
}

SEC("tp_btf/sys_enter")
SONDE_ONLY_IF(latency)
int BPF_PROG(on_enter, struct pt_regs *regs, long called)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct begun *begin;

	if (!is_wanted(task, called))
		return 0;
	begin = bpf_task_storage_get(&begun, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!begin)
		return 0;
	begin->number = called;
	begin->time_ns = bpf_ktime_get_ns();
	return 0;
}

/* 0: not known, because it began before sonde. */
static __always_inline __u64 latency_of(struct task_struct *task, long called)
{
	struct begun *begin = bpf_task_storage_get(&begun, task, NULL, 0);
	__u64 began;

	if (!begin || !begin->time_ns || begin->number != called)
		return 0;
	began = begin->time_ns;
	begin->time_ns = 0;
	return bpf_ktime_get_ns() - began;
}

static __always_inline void send(const struct pt_regs *regs, __u32 called, long result, __s32 error, __u64 latency_ns)
{
	struct syscall *e = sonde_reserve(syscall);

	if (!e)
		return;
	fill(e, SYSCALL_KIND_SINGLE, called);
	e->count = 1;
	e->errors = error != 0;
	e->latency_ns = latency_ns;
	e->result = result;
	e->argument_1 = PT_REGS_PARM1_SYSCALL(regs);
	e->argument_2 = PT_REGS_PARM2_SYSCALL(regs);
	e->argument_3 = PT_REGS_PARM3_SYSCALL(regs);
	e->argument_4 = PT_REGS_PARM4_SYSCALL(regs);
	e->argument_5 = PT_REGS_PARM5_SYSCALL(regs);
#if defined(__TARGET_ARCH_x86)
	e->argument_6 = regs->r9;
#else
	e->argument_6 = regs->regs[5];
#endif
	e->error = error;
	e->reserved_end = 0;
	sonde_submit(e);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	long called = number_of(regs);
	__u64 latency_ns = 0;
	struct key key = {};
	__s32 error = 0;

	if (!is_wanted(task, called))
		return 0;
	if (latency)
		latency_ns = latency_of(task, called);
	if (result < 0 && result >= -MAX_ERRNO)
		error = -result;
	if (error >= ERESTARTSYS && error <= ERESTARTSYS + 4)
		error = EINTR;
	key.number = called | (is_32_bit(task) ? NUMBER_32_BIT : 0);
	if (single && (pid || number >= 0)) {
		send(regs, key.number, error ? -error : result, error, latency_ns);
		return 0;
	}
	key.start_time_ns = task->group_leader->start_boottime;
	key.pid = task->tgid;
	count(&key, error, latency_ns);
	return 0;
}
