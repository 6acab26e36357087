/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running program, read from its descriptors: counters, ledger, metrics. The thread that reads its ring is in reader.c.
 * Invariant: every record that the cursor passed is in `consumed`, and of these exactly those up to the last commit are in
 * the checkpoint.
 */
#include <runtime/source.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <bpf/object.h>
#include <runtime/source_private.h>

#define METRIC_KEY_MAX 256

static void source_take_fds(struct sonde_source *source, const struct sonde_source_opts *opts)
{
	source->ring_fd = opts->ring_fd;
	source->counters_fd = opts->counters_fd;
	source->control_fd = opts->control_fd;
	source->settings_fd = opts->settings_fd;
	source->n_programs = opts->n_programs;
	source->n_metrics = opts->n_metrics;
	memcpy(source->program_fds, opts->program_fds, sizeof(source->program_fds));
	memcpy(source->metric_fds, opts->metric_fds, sizeof(source->metric_fds));
}

static bool schema_shows_names(const struct sonde_schema *schema)
{
	for (uint16_t t = 0; t < schema->n_types; t++)
		for (uint32_t i = 0; i < schema->types[t].n_columns; i++)
			if (schema->types[t].columns[i].semantic == SONDE_SEMANTIC_ADDRESS_NAME)
				return true;
	return false;
}

/* What the program was loaded with: the kernel keeps it, and nobody can change it (.rodata is frozen). */
int64_t sonde_source_setting(const struct sonde_source *source, const struct sonde_setting *setting)
{
	struct bpf_map_info info = {0};
	CLEANUP_FREE char *rodata = NULL;
	uint32_t size = sizeof(info), zero = 0;

	if (!bpf_obj_get_info_by_fd(source->settings_fd, &info, &size))
		rodata = malloc(info.value_size);
	if (!rodata || bpf_map_lookup_elem(source->settings_fd, &zero, rodata))
		return setting->value;
	return sonde_setting_value(setting, rodata, info.value_size);
}

static int64_t source_setting(void *userdata, const char *name)
{
	const struct sonde_source *source = userdata;
	const struct sonde_setting *setting = sonde_schema_setting(source->schema, name);

	return setting ? sonde_source_setting(source, setting) : 0;
}

int sonde_source_new(const struct sonde_source_opts *opts, struct sonde_source **ret_source)
{
	struct sonde_source *source = calloc(1, sizeof(*source));
	int r;

	if (!source)
		return -ENOMEM;
	source_take_fds(source, opts);
	source->wake_fd = source->epoll_fd = -1;
	snprintf(source->name, sizeof(source->name), "%s", opts->name);
	source->schema = opts->schema;
	source->hooks = opts->hooks;
	source->enrich = opts->enrich;
	if (opts->enrich)
		source->context = *sonde_enrich_hook_context(opts->enrich);
	source->context.setting = source_setting;
	source->context.userdata = source;
	source->deliver = opts->deliver;
	source->is_watched = opts->is_watched;
	source->userdata = opts->userdata;
	source->n_cpus = libbpf_num_possible_cpus();
	pthread_mutex_init(&source->lock, NULL);
	snprintf(source->checkpoint.program, sizeof(source->checkpoint.program), "%s", opts->name);
	source->checkpoint.ring_id = opts->ring_id;
	r = sonde_ring_new(source->ring_fd, source->control_fd, &source->ring);
	if (r < 0 || source->n_cpus < 1) {
		sonde_source_free(&source);
		return r < 0 ? r : -EINVAL;
	}
	source->checkpoint.position = source->read_position = sonde_ring_position(source->ring);
	/* Who tells them itself would wait for itself. */
	source->shows_names = !(opts->hooks && opts->hooks->tells_names) && schema_shows_names(opts->schema);
	*ret_source = source;
	return 0;
}

/* Not kept by itself: it follows from what is. */
static uint64_t checkpoint_made(const struct sonde_checkpoint *c)
{
	return c->stored + c->invalid + c->limited + c->queue_dropped - c->consumed;
}

