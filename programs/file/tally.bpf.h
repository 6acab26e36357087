/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The counts, and their way out at each interval.
 *
 * Invariant: the counts of all events add up to the operations. What finds no entry is counted under its operation and error
 * alone; see flush.bpf.h for the rest.
 */

#include "asked.bpf.h"
#include <sonde/front.bpf.h> /* not before the above, which gives the kernel's struct file its other name */

#define ENTRIES 65536
#define OTHERS 1024
#define BUCKETS 26      /* more, and an entry takes more than 512 bytes */
#define BUCKET_FIRST 10 /* 1 us; the last: 34 s */
#define FILE_OPERATIONS 4
#define ABSENT (~0ull)

struct key {
	struct identity identity;
	__u64 use; /* hash of process, operation and error, which stand in the entry: a short key is found sooner */
};

/* What the sums of an amount are. */
#define SUM_BYTES 0
#define SUM_LATENCY 1

struct total {
	struct sonde_amount amount; /* its count: see flush.bpf.h */
	__u32 buckets[BUCKETS];
};

struct entry {
	struct total total;
	struct sonde_process owner;
	__s32 error;
	__u8 operation;
	__u8 path_is_relative;
	__u8 reserved[2];
	char path[FILE_PATH_SIZE];
};

/* The kernel keeps preemption off in this tracepoint's programs, so a CPU needs only one. */
struct scratch {
	struct asked asked;
	struct entry entry;
	char path[SONDE_PATH_SCRATCH];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct entry);
} entries SEC(".maps");

/* What finds no room there, so that the sum stays exact: by operation and error only. */
struct other_key {
	__u32 operation;
	__s32 error;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OTHERS);
	__type(key, struct other_key);
	__type(value, struct total);
} others SEC(".maps");

struct operation_key {
	enum file_operation operation SONDE_DOC("open, read, write or sync");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FILE_OPERATIONS);
	__type(key, struct operation_key);
	__type(value, __u64);
} other_operations_total SEC(".maps")
	SONDE_COUNTER("file_other_operations_total",
		      "Operations that found no room in the table: counted, but not by path and process. Grows: more paths and "
		      "processes within an interval than the table holds; a shorter update_interval_ns helps, or a filter.");

/* What the events tell, added up. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FILE_OPERATIONS);
	__type(key, struct operation_key);
	__type(value, __u64);
} operations_total SEC(".maps")
	SONDE_COUNTER("file_operations_total",
		      "Opens, reads, writes and syncs of files, failed ones too, as of the last report (update_interval_ns): the sum of "
		      "count in the events of file.");

enum file_transfer { FILE_TRANSFER_READ, FILE_TRANSFER_WRITE };

struct transfer_key {
	enum file_transfer operation SONDE_DOC("read or write");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, struct transfer_key);
	__type(value, __u64);
} bytes_total SEC(".maps") SONDE_COUNTER("file_bytes_total", "Bytes read from and written to files: the sum of bytes in the events of file.");

struct failure_key {
	enum file_operation operation SONDE_DOC("open, read, write or sync");
	sonde_errno error SONDE_DOC("why it failed");
};

struct {
	SONDE_METRIC_MAP(struct failure_key, 1024);
} errors_total SEC(".maps")
	SONDE_COUNTER("file_errors_total",
		      "Opens, reads, writes and syncs that failed. ENOENT of opens is common; EIO, ENOSPC, EROFS, EDQUOT, EMFILE and "
		      "ENFILE want a look.");

SONDE_EVENT(file, "Files: opens, reads, writes and syncs by path, counted in the kernel");

static __noinline int others_add(const struct entry *fresh, const struct sonde_amount *amount, __u32 bucket)
{
	struct other_key other = {fresh->operation, fresh->error};
	struct total *found = bpf_map_lookup_elem(&others, &other);
	struct operation_key key = {fresh->operation};

	sonde_metric_add(&other_operations_total, &key, amount->count);
	if (!found && !bpf_map_update_elem(&others, &other, &fresh->total, BPF_NOEXIST))
		return 0;
	if (!found)
		found = bpf_map_lookup_elem(&others, &other); /* another CPU was first, or there is no room */
	if (found)
		sonde_total_add(found, amount, bucket);
	else
		sonde_map_full();
	return 0;
}

static __always_inline struct key key_of(const struct sonde_front_key *front)
{
	return (struct key){{front->words[0], front->words[1]}, front->words[2]};
}

static __always_inline void sonde_front_fold(const struct sonde_front_key *front, const struct sonde_amount *amount)
{
	const struct key key = key_of(front);
	struct entry *entry = sonde_count_find(&entries, &key);

	if (entry && amount->count)
		sonde_total_add(&entry->total, amount, front->bucket);
	else if (amount->count)
		sonde_map_full(); /* cannot be */
}

