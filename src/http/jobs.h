/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file jobs.h
 * The threads that do the work of requests, in lanes, so that what is slow never stands before what is quick.
 *
 * Threads: submit from any thread.
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

enum sonde_lane {
	SONDE_LANE_QUICK,   /* status and the like: no store query */
	SONDE_LANE_QUERY,   /* store queries */
	SONDE_LANE_SQL,	    /* statements that may take long */
	SONDE_LANE_CONTROL, /* requests to the loader, up to 10 s */
	SONDE_LANE_MAX,
};

struct sonde_job {
	void (*run)(struct sonde_job *job);
	STAILQ_ENTRY(sonde_job) entry;
};

struct sonde_jobs {
	struct sonde_job_lane {
		pthread_mutex_t lock;
		pthread_cond_t work;
		STAILQ_HEAD(, sonde_job) queue;
		bool stopping;
		pthread_t threads[2];
		unsigned n_threads;
	} lanes[SONDE_LANE_MAX];
};

int sonde_jobs_start(struct sonde_jobs *jobs);
/** Run what is queued, then end the threads. */
void sonde_jobs_stop(struct sonde_jobs *jobs);
/** @return 0, -ESHUTDOWN: stopped. */
int sonde_jobs_submit(struct sonde_jobs *jobs, enum sonde_lane lane, struct sonde_job *job);
