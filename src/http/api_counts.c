/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of stored events: counts, groups of the same values, and the summary with its lists of what is most frequent. What is
 * worth a list, and which quantity it is ranked by, the schema says.
 */
#include <http/answer.h>
#include <http/request.h>
#include <schema/encode.h>
#include <store/count_asked.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <errno.h>
#include <string.h>

#define GROUPS_DEFAULT 1000
#define GROUPS_MAX 10000
#define SUMMARY_NS (300 * SONDE_NS_PER_S)
#define SUMMARY_TOP 10
#define TYPES_MAX 256

int sonde_answer_total(const struct sonde_group *group, void *total)
{
	*(uint64_t *)total += group->count;
	return 0;
}

/* ---- a list of groups ---- */

struct groups {
	struct sonde_request *request;
	struct sonde_count_asked asked;
	uint64_t n;
	bool known; /* at least one value is not null */
};

static void groups_value(const struct groups *groups, const struct sonde_group *group, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, groups->asked.n_by > 1 ? "{\"values\":[" : "{\"value\":");
	for (unsigned i = 0; i < groups->asked.n_by; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_encode_json_value(groups->asked.columns[i], &group->values[i], out);
	}
	sonde_buffer_add_text(out, groups->asked.n_by > 1 ? "]," : ",");
}

/* `"count":n`, and `,"sum":n` if a sum was asked for. */
static void numbers_json(const struct groups *groups, uint64_t count, int64_t sum, struct sonde_buffer *out)
{
	sonde_json_u64(out, "count", count);
	if (groups->asked.opts.sum) {
		sonde_buffer_add_char(out, ',');
		sonde_json_i64(out, "sum", sum);
	}
}

static int groups_row(const struct sonde_group *group, void *userdata)
{
	struct groups *groups = userdata;
	struct sonde_buffer *out = &groups->request->out;

	if (!group->values) /* the number of all is in the answer */
		return 0;
	if (groups->request->http->cancelled)
		return -ECANCELED;
	for (unsigned i = 0; i < groups->asked.n_by; i++)
		groups->known |= group->values[i].type != SONDE_NULL;
	if (groups->n++)
		sonde_buffer_add_char(out, ',');
	groups_value(groups, group, out);
	numbers_json(groups, group->count, group->sum, out);
	sonde_buffer_add_char(out, '}');
	return sonde_buffer_error(out);
}

/* ---- count ---- */

/* What group_by and sum ask for. @return 0, or 1: refused. */
static int read_columns(struct sonde_request *request, const struct sonde_type *only, struct sonde_count_asked *asked)
{
	const char *by = sonde_param(request, "group_by"), *sum = sonde_param(request, "sum"), *wrong, *parameter;
	const struct sonde_type *types[TYPES_MAX] = {only};
	size_t n = only ? 1 : sonde_types(request->view, types, TYPES_MAX);
	int r = sonde_count_asked_read(asked, types, n, by, sum, &wrong);

	parameter = wrong == sum ? "sum" : "group_by";
	if (r == -E2BIG)
		return !sonde_request_bad(request, parameter, "at most %d columns", SONDE_COUNT_BY_MAX);
	if (r == -EINVAL)
		return !sonde_request_bad(request, parameter, "its values cannot be added up");
	return r < 0 && !sonde_request_bad(request, parameter, "no such column%s%s; /api/v1/schema lists them",
					   only ? " in type " : "", only ? only->name : "");
}

/* `{"groups":[...],"more_groups":n,"count":total`, without group_by `{"count":total` */
static int count_selected(struct sonde_request *request, const struct sonde_selection *selection, struct groups *groups)
{
	struct sonde_buffer *out = &request->out;
	struct sonde_answer answer = {0};
	int r;

	sonde_buffer_add_text(out, groups->asked.n_by ? "{\"groups\":[" : "{");
	r = sonde_store_count(request->view->store, &selection->query, &groups->asked.opts, groups_row, groups, &answer);
	if (r < 0)
		return sonde_request_store_failed(request, r);
	if (groups->asked.n_by) {
		sonde_buffer_add_text(out, "],");
		sonde_json_u64(out, "more_groups", answer.groups - groups->n);
		sonde_buffer_add_char(out, ',');
	}
	numbers_json(groups, answer.count, answer.sum, out);
	sonde_buffer_add_char(out, ',');
	sonde_answer_json(&answer, false, out);
	sonde_buffer_add_text(out, "}\n");
	return 0;
}