/* These two are global, so that the verifier looks at them once. 0: there is no entry of this key. */
__noinline int entry_count(const struct sonde_front_key *front, __u64 hash, const struct sonde_amount *amount)
{
	struct entry *entry;
	struct key key;

	if (!front || !amount)
		return 1;
	key = key_of(front);
	entry = sonde_count_find(&entries, &key);
	if (!entry)
		return 0;
	if (!sonde_front_claim(front, hash, amount))
		sonde_total_add(&entry->total, amount, front->bucket);
	return 1;
}

/* The entry stands in the scratch, and is complete but for its total. */
__noinline int entry_make(const struct sonde_front_key *front, const struct sonde_amount *amount)
{
	struct scratch *scratch = scratch_here();
	struct entry *entry;
	struct key key;

	if (!front || !amount || !scratch)
		return 0;
	key = key_of(front);
	__builtin_memset(&scratch->entry.total, 0, sizeof(scratch->entry.total));
	sonde_total_add(&scratch->entry.total, amount, front->bucket);
	if (!bpf_map_update_elem(&entries, &key, &scratch->entry, BPF_NOEXIST))
		return 0;
	entry = sonde_count_find(&entries, &key); /* another CPU was first, or there is no room */
	if (entry)
		sonde_total_add(&entry->total, amount, front->bucket);
	else
		others_add(&scratch->entry, amount, front->bucket);
	return 0;
}

static __always_inline void fill(struct file *e, __u32 operation, __s32 error)
{
	e->operation = operation;
	e->error = error;
	e->count = 1;
	e->bytes = ABSENT;
	e->latency_ns = e->latency_p50_ns = e->latency_p99_ns = 0;
	e->flags = -1;
	e->descriptor = -1;
	e->path_is_relative = false;
	__builtin_memset(e->reserved, 0, sizeof(e->reserved));
}

/* Of an event that is told. */
static __always_inline void metrics_add(const struct file *e)
{
	struct operation_key key = {e->operation};
	struct transfer_key transfer = {e->operation == FILE_OPERATION_READ ? FILE_TRANSFER_READ : FILE_TRANSFER_WRITE};
	struct failure_key failure = {e->operation, e->error};

	sonde_metric_add(&operations_total, &key, e->count);
	if (e->bytes != ABSENT)
		sonde_metric_add(&bytes_total, &transfer, e->bytes);
	if (e->error)
		sonde_metric_add(&errors_total, &failure, e->count);
}

/* Takes what was counted; `left`: the count afterwards. A reserve that fails leaves it where it is, for the next time. */
static __always_inline struct file *take(struct total *total, __u64 left, __u32 operation, __s32 error,
					 const struct sonde_process *owner)
{
	struct file *e = sonde_reserve_owner(file, owner);

	if (!e)
		return NULL;
	fill(e, operation, error);
	e->count = __sync_lock_test_and_set(&total->amount.count, left) & SONDE_COUNTED;
	e->bytes = __sync_lock_test_and_set(&total->amount.sums[SUM_BYTES], 0);
	e->latency_ns = __sync_lock_test_and_set(&total->amount.sums[SUM_LATENCY], 0);
	sonde_histogram_take(total->buckets, BUCKETS, BUCKET_FIRST, &e->latency_p50_ns, &e->latency_p99_ns);
	if (error || (operation != FILE_OPERATION_READ && operation != FILE_OPERATION_WRITE))
		e->bytes = ABSENT;
	metrics_add(e);
	return e;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_entries(struct bpf_iter__bpf_map_elem *context)
{
	struct key key;
	struct entry *entry = SONDE_ELEMENT(context, &entries, &key);
	struct file *e;

	if (!entry || !sonde_count_is_new(&entry->total.amount.count, context->meta))
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(*e)))
		return 1;
	e = take(&entry->total, sonde_count_idle, entry->operation, entry->error, &entry->owner);
	if (!e)
		return 0;
	e->path_is_relative = entry->path_is_relative;
	__builtin_memcpy(e->path, entry->path, sizeof(e->path));
	sonde_submit(e);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_sweep(struct bpf_iter__bpf_map_elem *context)
{
	struct key key;
	struct entry *entry = SONDE_ELEMENT(context, &entries, &key);

	if (entry &&
	    (sonde_is_gone(&entry->owner, &entry->total.amount.count) || sonde_count_is_over(&entry->total.amount.count)))
		bpf_map_delete_elem(&entries, &key);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(others)
int at_interval_others(struct bpf_iter__bpf_map_elem *context)
{
	struct other_key key;
	struct total *total = SONDE_ELEMENT(context, &others, &key);
	struct file *e;

	if (!total || !*(volatile __u64 *)&total->amount.count)
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(*e)))
		return 1;
	e = take(total, 0, key.operation, key.error, NULL);
	if (!e)
		return 0;
	e->path[0] = '\0';
	sonde_submit(e);
	return 0;
}
