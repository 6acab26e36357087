// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Opens, reads, writes and syncs of files, by path.
 *
 * One hook at the end of all system calls: the arguments are still in the registers, so there is no second hook and nothing to
 * remember between the two. It takes the same path for counting and for single events; only the last step differs.
 */
#include <asm/unistd.h>

#include "tally.bpf.h"
#include <sonde/call.bpf.h>

SONDE_OFF_BY_DEFAULT;

SONDE_SETTING_BETWEEN(__u64, update_interval_ns, 10000000000, 1000000, 86400000000000,
		      "time between two reports of what was counted");
SONDE_SETTING_BETWEEN(__u8, single, 0, 0, 1, "1: one event per operation, as it happens; 0: counts");
SONDE_SETTING_BETWEEN(__u8, read_write, 2, 0, 2,
		      "2: reads, writes and syncs too; 1: these counted by process only, without path, which costs less; 0: opens only");
SONDE_SETTING_BETWEEN(__u8, latency, 0, 0, 1, "1: measure how long each operation takes; costs a second hook");
SONDE_SETTING(__u64, min_latency_ns, 0, "only operations that take at least this; if not 0, latency is measured");
SONDE_SETTING_BETWEEN(__u8, only_errors, 0, 0, 1, "1: only operations that fail");

#define ERESTARTSYS 512 /* and above: never seen by the program, the call goes on */

/* One call: what it does and where its arguments are. */
struct call {
	__u32 operation;
	bool traced, by_name, at; /* by_name: opens; at: counts from a directory, its first argument */
};

static __always_inline struct call call_of(long number)
{
	switch (number) {
#ifdef __NR_open
	case __NR_open:
	case __NR_creat:
		return (struct call){FILE_OPERATION_OPEN, true, true, false};
#endif
	case __NR_openat:
	case __NR_openat2:
		return (struct call){FILE_OPERATION_OPEN, true, true, true};
	case __NR_read:
	case __NR_pread64:
	case __NR_readv:
	case __NR_preadv:
	case __NR_preadv2:
		return (struct call){FILE_OPERATION_READ, read_write, false, false};
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
		return (struct call){FILE_OPERATION_WRITE, read_write, false, false};
	case __NR_fsync:
	case __NR_fdatasync:
	case __NR_sync_file_range:
		return (struct call){FILE_OPERATION_SYNC, read_write, false, false};
	}
	return (struct call){};
}

SEC("tp_btf/sys_enter")
SONDE_ONLY_IF(latency)
SONDE_OR_IF(min_latency_ns)
int BPF_PROG(on_enter, struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (call_of(number).traced && !sonde_call_is_32_bit(task) && sonde_call_is_chosen(task))
		sonde_call_begin(task, number);
	return 0;
}

SEC("tp_btf/sched_process_exit")
SONDE_ONLY_IF(latency)
SONDE_OR_IF(min_latency_ns)
int BPF_PROG(on_thread_exit, struct task_struct *task)
{
	sonde_call_last(task);
	return 0;
}

struct operation {
	struct call call;
	struct file___kernel *opened; /* NULL: only asked for by name */
	struct sonde_amount amount;
	__s32 error, descriptor, directory;
	__u32 flags;
};

/* Counts of reads and writes by process are told without. */
static __always_inline bool path_is_wanted(const struct operation *operation)
{
	return single || read_write != 1 || operation->call.by_name;
}

static __always_inline void write_path(struct scratch *scratch, const struct operation *operation, char *ret_path,
				       __u8 *ret_is_relative)
{
	*ret_is_relative = false;
	ret_path[0] = '\0';
	if (!path_is_wanted(operation))
		return;
	if (operation->opened)
		sonde_path_read(operation->opened, scratch->path, ret_path);
	else
		asked_path(&scratch->asked, scratch->path, ret_path, ret_is_relative);
}

static __always_inline void send(struct scratch *scratch, const struct operation *operation)
{
	struct file *e = sonde_reserve(file);

	if (!e)
		return;
	fill(e, operation->call.operation, operation->error);
	if (!operation->call.by_name && !operation->error && operation->call.operation != FILE_OPERATION_SYNC)
		e->bytes = operation->amount.sums[SUM_BYTES];
	e->latency_ns = operation->amount.sums[SUM_LATENCY];
	e->flags = operation->flags;
	e->descriptor = operation->descriptor;
	write_path(scratch, operation, e->path, &e->path_is_relative);
	metrics_add(e);
	sonde_submit(e);
}

