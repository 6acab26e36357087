/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes and shapes of an older agent that clients still use, filled with what is true: results of connects, real
 * protocols, real windows. The only file outside programs/ that names programs and their columns; nothing depends on it.
 */
#include <http/health.h>
#include <http/legacy_rows.h>
#include <http/request.h>

#include <base/clock.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX 1000
#define LIST_ROWS_MAX 10000
#define PIECE_ROWS 256
#define DURATION_DEFAULT_S 60

/* What counts as an attempt, and as a drop: a clean close also frees packets, that is no drop. */
static const char attempts_where[] = "kind in (connect, fail)";
static const char drops_where[] = "not class = benign";

struct summary {
	struct sonde_query query;
	uint64_t duration_s;
};

/* pid 0 and an empty command mean "not given" to older clients. */
static int summary_read(struct sonde_request *request, struct summary *summary)
{
	const char *command = sonde_param(request, "command"), *name = sonde_param(request, "process_name"),
		   *duration = sonde_param(request, "duration") ? "duration" : "duration_seconds";
	uint64_t pid;

	if (sonde_param_u64(request, "pid", 0, INT32_MAX, 0, &pid) ||
	    sonde_param_u64(request, duration, 1, 3600, DURATION_DEFAULT_S, &summary->duration_s))
		return 1;
	if (sonde_param(request, "duration") && sonde_param(request, "duration_seconds"))
		return !sonde_request_bad(request, "duration_seconds", "give duration or duration_seconds, not both");
	if (command && name)
		return !sonde_request_bad(request, "process_name", "give command or process_name, not both");
	command = command ? command : name;
	if (command && !*command)
		command = NULL;
	if (!pid == !command)
		return !sonde_request_bad(request, "pid", "give exactly one of pid and command");
	summary->query.pid = pid ? (int64_t)pid : -1;
	summary->query.command = command;
	summary->query.until_ns = sonde_clock_wall_ns();
	summary->query.since_ns = summary->query.until_ns - (int64_t)summary->duration_s * SONDE_NS_PER_S;
	return 0;
}

static int legacy_summary(struct sonde_request *request, const char *type, const char *where, const char *total_name,
			  const char *what)
{
	struct summary summary = {.query.type = type};
	struct sonde_buffer *out = &request->out;
	struct sonde_filter *filter = NULL;
	struct sonde_answer answer = {0};
	const char *error = NULL;
	uint64_t total = 0;
	char message[160];
	int r;

	if (summary_read(request, &summary))
		return 0;
	r = sonde_filter_new(where, &error, &filter);
	if (r < 0)
		return r;
	summary.query.where = filter;
	r = sonde_store_count(request->view->store, &summary.query, NULL, sonde_answer_total, &total, &answer);
	sonde_filter_free(&filter);
	if (r < 0)
		return sonde_request_store_failed(request, r);
	snprintf(message, sizeof(message), "Found %" PRIu64 " %s in the last %" PRIu64 " seconds", total, what,
		 summary.duration_s);
	sonde_buffer_add_char(out, '{');
	sonde_json_u64(out, total_name, total);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "pid", summary.query.pid > 0 ? summary.query.pid : 0);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "command", summary.query.command ? summary.query.command : "");
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "duration", summary.duration_s);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "duration_seconds", summary.duration_s);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "message", message);
	sonde_buffer_add_char(out, ',');
	sonde_answer_json(&answer, false, out);
	sonde_buffer_add_text(out, "}\n");
	return 0;
}

int sonde_legacy_connection_summary(struct sonde_request *request)
{
	return legacy_summary(request, "connection", attempts_where, "total_attempts", "connection attempts");
}

int sonde_legacy_drop_summary(struct sonde_request *request)
{
	return legacy_summary(request, "packet_drop", drops_where, "total_drops", "dropped packets");
}

/* Rows by process, newest first. A process has at most `limit`, all together LIST_ROWS_MAX. */
struct list {
	struct sonde_request *request;
	struct sonde_legacy_names names;
	uint64_t limit, n_rows;
	bool truncated;
	size_t n, capacity;
	struct list_process {
		int64_t pid;
		uint64_t rows;
		struct sonde_buffer json;
	} *processes;
};

