/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job threads. A queue needs no limit of its own: a connection has at most one job, and connections are limited.
 * Every submitted job runs exactly once, also while stopping: a job is what resumes its connection.
 */
#include <http/jobs.h>

#include <errno.h>
#include <signal.h>

/* SQLite and the encoders stay far below this. */
#define JOB_STACK_BYTES (512 * 1024)

static const unsigned lane_threads[SONDE_LANE_MAX] = {
	[SONDE_LANE_QUICK] = 1,
	[SONDE_LANE_QUERY] = 2,
	[SONDE_LANE_SQL] = 1,
	[SONDE_LANE_CONTROL] = 1,
};

static void *lane_main(void *userdata)
{
	struct sonde_job_lane *lane = userdata;
	struct sonde_job *job;

	pthread_mutex_lock(&lane->lock);
	for (;;) {
		while (STAILQ_EMPTY(&lane->queue) && !lane->stopping)
			pthread_cond_wait(&lane->work, &lane->lock);
		job = STAILQ_FIRST(&lane->queue);
		if (!job)
			break;
		STAILQ_REMOVE_HEAD(&lane->queue, entry);
		pthread_mutex_unlock(&lane->lock);
		job->run(job);
		pthread_mutex_lock(&lane->lock);
	}
	pthread_mutex_unlock(&lane->lock);
	return NULL;
}

int sonde_jobs_start(struct sonde_jobs *jobs)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, JOB_STACK_BYTES);
	/* Signals belong to the agent's main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < SONDE_LANE_MAX; i++) {
		struct sonde_job_lane *lane = &jobs->lanes[i];

		*lane = (struct sonde_job_lane){0};
		pthread_mutex_init(&lane->lock, NULL);
		pthread_cond_init(&lane->work, NULL);
		STAILQ_INIT(&lane->queue);
		while (!r && lane->n_threads < lane_threads[i]) {
			r = -pthread_create(&lane->threads[lane->n_threads], &attributes, lane_main, lane);
			lane->n_threads += !r;
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r)
		sonde_jobs_stop(jobs);
	return r;
}

/* The locks stay: a listener that ends after the jobs may still submit, and is refused. */
void sonde_jobs_stop(struct sonde_jobs *jobs)
{
	for (unsigned i = 0; i < SONDE_LANE_MAX; i++) {
		struct sonde_job_lane *lane = &jobs->lanes[i];

		pthread_mutex_lock(&lane->lock);
		lane->stopping = true;
		pthread_cond_broadcast(&lane->work);
		pthread_mutex_unlock(&lane->lock);
	}
	for (unsigned i = 0; i < SONDE_LANE_MAX; i++) {
		struct sonde_job_lane *lane = &jobs->lanes[i];

		while (lane->n_threads)
			pthread_join(lane->threads[--lane->n_threads], NULL);
	}
}

int sonde_jobs_submit(struct sonde_jobs *jobs, enum sonde_lane lane_number, struct sonde_job *job)
{
	struct sonde_job_lane *lane = &jobs->lanes[lane_number];
	int r = 0;

	pthread_mutex_lock(&lane->lock);
	if (lane->stopping) {
		r = -ESHUTDOWN;
	} else {
		STAILQ_INSERT_TAIL(&lane->queue, job, entry);
		pthread_cond_signal(&lane->work);
	}
	pthread_mutex_unlock(&lane->lock);
	return r;
}
