// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * System calls as they return: counted by process and call, or one by one with their arguments.
 *
 * The hook costs every call of the node, so this program is off by default, and asks for the second hook (to measure time)
 * only when told to.
 */
#include <sonde/call.bpf.h>

#include "tally.bpf.h"

SONDE_OFF_BY_DEFAULT;

SONDE_SETTING_BETWEEN(__u64, update_interval_ns, 10000000000, 1000000, 86400000000000,
		      "time between two reports of what was counted");
SONDE_SETTING(__s32, number, -1, "only the system call of this number, or another of number, number_2, number_3, number_4; -1: all");
SONDE_SETTING(__s32, number_2, -1, "one more; see number");
SONDE_SETTING(__s32, number_3, -1, "one more; see number");
SONDE_SETTING(__s32, number_4, -1, "one more; see number");
SONDE_SETTING_NEEDS(__u8, single, 0, "pid pid_2 pid_3 pid_4 number number_2 number_3 number_4",
		    "1: one event per call, with its arguments; needs a pid or a number");
SONDE_SETTING_BETWEEN(__u8, latency, 0, 0, 1, "1: measure how long the calls take; costs a second hook");

#define EINTR 4
#define ENOSYS 38
#if defined(__TARGET_ARCH_x86)
#define RT_SIGRETURN 15
/* clone, fork, vfork; of 32-bit programs fork, clone, vfork; clone3 */
#define IS_CLONE(number, is_32_bit) \
	((is_32_bit) ? (number) == 2 || (number) == 120 || (number) == 190 || (number) == 435 : \
		       ((number) >= 56 && (number) <= 58) || (number) == 435)
#else
#define RT_SIGRETURN 139
#define IS_CLONE(number, is_32_bit) \
	((is_32_bit) ? (number) == 2 || (number) == 120 || (number) == 190 || (number) == 435 : (number) == 220 || (number) == 435)
#endif
#define ERESTARTSYS 512 /* and up to 516: interrupted by a signal; the program sees EINTR, or the call again */

static __always_inline bool is_wanted(const struct task_struct *task, long called)
{
	if (called < 0 || !sonde_call_is_chosen(task))
		return false;
	if (number < 0 && number_2 < 0 && number_3 < 0 && number_4 < 0)
		return true;
	return called == number || called == number_2 || called == number_3 || called == number_4;
}

/*
 * The end of a signal handler brings back all registers of what it interrupted, and takes the number away. Without a number is also
 * the call of number -1, which does not exist.
 */
static __always_inline bool is_sigreturn(const struct task_struct *task, long called, long result)
{
	return called == -1 && result != -ENOSYS && !sonde_call_is_32_bit(task);
}

SEC("tp_btf/sys_enter")
SONDE_ONLY_IF(latency)
int BPF_PROG(on_enter, struct pt_regs *regs, long called)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (is_wanted(task, called))
		sonde_call_begin(task, called);
	return 0;
}

SEC("tp_btf/sched_process_exit")
SONDE_ONLY_IF(latency)
int BPF_PROG(on_thread_exit, struct task_struct *task)
{
	sonde_call_last(task);
	return 0;
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
	metrics_add(e);
	sonde_submit(e);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	long called = sonde_call_number(regs);
	bool is_back = is_sigreturn(task, called, result);
	__u64 latency_ns = 0;
	struct sonde_task known;
	struct key key = {};
	__s32 error;

	if (is_back)
		called = RT_SIGRETURN;
	if (!is_wanted(task, called))
		return 0;
	if (!result && IS_CLONE(called, sonde_call_is_32_bit(task))) /* in the child, which made no call */
		return 0;
	known = sonde_task_of(task);
	if (latency)
		latency_ns = sonde_call_latency(task, called);
	error = is_back ? 0 : sonde_call_error(result);
	if (error >= ERESTARTSYS && error <= ERESTARTSYS + 4)
		error = EINTR;
	key.number = called | (sonde_call_is_32_bit(task) ? NUMBER_32_BIT : 0);
	if (single) {
		send(regs, key.number, error ? -error : result, error, latency_ns);
		return 0;
	}
	key.process = sonde_process_hash(&known);
	key.pid = task->tgid;
	count(key, error, latency_ns);
	return 0;
}