void sonde_source_resume(struct sonde_source *source, const struct sonde_checkpoint *checkpoint)
{
	if (checkpoint->ring_id != source->checkpoint.ring_id)
		return;
	source->checkpoint = *checkpoint;
	source->consumed = checkpoint->consumed;
	source->made = checkpoint_made(checkpoint);
	sonde_ring_start_at(source->ring, checkpoint->position);
	source->read_position = sonde_ring_position(source->ring);
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void sonde_source_free(struct sonde_source **pointer)
{
	struct sonde_source *source = TAKE_PTR(*pointer);

	if (!source)
		return;
	sonde_source_stop(source);
	sonde_ring_free(&source->ring);
	close_all((int[]){source->ring_fd, source->counters_fd, source->control_fd, source->settings_fd, source->wake_fd,
			  source->epoll_fd},
		  6);
	close_all(source->program_fds, source->n_programs);
	close_all(source->metric_fds, source->n_metrics);
	pthread_mutex_destroy(&source->lock);
	free(source);
}

const char *sonde_source_name(const struct sonde_source *source)
{
	return source->name;
}

const struct sonde_schema *sonde_source_schema(const struct sonde_source *source)
{
	return source->schema;
}

/* ---- what waits ---- */

void sonde_source_made_waits(struct sonde_source *source)
{
	struct made_wait *wait;

	pthread_mutex_lock(&source->lock);
	wait = &source->made_waits[source->made_waits[0].until != 0];
	if (!wait->until)
		wait->since_ns = sonde_clock_boot_ns();
	wait->until = source->made;
	pthread_mutex_unlock(&source->lock);
}

/* Under the lock. The second place may have been begun by events that are committed; those are of the time since the first one. */
static void made_waits_end(struct sonde_source *source, uint64_t made)
{
	for (size_t i = 0; i < ARRAY_SIZE(source->made_waits) && source->made_waits[0].until <= made; i++) {
		source->made_waits[0] = source->made_waits[1];
		source->made_waits[1] = (struct made_wait){};
	}
}

int64_t sonde_source_waits_since_ns(const struct sonde_source *source)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&source->lock;
	int64_t since_ns = INT64_MAX;
	struct sonde_header oldest;

	pthread_mutex_lock(lock);
	if (source->made_waits[0].until)
		since_ns = source->made_waits[0].since_ns;
	pthread_mutex_unlock(lock);
	/* One that is freed all the time is young. */
	if (sonde_ring_oldest(source->ring, &oldest, sizeof(oldest)) == 1 && (int64_t)oldest.time_ns < since_ns)
		since_ns = (int64_t)oldest.time_ns;
	return since_ns;
}

void sonde_source_commit(struct sonde_source *source, const struct sonde_checkpoint *checkpoint)
{
	pthread_mutex_lock(&source->lock);
	source->pending -= checkpoint->consumed - source->checkpoint.consumed + checkpoint_made(checkpoint) -
			   checkpoint_made(&source->checkpoint);
	source->checkpoint = *checkpoint;
	made_waits_end(source, checkpoint_made(checkpoint));
	pthread_mutex_unlock(&source->lock);
	sonde_ring_commit(source->ring, checkpoint->position);
}

void sonde_source_checkpoint(const struct sonde_source *source, struct sonde_checkpoint *ret_checkpoint)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&source->lock;

	pthread_mutex_lock(lock);
	*ret_checkpoint = source->checkpoint;
	pthread_mutex_unlock(lock);
}

unsigned sonde_source_fill_pct(const struct sonde_source *source)
{
	return (unsigned)(sonde_ring_used(source->ring) * 100 / sonde_ring_size(source->ring));
}

int64_t sonde_source_look(struct sonde_source *source)
{
	if (source->asleep && sonde_ring_end(source->ring) == source->read_position)
		sonde_source_touch(source);
	else if (source->asleep)
		eventfd_write(source->wake_fd, 1);
	return source->progress_ns;
}

void sonde_source_touch(struct sonde_source *source)
{
	source->progress_ns = sonde_clock_boot_ns();
}

int sonde_source_counters(const struct sonde_source *source, struct sonde_counters *ret_counters)
{
	struct sonde_counters sum = {}, *each;
	CLEANUP_FREE void *values = calloc((size_t)source->n_cpus, sizeof(*each));
	__u32 zero = 0;

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(source->counters_fd, &zero, values))
		return -errno;
	each = values;
	for (int cpu = 0; cpu < source->n_cpus; cpu++)
		for (size_t i = 0; i < sizeof(sum) / sizeof(__u64); i++)
			((__u64 *)&sum)[i] += ((__u64 *)&each[cpu])[i];
	*ret_counters = sum;
	return 0;
}

