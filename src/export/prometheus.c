/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics page. Each of the agent's own metrics is declared here once, with a help text that says what to do when
 * it moves; those of the programs come from their schema. Own metrics never carry a name, path, address or pid.
 */
#include <export/prometheus.h>

#include <export/histogram.h>
#include <export/series.h>
#include <schema/encode.h>

#include <base/cleanup.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#define LABEL_BYTES 128

struct sonde_prometheus {
	struct sonde_families families;
	struct sonde_buffer labels; /* scratch */
	const struct sonde_names *names;
	struct sonde_program_status programs[SONDE_PROGRAMS_MAX];
	struct sonde_ledger ledgers[SONDE_PROGRAMS_MAX];
};

int sonde_prometheus_new(struct sonde_prometheus **ret_prometheus)
{
	struct sonde_prometheus *prometheus = calloc(1, sizeof(*prometheus));

	if (!prometheus)
		return -ENOMEM;
	*ret_prometheus = prometheus;
	return 0;
}

void sonde_prometheus_free(struct sonde_prometheus **pointer)
{
	struct sonde_prometheus *prometheus = TAKE_PTR(*pointer);

	if (!prometheus)
		return;
	sonde_families_free(&prometheus->families);
	sonde_buffer_free(&prometheus->labels);
	free(prometheus);
}

void sonde_prometheus_begin(struct sonde_prometheus *prometheus)
{
	sonde_families_begin(&prometheus->families);
}

