/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file source_private.h What source.c and reader.c share; nobody else includes it. */

#include <pthread.h>
#include <stdatomic.h>

#include <bpf/ring.h>
#include <enrich/hook_context.h>
#include <runtime/source.h>

struct sonde_source {
	char name[SONDE_PROGRAM_NAME_MAX];
	const struct sonde_schema *schema;
	const struct sonde_program_hooks *hooks;
	struct sonde_enrich *enrich;
	sonde_deliver_fn deliver;
	bool (*is_watched)(void *userdata);
	void *userdata;

	int ring_fd, counters_fd, control_fd, settings_fd, n_cpus;
	unsigned n_programs, n_metrics;
	int program_fds[SONDE_SOURCE_PROGRAMS_MAX];
	int metric_fds[SONDE_SOURCE_METRICS_MAX];

	struct sonde_ring *ring;
	_Atomic uint64_t consumed; /* records the cursor passed */
	_Atomic uint64_t made;	   /* events from sonde_emit() */
	_Atomic uint64_t pending;  /* of both, what is not yet committed */
	_Atomic int64_t progress_ns;

	pthread_mutex_t lock; /* of the next two */
	struct sonde_checkpoint checkpoint;
	struct made_wait {
		uint64_t until;	  /* `made` behind it; 0: nothing waits */
		int64_t since_ns; /* boot time of the first of them */
	} made_waits[2]; /* no ring has them: a tick, and those behind it */

	/* reader.c */
	bool shows_names;		/* a type has a column of names of addresses */
	_Atomic uint64_t read_position; /* up to there record() has seen all */
	struct sonde_hook_context context;
	struct sonde_batch_full *open; /* read, and not yet delivered; NULL: nothing */
	int64_t open_since_ns;
	uint64_t open_position; /* of the ring, when it was opened */
	struct sonde_batch_full *ticking; /* the batch that sonde_emit() adds to; NULL outside of a tick */
	unsigned n_ticked;
	int64_t next_tick_ns;
	pthread_t thread;
	bool running;
	_Atomic bool stopping, asleep;
	int wake_fd, epoll_fd;
	uint64_t cached_cgroup; /* the last one looked up, since events come in runs */
	const char *cached_container;
};

/** source.c: `made` has been raised for events that are about to be delivered. */
void sonde_source_made_waits(struct sonde_source *source);
