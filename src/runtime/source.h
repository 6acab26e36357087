/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file source.h
 * One running program as user space reads it: its ring, its counters, its reader thread.
 *
 * A source is made from descriptors only, so it works the same in the process that loaded the program and in one that
 * holds no privilege at all.
 *
 * The reader: sleeps until a hook wakes it; under load it polls on a timer and nobody is woken (a wake-up costs a hook
 * 7 us, an event in a polled ring 0.15). It copies records into batches, lets the program's hook look at them, and delivers.
 *
 * Threads: new, start, stop, free from one thread; the rest from any.
 */

#include <enrich/enrich.h>
#include <runtime/batch.h>
#include <runtime/ledger.h>
#include <schema/schema.h>
#include <store/store.h>

#define SONDE_SOURCE_PROGRAMS_MAX 24
#define SONDE_SOURCE_METRICS_MAX 8

struct sonde_source;

/** Takes over the batch's reference. Runs in the reader's thread; may wait (then the ring holds what comes). */
typedef void (*sonde_deliver_fn)(struct sonde_source *source, struct sonde_batch_full *batch, void *userdata);

struct sonde_source_opts {
	const char *name;
	const struct sonde_schema *schema; /* borrowed for the source's life */
	const struct sonde_program_hooks *hooks; /* or NULL */
	struct sonde_enrich *enrich;	   /* or NULL */
	uint64_t ring_id;
	/* Descriptors: the source takes them over, also when it fails. */
	int ring_fd, counters_fd, control_fd, settings_fd;
	unsigned n_programs, n_metrics;
	int program_fds[SONDE_SOURCE_PROGRAMS_MAX];
	int metric_fds[SONDE_SOURCE_METRICS_MAX];
	sonde_deliver_fn deliver;
	/* Does somebody wait for the events within a millisecond? NULL: nobody, a few will do. Runs in the reader's thread. */
	bool (*is_watched)(void *userdata);
	void *userdata; /* of both */
};

int sonde_source_new(const struct sonde_source_opts *opts, struct sonde_source **ret_source);
/** Go on where a checkpoint says (before start). */
void sonde_source_resume(struct sonde_source *source, const struct sonde_checkpoint *checkpoint);
int sonde_source_start(struct sonde_source *source);
/** Ends the reader after it has read what is in the ring now. Idempotent. */
void sonde_source_stop(struct sonde_source *source);
void sonde_source_free(struct sonde_source **source);

const char *sonde_source_name(const struct sonde_source *source);
const struct sonde_schema *sonde_source_schema(const struct sonde_source *source);
/** These records are safe: their room in the ring is free again. Sets what the ledger shows as stored. */
void sonde_source_commit(struct sonde_source *source, const struct sonde_checkpoint *checkpoint);
/** The state of the last commit (or resume). */
void sonde_source_checkpoint(const struct sonde_source *source, struct sonde_checkpoint *ret_checkpoint);
/** Boot time of the oldest event that no commit has taken, INT64_MAX: nothing waits. */
int64_t sonde_source_waits_since_ns(const struct sonde_source *source);
/** Share of the ring that waits for a commit, 0 to 100. */
unsigned sonde_source_fill_pct(const struct sonde_source *source);
/**
 * @brief Is the reader well? To be asked every few seconds: one that sleeps has nothing to do as long as its ring is empty, which counts
 * as progress; if it is not, the reader is woken.
 * @return Boot time at which the reader last made progress.
 */
int64_t sonde_source_look(struct sonde_source *source);
/** Progress on behalf of a reader that waits inside its deliver function. */
void sonde_source_touch(struct sonde_source *source);
/** The kernel's counters, summed over CPUs. */
int sonde_source_counters(const struct sonde_source *source, struct sonde_counters *ret_counters);
/** Runs of hooks that the kernel skipped because the same program was running on that CPU. */
uint64_t sonde_source_recursion_misses(const struct sonde_source *source);
void sonde_source_ledger(const struct sonde_source *source, struct sonde_ledger *ret_ledger);
/** What a setting of the program is. */
int64_t sonde_source_setting(const struct sonde_source *source, const struct sonde_setting *setting);
/** Run time of hook i; 0, or -ENOENT */
int sonde_source_hook_stats(const struct sonde_source *source, unsigned i, uint64_t *ret_runs, uint64_t *ret_run_time_ns);
/** Sum over CPUs of a metric map, key by key. `fn` as in view.h. */
int sonde_source_metric(const struct sonde_source *source, unsigned i,
			void (*fn)(const struct sonde_metric *, const void *, uint64_t, void *), void *userdata);
