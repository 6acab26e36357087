/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A program for load tests: one event for each call of system call 1023, which no kernel has, so that the caller knows
 * exactly how many events there must be. It is also the smallest example of a program of one's own.
 */
#include <sonde/sonde.bpf.h>

struct flood {
	struct sonde_header header;
	__u64 number SONDE_DOC("first argument of the call");
};
SONDE_EVENT(flood, "One call of a system call that does not exist");
SONDE_SETTING(__u64, tag, 0, "only calls with this second argument: runs at the same time do not see each other's");
SONDE_SETTING(sonde_bool, silent, 0, "run the hook but send nothing: the cost of the hook alone");

#define NUMBER 1023

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	struct flood *e;

	if (id != NUMBER || PT_REGS_PARM2_CORE_SYSCALL(registers) != tag || silent)
		return 0;
	e = sonde_reserve(flood);
	if (!e)
		return 0;
	e->number = PT_REGS_PARM1_CORE_SYSCALL(registers);
	sonde_submit(e);
	return 0;
}