int sonde_api_count(struct sonde_request *request)
{
	struct groups groups = {.request = request};
	struct sonde_selection selection;
	uint64_t limit;
	int r = 0;

	if (sonde_param_u64(request, "limit", 1, GROUPS_MAX, GROUPS_DEFAULT, &limit))
		return 0;
	if (!sonde_param(request, "group_by") && sonde_param(request, "limit"))
		return sonde_request_bad(request, "limit", "limits the groups: give group_by too");
	if (sonde_selection_read(request, INT64_MIN, &selection))
		return 0;
	if (!read_columns(request, selection.type, &groups.asked)) {
		groups.asked.opts.limit = (uint32_t)limit;
		r = count_selected(request, &selection, &groups);
	}
	sonde_selection_free(&selection);
	return r;
}

/* ---- summary ---- */

struct summary {
	struct sonde_request *request;
	struct sonde_query query;
	bool whole; /* all events of each type are meant: the window has no parts */
	struct sonde_answer all;
};

/* `"last_second":n,...,` */
static void window_numbers(const struct sonde_window_counts *counts, bool measure, struct sonde_buffer *out)
{
	const struct {
		const char *name;
		uint64_t number;
		bool wanted;
	} numbers[] = {
		{"last_second", counts->last_second, true},
		{"last_10s", counts->last_10s, true},
		{"last_60s", counts->last_60s, true},
		{"sum_second", counts->sum_second, measure},
		{"sum_10s", counts->sum_10s, measure},
		{"sum_60s", counts->sum_60s, measure},
		{"rows_60s", counts->rows_60s, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].wanted) {
			sonde_json_u64(out, numbers[i].name, numbers[i].number);
			sonde_buffer_add_char(out, ',');
		}
}

/* `,"window":{...}`: the last minute, which needs no store. */
static void window_json(const struct sonde_view *view, const struct sonde_type *type, bool measure, struct sonde_buffer *out)
{
	struct sonde_window_counts counts;

	sonde_window_read(view->window, type->name, sonde_clock_boot_ns(), &counts);
	sonde_buffer_add_text(out, ",\"window\":{");
	window_numbers(&counts, measure, out);
	sonde_buffer_add_text(out, "\"per_second\":[");
	for (unsigned i = 0; i < SONDE_WINDOW_SECONDS; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		if (i < SONDE_WINDOW_SECONDS - counts.known)
			sonde_buffer_add_text(out, "null");
		else
			sonde_buffer_add_u64(out, counts.per_second[i]);
	}
	sonde_buffer_add_text(out, "],");
	sonde_json_u64(out, "too_late", counts.too_late);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "from_future", counts.from_future);
	sonde_buffer_add_char(out, '}');
}

/* `"COLUMN[,COLUMN]":[...]` behind those that are there. Nothing but null says nothing. */
static int top_list(struct summary *summary, const struct sonde_type *type, const uint32_t *columns, unsigned n,
		    const char *measure, bool *first)
{
	struct groups groups = {.request = summary->request, .asked.n_by = n,
				.asked.opts = {.sum = measure, .limit = SUMMARY_TOP}};
	struct sonde_buffer *out = &summary->request->out;
	struct sonde_answer answer;
	size_t before = out->length;
	int r;

	sonde_buffer_add_text(out, *first ? "\"" : ",\"");
	for (unsigned i = 0; i < n; i++) {
		groups.asked.columns[i] = &type->columns[columns[i]];
		groups.asked.opts.by[i] = groups.asked.columns[i]->name;
		sonde_buffer_printf(out, "%s%s", i ? "," : "", groups.asked.columns[i]->name);
	}
	sonde_buffer_add_text(out, "\":[");
	r = sonde_store_count(summary->request->view->store, &summary->query, &groups.asked.opts, groups_row, &groups, &answer);
	if (r < 0)
		return r;
	sonde_buffer_add_char(out, ']');
	if (groups.known)
		*first = false;
	else
		out->length = before;
	return 0;
}

