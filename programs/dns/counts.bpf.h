/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Metrics. Answers, of which there may be 100,000 a second, are counted in tables of each CPU, and come to the maps of the metrics at
 * each interval: to find the three entries of an answer in hash maps would take longer than to find its question.
 *
 * Invariant: `counted` only ever grows, by its CPU; `taken` is what of it is in the maps, by whoever looks for timeouts.
 */

#include <sonde/loop.bpf.h>
#include "questions.bpf.h"

struct dns_result {
	char qtype[8] SONDE_DOC("type asked for; \"other\" for the rare ones");
	char rcode[12] SONDE_DOC("result; \"other\" for the rare ones");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[3] SONDE_HIDDEN;
};

struct dns_silence {
	char qtype[8] SONDE_DOC("type asked for; \"other\" for the rare ones");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[7] SONDE_HIDDEN;
};

struct {
	SONDE_METRIC_MAP(struct dns_result, 512);
} answered SEC(".maps") SONDE_COUNTER("dns_answers_total", "Questions that were answered, those of local resolvers not counted.");

struct {
	SONDE_METRIC_MAP(struct dns_result, 512);
} passed_on SEC(".maps") SONDE_COUNTER("dns_resolver_answers_total", "Answered questions of processes that serve names themselves.");

struct {
	SONDE_METRIC_MAP(struct dns_silence, 64);
} unanswered SEC(".maps") SONDE_COUNTER("dns_timeouts_total",
					"Questions that nobody answered in time, those of local resolvers not counted.");

struct {
	SONDE_METRIC_MAP(struct dns_silence, 64);
} passed_on_unanswered SEC(".maps")
SONDE_COUNTER("dns_resolver_timeouts_total", "Unanswered questions of processes that serve names themselves.");

struct dns_time {
	enum dns_role role SONDE_DOC("client, or resolver: the asker serves names itself");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[2] SONDE_HIDDEN;
	__u8 le SONDE_DOC("bucket");
};

struct {
	SONDE_METRIC_MAP(struct dns_time, 128);
} latencies SEC(".maps") SONDE_HISTOGRAM("dns_latency_seconds", "Time from a question to its answer.");

/* Role and transport. */
#define KINDS 4
#define KIND_TCP 1
#define KIND_RESOLVER 2
_Static_assert(DNS_ROLE_RESOLVER == 1 && (IPPROTO_UDP & 2) == 0 && (IPPROTO_TCP & 2) == 2, "told apart by one bit");

#define QTYPES 16 /* powers of 2 */
#define RCODES 16
#define BUCKETS (SONDE_BUCKET_LAST - SONDE_BUCKET_FIRST + 3) /* the sum is the first */
#define RESULT_COUNTS (KINDS * QTYPES * RCODES)
#define TIME_COUNTS (KINDS * BUCKETS)

static const char qtype_labels[QTYPES][8] = {
	"other", "A", "NS", "CNAME", "SOA", "PTR", "MX", "TXT", "AAAA", "SRV", "DS", "DNSKEY", "SVCB", "HTTPS", "ANY",
	"other",
};

/* Where the types stand in qtype_labels: a table, since the verifier goes through all that follows for each case of a switch. */
static const __u8 qtype_indices[256] = {
	[1] = 1, [2] = 2, [5] = 3, [6] = 4, [12] = 5, [15] = 6, [16] = 7, [28] = 8, [33] = 9, [43] = 10, [48] = 11, [64] = 12, [65] = 13,
	[255] = 14,
};

static const char rcode_labels[RCODES][12] = {
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
	"other",   "other",   "other",	  "other",    "other",
};

static __always_inline __u32 qtype_index(__u16 qtype)
{
	return qtype < sizeof(qtype_indices) ? qtype_indices[qtype] % QTYPES : 0;
}

struct tally {
	__u64 answers;
	__u64 results[RESULT_COUNTS];
	__u64 times[TIME_COUNTS];
};

struct tallies {
	struct tally counted, taken;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tallies);
} tallies SEC(".maps");

/* Without a branch. */
static __always_inline __u32 kind_of(const struct question *question)
{
	return (question->role & 1) * KIND_RESOLVER + (question->transport >> 1 & 1) * KIND_TCP;
}

static __always_inline __u8 kind_transport(__u32 kind)
{
	return kind & KIND_TCP ? IPPROTO_TCP : IPPROTO_UDP;
}

