/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The counts by process and system call, and their way out at each interval.
 *
 * Invariant: the counts of all events add up to the calls. What finds no entry is counted under the call's number alone; see
 * flush.bpf.h for the rest.
 */

#include <sonde/front.bpf.h>
#include "event.h"

#define ENTRIES 65536
#define OTHERS 1024
#define NAMES 512      /* more than there are */
#define BUCKETS 28     /* more, and an entry takes more than 256 bytes */
#define BUCKET_FIRST 8 /* 256 ns; the last: 34 s */
#define NUMBER_32_BIT (1u << 31)

struct key {
	__u64 process; /* sonde_process_hash() */
	__u32 pid;
	__u32 number; /* with NUMBER_32_BIT */
};

/* What the sums of an amount are. */
#define SUM_ERRORS 0
#define SUM_LATENCY 1

struct total {
	struct sonde_amount amount; /* its count: see flush.bpf.h */
	__u32 buckets[BUCKETS];
};

struct entry {
	struct total total;
	struct sonde_process owner;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct entry);
} entries SEC(".maps");

/* What finds no room there, so that the sum stays exact. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OTHERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct total);
} others SEC(".maps");

struct other_key {
	sonde_bool failed SONDE_DOC("whether the call failed");
	__u8 reserved[3] SONDE_HIDDEN;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, struct other_key);
	__type(value, __u64);
} other_calls_total SEC(".maps")
	SONDE_COUNTER("syscall_other_calls_total",
		      "System calls that found no room in the table: counted, but not by process. Grows: more processes within an "
		      "interval than the table holds; a shorter update_interval_ns helps, or a filter.");

/* What the events tell, added up. */
struct name_key {
	enum syscall_name name SONDE_DOC("the system call");
};

struct {
	SONDE_METRIC_MAP(struct name_key, NAMES);
} calls_total SEC(".maps")
	SONDE_COUNTER("syscall_calls_total",
		      "System calls as of the last report (update_interval_ns), failed ones too: the sum of count in the events of syscall. "
		      "unknown: newer than sonde, or of 32-bit programs.");

struct {
	SONDE_METRIC_MAP(struct name_key, NAMES);
} errors_total SEC(".maps") SONDE_COUNTER("syscall_errors_total", "System calls that failed: the sum of errors in the events of syscall.");

SONDE_EVENT(syscall, "System calls: counts, errors and latency by process, or single calls");

static __noinline int others_add(__u32 number, const struct sonde_amount *amount, __u32 bucket)
{
	struct total *found = bpf_map_lookup_elem(&others, &number), fresh = {};
	struct other_key key = {.failed = amount->sums[SUM_ERRORS] != 0};

	sonde_metric_add(&other_calls_total, &key, amount->count);
	if (!found) {
		bpf_map_update_elem(&others, &number, &fresh, BPF_NOEXIST);
		found = bpf_map_lookup_elem(&others, &number);
	}
	if (found)
		sonde_total_add(found, amount, bucket);
	else
		sonde_map_full();
	return 0;
}

/* Added with a count of 0, which cannot be removed within an interval. */
static __noinline int entry_make(const struct key *key)
{
	struct entry fresh = {};

	sonde_process_current(&fresh.owner);
	bpf_map_update_elem(&entries, key, &fresh, BPF_NOEXIST);
	return 0;
}

static __always_inline struct sonde_front_key front_key(const struct key *key, __u32 bucket)
{
	return (struct sonde_front_key){{key->process, (__u64)key->number << 32 | key->pid}, bucket};
}

static __always_inline struct key key_of(const struct sonde_front_key *front)
{
	return (struct key){.process = front->words[0], .pid = front->words[1], .number = front->words[1] >> 32};
}

static __always_inline void sonde_front_fold(const struct sonde_front_key *front, const struct sonde_amount *amount)
{
	struct key key = key_of(front);
	struct entry *entry = sonde_count_find(&entries, &key);

	if (entry && amount->count)
		sonde_total_add(&entry->total, amount, front->bucket);
	else if (amount->count)
		sonde_map_full(); /* cannot be */
}

