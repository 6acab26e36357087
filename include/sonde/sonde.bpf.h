/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file sonde.bpf.h
 * Everything a program's kernel side includes: one ring, the ledger's counters, and the way of an event.
 *
 *	struct process *e = sonde_reserve(process);
 *	if (!e)
 *		return 0;	// denied, throttled, sampled out or no room: counted
 *	e->... = ...;		// the record is not zeroed: set every field
 *	sonde_submit(e);
 *
 * Order inside sonde_reserve(): entered is counted, then filter, quota and sampling may refuse, then room in the
 * ring is taken. One hook, one event: what entered has exactly one outcome, so the ledger adds up.
 *
 * Hooks by name: SEC("tp_btf/...") and so on as libbpf knows them. Two kinds have a rule of their own:
 *   SEC("iter/task_file") int at_start_NAME(...)      is run once, after all hooks are attached
 *   SEC("iter/task_file") int at_interval_NAME(...)   every `update_interval_ns` (a setting), and once before the program ends
 *   SEC("iter/task_file") int at_start_and_interval_NAME(...)   both
 *   An iterator over a map of counts (SONDE_OVER) tells them without losing any with <sonde/flush.bpf.h>.
 *   SEC("?...")          is optional: tried, and left out with its reason when the kernel refuses it
 * SEC("cgroup/...") hooks are attached to the root of the cgroup v2 hierarchy, SEC("tcx/ingress") and SEC("tcx/egress") to the
 * network interfaces of the settings interface_1 to interface_4 (before Linux 6.6 as filters of clsact: they see the same packets,
 * and mean the same with what they return).
 */

#include <sonde/types.h>
#include <sonde/cast.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

/**
 * Declares an event of this object. `name` is the struct's name and the name of the type everywhere.
 * The pointer anchors the struct in BTF; the number is set before load and stands in every record.
 */
#define SONDE_EVENT(name, doc)                                                                       \
	const volatile __u16 sonde_event_##name SONDE_TAG("sonde:event=" doc) = 0;                   \
	struct name *sonde_anchor_##name SEC(".data.sonde_anchor") = NULL

/** A number that the configuration may set (programs.NAME.settings.VARIABLE), in .rodata: free when unused. */
#define SONDE_SETTING(type, name, value, doc) const volatile type name SONDE_TAG("sonde:setting=" doc) = value
/** The same; a value below `least` or above `most` (plain numbers) is refused. */
#define SONDE_SETTING_BETWEEN(type, name, value, least, most, doc) \
	const volatile type name SONDE_TAG("sonde:setting=" doc) SONDE_TAG("sonde:between=" #least ".." #most) = value
/** The same; refused unless one of these others (names with blanks between) is set too. */
#define SONDE_SETTING_NEEDS(type, name, value, others, doc) \
	const volatile type name SONDE_TAG("sonde:setting=" doc) SONDE_TAG("sonde:needs=" others) = value

/** Stands on an iterator over a map (SEC("iter/bpf_map_elem")): which map. */
#define SONDE_OVER(map) SONDE_TAG("sonde:over=" #map)
/**
 * Where such an iterator stands: the value in the map, and in `copy` the key, as look-up and removal want it (what the iterator
 * shows may only be read). NULL: at the end, or the element is gone by now.
 */
#define SONDE_ELEMENT(context, map, copy)                             \
	({                                                            \
		const typeof(*(copy)) *__shown = (context)->key;      \
		void *__value = NULL;                                 \
		if (__shown) {                                        \
			*(copy) = *__shown;                           \
			__value = bpf_map_lookup_elem((map), (copy)); \
		}                                                     \
		__value;                                              \
	})
/** Stands on a hook that costs something wherever it is attached: only with this setting not 0. */
#define SONDE_ONLY_IF(setting) SONDE_TAG("sonde:only_if=" #setting)
/** With it: or with this one. */
#define SONDE_OR_IF(setting) SONDE_TAG("sonde:or_if=" #setting)
/** The opposite: not with this setting. */
#define SONDE_UNLESS(setting) SONDE_TAG("sonde:unless=" #setting)

/** A built-in program that costs something on every node runs only where the configuration or `sonde programs start` says so. */
#define SONDE_OFF_BY_DEFAULT const volatile __u8 sonde_off_by_default = 1

/** A map that all programs with a map of this name share. The first program creates it. */
#define SONDE_SHARED SONDE_TAG("sonde:shared")

/**
 * A map that is a metric: PERCPU_HASH or PERCPU_ARRAY, or HASH, with a struct as key (its fields are the labels) and __u64
 * as value; SONDE_METRIC_MAP() is the body of the usual one. `name` is the Prometheus name without the leading "sonde_", ending
 * in _total for a counter.
 */
#define SONDE_METRIC_MAP(key_type, entries)     \
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH); \
	__uint(max_entries, entries);           \
	__type(key, key_type);                  \
	__type(value, __u64)