static void list_free(struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		sonde_buffer_free(&list->processes[i].json);
	free(list->processes);
}

static struct list_process *list_process(struct list *list, int64_t pid)
{
	struct list_process *processes;

	for (size_t i = 0; i < list->n; i++)
		if (list->processes[i].pid == pid)
			return &list->processes[i];
	if (list->n == list->capacity) {
		processes = reallocarray(list->processes, list->capacity * 2 + 16, sizeof(*processes));
		if (!processes)
			return NULL;
		list->processes = processes;
		list->capacity = list->capacity * 2 + 16;
	}
	list->processes[list->n] = (struct list_process){.pid = pid};
	return &list->processes[list->n++];
}

static int list_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	const struct sonde_value *pid = &values[SONDE_COLUMN_PID];
	struct list *list = userdata;
	struct list_process *process;

	if (list->request->http->cancelled)
		return -ECANCELED;
	/* A drop whose process is not known is listed under 0, as it has always been. */
	process = list_process(list, pid->type == SONDE_NULL ? 0 : pid->i);
	if (!process)
		return -ENOMEM;
	if (process->rows == list->limit) {
		list->truncated = true;
		return 0;
	}
	if (process->rows++)
		sonde_buffer_add_char(&process->json, ',');
	list->n_rows++;
	sonde_legacy_row(&list->names, type, values, &process->json);
	return sonde_buffer_error(&process->json);
}

static int list_query(struct list *list, struct sonde_query *query)
{
	struct sonde_answer answer = {0};
	char cursor[SONDE_CURSOR_MAX];
	uint64_t seen = 0;
	int r;

	query->limit = PIECE_ROWS;
	do {
		answer = (struct sonde_answer){0};
		r = sonde_store_query(list->request->view->store, query, list_row, list, &answer);
		if (r < 0)
			return r;
		seen += answer.rows;
		memcpy(cursor, answer.cursor, sizeof(cursor));
		query->cursor = cursor;
	} while (answer.more && answer.rows && seen < LIST_ROWS_MAX);
	list->truncated |= answer.more;
	return 0;
}

static void list_json(struct list *list, const char *name, const char *what)
{
	struct sonde_buffer *out = &list->request->out;
	char message[160];

	snprintf(message, sizeof(message), "%" PRIu64 " %s of %zu processes%s", list->n_rows, what, list->n,
		 list->truncated ? ", cut to the limit" : "");
	sonde_buffer_add_char(out, '{');
	sonde_json_u64(out, "total_pids", list->n);
	sonde_buffer_printf(out, ",\"%s\":{", name);
	for (size_t i = 0; i < list->n; i++) {
		sonde_buffer_printf(out, "%s\"%" PRId64 "\":[", i ? "," : "", list->processes[i].pid);
		sonde_buffer_add(out, list->processes[i].json.data, list->processes[i].json.length);
		sonde_buffer_add_char(out, ']');
	}
	sonde_buffer_add_text(out, "},");
	sonde_json_bool(out, "truncated", list->truncated);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "message", message);
	sonde_buffer_add_text(out, "}\n");
}

static int legacy_list(struct sonde_request *request, const char *type, const char *where, const char *name, const char *what)
{
	struct list list = {.request = request};
	struct sonde_query query = {.type = type, .since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
	struct sonde_filter *filter = NULL;
	const char *error = NULL;
	uint64_t pid;
	int r;

	if (sonde_param_u64(request, "pid", 0, INT32_MAX, 0, &pid) ||
	    sonde_param_u64(request, "limit", 0, LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT, &list.limit))
		return 0;
	if (!list.limit)
		list.limit = LIST_LIMIT_DEFAULT;
	if (pid)
		query.pid = (int64_t)pid;
	r = sonde_filter_new(where, &error, &filter);
	if (r < 0)
		return r;
	query.where = filter;
	sonde_legacy_names_read(request->view, &list.names);
	r = list_query(&list, &query);
	sonde_filter_free(&filter);
	if (!r)
		list_json(&list, name, what);
	list_free(&list);
	return r < 0 ? sonde_request_store_failed(request, r) : 0;
}

int sonde_legacy_list_connections(struct sonde_request *request)
{
	return legacy_list(request, "connection", attempts_where, "connections", "connection attempts");
}

int sonde_legacy_list_drops(struct sonde_request *request)
{
	return legacy_list(request, "packet_drop", drops_where, "drops", "dropped packets");
}

struct legacy_events {
	struct sonde_request *request;
	struct sonde_legacy_names names;
	uint64_t rows;
};

static int events_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct legacy_events *events = userdata;

	if (events->request->http->cancelled)
		return -ECANCELED;
	if (events->rows++)
		sonde_buffer_add_char(&events->request->out, ',');
	sonde_legacy_row(&events->names, type, values, &events->request->out);
	return sonde_buffer_error(&events->request->out);
}