static __always_inline void identify(const struct scratch *scratch, const struct operation *operation, struct task_struct *task,
				     struct sonde_front_key *ret_key)
{
	struct identity identity = {};

	if (path_is_wanted(operation) && operation->opened)
		identify_file(operation->opened, &identity);
	else if (path_is_wanted(operation))
		identify_asked(&scratch->asked, operation->directory, &identity);
	ret_key->words[0] = identity.directories;
	ret_key->words[1] = identity.name;
	ret_key->words[2] = sonde_mix(sonde_process_hash(task),
				(__u64)operation->error << 8 | operation->call.operation);
	ret_key->bucket = sonde_histogram_bucket(BUCKETS, BUCKET_FIRST, operation->amount.sums[SUM_LATENCY]);
}

static __always_inline void count(struct scratch *scratch, const struct operation *operation, struct task_struct *task)
{
	struct sonde_front_key key;
	struct entry *fresh;
	__u64 hash;

	identify(scratch, operation, task, &key);
	hash = key.words[0] + key.words[1] + key.words[2] + key.bucket;
	if (sonde_front_add(&key, hash, &operation->amount) || entry_count(&key, hash, &operation->amount))
		return;
	fresh = &scratch->entry;
	fresh->error = operation->error;
	fresh->operation = operation->call.operation;
	sonde_process_of(task, &fresh->owner);
	write_path(scratch, operation, fresh->path, &fresh->path_is_relative);
	entry_make(&key, &operation->amount);
}

static __always_inline __u32 flags_of(const struct pt_regs *regs, long number)
{
	__u64 flags = 0;

	switch (number) {
#ifdef __NR_open
	case __NR_open:
		return PT_REGS_PARM2_SYSCALL(regs);
	case __NR_creat:
		return 01101; /* O_CREAT | O_WRONLY | O_TRUNC */
#endif
	case __NR_openat2:
		bpf_probe_read_user(&flags, sizeof(flags), (void *)PT_REGS_PARM3_SYSCALL(regs));
		return flags;
	}
	return PT_REGS_PARM3_SYSCALL(regs);
}

/* False: it is about no file that has a path. */
static __always_inline bool find(struct scratch *scratch, struct operation *operation, struct task_struct *task,
				 const struct pt_regs *regs, long number, long result)
{
	const char *path = NULL;

	operation->descriptor = operation->call.by_name ? result : (int)PT_REGS_PARM1_SYSCALL(regs);
	operation->opened = operation->descriptor >= 0 ? file_of(task, operation->descriptor) : NULL;
	if (operation->opened && !has_path(operation->opened))
		operation->opened = NULL;
	if (!operation->call.by_name)
		return operation->opened;
	if (operation->error)
		operation->descriptor = -1;
	operation->flags = flags_of(regs, number);
	if (operation->opened)
		return true;
	operation->directory = operation->call.at ? (int)PT_REGS_PARM1_SYSCALL(regs) : AT_FDCWD;
	path = (const char *)(operation->call.at ? PT_REGS_PARM2_SYSCALL(regs) : PT_REGS_PARM1_SYSCALL(regs));
	if (!asked_read(&scratch->asked, task, path, operation->directory))
		scratch->asked.words[0] = 0;
	return true;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long result)
{
	long number = sonde_call_number(regs);
	struct operation operation = {.call = call_of(number), .amount.count = 1, .flags = -1};
	struct scratch *scratch;
	struct task_struct *task;

	if (!operation.call.traced) /* before any helper: this is the cost of all other calls of the node */
		return 0;
	task = bpf_get_current_task_btf();
	if (sonde_call_is_32_bit(task) || !sonde_call_is_chosen(task))
		return 0;
	if (latency || min_latency_ns)
		operation.amount.sums[SUM_LATENCY] = sonde_call_latency(task, number);
	if (operation.amount.sums[SUM_LATENCY] < min_latency_ns)
		return 0;
	if (result < 0 && result >= -SONDE_MAX_ERRNO)
		operation.error = -result;
	if (operation.error >= ERESTARTSYS && operation.error <= ERESTARTSYS + 4)
		return 0;
	if (only_errors && !operation.error)
		return 0;
	scratch = scratch_here();
	if (!scratch || !find(scratch, &operation, task, regs, number, result))
		return 0;
	if (!operation.call.by_name && !operation.error && operation.call.operation != FILE_OPERATION_SYNC)
		operation.amount.sums[SUM_BYTES] = result;
	if (single)
		send(scratch, &operation);
	else
		count(scratch, &operation, task);
	return 0;
}