#define SONDE_COUNTER(name, doc) SONDE_TAG("sonde:counter=" name "|" doc)
#define SONDE_GAUGE(name, doc) SONDE_TAG("sonde:gauge=" name "|" doc)
/** A histogram of durations: as a counter, but the last field of the key is `__u8 le`, which sonde_metric_observe() sets. `name` ends
 * in _seconds. A map needs 27 entries for each set of labels. */
#define SONDE_HISTOGRAM(name, doc) SONDE_TAG("sonde:histogram=" name "|" doc)

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* placeholder: programs.NAME.ring_bytes */
} sonde_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sonde_counters);
} sonde_counters SEC(".maps");

struct sonde_control sonde_control SEC(".data.sonde") = {};

static __always_inline struct sonde_counters *sonde_counters_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sonde_counters, &zero);
}

/** An event could not be made because a map of the program has no room. Counts it; nothing else to do. */
static __always_inline void sonde_map_full(void)
{
	struct sonde_counters *counters = sonde_counters_here();

	if (!counters)
		return;
	__sync_fetch_and_add(&counters->entered, 1);
	__sync_fetch_and_add(&counters->map_full, 1);
}

__u64 sonde_instance_number;

/** Tells this run of the program from an earlier one that wrote to the same shared map: the time of its first call. */
static __always_inline __u64 sonde_instance(void)
{
	if (!sonde_instance_number)
		__sync_val_compare_and_swap(&sonde_instance_number, 0, bpf_ktime_get_boot_ns());
	return sonde_instance_number;
}

