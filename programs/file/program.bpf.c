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

/* What a call does: a file_operation, and where its arguments are. */
#define CALL_TRACED 0x80
#define CALL_BY_NAME 0x40 /* opens */
#define CALL_AT 0x20      /* counts from a directory, its first argument */
#define CALL_OPERATION 0x1f

#define OPEN (CALL_TRACED | CALL_BY_NAME | FILE_OPERATION_OPEN)
#define READ (CALL_TRACED | FILE_OPERATION_READ)
#define WRITE (CALL_TRACED | FILE_OPERATION_WRITE)
#define SYNC (CALL_TRACED | FILE_OPERATION_SYNC)

#define CALLS 512 /* more than there are */

/* A table, not a switch: the verifier goes once through what follows, and not for each case. */
static const __u8 calls[CALLS] = {
#ifdef __NR_open
	[__NR_open] = OPEN,
	[__NR_creat] = OPEN,
#endif
	[__NR_openat] = OPEN | CALL_AT,
	[__NR_openat2] = OPEN | CALL_AT,
	[__NR_read] = READ,
	[__NR_pread64] = READ,
	[__NR_readv] = READ,
	[__NR_preadv] = READ,
	[__NR_preadv2] = READ,
	[__NR_write] = WRITE,
	[__NR_pwrite64] = WRITE,
	[__NR_writev] = WRITE,
	[__NR_pwritev] = WRITE,
	[__NR_pwritev2] = WRITE,
	[__NR_fsync] = SYNC,
	[__NR_fdatasync] = SYNC,
	[__NR_sync_file_range] = SYNC,
};

/* 0: none of those that are wanted. */
static __always_inline __u32 call_of(__u32 number)
{
	__u32 call = 0;

	barrier_var(number); /* else the compiler compares what it shifted, which the verifier does not follow */
	if (number < CALLS)
		call = calls[number];
	return read_write || call & CALL_BY_NAME ? call : 0;
}

SEC("tp_btf/sys_enter")
SONDE_ONLY_IF(latency)
SONDE_OR_IF(min_latency_ns)
int BPF_PROG(on_enter, struct pt_regs *regs, long number)
{
	struct task_struct *task;

	if (!call_of(number))
		return 0;
	task = bpf_get_current_task_btf();
	if (!sonde_call_is_32_bit(task) && sonde_call_is_chosen(task))
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
	__u32 call;
	__u64 opened; /* the file; 0: only asked for by name */
	struct sonde_amount amount;
	__s32 error, descriptor, directory;
	__u32 flags;
};

static __always_inline bool is_by_name(const struct operation *operation)
{
	return operation->call & CALL_BY_NAME;
}

static __always_inline bool has_bytes(const struct operation *operation)
{
	return !is_by_name(operation) && !operation->error && (operation->call & CALL_OPERATION) != FILE_OPERATION_SYNC;
}

static __always_inline __u64 bucket_of(const struct operation *operation)
{
	return sonde_histogram_bucket(BUCKETS, BUCKET_FIRST, operation->amount.sums[SUM_LATENCY]);
}

/* The open file that a descriptor stands for, if there is a path to it. */
static __always_inline __u64 file_with_path(struct files_struct *files, int descriptor)
{
	__u64 opened = descriptor >= 0 ? file_of(files, descriptor) : 0;

	return opened && has_path(opened) ? opened : 0;
}

/* As sonde_path_build(). */
static __always_inline __u32 build_path(struct scratch *scratch, const struct operation *operation, __u8 *ret_is_relative)
{
	*ret_is_relative = false;
	if (operation->opened)
		return sonde_path_build((struct file___kernel *)operation->opened, scratch->path);
	return asked_path(&scratch->asked, scratch->path, ret_is_relative);
}

static __always_inline void send(struct scratch *scratch, const struct operation *operation, const struct sonde_task *known)
{
	struct sonde_process owner;
	struct file *e;
	__u8 is_relative;
	__u32 begin = build_path(scratch, operation, &is_relative);

	sonde_process_known(known, &owner);
	if (begin >= SONDE_PATH_SIZE - SONDE_PATH_SHORT) { /* most are, and the rest of the record takes no room */
		e = sonde_reserve_owner_short(file, path, SONDE_PATH_SHORT, &owner);
		if (e)
			sonde_path_copy_short(scratch->path, begin, e->path);
	} else {
		e = sonde_reserve_owner(file, &owner);
		if (e)
			sonde_path_copy(scratch->path, begin, e->path);
	}
	if (!e)
		return;
	fill(e, operation->call & CALL_OPERATION, operation->error);
	if (has_bytes(operation))
		e->bytes = operation->amount.sums[SUM_BYTES];
	e->latency_ns = operation->amount.sums[SUM_LATENCY];
	e->flags = operation->flags;
	e->descriptor = operation->descriptor;
	e->path_is_relative = is_relative;
	metrics_add(e);
	sonde_submit(e);
}