/* Not from the cursor on: a batch that is being made counts as read only when it is whole. */
static uint64_t in_ring(const struct sonde_source *source)
{
	uint64_t from, count;
	int tries = 0;

	do {
		from = source->read_position;
		count = sonde_ring_waiting(source->ring, from);
	} while (from != source->read_position && ++tries < 8);
	return count;
}

static void ledger_fill(const struct sonde_source *source, const struct sonde_counters *kernel, struct sonde_ledger *l)
{
	struct sonde_checkpoint done;

	sonde_source_checkpoint(source, &done);
	*l = (struct sonde_ledger){
		.entered = kernel->entered, .denied = kernel->denied, .throttled = kernel->throttled,
		.sampled_out = kernel->sampled_out, .map_full = kernel->map_full, .ring_full = kernel->ring_full,
		.submitted = kernel->submitted, .overflowed = kernel->overflowed,
		.stored = done.stored, .invalid = done.invalid, .limited = done.limited,
		.queue_dropped = done.queue_dropped, .expired = done.expired, .readable = done.stored - done.expired,
		.consumed = source->consumed, .made = source->made, .pending = source->pending, .in_ring = in_ring(source),
	};
	snprintf(l->program, sizeof(l->program), "%s", source->name);
	sonde_ledger_balance(l);
}

uint64_t sonde_source_recursion_misses(const struct sonde_source *source)
{
	uint64_t misses = 0;

	for (unsigned i = 0; i < source->n_programs; i++) {
		struct bpf_prog_info info = {};
		__u32 length = sizeof(info);

		if (source->program_fds[i] >= 0 && !bpf_obj_get_info_by_fd(source->program_fds[i], &info, &length))
			misses += info.recursion_misses;
	}
	return misses;
}

void sonde_source_ledger(const struct sonde_source *source, struct sonde_ledger *ret_ledger)
{
	struct sonde_counters before, after;
	uint64_t consumed;

	/* The counters cannot be read at one instant. If none moved while we read them all, the sum must be exact. */
	for (int tries = 0; tries < 200; tries++) {
		consumed = source->consumed;
		if (sonde_source_counters(source, &before) < 0)
			break;
		ledger_fill(source, &before, ret_ledger);
		if (sonde_source_counters(source, &after) < 0)
			break;
		ret_ledger->settled = !memcmp(&before, &after, sizeof(before)) && consumed == source->consumed;
		if (ret_ledger->settled && !ret_ledger->residual)
			break;
	}
	ret_ledger->recursion_misses = sonde_source_recursion_misses(source);
}

int sonde_source_hook_stats(const struct sonde_source *source, unsigned i, uint64_t *ret_runs, uint64_t *ret_run_time_ns)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	if (i >= source->n_programs || source->program_fds[i] < 0)
		return -ENOENT;
	if (bpf_obj_get_info_by_fd(source->program_fds[i], &info, &length))
		return -errno;
	*ret_runs = info.run_cnt;
	*ret_run_time_ns = info.run_time_ns;
	return 0;
}

int sonde_source_metric(const struct sonde_source *source, unsigned i,
			void (*fn)(const struct sonde_metric *, const void *, uint64_t, void *), void *userdata)
{
	_Alignas(8) char key[METRIC_KEY_MAX], next[METRIC_KEY_MAX];
	struct bpf_map_info info = {};
	__u32 length = sizeof(info), left;
	CLEANUP_FREE uint64_t *values = NULL;
	void *from = NULL;

	if (i >= source->n_metrics || i >= source->schema->n_metrics)
		return -ENOENT;
	if (bpf_obj_get_info_by_fd(source->metric_fds[i], &info, &length))
		return -errno;
	if (info.key_size > METRIC_KEY_MAX || info.value_size != sizeof(uint64_t))
		return -EINVAL;
	values = calloc((size_t)source->n_cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	/* Keys may come and go while we walk: never more steps than the map has room. */
	for (left = info.max_entries; left && !bpf_map_get_next_key(source->metric_fds[i], from, next); left--) {
		uint64_t sum = 0;

		memcpy(key, next, info.key_size);
		from = key;
		if (bpf_map_lookup_elem(source->metric_fds[i], key, values))
			continue;
		for (int cpu = 0; cpu < (sonde_map_is_percpu(info.type) ? source->n_cpus : 1); cpu++)
			sum += values[cpu];
		fn(&source->schema->metrics[i], key, sum, userdata);
	}
	return 0;
}
