/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The counts by process and system call, and their way out at each interval.
 *
 * Invariant: the counts of all events add up to the calls. What finds no entry is counted under the call's number alone; see
 * flush.bpf.h for the rest.
 */

#include <sonde/gone.bpf.h>
#include <sonde/histogram.bpf.h>
#include "event.h"

#define ENTRIES 65536
#define OTHERS 1024
#define BUCKETS 28     /* more, and an entry takes more than 256 bytes */
#define BUCKET_FIRST 8 /* 256 ns; the last: 34 s */
#define NUMBER_32_BIT (1u << 31)

struct key {
	__u64 start_time_ns;
	__u32 pid;
	__u32 number; /* with NUMBER_32_BIT */
};

struct amount {
	__u64 count; /* see flush.bpf.h */
	__u64 errors;
	__u64 latency_ns;
	__u32 buckets[BUCKETS];
};

struct entry {
	struct amount amount;
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
	__type(value, struct amount);
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

SONDE_EVENT(syscall, "System calls: counts, errors and latency by process, or single calls");

static __always_inline void amount_add(struct amount *to, bool failed, __u64 latency_ns)
{
	if (failed)
		__sync_fetch_and_add(&to->errors, 1);
	if (latency_ns) {
		__sync_fetch_and_add(&to->latency_ns, latency_ns);
		sonde_histogram_add(to->buckets, BUCKETS, BUCKET_FIRST, latency_ns);
	}
	__sync_fetch_and_add(&to->count, 1);
}

static __noinline int others_add(__u32 number, bool failed, __u64 latency_ns)
{
	struct amount *found = bpf_map_lookup_elem(&others, &number), fresh = {};
	struct other_key key = {.failed = failed};

	sonde_metric_add(&other_calls_total, &key, 1);
	if (!found) {
		bpf_map_update_elem(&others, &number, &fresh, BPF_NOEXIST);
		found = bpf_map_lookup_elem(&others, &number);
	}
	if (found)
		amount_add(found, failed, latency_ns);
	else
		sonde_map_full();
	return 0;
}

/* The entry, to be added to now; NULL: there is none, or it is just going away. */
static __always_inline struct entry *entry_of(const struct key *key)
{
	struct entry *entry;

	for (int i = 0; i < 2; i++) {
		entry = bpf_map_lookup_elem(&entries, key);
		if (!entry || sonde_count_lives(&entry->amount.count))
			return entry;
	}
	return NULL;
}

/* Added with a count of 0, which cannot be removed within an interval. */
static __noinline int entry_make(struct key *key)
{
	struct entry fresh = {};

	if (!key)
		return 0;
	sonde_process_current(&fresh.owner);
	bpf_map_update_elem(&entries, key, &fresh, BPF_NOEXIST);
	return 0;
}

static __always_inline void count(struct key *key, bool failed, __u64 latency_ns)
{
	struct entry *entry = entry_of(key);

	if (!entry) {
		entry_make(key);
		entry = entry_of(key);
	}
	if (entry)
		amount_add(&entry->amount, failed, latency_ns);
	else
		others_add(key->number, failed, latency_ns);
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

/* `left`: the count of the entry afterwards. A reserve that fails leaves everything where it is, for the next time. */
static __always_inline int tell(struct amount *amount, __u64 left, __u32 number, const struct sonde_process *owner)
{
	struct syscall *e = sonde_reserve_owner_upto(syscall, result, owner);

	if (!e)
		return 0;
	fill(e, SYSCALL_KIND_COUNT, number);
	e->count = __sync_lock_test_and_set(&amount->count, left) & SONDE_COUNTED;
	e->errors = __sync_lock_test_and_set(&amount->errors, 0);
	e->latency_ns = __sync_lock_test_and_set(&amount->latency_ns, 0);
	sonde_histogram_take(amount->buckets, BUCKETS, BUCKET_FIRST, &e->latency_p50_ns, &e->latency_p99_ns);
	sonde_submit(e);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_entries(struct bpf_iter__bpf_map_elem *context)
{
	struct key key;
	struct entry *entry = SONDE_ELEMENT(context, &entries, &key);

	if (!entry || !sonde_count_is_new(&entry->amount.count, context->meta))
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(struct syscall)))
		return 1;
	return tell(&entry->amount, sonde_count_idle, key.number, &entry->owner);
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_sweep(struct bpf_iter__bpf_map_elem *context)
{
	struct key key;
	struct entry *entry = SONDE_ELEMENT(context, &entries, &key);

	if (entry && (sonde_is_gone(key.pid, key.start_time_ns, &entry->amount.count) ||
		      sonde_count_is_over(&entry->amount.count)))
		bpf_map_delete_elem(&entries, &key);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(others)
int at_interval_others(struct bpf_iter__bpf_map_elem *context)
{
	__u32 number;
	struct amount *amount = SONDE_ELEMENT(context, &others, &number);

	if (!amount || !*(volatile __u64 *)&amount->count)
		return 0;
	if (!sonde_flush_room(context->meta, sizeof(struct syscall)))
		return 1;
	return tell(amount, 0, number, NULL);
}
