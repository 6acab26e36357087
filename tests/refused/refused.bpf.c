/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A program that compiles and that the kernel's verifier refuses: it writes behind its record. For tests of isolation. */
#include <sonde/sonde.bpf.h>

struct refused {
	struct sonde_header header;
	__u64 number SONDE_DOC("never seen");
};
SONDE_EVENT(refused, "Never sent");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct refused *e = sonde_reserve(refused);

	if (!e)
		return 0;
	e->number = 1;
	((volatile __u64 *)(e + 1))[1] = 1;
	sonde_submit(e);
	return 0;
}
