/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file writer.h
 * The one thread that writes the store: takes the readers' batches, commits them with their checkpoints, and only then lets the
 * rings go on. It also writes down what was lost (gaps) and keeps the store within its limits.
 *
 * The queue in front of it is bounded: when it is full, readers wait, their rings fill, and what then finds no room is
 * counted by the kernel side as ring_full.
 *
 * Threads: new, free from one thread; sonde_writer_deliver() from any reader.
 */

#include <runtime/noted.h>

struct sonde_writer;

struct sonde_writer_opts {
	struct sonde_store *store;
	int64_t commit_interval_ns;
	struct sonde_noted *noted; /* SONDE_NOTED_MAX of them, zeroed at first; borrowed */
	size_t max_queue_batches; /* 0: 32 */
	bool starting; /* until sonde_writer_started() not all sources are there, so no answer of the store is complete */
};

int sonde_writer_new(const struct sonde_writer_opts *opts, struct sonde_writer **ret_writer);
/** The end comes: from `deadline_ns` (boot time) on readers do not wait for a store that cannot write, so that they can be stopped. */
void sonde_writer_stop(struct sonde_writer *writer, int64_t deadline_ns);
/**
 * @brief Commits what is queued (tries for as long as `deadline_ns`, boot time), then ends the thread. Stop the readers first.
 * What was sent and is not in the store then is lost with its ring: a gap says how many ("shutdown").
 */
void sonde_writer_free(struct sonde_writer **writer, int64_t deadline_ns);

/** Watch a source: its batches are taken, its losses noted. Its checkpoint must have been resumed before. */
int sonde_writer_add(struct sonde_writer *writer, struct sonde_source *source);
/** All sources that there are at first have been added. */
void sonde_writer_started(struct sonde_writer *writer);
/** Everything of this source is committed, then it is forgotten. Its reader must be stopped. */
void sonde_writer_remove(struct sonde_writer *writer, struct sonde_source *source);
/** For sonde_source_opts.deliver; takes the batch over. */
void sonde_writer_deliver(struct sonde_writer *writer, struct sonde_source *source, struct sonde_batch_full *batch);
/** Boot time of the last progress. */
int64_t sonde_writer_progress_ns(const struct sonde_writer *writer);
