/* SPDX-License-Identifier: Apache-2.0 */
#include <runtime/taken.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>

/* Without "sonde_". */
static const char *const agents_metrics[] = {
	"build_info", "alive", "ready", "degraded", "program_state", "program_running", "program_required",
	"program_hooks_reattached_total", "program_runs_total", "program_run_seconds_total", "events_total",
	"events_consumed_total", "events_entered_total", "events_made_total",
	"events_in_ring", "events_pending", "events_readable", "events_expired_total", "hook_recursion_misses_total",
	"map_overflows_total", "ledger_residual", "ledger_settled", "store_bytes", "store_events_stored_total",
	"store_events_expired_total", "store_events_readable", "store_commits_total", "store_failed_commits_total",
	"store_failing", "store_damaged", "store_oldest_event_timestamp_seconds", "store_newest_event_timestamp_seconds",
	"known_processes", "known_processes_evicted_total", "known_address_names", "known_address_names_evicted_total",
	"known_cgroups", "metrics_folded_series", "metrics_refused_total", "http_connections", "http_connections_accepted_total",
	"http_connections_evicted_total", "http_connections_timed_out_total", "http_answers_total", "streams",
	"streams_refused_total", "stream_events_total", "stream_skipped_events_total",
};

bool sonde_metric_is_agents(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(agents_metrics); i++)
		if (!strcmp(agents_metrics[i], name))
			return true;
	return false;
}

static int taken(const char *what, const char *name, const char *owner, char *error, size_t error_size)
{
	snprintf(error, error_size, "%s '%s' belongs to program %s: give it another name", what, name, owner);
	return -EEXIST;
}

int sonde_taken_by(const struct sonde_schema *schema, const struct sonde_schema *other, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < schema->n_types; i++)
		for (uint32_t o = 0; o < other->n_types; o++)
			if (!strcmp(schema->types[i].name, other->types[o].name))
				return taken("event", schema->types[i].name, other->program, error, error_size);
	for (uint32_t i = 0; i < schema->n_metrics; i++)
		for (uint32_t o = 0; o < other->n_metrics; o++)
			if (!strcmp(schema->metrics[i].name, other->metrics[o].name))
				return taken("metric", schema->metrics[i].name, other->program, error, error_size);
	return 0;
}

int sonde_taken(const struct sonde_schema *schema, char *error, size_t error_size)
{
	int r = 0;

	for (uint32_t i = 0; i < schema->n_metrics; i++) {
		if (!sonde_metric_is_agents(schema->metrics[i].name))
			continue;
		snprintf(error, error_size, "metric '%s' belongs to the agent itself: give it another name", schema->metrics[i].name);
		return -EEXIST;
	}
	for (const struct sonde_embedded *e = sonde_embedded; e->name && !r; e++) {
		struct sonde_schema *other CLEANUP(sonde_schema_free) = NULL;
		const char *why;

		if (strcmp(e->name, schema->program) &&
		    !sonde_embedded_schema(e, NULL, &why, &other))
			r = sonde_taken_by(schema, other, error, error_size);
	}
	return r;
}