static void now_json(struct sonde_buffer *out)
{
	struct sonde_column column = {.name = "query_time", .type = SONDE_INT, .semantic = SONDE_SEMANTIC_TIME, .length_offset = -1};
	struct sonde_value value = {.type = SONDE_INT, .i = sonde_clock_wall_ns()};

	sonde_buffer_add_text(out, "\"query_time\":");
	sonde_encode_json_value(&column, &value, out);
}

int sonde_legacy_events(struct sonde_request *request)
{
	struct legacy_events events = {.request = request};
	struct sonde_buffer *out = &request->out;
	struct sonde_selection selection;
	struct sonde_answer answer = {0};
	uint64_t limit, total = 0;
	int r;

	if (sonde_param_u64(request, "limit", 1, LIST_ROWS_MAX, LIST_LIMIT_DEFAULT, &limit) ||
	    sonde_selection_read(request, INT64_MIN, &selection))
		return 0;
	sonde_legacy_names_read(request->view, &events.names);
	r = sonde_store_count(request->view->store, &selection.query, NULL, sonde_answer_total, &total, &answer);
	sonde_buffer_add_text(out, "{\"events\":[");
	selection.query.limit = (uint32_t)limit;
	if (!r)
		r = sonde_store_query(request->view->store, &selection.query, events_row, &events, &answer);
	sonde_selection_free(&selection);
	if (r < 0)
		return sonde_request_store_failed(request, r);
	sonde_buffer_add_text(out, "],");
	sonde_json_u64(out, "count", events.rows);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "total_count", total);
	sonde_buffer_add_char(out, ',');
	now_json(out);
	sonde_buffer_add_text(out, ",\"filters\":{");
	for (unsigned i = 0; i < request->params.n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_json_text(out, request->params.list[i].name, request->params.list[i].value);
	}
	sonde_buffer_add_text(out, "}}\n");
	return 0;
}

int sonde_legacy_programs(struct sonde_request *request)
{
	struct sonde_program_status *programs = calloc(SONDE_PROGRAMS_MAX, sizeof(*programs));
	struct sonde_buffer *out = &request->out;
	size_t n;

	if (!programs)
		return -ENOMEM;
	n = request->view->programs(request->view->userdata, programs, SONDE_PROGRAMS_MAX);
	sonde_buffer_add_text(out, "{\"programs\":[");
	for (size_t i = 0; i < n; i++) {
		sonde_buffer_add_text(out, i ? ",{" : "{");
		sonde_json_text(out, "name", programs[i].name);
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "type", programs[i].source);
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "status", sonde_program_state_name(programs[i].state));
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "id", programs[i].name);
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_text(out, "],");
	sonde_json_u64(out, "total_count", n);
	sonde_buffer_add_char(out, ',');
	now_json(out);
	sonde_buffer_add_text(out, "}\n");
	free(programs);
	return 0;
}

int sonde_legacy_health(struct sonde_request *request)
{
	struct sonde_health health = {0};
	struct sonde_buffer *out = &request->out;

	request->view->health(request->view->userdata, &health);
	request->status = health.ready && health.alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "status", sonde_health_status(&health));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "service", "sonde");
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "version", request->view->version);
	sonde_buffer_add_text(out, "}\n");
	return 0;
}
