/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/* Who owns a connection, when that shows only after it was made. */

#include "table.bpf.h"

#define PF_KTHREAD 0x00200000

/* Connections that wait to be accepted. While there are none, traffic of TCP costs no look into the table. */
__s64 unclaimed;
/* Who reads the iterator: its last look may be what closes a socket. */
__u32 iterating_pid;

static __always_inline __u64 cookie_of(const struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter; /* 0: nobody has asked for one, so the table does not have it */
}

/* Someone turns out to own a connection that waited to be accepted. Once, whoever notices first. */
static __always_inline void claim(struct entry *entry, const struct sonde_process *owner, bool in_accept)
{
	if (__sync_val_compare_and_swap(&entry->claimed, 0, 1))
		return;
	__sync_fetch_and_add(&unclaimed, -1);
	entry->owner = *owner;
	entry->owner_pass = pass;
	if (in_accept)
		entry->accept_wait_ns = bpf_ktime_get_boot_ns() - entry->established_ns;
	emit(CONNECTION_KIND_ACCEPT, entry);
	if (entry->phase == PHASE_ENDED) {
		entry->phase = PHASE_CLOSED;
		emit(CONNECTION_KIND_CLOSE, entry);
	}
}

static __always_inline void claim_for_current(struct entry *entry, bool in_accept)
{
	struct sonde_process current;

	sonde_process_current(&current);
	claim(entry, &current, in_accept);
}

/* The last one to hold a socket is its owner, if the owner has let it go before. */
static __always_inline void hand_over_to_current(struct entry *entry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sonde_process current;

	if (task->flags & PF_KTHREAD || (__u32)task->tgid == iterating_pid || (__u32)task->tgid == entry->owner.pid)
		return;
	sonde_process_of(task, &current);
	entry->owner = current;
}

/* Makes up for a skipped hook. */
static __always_inline void connect_success_noticed(struct entry *entry)
{
	if (__sync_val_compare_and_swap(&entry->phase, PHASE_CONNECTING, PHASE_ESTABLISHED) != PHASE_CONNECTING)
		return;
	entry->figures.state = CONNECTION_STATE_ESTABLISHED;
	emit(CONNECTION_KIND_CONNECT, entry);
}
