/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user side of `memory`: makes bytes of the kernel's pages, watches the limits, says forecasts, and keeps what led to
 * a kill. Invariant: at most one memory_history for each oom_kill, at the next tick; the kill itself is never left out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sonde/program.h>

#include "event.h"
#include "mappings.h"
#include "processes.h"
#include "watch.h"

#define KILLS_MAX 64 /* between two ticks; of more only the first have a history */

_Static_assert(sizeof(struct memory_kill) <= SONDE_RECORD_MAX, "the reader takes no longer record");

struct kill {
	struct memory event;
	uint64_t mapping_count, mappings_looked;
	char mappings[MEMORY_MAPPINGS_SIZE];
};

struct state {
	struct sonde_memory_watch *watch;
	struct sonde_memory_processes *processes;
	struct kill kills[KILLS_MAX];
	size_t n_kills, untracked_said, n_mappings;
	uint64_t history_ns;
};

static void state_free(struct state *state)
{
	if (!state)
		return;
	sonde_memory_processes_free(&state->processes);
	sonde_memory_watch_free(&state->watch);
	free(state);
}

static struct state *state_of(struct sonde_hook_context *context)
{
	void **pointer = sonde_program_state(context);
	struct sonde_memory_settings settings;
	struct state *state = *pointer;

	if (state)
		return state;
	state = calloc(1, sizeof(*state));
	if (!state)
		return NULL;
	settings = (struct sonde_memory_settings){
		.sample_interval_ns = (uint64_t)sonde_setting(context, "sample_interval_ns"),
		.horizon_ns = (uint64_t)sonde_setting(context, "horizon_ns"),
		.repeat_interval_ns = (uint64_t)sonde_setting(context, "repeat_interval_ns"),
		.least_confidence_pct = (unsigned)sonde_setting(context, "least_confidence_pct"),
		.cgroups_max = (size_t)sonde_setting(context, "watched_cgroups"),
		.processes_max = (size_t)sonde_setting(context, "watched_processes"),
		.least_process_bytes = (uint64_t)sonde_setting(context, "least_process_bytes"),
	};
	state->history_ns = (uint64_t)sonde_setting(context, "history_ns");
	state->n_mappings = (size_t)sonde_setting(context, "mappings");
	if (sonde_memory_watch_new("/proc/self/mountinfo", &settings, &state->watch) < 0 ||
	    sonde_memory_processes_new(&settings, &state->processes) < 0) {
		state_free(state);
		return NULL;
	}
	*pointer = state;
	return state;
}

static void stop(struct sonde_hook_context *context)
{
	state_free(*sonde_program_state(context));
	*sonde_program_state(context) = NULL;
}

static void pages_to_bytes(struct memory *e)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);

	e->limit_bytes *= page;
	e->used_bytes *= page;
	e->anon_bytes *= page;
	e->file_bytes *= page;
	e->shmem_bytes *= page;
	e->swap_bytes *= page;
}

static __u64 known_or_0(__u64 bytes)
{
	return bytes == ~0ull ? 0 : bytes;
}

/* mm/oom_kill.c: what it uses, its page tables included, against what there is; the adjustment is in thousandths of that. */
static void weigh(struct memory *e, __u64 total)
{
	double used = (double)known_or_0(e->anon_bytes) + (double)known_or_0(e->file_bytes) + (double)known_or_0(e->shmem_bytes) +
		      (double)known_or_0(e->swap_bytes) + (double)known_or_0(e->page_table_bytes);

	if (total && e->oom_score_adj != -2000)
		e->oom_score = (__s32)(used * 1000 / (double)total) + e->oom_score_adj;
}

static void set_pressure(struct memory *e, const struct sonde_memory_pressure *pressure)
{
	e->pressure_some_pct = (__u32)pressure->some_pct;
	e->pressure_full_pct = (__u32)pressure->full_pct;
}

