/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Hooks that do nothing. What a system call, or a packet, takes more with them is what any program at these hooks costs, and no program
 * can be below it; what the kernel's statistics of a BPF program show for them is the cost of taking these, to be subtracted from every
 * other figure of the same run.
 */
#include <sonde/sonde.bpf.h>

struct empty {
	struct sonde_header header;
	__u64 number SONDE_DOC("never set");
};
SONDE_EVENT(empty, "Never sent");

SONDE_SETTING_BETWEEN(__u8, both_ends, 0, 0, 1, "1: also where a system call begins");
SONDE_SETTING_BETWEEN(__u8, call_ends, 1, 0, 1, "1: where a system call ends");
SONDE_SETTING_BETWEEN(__u8, clock, 0, 0, 1, "1: with a look at the clock");
SONDE_SETTING_BETWEEN(__u8, other_call, 0, 0, 1, "1: a tracepoint of one call, which takes all others off the kernel's short way too");
SONDE_SETTING_BETWEEN(__u8, packets, 0, 0, 1, "1: where packets leave sockets and arrive at them");

__u64 last_time_ns;

static __always_inline void look_at_clock(void)
{
	if (clock)
		last_time_ns = bpf_ktime_get_ns();
}

SEC("tp_btf/sys_enter")
SONDE_ONLY_IF(both_ends)
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	look_at_clock();
	return 0;
}

SEC("tp_btf/sys_exit")
SONDE_ONLY_IF(call_ends)
int BPF_PROG(on_sys_exit, struct pt_regs *registers, long result)
{
	look_at_clock();
	return 0;
}

SEC("tp/syscalls/sys_exit_getppid")
SONDE_ONLY_IF(other_call)
int on_other_call(void *context)
{
	return 0;
}

SEC("cgroup_skb/egress")
SONDE_ONLY_IF(packets)
int on_egress(struct __sk_buff *skb)
{
	return 1;
}

SEC("cgroup_skb/ingress")
SONDE_ONLY_IF(packets)
int on_ingress(struct __sk_buff *skb)
{
	return 1;
}