/* Not static, as question_read(). Per CPU, and two answers do not come within one another: all arrive in a softirq. */
__noinline int count_answer(const struct question *question, __u32 rcode, __u64 latency_ns)
{
	__u32 zero = 0, kind, result, sum, bucket;
	struct tallies *here = bpf_map_lookup_elem(&tallies, &zero);

	if (!question || !here)
		return 0;
	kind = kind_of(question);
	result = (kind * QTYPES + qtype_index(question->qtype)) * RCODES + rcode % RCODES;
	sum = kind * BUCKETS;
	bucket = sum + 1 + sonde_bucket_of(latency_ns) - SONDE_BUCKET_FIRST;
	barrier_var(result); /* the verifier does not follow how they were found */
	barrier_var(sum);
	barrier_var(bucket);
	if (result >= RESULT_COUNTS || sum >= TIME_COUNTS || bucket >= TIME_COUNTS)
		return 0;
	here->counted.results[result]++;
	here->counted.times[sum] += latency_ns;
	here->counted.times[bucket]++;
	/* Last, for who takes looks at it first. */
#if defined(__TARGET_ARCH_x86) /* keeps stores in order */
	*(volatile __u64 *)&here->counted.answers += 1;
#else
	__sync_fetch_and_add(&here->counted.answers, 1);
#endif
	return 0;
}

struct taking {
	struct tallies *cpu;
};

static __noinline long result_pass(__u32 i, struct taking *taking)
{
	struct tallies *cpu = taking->cpu;
	struct dns_result key = {};
	__u32 kind = i / (QTYPES * RCODES), qtype = i / RCODES % QTYPES, rcode = i % RCODES;
	__u64 new;

	if (i >= RESULT_COUNTS)
		return 1;
	new = cpu->counted.results[i] - cpu->taken.results[i];
	if (!new)
		return 0;
	cpu->taken.results[i] += new;
	key.transport = kind_transport(kind);
	__builtin_memcpy(key.qtype, qtype_labels[qtype], sizeof(key.qtype));
	__builtin_memcpy(key.rcode, rcode_labels[rcode], sizeof(key.rcode));
	if (kind & KIND_RESOLVER)
		sonde_metric_add(&passed_on, &key, new);
	else
		sonde_metric_add(&answered, &key, new);
	return 0;
}

static __noinline long time_pass(__u32 i, struct taking *taking)
{
	struct tallies *cpu = taking->cpu;
	struct dns_time key = {};
	__u32 kind = i / BUCKETS, bucket = i % BUCKETS;
	__u64 new;

	if (i >= TIME_COUNTS)
		return 1;
	new = cpu->counted.times[i] - cpu->taken.times[i];
	if (!new)
		return 0;
	cpu->taken.times[i] += new;
	key.role = kind & KIND_RESOLVER ? DNS_ROLE_RESOLVER : DNS_ROLE_CLIENT;
	key.transport = kind_transport(kind);
	key.le = bucket ? bucket - 1 + SONDE_BUCKET_FIRST : SONDE_BUCKET_SUM;
	sonde_metric_add(&latencies, &key, new);
	return 0;
}

/* Global, so that the verifier looks at it once. */
__noinline int tallies_take(struct tallies *cpu)
{
	struct taking taking = {cpu};
	__u64 answers;

	if (!cpu)
		return 0;
	answers = cpu->counted.answers;
	if (answers == cpu->taken.answers)
		return 0;
	cpu->taken.answers = answers;
	sonde_loop(RESULT_COUNTS, result_pass, &taking);
	sonde_loop(TIME_COUNTS, time_pass, &taking);
	return 0;
}

static __noinline long tallies_pass(__u32 number, void *none)
{
	__u32 zero = 0;
	struct tallies *cpu = bpf_map_lookup_percpu_elem(&tallies, &zero, number);

	if (!cpu)
		return 1; /* there are no more */
	tallies_take(cpu);
	return 0;
}

#define CPUS_MAX 8192 /* CONFIG_NR_CPUS */

static __always_inline void counts_flush(void)
{
	sonde_loop(CPUS_MAX, tallies_pass, NULL);
}

__noinline int count_timeout(const struct question *question)
{
	struct dns_silence key = {};

	if (!question)
		return 0;
	key.transport = question->transport;
	__builtin_memcpy(key.qtype, qtype_labels[qtype_index(question->qtype)], sizeof(key.qtype));
	if (question->role == DNS_ROLE_RESOLVER)
		sonde_metric_add(&passed_on_unanswered, &key, 1);
	else
		sonde_metric_add(&unanswered, &key, 1);
	return 0;
}

enum dns_unmatched {
	DNS_UNMATCHED_NOT_WAITED_FOR,
	DNS_UNMATCHED_OTHER_QUESTION,
	DNS_UNMATCHED_MISSING_SEGMENT,
	DNS_UNMATCHED_CROWDED_SEGMENT,
};

struct dns_loss {
	enum dns_unmatched reason SONDE_DOC(
		"not_waited_for: an answer that is late or comes twice; other_question: an answer to another name, type or class; "
		"missing_segment: a piece of a stream over TCP that was not looked at; crowded_segment: what follows its 1024th message");
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	__u8 padding[3] SONDE_HIDDEN;
};

struct {
	SONDE_METRIC_MAP(struct dns_loss, 16);
} unmatched SEC(".maps") SONDE_COUNTER("dns_unmatched_total", "Messages, or pieces of a stream, that were taken for no answer or question.");

static __always_inline void count_unmatched(enum dns_unmatched reason, __u8 transport)
{
	struct dns_loss key = {.reason = reason, .transport = transport};

	sonde_metric_add(&unmatched, &key, 1);
}