static void record_kill(struct state *state, const struct memory_mappings *mappings, struct memory *e)
{
	const struct sonde_memory_node *node = sonde_memory_watch_node(state->watch);

	if (e->scope == MEMORY_SCOPE_NODE) { /* as it was at the last look, at most some seconds ago */
		e->limit_bytes = node->total_bytes;
		e->used_bytes = node->total_bytes - node->available_bytes;
	}
	weigh(e, e->limit_bytes + (e->scope == MEMORY_SCOPE_NODE ? node->swap_bytes : 0));
	set_pressure(e, sonde_memory_watch_pressure(state->watch));
	if (state->n_kills < KILLS_MAX) {
		struct kill *kill = &state->kills[state->n_kills++];

		kill->event = *e;
		kill->mapping_count = mappings->count;
		kill->mappings_looked = mappings->looked;
		sonde_memory_mappings_text(mappings, state->n_mappings, kill->mappings);
	}
}

static int record(struct sonde_hook_context *context, struct sonde_header *header, size_t *length)
{
	struct memory_kill *kill = (struct memory_kill *)header;
	struct memory *e = &kill->memory;
	struct state *state;

	if (header->type != SONDE_INNER_TYPE || *length < sizeof(*kill) || e->kind != MEMORY_KIND_OOM_KILL ||
	    (e->scope != MEMORY_SCOPE_CGROUP && e->scope != MEMORY_SCOPE_NODE))
		return -EINVAL;
	header->type = MEMORY_TYPE_MEMORY;
	*length = sizeof(*e);
	e->cgroup[sizeof(e->cgroup) - 1] = '\0';
	e->victim_command[sizeof(e->victim_command) - 1] = '\0';
	header->cgroup_id = e->victim_cgroup_id; /* `container` is the one that lost a process */
	pages_to_bytes(e);
	state = state_of(context);
	if (state)
		record_kill(state, &kill->mappings, e);
	return 1;
}

static size_t append_point(char *text, size_t size, size_t length, const struct sonde_memory_point *point, __u64 end_ns)
{
	int n = snprintf(text + length, size - length, "%s-%.0f:%.1f", length ? " " : "",
			 (double)(end_ns - point->time_ns) / 1e9, (double)point->bytes / 1048576);

	if (n < 0 || (size_t)n >= size - length) {
		text[length] = '\0';
		return length;
	}
	return length + (size_t)n;
}

#define CURVE_POINTS 60 /* fit into MEMORY_CURVE_SIZE */

/* The last half minute in full, of the rest so many points as there is room for. @param n At least 1. */
static void history_points(struct memory_history *e, const struct sonde_memory_point *points, size_t n, __u64 end_ns)
{
	size_t recent = n < CURVE_POINTS / 2 ? n : CURVE_POINTS / 2, older = n - recent;
	size_t step = (older + CURVE_POINTS / 2 - 1) / (CURVE_POINTS / 2), length = 0;

	e->least_bytes = e->most_bytes = points[0].bytes;
	for (size_t i = 0; i < n; i++) {
		if (points[i].bytes < e->least_bytes)
			e->least_bytes = points[i].bytes;
		if (points[i].bytes > e->most_bytes)
			e->most_bytes = points[i].bytes;
		if (i >= older || i % step == 0)
			length = append_point(e->curve, sizeof(e->curve), length, &points[i], end_ns);
	}
	e->span_ns = end_ns - points[0].time_ns;
}

/* What was looked at before the kill, and at its end what the kill says; a look can have come between it and its record. */
static void history_curve(struct memory_history *e, const struct sonde_memory_series *series, const struct memory *kill,
			  __u64 history_ns)
{
	struct sonde_memory_point all[SONDE_MEMORY_POINTS + 1];
	size_t n = sonde_memory_series_points(series, all), first = 0;
	__u64 end_ns = kill->header.time_ns;

	while (n && all[n - 1].time_ns >= end_ns)
		n--;
	all[n++] = (struct sonde_memory_point){end_ns, kill->used_bytes};
	while (all[first].time_ns + history_ns < end_ns)
		first++;
	history_points(e, all + first, n - first, end_ns);
}

