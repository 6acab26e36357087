/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A hook that does nothing: what the kernel's statistics of a BPF program show for it is the cost of taking them, to be
 * subtracted from every other figure of the same run.
 */
#include <sonde/sonde.bpf.h>

struct empty {
	struct sonde_header header;
	__u64 number SONDE_DOC("never set");
};
SONDE_EVENT(empty, "Never sent");

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *registers, long id)
{
	return 0;
}
