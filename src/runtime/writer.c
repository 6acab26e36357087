/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue of batches and the thread that stores them. Invariant: a source's ring position moves only to a checkpoint that the
 * store has committed together with all events before it.
 */
#include <runtime/writer_private.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <base/wait.h>

#define QUEUE_BATCHES 16 /* of up to 384 KB; what is in them is still in a ring, so more would save nothing */
#define GATHER_BATCHES 4  /* that wait for a commit's time, unless more come: waking the writer costs more than writing a small one */
#define COMMIT_FILL_PCT 40   /* a ring this full is not kept waiting for the interval */
#define END_LOOK_NS (20 * SONDE_NS_PER_MS)
#define RETRY_NS (500 * SONDE_NS_PER_MS)

/* ---- writing ---- */

/* The store is told once what is wrong and once that it is over; its status says it all the time. */
static void writer_said(struct sonde_writer *writer, int r)
{
	if (r < 0 && !writer->failing)
		sonde_log_err(r, "the store cannot write, events wait in the rings: %s", sonde_store_error(writer->store));
	else if (r >= 0 && writer->failing)
		sonde_log_info("the store writes again");
	writer->failing = r < 0;
}

static int writer_commit(struct sonde_writer *writer)
{
	struct sonde_checkpoint checkpoints[SOURCES_MAX];
	struct watched *changed[SOURCES_MAX];
	size_t n = 0;
	int r;

	for (unsigned i = 0; i < writer->n_watched; i++)
		if (writer->watched[i].changed) {
			changed[n] = &writer->watched[i];
			checkpoints[n++] = writer->watched[i].next;
		}
	writer->last_commit_ns = sonde_clock_boot_ns();
	if (!n && !writer->n_left)
		return 0;
	r = sonde_store_commit(writer->store, checkpoints, n);
	writer_said(writer, r);
	if (r == -ESTALE)
		_exit(EXIT_FAILURE); /* the next worker begins where the file says; nothing is lost, it is all in the rings */
	if (r >= 0 && writer->n_left) {
		pthread_mutex_lock(&writer->lock);
		writer->n_left = 0;
		pthread_mutex_unlock(&writer->lock);
	}
	for (size_t i = 0; r >= 0 && i < n; i++) {
		changed[i]->changed = false;
		sonde_source_commit(changed[i]->source, &checkpoints[i]);
	}
	writer->progress_ns = sonde_clock_boot_ns();
	return r;
}

static int writer_append(struct sonde_writer *writer, const struct item *item)
{
	struct watched *w = writer_find(writer, item->source);
	const struct sonde_batch_full *batch = item->batch;
	int r;

	if (!w)
		return 0;
	r = batch->batch.n ? sonde_store_append(writer->store, batch->batch.events, batch->batch.n) : 0;
	if (r < 0)
		return r;
	w->next.position = batch->position;
	w->next.consumed += batch->consumed;
	w->next.invalid += batch->invalid;
	w->next.stored += batch->batch.n;
	w->changed = true;
	if (sonde_source_fill_pct(item->source) >= COMMIT_FILL_PCT)
		writer->urgent = true;
	return 0;
}

/* Once there is reason to take a batch all are taken. */
static bool writer_drains(struct sonde_writer *writer, int64_t now_ns)
{
	if (!writer->n)
		writer->drains = false;
	else if (writer->n >= GATHER_BATCHES || writer->n == writer->max ||
		 now_ns >= writer->last_commit_ns + writer->commit_interval_ns)
		writer->drains = true;
	return writer->drains;
}

/* Waits for work. @return number of batches to take. */
static size_t writer_wait(struct sonde_writer *writer)
{
	int64_t now = sonde_clock_boot_ns(), end, due;
	bool changed = false;

	for (unsigned i = 0; i < writer->n_watched; i++)
		changed |= writer->watched[i].changed;
	end = now + (changed || writer->n || writer->failing ? LOOK_NS : LOOK_IDLE_NS);
	while (!writer->stopping && !writer_drains(writer, now)) {
		due = writer->last_commit_ns + (writer->failing && !writer->n ? RETRY_NS : writer->commit_interval_ns);
		writer->wakes_ns = (changed || writer->n) && due < end ? due : end;
		if (now >= writer->wakes_ns)
			break;
		(void)sonde_cond_wait_for(&writer->work, &writer->lock, writer->wakes_ns - now);
		now = sonde_clock_boot_ns();
	}
	return writer->stopping || writer->drains ? writer->n : 0;
}

static bool writer_commit_due(const struct sonde_writer *writer)
{
	int64_t since = sonde_clock_boot_ns() - writer->last_commit_ns;

	if (writer->failing)
		return since >= RETRY_NS;
	return writer->urgent || since >= writer->commit_interval_ns;
}

static void writer_step(struct sonde_writer *writer)
{
	struct item item = {};
	int r = 0;

	pthread_mutex_lock(&writer->lock);
	if (!writer->to_take)
		writer->to_take = writer_wait(writer);
	if (writer->to_take)
		item = writer->queue[writer->head % writer->max];
	pthread_mutex_unlock(&writer->lock);
	pthread_mutex_lock(&writer->store_lock);
	writer->progress_ns = sonde_clock_boot_ns();
	if (item.batch) {
		r = writer_append(writer, &item);
		if (r < 0) { /* no room until a commit succeeds: the batch stays at the head */
			struct timespec pause = {.tv_nsec = 20 * SONDE_NS_PER_MS};

			nanosleep(&pause, NULL);
		}
	}
	/* What was there when it woke goes with the same commit: small blocks cost more. */
	if (r < 0 || (writer->to_take < 2 && writer_commit_due(writer))) {
		writer_commit(writer);
		writer->urgent = false;
	}
	writer_look(writer);
	pthread_mutex_unlock(&writer->store_lock);
	if (!item.batch || r < 0)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->head++;
	writer->n--;
	writer->to_take--;
	pthread_cond_broadcast(&writer->room);
	pthread_mutex_unlock(&writer->lock);
	sonde_batch_unref(&item.batch->batch);
}

