/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* An object that uses every feature of sonde/types.h once; schema_test.c and value_test.c look at what comes of it. */
#include "valid.h"
#include <sonde/sonde.bpf.h>

SONDE_EVENT(everything, "has one field of each kind");
SONDE_EVENT(small, "a second event, Übergröße und |pipes|");

SONDE_SETTING(__u64, update_interval_ns, 10, "time between two updates");
SONDE_SETTING(bool, show_all, false, "show everything");
SONDE_SETTING(__s16, level, -3, "a signed number");
SONDE_SETTING_BETWEEN(__u64, most_bytes, 2048, 1024, 1048576, "a size with limits");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16);
	__type(key, struct everything_key);
	__type(value, __u64);
} everything_counts SEC(".maps") SONDE_COUNTER("everything_total", "things that were seen");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct everything_key);
	__type(value, __u64);
} everything_now SEC(".maps") SONDE_GAUGE("everything_current", "things that are there now");

struct everything_time {
	enum everything_kind kind SONDE_DOC("what it was");
	__u8 padding[3] SONDE_HIDDEN;
	__u8 le SONDE_DOC("bucket");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 27);
	__type(key, struct everything_time);
	__type(value, __u64);
} everything_times SEC(".maps") SONDE_HISTOGRAM("everything_seconds", "how long it took");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} not_a_metric SEC(".maps") SONDE_SHARED;