/* Bytes of the valid UTF-8 character at `bytes`, or 0. */
static size_t utf8_length(const unsigned char *bytes, size_t length)
{
	static const struct {
		unsigned char first_mask, first, n;
		uint32_t min;
	} forms[] = {{0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
	uint32_t code;
	size_t n;

	if (bytes[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		n = forms[i].n;
		if ((bytes[0] & forms[i].first_mask) != forms[i].first)
			continue;
		if (n > length)
			return 0;
		code = bytes[0] & (unsigned char)~forms[i].first_mask;
		for (size_t j = 1; j < n; j++) {
			if ((bytes[j] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (bytes[j] & 0x3f);
		}
		return code >= forms[i].min && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? n : 0;
	}
	return 0;
}

void sonde_prometheus_label(const char *bytes, size_t length, struct sonde_buffer *out)
{
	const unsigned char *at = (const unsigned char *)bytes;
	size_t n;

	for (size_t i = 0; i < length; i += n) {
		n = utf8_length(at + i, length - i);
		if (i + n > LABEL_BYTES || i >= LABEL_BYTES)
			break;
		if (at[i] == '\\' || at[i] == '"') {
			sonde_buffer_add_char(out, '\\');
			sonde_buffer_add_char(out, bytes[i]);
		} else if (at[i] == '\n') {
			sonde_buffer_add_text(out, "\\n");
		} else if (!n || at[i] < 0x20 || at[i] == 0x7f || (n == 2 && at[i] == 0xc2 && at[i + 1] < 0xa0)) {
			/* Written so that different bytes stay different labels; the backslash escaped. */
			for (size_t j = i; j < i + (n ? n : 1); j++)
				sonde_buffer_printf(out, "\\\\x%02x", at[j]);
			n = n ? n : 1;
		} else {
			sonde_buffer_add(out, bytes + i, n);
		}
	}
}

void sonde_prometheus_number(const char *name, const char *doc, bool is_counter, const char *labels, double value,
			     void *userdata)
{
	struct sonde_prometheus *prometheus = userdata;
	struct sonde_families *families = &prometheus->families;
	struct sonde_family *family;
	struct sonde_series *series;
	char full[160];
	bool is_new;

	/* process_ is the prefix that dashboards know for any process. */
	snprintf(full, sizeof(full), "%s%s", strncmp(name, "sonde_", 6) && strncmp(name, "process_", 8) ? "sonde_" : "", name);
	family = sonde_family_get(families, full, doc, is_counter);
	series = family ? sonde_series_get(families, family, labels, true, &is_new) : NULL;
	if (!series) {
		families->refused++;
		return;
	}
	series->real = true;
	series->number = value;
}

/* An own number, exact, of one program (or of none). */
static void own(struct sonde_prometheus *prometheus, const char *name, const char *doc, const char *labels, uint64_t value)
{
	struct sonde_families *families = &prometheus->families;
	size_t length = strlen(name);
	bool is_new, is_counter = length > 6 && !strcmp(name + length - 6, "_total");
	struct sonde_family *family = sonde_family_get(families, name, doc, is_counter);
	struct sonde_series *series;

	series = family ? sonde_series_get(families, family, labels, true, &is_new) : NULL;
	if (!series) {
		families->refused++;
		return;
	}
	series->real = false;
	series->integer = value;
}

static const char *program_label(struct sonde_prometheus *prometheus, const char *program, const char *key, const char *value)
{
	struct sonde_buffer *labels = &prometheus->labels;

	sonde_buffer_clear(labels);
	sonde_buffer_add_text(labels, "program=\"");
	sonde_prometheus_label(program, strlen(program), labels);
	sonde_buffer_add_char(labels, '"');
	if (key)
		sonde_buffer_printf(labels, ",%s=\"%s\"", key, value);
	return sonde_buffer_error(labels) ? "" : labels->data;
}

static void collect_ledger(struct sonde_prometheus *p, const struct sonde_ledger *ledger)
{
	const struct {
		const char *name;
		uint64_t count;
	} outcomes[] = {{"denied", ledger->denied},	  {"throttled", ledger->throttled}, {"sampled_out", ledger->sampled_out},
			{"map_full", ledger->map_full}, {"ring_full", ledger->ring_full}, {"submitted", ledger->submitted}},
	  ends[] = {{"stored", ledger->stored},
		    {"invalid", ledger->invalid},
		    {"limited", ledger->limited},
		    {"queue_dropped", ledger->queue_dropped}};
	const char *program = ledger->program;

	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		own(p, "sonde_events_total",
		    "Events by what the kernel side did with them; the sum is all that entered. ring_full: the reader is too slow, "
		    "enlarge the program's ring or sample; map_full: enlarge its maps; denied, throttled and sampled_out are settings.",
		    program_label(p, program, "outcome", outcomes[i].name), outcomes[i].count);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		own(p, "sonde_events_consumed_total",
		    "Events read from the ring by where they ended. queue_dropped: the store does not keep up, see "
		    "sonde_store_failed_commits_total; invalid: a program and its schema disagree, report it.",
		    program_label(p, program, "end", ends[i].name), ends[i].count);
	own(p, "sonde_events_entered_total", "Events that a hook wanted to send.", program_label(p, program, NULL, NULL),
	    ledger->entered);
	own(p, "sonde_events_made_total", "Events that a program's user-space code made; they passed no ring.",
	    program_label(p, program, NULL, NULL), ledger->made);
	own(p, "sonde_events_in_ring", "Events in the ring, not yet read. Staying high: the reader does not keep up.",
	    program_label(p, program, NULL, NULL), ledger->in_ring);
	own(p, "sonde_events_pending", "Events read but not yet committed to the store.", program_label(p, program, NULL, NULL),
	    ledger->pending);
	own(p, "sonde_events_readable", "Events that a query can find.", program_label(p, program, NULL, NULL), ledger->readable);
	own(p, "sonde_events_expired_total", "Stored events that retention removed. Enlarge the store to keep more.",
	    program_label(p, program, NULL, NULL), ledger->expired);
	own(p, "sonde_hook_recursion_misses_total",
	    "Times that the kernel skipped a hook because it was running already on that CPU: events that nobody could see.",
	    program_label(p, program, NULL, NULL), ledger->recursion_misses);
	own(p, "sonde_map_overflows_total", "Increments of the program's own metrics that found no room for their key.",
	    program_label(p, program, NULL, NULL), ledger->overflowed);
	sonde_prometheus_number("sonde_ledger_residual",
				"Events that the account cannot explain. Anything but 0 while sonde_ledger_settled is 1 is a bug: "
				"report it with the output of: sonde status --json",
				false, program_label(p, program, NULL, NULL), (double)ledger->residual, p);
	own(p, "sonde_ledger_settled", "1 if the account was read while nothing moved, so that its residual is exact.",
	    program_label(p, program, NULL, NULL), ledger->settled);
}

static void collect_program(struct sonde_prometheus *p, const struct sonde_program_status *program)
{
	uint64_t runs = 0, run_time_ns = 0;

	for (int state = SONDE_PROGRAM_DISABLED; state <= SONDE_PROGRAM_FAILED; state++)
		own(p, "sonde_program_state",
		    "1 for the state that the program is in. failed: ask `sonde programs show NAME` for the reason.",
		    program_label(p, program->name, "state", sonde_program_state_name((enum sonde_program_state)state)),
		    (int)program->state == state);
	own(p, "sonde_program_running", "1 if the program is attached and delivers events.",
	    program_label(p, program->name, NULL, NULL), program->state == SONDE_PROGRAM_RUNNING);
	own(p, "sonde_program_required", "1 if the agent does not run without the program: it ends when the program cannot start.",
	    program_label(p, program->name, NULL, NULL), program->required);
	own(p, "sonde_program_hooks_reattached_total",
	    "Hooks attached to a network interface after the start: it came, it was made anew, or another tool had removed the hook. "
	    "If it keeps growing, look for that tool: tc monitor.",
	    program_label(p, program->name, NULL, NULL), program->reattached);
	for (uint32_t i = 0; i < program->n_hooks && i < SONDE_HOOKS_MAX; i++) {
		runs += program->hooks[i].runs;
		run_time_ns += program->hooks[i].run_time_ns;
	}
	own(p, "sonde_program_runs_total", "Runs of the program's hooks; 0 unless sysctl kernel.bpf_stats_enabled is 1.",
	    program_label(p, program->name, NULL, NULL), runs);
	sonde_prometheus_number("sonde_program_run_seconds_total",
				"Time in the program's hooks, the cost to the host; 0 unless sysctl kernel.bpf_stats_enabled is 1.",
				true, program_label(p, program->name, NULL, NULL), (double)run_time_ns / 1e9, p);
}

static void collect_store(struct sonde_prometheus *p, struct sonde_store *store)
{
	struct sonde_store_status status = {0};

	sonde_store_status(store, &status);
	own(p, "sonde_store_bytes", "Size of the event store.", "", status.bytes);
	own(p, "sonde_store_events_stored_total", "Events ever stored in this store.", "", status.stored);
	own(p, "sonde_store_events_expired_total", "Events that retention removed.", "", status.expired);
	own(p, "sonde_store_events_readable", "Events in the store now.", "", status.readable);
	own(p, "sonde_store_commits_total", "Transactions of the store.", "", status.commits);
	own(p, "sonde_store_failed_commits_total",
	    "Transactions that failed and were tried again. If it grows, look at the disk: full, read-only, I/O errors.", "",
	    status.failed_commits);
	own(p, "sonde_store_failing", "1 while the store cannot commit; /api/v1/status has the error.", "", status.error[0] != '\0');
	own(p, "sonde_store_damaged", "1 if a damaged file was set aside at start; /api/v1/status names it.", "",
	    status.set_aside[0] != '\0');
	sonde_prometheus_number("sonde_store_oldest_event_timestamp_seconds", "Time of the oldest event; 0: the store is empty.",
				false, "", (double)status.oldest_ns / 1e9, p);
	sonde_prometheus_number("sonde_store_newest_event_timestamp_seconds", "Time of the newest event; 0: the store is empty.",
				false, "", (double)status.newest_ns / 1e9, p);
}

/* `name="value"` of each label; with `other`, the series that takes what has no room. */
static const char *metric_labels(struct sonde_prometheus *p, const struct sonde_metric *metric, const void *key, bool other)
{
	struct sonde_buffer *labels = &p->labels, text = SONDE_BUFFER_INIT;
	struct sonde_value value;

	sonde_buffer_clear(labels);
	sonde_buffer_add(labels, "", 0);
	for (uint32_t i = 0; i < metric->n_labels; i++) {
		sonde_buffer_printf(labels, "%s%s=\"", i ? "," : "", metric->labels[i].name);
		if (other) {
			sonde_buffer_add_text(labels, "other");
		} else {
			sonde_label_value(&metric->labels[i], key, p->names, &value);
			if (value.type == SONDE_TEXT) {
				sonde_prometheus_label(value.text, value.length, labels);
			} else if (value.type != SONDE_NULL) {
				sonde_buffer_clear(&text);
				sonde_encode_json_value(&metric->labels[i], &value, &text);
				/* Addresses come with JSON's quotes. */
				bool quoted = text.length >= 2 && text.data[0] == '"';

				sonde_prometheus_label(text.data + quoted, text.length - 2 * (size_t)quoted, labels);
			}
		}
		sonde_buffer_add_char(labels, '"');
	}
	sonde_buffer_free(&text);
	if (sonde_buffer_error(labels))
		return NULL;
	return metric->n_labels ? labels->data : "";
}

/* Of a histogram: cumulative, every bucket from the first sight on, in order, as the text format wants them. */
static void collect_bucket(struct sonde_prometheus *p, const struct sonde_metric *metric, const void *key, uint64_t value)
{
	const char *labels = metric_labels(p, metric, key, false);

	if (!labels || sonde_histogram_add(&p->families, metric, labels, ((const uint8_t *)key)[metric->bucket_offset], value) < 0)
		p->families.refused++;
}

static void collect_metric(const struct sonde_metric *metric, const void *key, uint64_t value, void *userdata)
{
	struct sonde_prometheus *p = userdata;
	struct sonde_families *families = &p->families;
	struct sonde_series *series = NULL;
	struct sonde_family *family;
	const char *labels;
	char name[160];
	bool is_new = false;

	if (metric->is_histogram) {
		collect_bucket(p, metric, key, value);
		return;
	}
	snprintf(name, sizeof(name), "sonde_%s", metric->name);
	family = sonde_family_get(families, name, metric->doc ? metric->doc : "", metric->is_counter);
	labels = family ? metric_labels(p, metric, key, false) : NULL;
	if (labels)
		series = sonde_series_get(families, family, labels, false, &is_new);
	if (family && !series) {
		labels = metric_labels(p, metric, key, true);
		if (labels)
			series = sonde_series_get(families, family, labels, true, &is_new);
		family->folded += series != NULL;
	}
	if (!series) {
		families->refused++;
		return;
	}
	series->real = false;
	/* Two keys may give one label text (cut or unnamed values), and two programs one metric: they add up. */
	series->integer = (is_new ? 0 : series->integer) + value;
}

static void collect_folded(struct sonde_prometheus *p)
{
	struct sonde_families *families = &p->families;
	uint64_t folded = 0;

	for (size_t i = 0; i < families->n; i++)
		folded += families->list[i].folded;
	own(p, "sonde_metrics_folded_series",
	    "Series that had no room on this page and were added up under the label value \"other\". Count fewer keys.", "", folded);
	own(p, "sonde_metrics_refused_total", "Numbers left out of this page: no memory, no room or no valid name.", "",
	    families->refused);
}

void sonde_prometheus_collect(struct sonde_prometheus *p, const struct sonde_view *view)
{
	struct sonde_health health = {0};
	size_t n;

	p->names = view->names;
	sonde_buffer_clear(&p->labels);
	sonde_buffer_add_text(&p->labels, "version=\"");
	sonde_prometheus_label(view->version, strlen(view->version), &p->labels);
	sonde_buffer_add_char(&p->labels, '"');
	own(p, "sonde_build_info", "Which build of sonde this is; always 1.", sonde_buffer_error(&p->labels) ? "" : p->labels.data, 1);
	view->health(view->userdata, &health);
	own(p, "sonde_alive", "1 if every thread of the agent makes progress. 0: /health says which does not.", "", health.alive);
	own(p, "sonde_ready", "1 if all programs that can run are attached and the store takes events. 0: see /health.", "",
	    health.ready);
	own(p, "sonde_degraded", "1 if the agent works but not all of it; /health says what is missing.", "",
	    health.ready && health.alive && health.reason[0]);
	n = view->programs(view->userdata, p->programs, SONDE_PROGRAMS_MAX);
	for (size_t i = 0; i < n; i++)
		collect_program(p, &p->programs[i]);
	n = view->ledger(view->userdata, p->ledgers, SONDE_PROGRAMS_MAX);
	for (size_t i = 0; i < n; i++)
		collect_ledger(p, &p->ledgers[i]);
	collect_store(p, view->store);
	view->numbers(view->userdata, sonde_prometheus_number, p);
	view->metrics(view->userdata, collect_metric, p);
	collect_folded(p);
}

static void write_doc(const char *doc, bool quotes, struct sonde_buffer *out)
{
	for (; *doc; doc++) {
		if (*doc == '\\')
			sonde_buffer_add_text(out, "\\\\");
		else if (*doc == '\n')
			sonde_buffer_add_text(out, "\\n");
		else if (*doc == '"' && quotes)
			sonde_buffer_add_text(out, "\\\"");
		else
			sonde_buffer_add_char(out, *doc);
	}
}

/* OpenMetrics names a counter's family without _total, and a unit only if the name ends in it. */
static void write_head(const struct sonde_family *family, enum sonde_prometheus_format format, struct sonde_buffer *out)
{
	bool open = format == SONDE_PROMETHEUS_OPENMETRICS;
	int length = (int)strlen(family->name) - (open && family->is_counter ? 6 : family->is_histogram ? 7 : 0);
	const char *type = family->is_counter ? "counter" : family->is_histogram ? "histogram" : "gauge";

	sonde_buffer_printf(out, "# HELP %.*s ", length, family->name);
	write_doc(family->doc, open, out);
	sonde_buffer_printf(out, "\n# TYPE %.*s %s\n", length, family->name, type);
	for (size_t i = 0; open && i < 2; i++) {
		const char *unit = i ? "bytes" : "seconds";
		int unit_length = (int)strlen(unit);

		if (length > unit_length && family->name[length - unit_length - 1] == '_' &&
		    !strncmp(family->name + length - unit_length, unit, (size_t)unit_length))
			sonde_buffer_printf(out, "# UNIT %.*s %s\n", length, family->name, unit);
	}
}

static void write_value(const struct sonde_series *series, struct sonde_buffer *out)
{
	if (!series->real)
		sonde_buffer_add_u64(out, series->integer);
	else if (isnan(series->number))
		sonde_buffer_add_text(out, "NaN");
	else if (isinf(series->number))
		sonde_buffer_add_text(out, series->number < 0 ? "-Inf" : "+Inf");
	else
		sonde_buffer_printf(out, "%.17g", series->number);
}

int sonde_prometheus_write(struct sonde_prometheus *prometheus, enum sonde_prometheus_format format, struct sonde_buffer *out)
{
	const struct sonde_families *families = &prometheus->families;

	for (size_t i = 0; i < families->n; i++) {
		const struct sonde_family *family = &families->list[i];
		bool headed = false;

		for (size_t j = 0; j < family->n; j++) {
			const struct sonde_series *series = &family->series[j];

			if (series->page != families->page)
				continue;
			if (!headed && !family->is_part)
				write_head(family, format, out);
			headed = true;
			sonde_buffer_add_text(out, family->name);
			if (series->labels[0]) {
				sonde_buffer_add_char(out, '{');
				sonde_buffer_add_text(out, series->labels);
				sonde_buffer_add_char(out, '}');
			}
			sonde_buffer_add_char(out, ' ');
			write_value(series, out);
			sonde_buffer_add_char(out, '\n');
		}
	}
	if (format == SONDE_PROMETHEUS_OPENMETRICS)
		sonde_buffer_add_text(out, "# EOF\n");
	return sonde_buffer_error(out);
}
