/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of a writer: which there are, what they lost, and since when their events wait. */
#include <runtime/writer_private.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

/* An event that waits longer is late: for its reader, its turn, and the commit itself. */
#define USUAL_INTERVALS 2
#define USUAL_NS (600 * SONDE_NS_PER_MS)

struct watched *writer_find(struct sonde_writer *writer, const struct sonde_source *source)
{
	for (unsigned i = 0; i < writer->n_watched; i++)
		if (writer->watched[i].source == source)
			return &writer->watched[i];
	return NULL;
}

/* ---- losses become gaps in the store ---- */

static void gap_note(struct sonde_writer *writer, struct watched *w, const struct sonde_gap *gap)
{
	(void)sonde_store_gap(writer->store, gap); /* a store that cannot write says so itself */
	w->changed = true;
}

void writer_look_at(struct sonde_writer *writer, struct watched *w)
{
	struct sonde_gap gaps[SONDE_WAITING_CAUSES_MAX];
	struct sonde_noted now;
	size_t n;

	if (!w->noted)
		return;
	n = sonde_noted_look(w->noted, w->source, gaps, &now);
	for (size_t i = 0; i < n; i++)
		gap_note(writer, w, &gaps[i]);
	/* After the gaps: who asks in between finds a loss in both, and by its time that it is the same. */
	pthread_mutex_lock(&writer->lock);
	*w->noted = now;
	pthread_mutex_unlock(&writer->lock);
}

void writer_look(struct sonde_writer *writer)
{
	int64_t now = sonde_clock_boot_ns();

	if (now - writer->last_look_ns < LOOK_NS)
		return;
	writer->last_look_ns = now;
	for (unsigned i = 0; i < writer->n_watched; i++)
		writer_look_at(writer, &writer->watched[i]);
	(void)sonde_store_expire(writer->store, sonde_clock_wall_ns());
}

/* ---- what waits, for whoever asks ---- */

static void waiting_add(struct sonde_waiting *waiting, const char *program, int64_t since_ns)
{
	if (since_ns == INT64_MAX || waiting->n == ARRAY_SIZE(waiting->programs))
		return;
	snprintf(waiting->programs[waiting->n].program, sizeof(waiting->programs[0].program), "%s", program);
	waiting->programs[waiting->n++].since_ns = since_ns;
}

void writer_waiting(void *userdata, struct sonde_waiting *waiting)
{
	struct sonde_writer *writer = userdata;
	struct sonde_noted now;

	waiting->usual_ns = USUAL_INTERVALS * writer->commit_interval_ns + USUAL_NS;
	pthread_mutex_lock(&writer->lock);
	waiting->starting = writer->starting;
	for (unsigned i = 0; i < writer->n_left; i++)
		waiting_add(waiting, writer->left[i].program, writer->left[i].since_ns);
	for (unsigned i = 0; i < writer->n_watched; i++) {
		const struct watched *w = &writer->watched[i];

		if (w->noted)
			waiting->n_gaps += sonde_noted_look(w->noted, w->source, waiting->gaps + waiting->n_gaps, &now);
		waiting_add(waiting, sonde_source_name(w->source), sonde_noted_waits_since_ns(w->source));
	}
	pthread_mutex_unlock(&writer->lock);
}

void writer_leave(struct sonde_writer *writer, const struct sonde_source *source)
{
	int64_t since_ns = sonde_noted_waits_since_ns(source);

	if (!writer->failing || since_ns == INT64_MAX || writer->n_left == SOURCES_MAX)
		return;
	snprintf(writer->left[writer->n_left].program, sizeof(writer->left[0].program), "%s", sonde_source_name(source));
	writer->left[writer->n_left++].since_ns = since_ns;
}

/* ---- the end ---- */

static void gap_note_backlog(struct sonde_writer *writer, struct watched *w, uint64_t count)
{
	struct sonde_gap gap = {.cause = "shutdown", .to_ns = sonde_clock_wall_ns(), .count = count};

	snprintf(gap.program, sizeof(gap.program), "%s", sonde_source_name(w->source));
	gap.from_ns = w->noted ? w->noted->waits_since_ns : gap.to_ns;
	gap_note(writer, w, &gap);
}

void writer_note_backlog(struct sonde_writer *writer)
{
	for (unsigned i = 0; i < writer->n_watched; i++) {
		struct watched *w = &writer->watched[i];
		struct sonde_checkpoint committed;
		struct sonde_counters now;
		uint64_t taken;

		writer_look_at(writer, w);
		sonde_source_checkpoint(w->source, &committed);
		taken = writer->failing ? committed.consumed : w->next.consumed;
		if (sonde_source_counters(w->source, &now) < 0 || now.submitted <= taken)
			continue;
		sonde_log_warning("%s: the time to stop (shutdown_timeout) is over: %llu events that waited are lost",
				  sonde_source_name(w->source), (unsigned long long)(now.submitted - taken));
		gap_note_backlog(writer, w, now.submitted - taken);
	}
}

/* ---- coming ---- */

int sonde_writer_add(struct sonde_writer *writer, struct sonde_source *source)
{
	struct watched w = {.source = source};
	int r = 0;

	sonde_source_checkpoint(source, &w.next);
	pthread_mutex_lock(&writer->store_lock);
	w.noted = sonde_noted_of(writer->noted, &w.next);
	pthread_mutex_lock(&writer->lock);
	if (writer->n_watched == SOURCES_MAX)
		r = -E2BIG;
	else
		writer->watched[writer->n_watched++] = w;
	pthread_mutex_unlock(&writer->lock);
	pthread_mutex_unlock(&writer->store_lock);
	return r;
}

/* Rings that the worker before us read, and that are not there any more: what it had not stored went with them. */
static void writer_note_gone(struct sonde_writer *writer)
{
	struct sonde_checkpoint checkpoint;
	struct sonde_gap gap;

	for (size_t i = 0; i < SONDE_NOTED_MAX; i++) {
		struct sonde_noted *noted = &writer->noted[i];
		bool watched = false;

		for (unsigned j = 0; j < writer->n_watched && noted->ring_id && !watched; j++) {
			sonde_source_checkpoint(writer->watched[j].source, &checkpoint);
			watched = checkpoint.ring_id == noted->ring_id;
		}
		if (!noted->ring_id || watched)
			continue;
		sonde_noted_gone(noted, &gap);
		(void)sonde_store_gap(writer->store, &gap);
		*noted = (struct sonde_noted){};
	}
}

void sonde_writer_started(struct sonde_writer *writer)
{
	pthread_mutex_lock(&writer->store_lock);
	writer_note_gone(writer);
	pthread_mutex_unlock(&writer->store_lock);
	sonde_store_seen_from(writer->store, sonde_clock_wall_ns());
	pthread_mutex_lock(&writer->lock);
	writer->starting = false;
	pthread_mutex_unlock(&writer->lock);
}
