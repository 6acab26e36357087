/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file worker_private.h What the files of the worker share: worker.c (life), worker_programs.c (sources), view.c (what faces see). */

#include <pthread.h>
#include <stdatomic.h>

#include <agent/protocol.h>
#include <config/config.h>
#include <enrich/enrich.h>
#include <http/http.h>
#include <runtime/source.h>
#include <runtime/view.h>
#include <runtime/writer.h>

/* A program as the worker knows it. It stays in the table when it stops: its schema is needed by what it sent. */
struct worker_program {
	struct sonde_program_status status;
	struct sonde_schema *schema;
	void *image; /* of a user's own program: the object that the schema is of */
	size_t image_size;
	struct sonde_source *source; /* NULL: not running */
};

struct worker {
	int socket;
	struct sonde_config config;
	char *shared; /* memory that outlives this process: WORKER_SHARED_BYTES */
	int kallsyms_fd;
	struct sonde_enrich *enrich;
	struct sonde_store *store;
	struct sonde_bus *bus;
	struct sonde_window *window;
	struct sonde_writer *writer;
	struct sonde_http *http;
	struct sonde_view view;
	int64_t started_ns; /* wall clock */

	pthread_rwlock_t lock; /* of the programs */
	unsigned n_programs;
	struct worker_program programs[SONDE_PROGRAMS_MAX];

	_Atomic bool started, stopping; /* as the loader says */
	_Atomic int64_t beat_ns;	/* main thread's progress */

	/* requests to the loader (view.c) */
	pthread_mutex_t control_lock; /* one request at a time */
	pthread_mutex_t request_lock;
	pthread_cond_t request_done;
	uint32_t next_id, reply_id;
	struct sonde_message reply;
};

/* The shared memory: the store's checkpoints, then what the writer noted as lost. */
#define WORKER_CHECKPOINTS_BYTES 65536
#define WORKER_SHARED_BYTES (WORKER_CHECKPOINTS_BYTES + SONDE_NOTED_MAX * sizeof(struct sonde_noted))

/* worker_programs.c */
int worker_program_add(struct worker *worker, const struct sonde_message *message, int *fds, unsigned n_fds);
void worker_program_status(struct worker *worker, const struct sonde_program_status *status);
void worker_program_gone(struct worker *worker, const char *name, int64_t at_ns);
/** Every program has been tried: those that do not run leave a gap, also those that are only known by what they once stored. */
void worker_programs_tell_gaps(struct worker *worker);
void worker_programs_tell_unreported(struct worker *worker);
void worker_programs_stop(struct worker *worker);
struct worker_program *worker_program_find(struct worker *worker, const char *name);

/* view.c */
void worker_view_init(struct worker *worker);
void worker_reply(struct worker *worker, const struct sonde_message *reply);
/** Does every thread make progress? If not, the reason says which does not. */
bool worker_alive(struct worker *worker, char *reason, size_t size);
void worker_health(void *userdata, struct sonde_health *ret_health);