/* Still something to do? */
static bool writer_goes_on(struct sonde_writer *writer)
{
	bool on;

	pthread_mutex_lock(&writer->lock);
	on = !writer->stopping || (writer->n && sonde_clock_boot_ns() < writer->deadline_ns);
	pthread_mutex_unlock(&writer->lock);
	return on;
}

static void *writer_main(void *userdata)
{
	struct sonde_writer *writer = userdata;

	while (writer_goes_on(writer))
		writer_step(writer);
	while (writer_commit(writer) < 0 && sonde_clock_boot_ns() < writer->deadline_ns) {
		struct timespec pause = {.tv_nsec = 100 * SONDE_NS_PER_MS};

		nanosleep(&pause, NULL);
	}
	writer_note_backlog(writer);
	if (!writer->failing) /* else the time for it is over */
		writer_commit(writer);
	return NULL;
}

int sonde_writer_new(const struct sonde_writer_opts *opts, struct sonde_writer **ret_writer)
{
	struct sonde_writer *writer = calloc(1, sizeof(*writer));
	int r;

	if (!writer)
		return -ENOMEM;
	writer->store = opts->store;
	writer->commit_interval_ns = opts->commit_interval_ns;
	writer->noted = opts->noted;
	writer->starting = opts->starting;
	writer->max = opts->max_queue_batches ?: QUEUE_BATCHES;
	writer->queue = calloc(writer->max, sizeof(*writer->queue));
	pthread_mutex_init(&writer->lock, NULL);
	pthread_mutex_init(&writer->store_lock, NULL);
	pthread_cond_init(&writer->work, NULL);
	pthread_cond_init(&writer->room, NULL);
	writer->progress_ns = writer->last_look_ns = sonde_clock_boot_ns();
	r = writer->queue ? pthread_create(&writer->thread, NULL, writer_main, writer) : ENOMEM;
	if (r) {
		free(writer->queue);
		free(writer);
		return -r;
	}
	(void)pthread_setname_np(writer->thread, "writer");
	sonde_store_set_waiting(writer->store, writer_waiting, writer);
	*ret_writer = writer;
	return 0;
}

void sonde_writer_stop(struct sonde_writer *writer, int64_t deadline_ns)
{
	pthread_mutex_lock(&writer->lock);
	writer->readers_deadline_ns = deadline_ns;
	pthread_cond_broadcast(&writer->room);
	pthread_mutex_unlock(&writer->lock);
}

void sonde_writer_free(struct sonde_writer **pointer, int64_t deadline_ns)
{
	struct sonde_writer *writer = TAKE_PTR(*pointer);

	if (!writer)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->stopping = true;
	writer->deadline_ns = deadline_ns;
	pthread_cond_broadcast(&writer->work);
	pthread_mutex_unlock(&writer->lock);
	pthread_join(writer->thread, NULL);
	sonde_store_set_waiting(writer->store, NULL, NULL);
	for (; writer->n; writer->n--, writer->head++)
		sonde_batch_unref(&writer->queue[writer->head % writer->max].batch->batch);
	free(writer->queue);
	free(writer);
}

void sonde_writer_deliver(struct sonde_writer *writer, struct sonde_source *source, struct sonde_batch_full *batch)
{
	pthread_mutex_lock(&writer->lock);
	/* The reader lives while it waits for a store that cannot write. */
	while (writer->n == writer->max && !writer->stopping &&
	       (!writer->readers_deadline_ns || sonde_clock_boot_ns() < writer->readers_deadline_ns)) {
		(void)sonde_cond_wait_for(&writer->room, &writer->lock, writer->readers_deadline_ns ? END_LOOK_NS : LOOK_NS);
		sonde_source_touch(source);
	}
	if (writer->n == writer->max) {
		sonde_batch_unref(&batch->batch); /* its position never moves: the next worker finds it in the ring, if there is one */
	} else {
		writer->queue[(writer->head + writer->n++) % writer->max] = (struct item){source, batch};
		writer->drains |= sonde_source_fill_pct(source) >= COMMIT_FILL_PCT;
		if (writer_drains(writer, sonde_clock_boot_ns()) ||
		    writer->wakes_ns > writer->last_commit_ns + writer->commit_interval_ns)
			pthread_cond_signal(&writer->work);
	}
	pthread_mutex_unlock(&writer->lock);
}

void sonde_writer_remove(struct sonde_writer *writer, struct sonde_source *source)
{
	struct watched *w;

	pthread_mutex_lock(&writer->lock);
	for (size_t i = 0; i < writer->n;) {
		if (writer->queue[(writer->head + i) % writer->max].source == source) {
			writer->drains = true;
			pthread_cond_signal(&writer->work);
			pthread_cond_wait(&writer->room, &writer->lock);
			i = 0;
		} else {
			i++;
		}
	}
	pthread_mutex_unlock(&writer->lock);
	pthread_mutex_lock(&writer->store_lock);
	w = writer_find(writer, source);
	if (w) {
		writer_look_at(writer, w);
		writer_commit(writer);
		pthread_mutex_lock(&writer->lock);
		writer_leave(writer, source);
		if (w->noted)
			*w->noted = (struct sonde_noted){};
		*w = writer->watched[--writer->n_watched];
		pthread_mutex_unlock(&writer->lock);
	}
	pthread_mutex_unlock(&writer->store_lock);
}

int64_t sonde_writer_progress_ns(const struct sonde_writer *writer)
{
	return writer->progress_ns;
}