static void emit_history(struct sonde_hook_context *context, struct state *state, const struct kill *victim)
{
	const struct memory *kill = &victim->event;
	const struct sonde_memory_watched *watched =
		sonde_memory_watch_find(state->watch, kill->scope == MEMORY_SCOPE_NODE ? 0 : kill->limit_cgroup_id);
	struct memory_history e = {
		.header = kill->header,
		.scope = kill->scope,
		.victim_pid = kill->victim_pid,
		.limit_bytes = kill->limit_bytes,
		.least_bytes = ~0ull,
		.most_bytes = ~0ull,
		.pressure_some_pct = kill->pressure_some_pct,
		.pressure_full_pct = kill->pressure_full_pct,
		.mapping_count = victim->mapping_count,
		.mappings_looked = victim->mappings_looked,
	};

	e.header.type = MEMORY_TYPE_HISTORY;
	e.header.weight = 1;
	memcpy(e.victim_command, kill->victim_command, sizeof(e.victim_command));
	memcpy(e.cgroup, kill->cgroup, sizeof(e.cgroup));
	memcpy(e.mappings, victim->mappings, sizeof(e.mappings));
	if (watched) {
		history_curve(&e, &watched->series, kill, state->history_ns);
		if (watched->first_said_ns && watched->first_said_ns < kill->header.time_ns)
			e.warned_ns = kill->header.time_ns - watched->first_said_ns;
	}
	(void)sonde_emit(context, &e.header, sizeof(e), kill->scope == MEMORY_SCOPE_NODE ? "procfs" : "cgroupfs");
}

static void tell_histories(struct sonde_hook_context *context, struct state *state)
{
	for (size_t i = 0; i < state->n_kills; i++)
		emit_history(context, state, &state->kills[i]);
	for (size_t i = 0; i < state->n_kills; i++) {
		const struct memory *kill = &state->kills[i].event;
		struct sonde_memory_watched *watched =
			sonde_memory_watch_find(state->watch, kill->scope == MEMORY_SCOPE_NODE ? 0 : kill->limit_cgroup_id);

		if (watched)
			sonde_memory_watched_restart(watched);
	}
	state->n_kills = 0;
}

static struct memory empty_event(enum memory_kind kind, __u64 now_ns)
{
	return (struct memory){
		.header = {.time_ns = now_ns, .type = MEMORY_TYPE_MEMORY, .weight = 1, .flags = SONDE_PROCESS_UNKNOWN},
		.kind = kind,
		.victim_uid = (__u32)-1,
		.anon_bytes = ~0ull, .file_bytes = ~0ull, .shmem_bytes = ~0ull, .swap_bytes = ~0ull, .page_table_bytes = ~0ull,
		.oom_score = -2000, .oom_score_adj = -2000,
		.pressure_some_pct = (__u32)-1, .pressure_full_pct = (__u32)-1,
	};
}

/* The process that grows is both the event's and the likely victim. */
static void set_suspect(struct memory *e, const struct sonde_memory_process *process)
{
	e->header.flags = 0;
	e->header.pid = e->header.tid = e->victim_pid = process->pid;
	e->header.uid = e->victim_uid = process->uid;
	e->header.start_time_ns = process->start_time_ns;
	memcpy(e->header.command, process->command, sizeof(e->header.command));
	memcpy(e->victim_command, process->command, sizeof(e->victim_command));
	e->anon_bytes = process->anon_bytes;
	e->file_bytes = process->file_bytes;
	e->shmem_bytes = process->shmem_bytes;
	e->swap_bytes = process->swap_bytes;
	e->page_table_bytes = process->page_table_bytes;
	e->oom_score_adj = process->oom_score_adj;
}