static __always_inline __u64 hash_use(const struct sonde_task *known, const struct operation *operation)
{
	return sonde_mix(sonde_process_hash(known), (__u64)operation->error << 8 | (operation->call & CALL_OPERATION));
}

/* The key has no slot. By value: what only stays in registers is added to a slot sooner. */
static __always_inline void count_in_map(const struct operation operation, const struct sonde_task *known,
					 const struct sonde_front_key key, __u64 hash, bool has_path)
{
	struct scratch *scratch = scratch_here();
	struct entry *fresh;

	if (!scratch || entry_count(&key, hash, &operation.amount))
		return;
	fresh = &scratch->entry;
	fresh->error = operation.error;
	fresh->operation = operation.call & CALL_OPERATION;
	sonde_process_known(known, &fresh->owner);
	fresh->path_is_relative = false;
	fresh->path[0] = '\0';
	if (has_path)
		sonde_path_copy(scratch->path, build_path(scratch, &operation, &fresh->path_is_relative), fresh->path);
	entry_make(&key, &operation.amount);
}

static __always_inline void count(struct scratch *scratch, const struct operation *operation, const struct sonde_task *known)
{
	struct identity identity = {};
	struct sonde_front_key key;
	__u64 hash;

	if (operation->opened)
		identify_file(operation->opened, &identity);
	else
		identify_asked(&scratch->asked, operation->directory, &identity);
	key = (struct sonde_front_key){{identity.directories, identity.name, hash_use(known, operation)}, bucket_of(operation)};
	hash = key.words[0] + key.words[1] + key.words[2] + key.bucket;
	if (!sonde_front_add(&key, hash, &operation->amount))
		count_in_map(*operation, known, key, hash, true);
}

/* The same of what is told without a path: for itself, so that it waits for nothing that a path needs. */
static __always_inline void count_by_process(const struct operation *operation, const struct sonde_task *known)
{
	const struct sonde_front_key key = {{0, 0, hash_use(known, operation)}, bucket_of(operation)};
	__u64 hash = key.words[2] + key.bucket;

	if (!sonde_front_add(&key, hash, &operation->amount))
		count_in_map(*operation, known, key, hash, false);
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
static __always_inline bool find(struct scratch *scratch, struct operation *operation, const struct task_struct *task,
				 struct files_struct *files, const struct pt_regs *regs, long number, long result)
{
	const char *path = NULL;
	bool at = operation->call & CALL_AT;

	operation->descriptor = is_by_name(operation) ? result : (int)PT_REGS_PARM1_SYSCALL(regs);
	operation->opened = file_with_path(files, operation->descriptor);
	if (!is_by_name(operation))
		return operation->opened;
	if (operation->error)
		operation->descriptor = -1;
	operation->flags = flags_of(regs, number);
	if (operation->opened)
		return true;
	operation->directory = at ? (int)PT_REGS_PARM1_SYSCALL(regs) : AT_FDCWD;
	path = (const char *)(at ? PT_REGS_PARM2_SYSCALL(regs) : PT_REGS_PARM1_SYSCALL(regs));
	if (!asked_read(&scratch->asked, task, files, path, operation->directory))
		scratch->asked.words[0] = 0;
	return true;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long result)
{
	long number = sonde_call_number(regs);
	struct operation operation = {.call = call_of(number), .amount.count = 1, .flags = -1};
	struct files_struct *files;
	struct task_struct *task;
	struct sonde_task known;
	struct scratch *scratch;

	if (!operation.call) /* before any helper: this is the cost of all other calls of the node */
		return 0;
	task = bpf_get_current_task_btf();
	known = sonde_task_of(task);
	files = task->files;
	barrier_var(files); /* as those */
	if (sonde_call_is_32_bit(task) || !sonde_call_is_chosen(task))
		return 0;
	if (latency || min_latency_ns)
		operation.amount.sums[SUM_LATENCY] = sonde_call_latency(task, number);
	if (operation.amount.sums[SUM_LATENCY] < min_latency_ns)
		return 0;
	operation.error = sonde_call_error(result);
	if (operation.error >= ERESTARTSYS && operation.error <= ERESTARTSYS + 4)
		return 0;
	if (only_errors && !operation.error)
		return 0;
	if (has_bytes(&operation))
		operation.amount.sums[SUM_BYTES] = result;
	if (!single && read_write == 1 && !is_by_name(&operation)) {
		if (file_with_path(files, PT_REGS_PARM1_SYSCALL(regs)))
			count_by_process(&operation, &known);
		return 0;
	}
	scratch = scratch_here();
	if (!scratch || !find(scratch, &operation, task, files, regs, number, result))
		return 0;
	if (single)
		send(scratch, &operation, &known);
	else
		count(scratch, &operation, &known);
	return 0;
}