/* Global, so that the verifier looks at it once. */
__noinline int entry_count(const struct sonde_front_key *front, __u64 hash, const struct sonde_amount *amount)
{
	struct entry *entry;
	struct key key;

	if (!front || !amount)
		return 0;
	key = key_of(front);
	entry = sonde_count_find(&entries, &key);
	if (!entry) {
		entry_make(&key);
		entry = sonde_count_find(&entries, &key);
	}
	if (!entry)
		others_add(key.number, amount, front->bucket);
	else if (!sonde_front_claim(front, hash, amount))
		sonde_total_add(&entry->total, amount, front->bucket);
	return 0;
}

/* The key has no slot. By value: what only stays in registers is added to a slot sooner. */
static __always_inline void count_in_map(const struct sonde_front_key front, __u64 hash, const struct sonde_amount amount)
{
	entry_count(&front, hash, &amount);
}

static __always_inline void count(const struct key key, bool failed, __u64 latency_ns)
{
	const struct sonde_amount amount = {1, {[SUM_ERRORS] = failed, [SUM_LATENCY] = latency_ns}};
	const struct sonde_front_key front = front_key(&key, sonde_histogram_bucket(BUCKETS, BUCKET_FIRST, latency_ns));
	/* Neighbours in number or bucket, and few processes: the multiplication spreads the rest. */
	__u64 hash = key.process + key.number * 4 + front.bucket;

	if (!sonde_front_add(&front, hash, &amount))
		count_in_map(front, hash, amount);
}

static __always_inline void fill(struct syscall *e, enum syscall_kind kind, __u32 number)
{
	e->kind = kind;
	e->number = number & ~NUMBER_32_BIT;
	e->is_32_bit = !!(number & NUMBER_32_BIT);
	e->name = !e->is_32_bit && syscall_has_name(e->number) ? (enum syscall_name)e->number : SYSCALL_NAME_UNKNOWN;
	__builtin_memset(e->reserved, 0, sizeof(e->reserved));
	e->latency_p50_ns = e->latency_p99_ns = 0;
}

/* Of an event that is told. */
static __always_inline void metrics_add(const struct syscall *e)
{
	struct name_key key = {e->name};

	sonde_metric_add(&calls_total, &key, e->count);
	if (e->errors)
		sonde_metric_add(&errors_total, &key, e->errors);
}

/* `left`: the count of the entry afterwards. A reserve that fails leaves everything where it is, for the next time. */
static __always_inline int tell(struct total *total, __u64 left, __u32 number, const struct sonde_process *owner)
{
	struct syscall *e = sonde_reserve_owner_upto(syscall, result, owner);

	if (!e)
		return 0;
	fill(e, SYSCALL_KIND_COUNT, number);
	e->count = __sync_lock_test_and_set(&total->amount.count, left) & SONDE_COUNTED;
	e->errors = __sync_lock_test_and_set(&total->amount.sums[SUM_ERRORS], 0);
	e->latency_ns = __sync_lock_test_and_set(&total->amount.sums[SUM_LATENCY], 0);
	sonde_histogram_take(total->buckets, BUCKETS, BUCKET_FIRST, &e->latency_p50_ns, &e->latency_p99_ns);
	metrics_add(e);
	sonde_submit(e);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_entries(struct bpf_iter__bpf_map_elem *context)
{
	struct key key;
	struct entry *entry = SONDE_ELEMENT(context, &entries, &key);

	if (!entry || !sonde_count_is_new(&entry->total.amount.count, context->meta))
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(struct syscall)))
		return 1;
	return tell(&entry->total, sonde_count_idle, key.number, &entry->owner);
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
	__u32 number;
	struct total *total = SONDE_ELEMENT(context, &others, &number);

	if (!total || !*(volatile __u64 *)&total->amount.count)
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(struct syscall)))
		return 1;
	return tell(total, 0, number, NULL);
}
