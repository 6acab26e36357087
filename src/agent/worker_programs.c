/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's programs: made from descriptors, resumed where the store's checkpoint says. Invariant: a source is known to the
 * writer before its reader starts, and unknown to everyone else before it is freed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <agent/worker_private.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <bpf/embedded.h>
#include <runtime/attachment.h>
#include <runtime/publish.h>

static void worker_deliver(struct sonde_source *source, struct sonde_batch_full *batch, void *userdata)
{
	struct worker *worker = userdata;

	if (batch->batch.n) {
		sonde_window_add(worker->window, batch->events, batch->batch.n, sonde_clock_boot_ns());
		sonde_bus_publish(worker->bus, &batch->batch);
	}
	sonde_writer_deliver(worker->writer, source, batch);
}

static bool worker_is_watched(void *userdata)
{
	struct worker *worker = userdata;

	return sonde_bus_has_listeners(worker->bus);
}

struct worker_program *worker_program_find(struct worker *worker, const char *name)
{
	for (unsigned i = 0; i < worker->n_programs; i++)
		if (!strcmp(worker->programs[i].status.name, name))
			return &worker->programs[i];
	return NULL;
}

static struct worker_program *worker_program_get(struct worker *worker, const char *name)
{
	struct worker_program *program = worker_program_find(worker, name);

	if (program || worker->n_programs == SONDE_PROGRAMS_MAX)
		return program;
	program = &worker->programs[worker->n_programs++];
	*program = (struct worker_program){};
	snprintf(program->status.name, sizeof(program->status.name), "%s", name);
	return program;
}

/*
 * `image`: the object of a user's own program; NULL: it is built in. The old schema stays: batches on their way to slow listeners
 * point into it.
 */
static int worker_schema_take(struct worker *worker, struct worker_program *program, struct sonde_schema *schema, void *image,
			      size_t size)
{
	if (program->image)
		munmap(program->image, program->image_size);
	program->image = image;
	program->image_size = size;
	pthread_rwlock_wrlock(&worker->lock);
	program->schema = schema;
	pthread_rwlock_unlock(&worker->lock);
	return 0;
}

static int worker_schema_own(struct worker *worker, struct worker_program *program, int image_fd)
{
	struct sonde_schema *schema = NULL;
	const char *error = "";
	struct stat st;
	void *image;
	int r;

	if (fstat(image_fd, &st))
		return -errno;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, image_fd, 0);
	if (image == MAP_FAILED)
		return -errno;
	if (program->image && program->image_size == (size_t)st.st_size && !memcmp(image, program->image, program->image_size)) {
		munmap(image, (size_t)st.st_size);
		return 0;
	}
	r = sonde_schema_new(program->status.name, image, (size_t)st.st_size, sonde_enrich_names(worker->enrich), &error, &schema);
	if (r < 0)
		munmap(image, (size_t)st.st_size);
	return r < 0 ? r : worker_schema_take(worker, program, schema, image, (size_t)st.st_size);
}

/* A built-in program's object is in this binary, a user's own comes as a file, which may be another one than before. */
static int worker_schema(struct worker *worker, struct worker_program *program, int image_fd)
{
	const struct sonde_embedded *e = sonde_embedded_find(program->status.name);
	struct sonde_schema *schema = NULL;
	const char *error = "";
	int r;

	if (image_fd >= 0)
		return worker_schema_own(worker, program, image_fd);
	if (program->schema && !program->image)
		return 0;
	r = e ? sonde_embedded_schema(e, sonde_enrich_names(worker->enrich), &error, &schema) : -ENOENT;
	return r < 0 ? r : worker_schema_take(worker, program, schema, NULL, 0);
}

static int worker_source(struct worker *worker, struct worker_program *program, struct sonde_source_opts *opts,
			 struct sonde_source **ret_source)
{
	struct sonde_checkpoint checkpoint;
	struct sonde_source *source;
	int r;

	r = sonde_store_add_schema(worker->store, program->schema);
	if (r < 0) {
		sonde_attachment_close(opts);
		return sonde_log_err(r, "program %s: the store does not take its types: %s", opts->name,
				     sonde_store_error(worker->store));
	}
	r = sonde_source_new(opts, &source);
	if (r < 0)
		return sonde_log_err(r, "program %s: its ring cannot be read", opts->name);
	r = sonde_store_checkpoint(worker->store, opts->name, opts->ring_id, &checkpoint);
	if (r >= 0)
		sonde_source_resume(source, &checkpoint);
	r = sonde_writer_add(worker->writer, source);
	if (r >= 0)
		r = sonde_source_start(source);
	if (r < 0) {
		sonde_writer_remove(worker->writer, source);
		sonde_source_free(&source);
		return sonde_log_err(r, "program %s: cannot start its reader", opts->name);
	}
	*ret_source = source;
	return 0;
}

