/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The counts, and their way out at each interval.
 *
 * Invariant: no increment is lost or told twice. The flush takes a count by exchange, so an addition lands before it or after
 * it. An idle entry is removed in two steps, an interval apart: IDLE tells everyone who finds it to take it back first,
 * and by the time it is DEAD nobody can still hold it from before. (A map may use a removed entry's memory again at once.)
 */

#include "asked.bpf.h"

#define ENTRIES 32768
#define OTHERS 1024
#define ABSENT (~0ull)

#define IDLE (1ull << 63)
#define DEAD (1ull << 62 | IDLE)

struct key {
	struct identity identity;
	__u64 start_time_ns;
	__u32 pid;
	__s32 error;
	__u32 operation;
	__u32 reserved;
};

struct amount {
	__u64 count; /* or IDLE, DEAD */
	__u64 bytes;
	__u64 latency_ns;
};

struct entry {
	struct amount amount;
	struct sonde_process owner;
	__u8 path_is_relative;
	__u8 reserved[7];
	char path[FILE_PATH_SIZE];
};

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
	__type(value, struct amount);
} others SEC(".maps");

SONDE_EVENT(file, "Files: opens, reads, writes and syncs by path, counted in the kernel");

/* Bytes first: then no flush finds bytes without their operation. */
static __always_inline void amount_add(struct amount *to, const struct amount *amount)
{
	if (amount->bytes)
		__sync_fetch_and_add(&to->bytes, amount->bytes);
	if (amount->latency_ns)
		__sync_fetch_and_add(&to->latency_ns, amount->latency_ns);
	__sync_fetch_and_add(&to->count, amount->count);
}

static __always_inline void others_add(const struct key *key, const struct amount *amount)
{
	struct other_key other = {key->operation, key->error};
	struct amount *found = bpf_map_lookup_elem(&others, &other);

	if (!found && bpf_map_update_elem(&others, &other, amount, BPF_NOEXIST)) {
		found = bpf_map_lookup_elem(&others, &other);
		if (!found)
			sonde_map_full();
	} else if (!found) {
		return;
	}
	if (found)
		amount_add(found, amount);
}

/* The entry, to be added to now; NULL: there is none, or it is just going away. */
static __always_inline struct entry *entry_of(const struct key *key)
{
	struct entry *entry;

	for (int i = 0; i < 2; i++) {
		entry = bpf_map_lookup_elem(&entries, key);
		if (!entry || !(*(volatile __u64 *)&entry->amount.count & IDLE))
			return entry;
		if (__sync_val_compare_and_swap(&entry->amount.count, IDLE, 0) == IDLE)
			return entry;
	}
	return NULL;
}

/* `fresh` is complete, its amount included. */
static __always_inline void entry_add(const struct key *key, const struct entry *fresh)
{
	struct entry *entry;

	if (!bpf_map_update_elem(&entries, key, fresh, BPF_NOEXIST))
		return;
	entry = entry_of(key); /* another CPU was first, or there is no room */
	if (entry)
		amount_add(&entry->amount, &fresh->amount);
	else
		others_add(key, &fresh->amount);
}

static __always_inline void fill(struct file *e, __u32 operation, __s32 error)
{
	e->operation = operation;
	e->error = error;
	e->count = 1;
	e->bytes = ABSENT;
	e->latency_ns = 0;
	e->flags = -1;
	e->descriptor = -1;
	e->path_is_relative = false;
	__builtin_memset(e->reserved, 0, sizeof(e->reserved));
	__builtin_memset(e->path, 0, sizeof(e->path));
}

/* Takes what was counted. A full ring leaves it where it is, for the next time. */
static __always_inline struct file *take(struct amount *amount, __u32 operation, __s32 error,
					 const struct sonde_process *owner)
{
	struct file *e = sonde_reserve_owner(file, owner);

	if (!e)
		return NULL;
	fill(e, operation, error);
	e->count = __sync_lock_test_and_set(&amount->count, 0);
	e->bytes = __sync_lock_test_and_set(&amount->bytes, 0);
	e->latency_ns = __sync_lock_test_and_set(&amount->latency_ns, 0);
	if (error || (operation != FILE_OPERATION_READ && operation != FILE_OPERATION_WRITE))
		e->bytes = ABSENT;
	return e;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(entries)
int at_interval_entries(struct bpf_iter__bpf_map_elem *context)
{
	const struct key *found = context->key;
	struct entry *entry;
	struct file *e;
	struct key key;
	__u64 count;

	if (!found)
		return 0;
	key = *found;
	entry = bpf_map_lookup_elem(&entries, &key);
	if (!entry)
		return 0;
	count = *(volatile __u64 *)&entry->amount.count;
	if (!count) {
		__sync_val_compare_and_swap(&entry->amount.count, 0, IDLE);
		return 0;
	}
	if (count & IDLE) {
		if (__sync_val_compare_and_swap(&entry->amount.count, IDLE, DEAD) == IDLE)
			bpf_map_delete_elem(&entries, &key);
		return 0;
	}
	e = take(&entry->amount, key.operation, key.error, &entry->owner);
	if (!e)
		return 0;
	e->path_is_relative = entry->path_is_relative;
	__builtin_memcpy(e->path, entry->path, sizeof(e->path));
	sonde_submit(e);
	return 0;
}

SEC("iter/bpf_map_elem")
SONDE_OVER(others)
int at_interval_others(struct bpf_iter__bpf_map_elem *context)
{
	const struct other_key *found = context->key;
	struct other_key key;
	struct amount *amount;
	struct file *e;

	if (!found)
		return 0;
	key = *found;
	amount = bpf_map_lookup_elem(&others, &key);
	if (!amount || !*(volatile __u64 *)&amount->count)
		return 0;
	e = take(amount, key.operation, key.error, NULL);
	if (e)
		sonde_submit(e);
	return 0;
}