/* `forecast` is of the limit, or of the process towards it. @param pid 0: who grows is not known. */
static int emit_forecast(struct sonde_hook_context *context, struct state *state, const struct sonde_memory_watched *limit,
			 const struct sonde_memory_forecast *forecast, uint32_t pid, __u64 now_ns)
{
	const struct sonde_memory_hierarchy *hierarchy = sonde_memory_watch_hierarchy(state->watch);
	struct sonde_memory_pressure pressure = *sonde_memory_watch_pressure(state->watch);
	struct memory e = empty_event(MEMORY_KIND_FORECAST, now_ns);
	struct sonde_memory_process process;

	e.scope = limit->id ? MEMORY_SCOPE_CGROUP : MEMORY_SCOPE_NODE;
	e.header.cgroup_id = e.limit_cgroup_id = limit->id;
	e.limit_bytes = limit->limit_bytes;
	e.used_bytes = limit->used_bytes;
	e.slope_bytes_per_second = forecast->slope_bytes_per_second;
	e.time_to_limit_ns = forecast->time_to_limit_ns;
	e.confidence_pct = forecast->confidence_pct;
	memcpy(e.cgroup, limit->path, sizeof(limit->path));
	if (limit->id && !hierarchy->v1)
		sonde_memory_read_pressure(hierarchy, limit->path, &pressure);
	set_pressure(&e, &pressure);
	if (pid && sonde_memory_read_process(pid, &process) == 0) {
		set_suspect(&e, &process);
		weigh(&e, limit->limit_bytes);
	}
	return sonde_emit(context, &e.header, sizeof(e), limit->id ? "cgroupfs" : "procfs");
}

/* A forecast waits for one more look, which tells who grows. */
static void tell_forecast(struct sonde_hook_context *context, struct state *state, struct sonde_memory_watched *watched,
			  __u64 now_ns)
{
	if (watched->due && !watched->suspects) {
		watched->suspects = sonde_memory_suspects_new(
			watched->id ? sonde_memory_watch_hierarchy(state->watch) : NULL, watched->path);
		return;
	}
	if (watched->due && emit_forecast(context, state, watched, &watched->forecast,
					  sonde_memory_suspects_worst(watched->suspects), now_ns) == 0)
		sonde_memory_watched_said(watched, now_ns);
	sonde_memory_suspects_free(&watched->suspects);
}

static void tell_grower(struct sonde_hook_context *context, struct state *state, struct sonde_memory_grower *grower, __u64 now_ns)
{
	const struct sonde_memory_watched *limit = sonde_memory_watch_find(state->watch, grower->limit_id);

	if (limit && sonde_memory_grower_should_say(grower, limit, now_ns) &&
	    emit_forecast(context, state, limit, &grower->watched.forecast, grower->pid, now_ns) == 0)
		sonde_memory_watched_said(&grower->watched, now_ns);
}

static void tell_untracked(struct sonde_hook_context *context, struct state *state, __u64 now_ns)
{
	size_t untracked = sonde_memory_watch_untracked(state->watch);
	struct memory e = empty_event(MEMORY_KIND_UNTRACKED, now_ns);

	if (untracked <= 2 * state->untracked_said)
		return;
	e.untracked = (__u32)untracked;
	if (sonde_emit(context, &e.header, sizeof(e), "cgroupfs") == 0)
		state->untracked_said = untracked;
}

static void tick(struct sonde_hook_context *context, __u64 now_ns)
{
	struct state *state = state_of(context);

	if (!state)
		return;
	tell_histories(context, state); /* before the next samples, which may be of what came after the kill */
	sonde_memory_watch_look(state->watch, now_ns);
	for (size_t i = 0; i < sonde_memory_watch_count(state->watch); i++)
		tell_forecast(context, state, sonde_memory_watch_get(state->watch, i), now_ns);
	sonde_memory_processes_look(state->processes, state->watch, now_ns);
	for (size_t i = 0; i < sonde_memory_processes_count(state->processes); i++)
		tell_grower(context, state, sonde_memory_processes_get(state->processes, i), now_ns);
	tell_untracked(context, state, now_ns);
}

const struct sonde_program_hooks sonde_program_memory_hooks = {
	.record = record, .tick = tick, .tick_ns = 1000000000, .stop = stop};