/** The cgroup of a css_set: of the unified hierarchy, or, where that has no use for it, of v1's memory controller. */
static __always_inline __u64 sonde_cgroup_of(const struct css_set *set)
{
	const struct cgroup *unified = set->dfl_cgrp, *cgroup;
	const struct cgroup_subsys_state *css;
	__u64 id = unified->kn->id;

	/* 1 is the root of v2 (kernfs gives ids from 1): in a hybrid set-up everything sits there. */
	if (id != 1 || !bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return id;
	css = *(struct cgroup_subsys_state **)((void *)set + bpf_core_field_offset(struct css_set, subsys) +
					       sizeof(css) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	cgroup = css->cgroup;
	if (!cgroup || cgroup == unified)
		return id;
	return cgroup->kn->id | SONDE_CGROUP_V1;
}

/** The same, of a task. */
static __always_inline __u64 sonde_task_cgroup(const struct task_struct *task)
{
	return sonde_cgroup_of(sonde_cast(struct task_struct, task)->cgroups);
}

/**
 * What is known of a task is found through these. A hook that runs very often loads them at its beginning, before it branches: that
 * costs the start some milliseconds, once, and then what they point to costs a third of what it does through sonde_cast(), for the
 * verifier knows them and the kernel has not to check each address.
 */
struct sonde_task {
	const struct task_struct *task, *leader;
	const struct css_set *cgroups;
	const struct cred *cred;
};

static __always_inline struct sonde_task sonde_task_of(const struct task_struct *task)
{
	struct sonde_task known = {task, task->group_leader, task->cgroups, task->cred};

	barrier_var(known.leader); /* here, and not where they are used */
	barrier_var(known.cgroups);
	barrier_var(known.cred);
	return known;
}

/** The facts of a process, by plain loads (1 or 2 ns each; helpers cost 25 to 40). */
static __always_inline void sonde_process_known(const struct sonde_task *known, struct sonde_process *process)
{
	process->start_time_ns = known->leader->start_boottime;
	process->cgroup_id = sonde_cgroup_of(sonde_cast(struct css_set, known->cgroups));
	process->pid = known->task->tgid;
	process->tid = known->task->pid;
	process->uid = sonde_cast(struct cred, known->cred)->uid.val;
	process->reserved = 0;
	/* Not the thread's own: isc-net-0000 says less than dig. */
	__builtin_memcpy(process->command, known->leader->comm, SONDE_COMMAND_LENGTH);
}

/** The same, where it costs the start nothing. */
static __always_inline void sonde_process_of(const struct task_struct *trusted, struct sonde_process *process)
{
	const struct task_struct *task = sonde_cast(struct task_struct, trusted);
	const struct sonde_task known = {task, task->group_leader, task->cgroups, task->cred};

	sonde_process_known(&known, process);
}

/** Spreads a word over a hash. */
static __always_inline __u64 sonde_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

/**
 * A hash of a process as it is: another one after it has taken another name (also by an exec), user or control group, so that what is
 * counted by it is told of what it was at that time.
 */
static __always_inline __u64 sonde_process_hash(const struct sonde_task *known)
{
	/* A number made of a pointer: the verifier allows no other arithmetic on one that it knows. */
	__u64 cgroups = (void *)known->cgroups - (void *)known->leader;
	__u64 name[2], life, who;

	__builtin_memcpy(name, known->leader->comm, sizeof(name));
	/* Two halves that do not wait for each other. */
	life = sonde_mix(known->leader->start_boottime, (__u64)sonde_cast(struct cred, known->cred)->uid.val << 32 | known->task->tgid);
	who = sonde_mix(name[0], cgroups);
	return sonde_mix(life ^ who << 1, name[1]);
}

/* Global, so that the verifier looks at it once and not in each of its callers. */
__noinline int sonde_process_current(struct sonde_process *process)
{
	if (!process)
		return 0;
	sonde_process_of(bpf_get_current_task_btf(), process);
	return 1;
}

/* Filter, quota and sampling decide here (see the order above); `weight` is what the event then stands for. */
static __always_inline bool sonde_admit(struct sonde_counters *counters, __u32 *weight)
{
	*weight = 1;
	return true;
}

static __always_inline void *sonde_reserve_bytes(__u64 size, __u16 type, const struct sonde_process *owner)
{
	struct sonde_counters *counters = sonde_counters_here();
	struct sonde_header *header;
	__u32 weight;

	if (!counters)
		return NULL; /* cannot be: a per-CPU array has its one element */
	__sync_fetch_and_add(&counters->entered, 1);
	if (!sonde_admit(counters, &weight))
		return NULL;
	header = bpf_ringbuf_reserve(&sonde_ring, size, 0);
	if (!header) {
		__sync_fetch_and_add(&counters->ring_full, 1);
		return NULL;
	}
	/* This atomic also orders the reservation before the look at reader_sleeping in sonde_submit(): the reader
	 * sets that flag and then looks for reservations, so one of the two always sees the other. */
	header->sequence = __sync_fetch_and_add(&counters->submitted, 1) |
			   (__u64)bpf_get_smp_processor_id() << 48;
	header->time_ns = bpf_ktime_get_boot_ns();
	header->weight = weight;
	header->type = type;
	header->flags = 0;
	header->reserved = 0;
	if (owner && owner->pid) {
		header->start_time_ns = owner->start_time_ns;
		header->cgroup_id = owner->cgroup_id;
		header->pid = owner->pid;
		header->tid = owner->tid;
		header->uid = owner->uid;
		__builtin_memcpy(header->command, owner->command, SONDE_COMMAND_LENGTH);
	} else {
		header->start_time_ns = 0;
		header->cgroup_id = owner ? owner->cgroup_id : 0;
		header->pid = 0;
		header->tid = 0;
		header->uid = 0;
		header->flags = SONDE_PROCESS_UNKNOWN;
		__builtin_memset(header->command, 0, SONDE_COMMAND_LENGTH);
	}
	return header;
}

/** Room for one event of a remembered process (struct sonde_process *; NULL or pid 0: process unknown). NULL: refused and counted. */
#define sonde_reserve_owner(name, owner) ((struct name *)sonde_reserve_bytes(sizeof(struct name), sonde_event_##name, owner))
/** The same, a shorter record that ends before `field`; the fields from there on are null. */
#define sonde_reserve_owner_upto(name, field, owner) \
	((struct name *)sonde_reserve_bytes(offsetof(struct name, field), sonde_event_##name, owner))
/** The same, a record whose last field, a text, has room for `bytes` only. */
#define sonde_reserve_owner_short(name, text, bytes, owner) \
	((struct name *)sonde_reserve_bytes(offsetof(struct name, text) + (bytes), sonde_event_##name, owner))
/** The same, of the current process. */
#define sonde_reserve(name)                         \
	({                                          \
		struct sonde_process current_;      \
		sonde_process_current(&current_);   \
		sonde_reserve_owner(name, &current_); \
	})
/** The same, of another task (a BTF pointer). */
#define sonde_reserve_task(name, task)             \
	({                                         \
		struct sonde_process facts_;       \
		sonde_process_of(task, &facts_);   \
		sonde_reserve_owner(name, &facts_); \
	})
/** Both: of another task, and shorter. */
#define sonde_reserve_task_upto(name, field, task)             \
	({                                                     \
		struct sonde_process facts_;                   \
		sonde_process_of(task, &facts_);               \
		sonde_reserve_owner_upto(name, field, &facts_); \
	})

/** A record for the program's own user-space code (program.h): `number` below 0x8000, chosen by the program. */
#define sonde_reserve_inner(name, number, owner) \
	((struct name *)sonde_reserve_bytes(sizeof(struct name), SONDE_INNER_TYPE + (number), owner))

/** Hands the event over. Wakes the reader only if it sleeps, once: a wake-up costs 7 us, a submit 0.1. */
static __always_inline void sonde_submit(void *event)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (*(volatile __u32 *)&sonde_control.reader_sleeping) {
		*(volatile __u32 *)&sonde_control.reader_sleeping = 0;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(event, flags);
}

/** Adds to a metric map (SONDE_COUNTER, per CPU). A key that finds no room is counted, not lost in silence. */
static __always_inline void sonde_metric_add(void *map, const void *key, __u64 amount)
{
	struct sonde_counters *counters;
	__u64 *value = bpf_map_lookup_elem(map, key);

	if (value) {
		*value += amount; /* per CPU, and tracing programs are not preempted by themselves */
		return;
	}
	if (!bpf_map_update_elem(map, key, &amount, BPF_NOEXIST))
		return;
	value = bpf_map_lookup_elem(map, key); /* another program on this CPU was first */
	if (value) {
		*value += amount;
		return;
	}
	counters = sonde_counters_here();
	if (counters)
		__sync_fetch_and_add(&counters->overflowed, amount);
}

/* 1 if `value` is above `least`, both below 2^63. No comparison: the verifier would follow both ways of each, through all that comes. */
static __always_inline __u64 sonde_is_above(__u64 value, __u64 least)
{
	__u64 difference = least - value;

	barrier_var(difference); /* else the compiler makes a comparison of it again */
	return difference >> 63;
}

/** The least power of 2 that is not below the value, as its exponent; at most 63. */
static __always_inline __u8 sonde_exponent_of(__u64 value)
{
	const __u64 mask = ~0ull >> 1;
	__u64 rest = value - (sonde_is_above(value & mask, 0) | value >> 63), exponent = 0, step;

	rest = (rest | -(rest >> 63)) & mask;
#pragma unroll
	for (int bits = 32; bits; bits /= 2) {
		step = sonde_is_above(rest, (1ull << bits) - 1) * bits;
		rest >>= step;
		exponent += step;
	}
	return exponent + rest;
}

/* The same, within those that have a bucket. */
static __always_inline __u8 sonde_bucket_of(__u64 value_ns)
{
	__u64 exponent = sonde_exponent_of(value_ns);
	__u64 below = sonde_is_above(SONDE_BUCKET_FIRST, exponent), above = sonde_is_above(exponent, SONDE_BUCKET_LAST);

	return exponent + below * (SONDE_BUCKET_FIRST - exponent) + above * (SONDE_BUCKET_LAST + 1 - exponent);
}

/** Adds a duration to a histogram (SONDE_HISTOGRAM). @param le Points to the last field of `key`; it is changed. */
static __always_inline void sonde_metric_observe(void *map, const void *key, __u8 *le, __u64 value_ns)
{
	*le = sonde_bucket_of(value_ns);
	sonde_metric_add(map, key, 1);
	*le = SONDE_BUCKET_SUM;
	sonde_metric_add(map, key, value_ns);
}
