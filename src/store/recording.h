/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file recording.h
 * For the tests and the benchmark of the store: real events, taken from programs that are loaded for it while something happens, and
 * kept in memory as they came from the readers. Needs the rights of an agent.
 *
 * Threads: events come from the readers' threads until recording_end().
 */

#include <base/cleanup.h>
#include <runtime/attachment.h>
#include <runtime/manager.h>
#include <store/store.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RECORDING_PROGRAMS_MAX 8

struct recorded_program {
	const char *name;
	size_t most; /* events; what comes after these is left out */
	size_t n;
	struct recording *recording;
	struct sonde_source *source;
};

struct recording {
	struct sonde_manager *manager;
	struct sonde_enrich *enrich;
	struct recorded_program programs[RECORDING_PROGRAMS_MAX];
	size_t n_programs;
	pthread_mutex_t lock; /* of the rest and of each program's n */
	struct sonde_event *events;
	size_t n;
};

/* The records are the batch's: they are copied. */
static inline void recording_take(struct recorded_program *program, const struct sonde_batch *batch)
{
	struct recording *recording = program->recording;

	pthread_mutex_lock(&recording->lock);
	for (uint32_t i = 0; i < batch->n && program->n < program->most; i++) {
		struct sonde_event event = batch->events[i];
		void *record = malloc(event.length);

		if (!record)
			break;
		event.record = memcpy(record, event.record, event.length);
		recording->events[recording->n++] = event;
		program->n++;
	}
	pthread_mutex_unlock(&recording->lock);
}

static inline void recording_deliver(struct sonde_source *source, struct sonde_batch_full *batch, void *userdata)
{
	struct sonde_checkpoint checkpoint;

	recording_take(userdata, &batch->batch);
	sonde_source_checkpoint(source, &checkpoint);
	checkpoint.position = batch->position;
	checkpoint.consumed += batch->consumed;
	checkpoint.stored += batch->batch.n;
	sonde_source_commit(source, &checkpoint);
	sonde_batch_unref(&batch->batch);
}

static inline int recording_attach(struct recording *recording, struct recorded_program *program)
{
	struct sonde_program_spec spec = {.name = program->name, .enabled = true};
	int r = sonde_manager_register(recording->manager, &spec);

	program->recording = recording;
	r = r ?: sonde_manager_load(recording->manager, program->name);
	r = r ?: sonde_source_attach_local(recording->manager, program->name, recording->enrich, recording_deliver, program,
					   &program->source);
	return r ?: sonde_manager_attach(recording->manager, program->name);
}

/** `recording->programs` has names and most. @return 0, -EPERM, -ENOMEM, or why a program does not run. */
static inline int recording_begin(struct recording *recording)
{
	struct sonde_enrich_opts opts = {.kallsyms_fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC)};
	size_t most = 0;
	int r;

	for (size_t i = 0; i < recording->n_programs; i++)
		most += recording->programs[i].most;
	pthread_mutex_init(&recording->lock, NULL);
	recording->events = calloc(most + 1, sizeof(*recording->events));
	r = recording->events ? sonde_manager_new(&recording->manager) : -ENOMEM;
	r = r ?: sonde_enrich_new(&opts, &recording->enrich);
	for (size_t i = 0; !r && i < recording->n_programs; i++)
		r = recording_attach(recording, &recording->programs[i]);
	return r;
}

/** How many events of a program there are by now. */
static inline size_t recording_has(struct recording *recording, size_t program)
{
	size_t n;

	pthread_mutex_lock(&recording->lock);
	n = recording->programs[program].n;
	pthread_mutex_unlock(&recording->lock);
	return n;
}

/** No more events come; what there is stays as it is. */
static inline void recording_end(struct recording *recording)
{
	for (size_t i = 0; i < recording->n_programs; i++) {
		if (recording->manager)
			(void)sonde_manager_detach(recording->manager, recording->programs[i].name);
		if (recording->programs[i].source)
			sonde_source_stop(recording->programs[i].source);
	}
}

static inline int recording_add_types(const struct recording *recording, struct sonde_store *store)
{
	int r = 0;

	for (size_t i = 0; !r && i < recording->n_programs; i++)
		r = sonde_store_add_schema(store, sonde_source_schema(recording->programs[i].source));
	return r;
}

/** Also of one that could not begin. */
static inline void recording_free(struct recording *recording)
{
	recording_end(recording);
	for (size_t i = 0; i < recording->n; i++)
		free((void *)recording->events[i].record);
	free(recording->events);
	for (size_t i = 0; i < recording->n_programs; i++)
		sonde_source_free(&recording->programs[i].source);
	sonde_manager_free(&recording->manager);
	sonde_enrich_free(&recording->enrich);
}