int worker_program_add(struct worker *worker, const struct sonde_message *message, int *fds, unsigned n_fds)
{
	unsigned present = message->n_programs - (unsigned)__builtin_popcount(message->absent);
	unsigned need = 4 + present + message->n_metrics + (message->has_image ? 1 : 0), at = 4;
	struct sonde_source_opts opts = {
		.name = message->status.name, .ring_id = message->ring_id, .enrich = worker->enrich,
		.hooks = message->has_image ? NULL : sonde_attachment_hooks(message->status.name),
		.deliver = worker_deliver, .is_watched = worker_is_watched, .userdata = worker,
	};
	struct worker_program *program;
	struct sonde_source *source = NULL;
	CLEANUP_CLOSE int image = -1;
	int r;

	if (n_fds != need || message->n_programs > SONDE_SOURCE_PROGRAMS_MAX || message->n_metrics > SONDE_SOURCE_METRICS_MAX)
		return -EBADMSG;
	opts.ring_fd = fds[0];
	opts.counters_fd = fds[1];
	opts.control_fd = fds[2];
	opts.settings_fd = fds[3];
	for (; opts.n_programs < message->n_programs; opts.n_programs++)
		opts.program_fds[opts.n_programs] = message->absent & 1u << opts.n_programs ? -1 : fds[at++];
	for (; opts.n_metrics < message->n_metrics; at++)
		opts.metric_fds[opts.n_metrics++] = fds[at];
	if (message->has_image)
		image = fds[at];
	pthread_rwlock_wrlock(&worker->lock);
	program = worker_program_get(worker, message->status.name);
	pthread_rwlock_unlock(&worker->lock);
	r = program ? 0 : -E2BIG;
	r = r ?: worker_schema(worker, program, image);
	if (r < 0) {
		sonde_attachment_close(&opts);
		return sonde_log_err(r, "program %s: no schema", opts.name);
	}
	opts.schema = program->schema;
	r = worker_source(worker, program, &opts, &source);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&worker->lock);
	program->source = source;
	program->status = message->status;
	pthread_rwlock_unlock(&worker->lock);
	return 0;
}

/* ---- what is not seen, the store is told ---- */

static void gap_begin(struct worker *worker, const char *program, const char *cause, int64_t from_ns)
{
	struct sonde_gap gap = {.from_ns = from_ns, .to_ns = INT64_MAX};

	snprintf(gap.program, sizeof(gap.program), "%s", program);
	snprintf(gap.cause, sizeof(gap.cause), "%s", cause);
	(void)sonde_store_gap(worker->store, &gap); /* a store that cannot write says so itself */
}

static void gap_end(struct worker *worker, const char *program, const char *cause)
{
	(void)sonde_store_gap_end(worker->store, program, cause, sonde_clock_wall_ns());
}

static void tell_gap(struct worker *worker, const char *program, enum sonde_program_state state, int64_t from_ns)
{
	bool runs = state == SONDE_PROGRAM_RUNNING;

	if (state == SONDE_PROGRAM_STARTING)
		return;
	if (runs || state == SONDE_PROGRAM_DISABLED)
		gap_end(worker, program, SONDE_GAP_STOPPED);
	if (runs || state != SONDE_PROGRAM_DISABLED)
		gap_end(worker, program, SONDE_GAP_DISABLED);
	if (!runs)
		gap_begin(worker, program, state == SONDE_PROGRAM_DISABLED ? SONDE_GAP_DISABLED : SONDE_GAP_STOPPED, from_ns);
}

/* What the kernel's tables had since the last report of a program that reports at intervals went with the loader. */
void worker_programs_tell_unreported(struct worker *worker)
{
	struct sonde_gap gap = {.cause = "the loader ended", .to_ns = sonde_clock_wall_ns()};

	for (unsigned i = 0; i < worker->n_programs; i++) {
		const struct worker_program *program = &worker->programs[i];
		const struct sonde_setting *setting =
			program->source ? sonde_schema_setting(program->schema, SONDE_INTERVAL_SETTING) : NULL;

		if (!setting)
			continue;
		gap.from_ns = gap.to_ns - sonde_source_setting(program->source, setting);
		snprintf(gap.program, sizeof(gap.program), "%s", program->status.name);
		(void)sonde_store_gap(worker->store, &gap);
	}
}

void worker_programs_tell_gaps(struct worker *worker)
{
	const struct sonde_type *types[SONDE_PROGRAMS_MAX * 2];
	size_t n = sonde_store_types(worker->store, types, ARRAY_SIZE(types));

	for (unsigned i = 0; i < worker->n_programs; i++)
		tell_gap(worker, worker->programs[i].status.name, worker->programs[i].status.state, worker->started_ns);
	for (size_t i = 0; i < n; i++)
		if (!worker_program_find(worker, sonde_store_program(types[i])))
			tell_gap(worker, sonde_store_program(types[i]), SONDE_PROGRAM_DISABLED, worker->started_ns);
}

void worker_program_status(struct worker *worker, const struct sonde_program_status *status)
{
	struct worker_program *program;

	pthread_rwlock_wrlock(&worker->lock);
	program = worker_program_get(worker, status->name);
	if (program)
		program->status = *status;
	pthread_rwlock_unlock(&worker->lock);
	if (program && worker->started)
		tell_gap(worker, status->name, status->state, sonde_clock_wall_ns());
}

static struct sonde_source *worker_source_take(struct worker *worker, struct worker_program *program)
{
	struct sonde_source *source;

	pthread_rwlock_wrlock(&worker->lock);
	source = TAKE_PTR(program->source);
	pthread_rwlock_unlock(&worker->lock);
	return source;
}

void worker_program_gone(struct worker *worker, const char *name, int64_t at_ns)
{
	struct worker_program *program = worker_program_find(worker, name);
	struct sonde_source *source;

	if (!program || !program->source)
		return;
	sonde_source_stop(program->source);
	sonde_writer_remove(worker->writer, program->source);
	source = worker_source_take(worker, program);
	sonde_source_free(&source);
	gap_begin(worker, name, SONDE_GAP_STOPPED, at_ns);
}

void worker_programs_stop(struct worker *worker)
{
	for (unsigned i = 0; i < worker->n_programs; i++)
		if (worker->programs[i].source)
			sonde_source_stop(worker->programs[i].source);
}