static int top_lists(struct summary *summary, const struct sonde_type *type, const char *measure)
{
	static const uint32_t process[] = {SONDE_COLUMN_PID, SONDE_COLUMN_COMMAND};
	bool first = true;
	int r;

	r = top_list(summary, type, process, 2, measure, &first);
	for (uint32_t i = 0; !r && i < type->n_columns; i++)
		if (sonde_type_has_top(type, i))
			r = top_list(summary, type, &i, 1, measure, &first);
	return r;
}

static int summary_type(struct summary *summary, const struct sonde_type *type, struct sonde_answer *answer)
{
	int index = sonde_type_measure(type), r;
	const char *measure = index < 0 ? NULL : type->columns[index].name;
	struct groups total = {.asked.opts.sum = measure};
	struct sonde_buffer *out = &summary->request->out;

	summary->query.type = type->name;
	r = sonde_store_count(summary->request->view->store, &summary->query, &total.asked.opts, groups_row, &total, answer);
	if (r < 0)
		return r;
	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "type", type->name);
	sonde_buffer_add_char(out, ',');
	numbers_json(&total, answer->count, answer->sum, out);
	if (measure) {
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "measure", measure);
	}
	if (summary->whole)
		window_json(summary->request->view, type, measure, out);
	sonde_buffer_add_text(out, ",\"top\":{");
	r = answer->rows ? top_lists(summary, type, measure) : 0;
	sonde_buffer_add_text(out, "}}");
	return r;
}

static int summary_types(struct summary *summary, const struct sonde_type *only)
{
	struct sonde_buffer *out = &summary->request->out;
	const struct sonde_view *view = summary->request->view;
	const struct sonde_type *types[TYPES_MAX];
	size_t n = only ? 1 : sonde_types(view, types, TYPES_MAX);
	int r = 0;

	if (only)
		types[0] = only;
	sonde_buffer_add_char(out, '{');
	sonde_json_i64(out, "since_ns", summary->query.since_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "until_ns", summary->query.until_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "window_since_ns", sonde_window_since_ns(view->window) + sonde_clock_wall_offset_ns());
	sonde_buffer_add_text(out, ",\"types\":[");
	for (size_t i = 0; !r && i < n; i++) {
		struct sonde_answer one = {};

		if (i)
			sonde_buffer_add_char(out, ',');
		r = summary_type(summary, types[i], only ? &summary->all : &one);
	}
	sonde_buffer_add_text(out, "],");
	sonde_answer_json(&summary->all, false, out);
	sonde_buffer_add_text(out, "}\n");
	return r;
}

int sonde_api_summary(struct sonde_request *request)
{
	struct summary summary = {.request = request};
	uint64_t total = 0;
	struct sonde_selection selection;
	int r;

	if (sonde_selection_read(request, SUMMARY_NS, &selection))
		return 0;
	summary.query = selection.query;
	summary.query.deadline_ns = sonde_clock_boot_ns() + SONDE_QUERY_NS; /* of all its lists together */
	if (summary.query.until_ns == INT64_MAX) /* so that all counts are of the same span */
		summary.query.until_ns = sonde_clock_wall_ns();
	summary.whole = selection.query.pid < 0 && !selection.query.command && !selection.query.container && !selection.where;
	/* What it is worth is asked of all types at once: those of one program have their losses in common. */
	r = selection.type ? 0 : sonde_store_count(request->view->store, &summary.query, NULL, sonde_answer_total, &total, &summary.all);
	if (!r)
		r = summary_types(&summary, selection.type);
	sonde_selection_free(&selection);
	return r < 0 ? sonde_request_store_failed(request, r) : 0;
}
