/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file writer_private.h What writer*.c share. */

#include <runtime/writer.h>

#include <pthread.h>
#include <stdatomic.h>

#include <base/clock.h>

#define SOURCES_MAX SONDE_WAITING_MAX
#define LOOK_NS SONDE_NS_PER_S /* at losses and limits */
/* While nothing comes. Of two looks one makes the store write that its run goes on, which must not be older than 8 s. */
#define LOOK_IDLE_NS (3 * SONDE_NS_PER_S)

struct item {
	struct sonde_source *source;
	struct sonde_batch_full *batch;
};

struct watched {
	struct sonde_source *source;
	struct sonde_checkpoint next;	/* as of the last append */
	bool changed;			/* since the last commit, or a gap was noted */
	struct sonde_noted *noted;	/* NULL: no room, losses of this source are in the ledger only */
};

struct sonde_writer {
	struct sonde_store *store;
	int64_t commit_interval_ns;
	struct sonde_noted *noted;
	pthread_t thread;
	pthread_mutex_t lock; /* of the queue */
	pthread_cond_t work, room;
	pthread_mutex_t store_lock; /* of `watched` and all work on the store; taken before `lock` */
	struct item *queue;
	size_t head, n, max;
	bool urgent, stopping, starting;
	bool drains;	  /* the queue is being emptied */
	size_t to_take;	  /* batches before it waits again; the writer's own */
	int64_t deadline_ns; /* to end */
	int64_t readers_deadline_ns; /* 0: they wait */
	unsigned n_watched; /* what is watched and noted changes under both locks */
	struct watched watched[SOURCES_MAX];
	unsigned n_left; /* sources that were removed while the store could not write, until it can: under both locks */
	struct {
		char program[SONDE_PROGRAM_NAME_MAX];
		int64_t since_ns;
	} left[SOURCES_MAX];
	_Atomic int64_t progress_ns;
	_Atomic int64_t last_commit_ns;
	int64_t last_look_ns;
	int64_t wakes_ns; /* boot time until which it sleeps, if nobody wakes it; under `lock` */
	bool failing; /* said once */
};

/* ---- writer_watch.c ---- */

struct watched *writer_find(struct sonde_writer *writer, const struct sonde_source *source);
/* What was lost since the last look becomes gaps, at most once a second. These three under store_lock. */
void writer_look(struct sonde_writer *writer);
void writer_look_at(struct sonde_writer *writer, struct watched *w);
/* What no reader brought, or no commit took, ends with the ring: to be committed with the checkpoints, so both are right or neither. */
void writer_note_backlog(struct sonde_writer *writer);
/* What waits, for whoever asks the store; a sonde_waiting_fn. Not under store_lock, which a commit that waits for a disk holds. */
void writer_waiting(void *userdata, struct sonde_waiting *waiting);
/* Under both locks: the last events of a source wait in the store, and nobody else remembers them. */
void writer_leave(struct sonde_writer *writer, const struct sonde_source *source);
