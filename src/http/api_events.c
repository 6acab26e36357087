/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about stored events: the events, their number, a summary. A long answer is made in pieces: each asks the
 * store for the next rows from the cursor, so neither memory nor a transaction grows with the limit.
 */
#include <http/answer.h>
#include <http/request.h>
#include <schema/encode.h>

#include <base/clock.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
#define PIECE_ROWS 256
#define GROUPS_DEFAULT 1000
#define SUMMARY_NS (300 * SONDE_NS_PER_S)
#define SUMMARY_TOP 10

void sonde_answer_merge(struct sonde_answer *all, const struct sonde_answer *answer)
{
	all->rows += answer->rows;
	all->more = answer->more;
	memcpy(all->cursor, answer->cursor, sizeof(all->cursor));
	all->complete &= answer->complete;
	/* Each piece tells of the whole span that was asked for. */
	if (answer->lost > all->lost)
		all->lost = answer->lost;
	if (answer->reason[0])
		memcpy(all->reason, answer->reason, sizeof(all->reason));
}

void sonde_answer_json(const struct sonde_answer *answer, bool paged, struct sonde_buffer *out)
{
	sonde_json_bool(out, "complete", answer->complete);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "lost", answer->lost);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "reason", answer->reason);
	if (paged) {
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "next", answer->more ? answer->cursor : NULL);
	}
}

struct events {
	struct sonde_request *request;
	struct sonde_selection selection;
	uint64_t limit;
	char cursor[SONDE_CURSOR_MAX];
	bool lines;
	struct sonde_answer answer;
};

static void events_free(void *state)
{
	struct events *events = state;

	sonde_selection_free(&events->selection);
	free(events);
}

static int events_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct events *events = userdata;
	struct sonde_buffer *out = &events->request->out;

	if (events->request->http->cancelled)
		return -ECANCELED;
	if (!events->lines && events->answer.rows++)
		sonde_buffer_add_char(out, ',');
	sonde_encode_json(type, values, out);
	if (events->lines)
		sonde_buffer_add_char(out, '\n');
	return sonde_buffer_error(out);
}

static void events_end(struct events *events)
{
	struct sonde_buffer *out = &events->request->out;

	sonde_buffer_add_text(out, events->lines ? "{\"answer\":{" : "],");
	sonde_json_u64(out, "count", events->answer.rows);
	sonde_buffer_add_char(out, ',');
	sonde_answer_json(&events->answer, true, out);
	sonde_buffer_add_char(out, ',');
	sonde_json_bool(out, "more", events->answer.more);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "cursor", events->answer.more ? events->answer.cursor : "");
	sonde_buffer_add_text(out, events->lines ? "}}\n" : "}\n");
	events->request->last = true;
}

static int events_piece(struct sonde_request *request)
{
	struct events *events = request->state;
	struct sonde_query *query = &events->selection.query;
	struct sonde_answer piece;
	uint64_t left, rows;
	int r;

	do {
		left = events->limit - events->answer.rows;
		rows = events->answer.rows;
		piece = (struct sonde_answer){0};
		query->limit = (uint32_t)(left < PIECE_ROWS ? left : PIECE_ROWS);
		r = sonde_store_query(request->view->store, query, events_row, events, &piece);
		if (r < 0)
			return r;
		events->answer.rows = rows;
		sonde_answer_merge(&events->answer, &piece);
		memcpy(events->cursor, piece.cursor, sizeof(events->cursor));
		query->cursor = events->cursor;
	} while (piece.more && piece.rows && events->answer.rows < events->limit && request->out.length < SONDE_PIECE_BYTES);
	if (!piece.more || !piece.rows || events->answer.rows >= events->limit)
		events_end(events);
	return 0;
}

static int events_new(struct sonde_request *request, struct events **ret_events)
{
	static const char *const orders[] = {"newest", "oldest", NULL}, *const formats[] = {"json", "ndjson", NULL};
	const char *cursor = sonde_param(request, "cursor");
	struct events *events;
	unsigned order, format;
	uint64_t limit;

	if (sonde_param_u64(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) ||
	    sonde_param_word(request, "order", orders, &order) || sonde_param_word(request, "format", formats, &format))
		return 1;
	if (cursor && (!*cursor || strlen(cursor) >= SONDE_CURSOR_MAX))
		return !sonde_request_bad(request, "cursor", "not a cursor of an earlier answer (its \"next\")");
	events = calloc(1, sizeof(*events));
	if (!events)
		return -ENOMEM;
	if (sonde_selection_read(request, INT64_MIN, &events->selection)) {
		free(events);
		return 1;
	}
	events->request = request;
	events->limit = limit;
	events->lines = format == 1;
	events->selection.query.oldest_first = order == 1;
	events->selection.query.cursor = cursor;
	events->answer.complete = true;
	*ret_events = events;
	return 0;
}

int sonde_api_events(struct sonde_request *request)
{
	struct events *events = NULL;
	int r = events_new(request, &events);

	if (r)
		return r < 0 ? r : 0;
	request->state = events;
	request->free_state = events_free;
	request->content_type = events->lines ? "application/x-ndjson" : "application/json";
	if (!events->lines)
		sonde_buffer_add_text(&request->out, "{\"events\":[");
	request->more = events_piece;
	r = events_piece(request);
	if (r == -EINVAL && events->selection.query.cursor)
		return sonde_request_bad(request, "cursor", "not a cursor of an earlier answer (its \"next\")");
	return r < 0 ? sonde_request_store_failed(request, r) : 0;
}

const struct sonde_column *sonde_column_find(const struct sonde_view *view, const struct sonde_type *type, const char *name)
{
	const struct sonde_type *types[256];
	size_t n = type ? 1 : sonde_types(view, types, 256);
	int column;

	if (type)
		types[0] = type;
	for (size_t i = 0; i < n; i++) {
		column = sonde_type_find_column(types[i], name);
		if (column >= 0)
			return &types[i]->columns[column];
	}
	return NULL;
}

struct groups {
	struct sonde_request *request;
	const struct sonde_column *column;
	uint64_t limit, n, total;
	bool known; /* at least one value is not null */
};

static int groups_row(const struct sonde_value *group, uint64_t count, void *userdata)
{
	struct groups *groups = userdata;
	struct sonde_buffer *out = &groups->request->out;

	if (groups->request->http->cancelled)
		return -ECANCELED;
	groups->total += count;
	groups->known |= group->type != SONDE_NULL;
	if (groups->n >= groups->limit) {
		groups->n++;
		return 0;
	}
	sonde_buffer_add_text(out, groups->n++ ? ",{\"value\":" : "{\"value\":");
	sonde_encode_json_value(groups->column, group, out);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "count", count);
	sonde_buffer_add_char(out, '}');
	return sonde_buffer_error(out);
}

static int total_row(const struct sonde_value *group, uint64_t count, void *userdata)
{
	*(uint64_t *)userdata += count;
	return 0;
}

/* `"groups":[...],"more_groups":n,"count":total` */
static int count_groups(struct sonde_request *request, const struct sonde_query *query, struct groups *groups,
			struct sonde_answer *ret_answer)
{
	struct sonde_buffer *out = &request->out;
	int r;

	sonde_buffer_add_text(out, "{\"groups\":[");
	r = sonde_store_count(request->view->store, query, groups->column->name, groups_row, groups, ret_answer);
	sonde_buffer_add_text(out, "],");
	sonde_json_u64(out, "more_groups", groups->n > groups->limit ? groups->n - groups->limit : 0);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "count", groups->total);
	return r;
}

static int count_selected(struct sonde_request *request, const struct sonde_selection *selection, const char *group_by,
			  uint64_t limit)
{
	struct groups groups = {.request = request, .limit = limit};
	struct sonde_answer answer = {0};
	int r;

	if (group_by) {
		groups.column = sonde_column_find(request->view, selection->type, group_by);
		if (!groups.column)
			return sonde_request_bad(request, "group_by", "no such column%s%s; /api/v1/schema lists them",
						 selection->type ? " in type " : "",
						 selection->type ? selection->type->name : "");
		r = count_groups(request, &selection->query, &groups, &answer);
	} else {
		r = sonde_store_count(request->view->store, &selection->query, NULL, total_row, &groups.total, &answer);
		sonde_buffer_add_char(&request->out, '{');
		sonde_json_u64(&request->out, "count", groups.total);
	}
	if (r == -E2BIG)
		return sonde_request_bad(request, "group_by", "too many different values; narrow the selection");
	if (r < 0)
		return sonde_request_store_failed(request, r);
	sonde_buffer_add_char(&request->out, ',');
	sonde_answer_json(&answer, false, &request->out);
	sonde_buffer_add_text(&request->out, "}\n");
	return 0;
}

int sonde_api_count(struct sonde_request *request)
{
	const char *group_by = sonde_param(request, "group_by");
	struct sonde_selection selection;
	uint64_t limit;
	int r;

	if (sonde_param_u64(request, "limit", 1, LIMIT_MAX, GROUPS_DEFAULT, &limit))
		return 0;
	if (!group_by && sonde_param(request, "limit"))
		return sonde_request_bad(request, "limit", "limits the groups: give group_by too");
	if (sonde_selection_read(request, INT64_MIN, &selection))
		return 0;
	r = count_selected(request, &selection, group_by, limit);
	sonde_selection_free(&selection);
	return r;
}

/* Columns whose values are few and speak for themselves. */
static bool column_summed(const struct sonde_column *column, size_t number)
{
	if (number == SONDE_COLUMN_COMMAND || number == SONDE_COLUMN_CONTAINER)
		return true;
	return number >= SONDE_COLUMN_COMMON_MAX &&
	       (column->semantic == SONDE_SEMANTIC_ENUM || column->semantic == SONDE_SEMANTIC_KERNEL_ENUM ||
		column->semantic == SONDE_SEMANTIC_ERRNO_NAME || column->semantic == SONDE_SEMANTIC_PROTOCOL);
}

static int summary_type(struct sonde_request *request, struct sonde_query *query, const struct sonde_type *type,
			struct sonde_answer *all)
{
	struct sonde_buffer *out = &request->out;
	struct sonde_answer answer = {0};
	uint64_t total = 0;
	bool first = true;
	int r;

	query->type = type->name;
	r = sonde_store_count(request->view->store, query, NULL, total_row, &total, &answer);
	if (r < 0)
		return r;
	sonde_answer_merge(all, &answer);
	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "type", type->name);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "count", total);
	sonde_buffer_add_text(out, ",\"top\":{");
	for (uint32_t i = 0; total && i < type->n_columns; i++) {
		struct groups groups = {.request = request, .column = &type->columns[i], .limit = SUMMARY_TOP};

		size_t before = out->length;

		if (!column_summed(groups.column, i))
			continue;
		sonde_buffer_printf(out, "%s\"%s\":[", first ? "" : ",", groups.column->name);
		r = sonde_store_count(request->view->store, query, groups.column->name, groups_row, &groups, &answer);
		if (r < 0)
			return r;
		sonde_buffer_add_char(out, ']');
		if (groups.known)
			first = false;
		else
			out->length = before; /* nothing but null says nothing */
	}
	sonde_buffer_add_text(out, "}}");
	return 0;
}

static int summary(struct sonde_request *request, struct sonde_selection *selection)
{
	struct sonde_answer all = {.complete = true};
	const struct sonde_type *types[256];
	struct sonde_buffer *out = &request->out;
	size_t n = selection->type ? 1 : sonde_types(request->view, types, 256);
	int r;

	if (selection->type)
		types[0] = selection->type;
	if (selection->query.until_ns == INT64_MAX) /* so that all counts are of the same window */
		selection->query.until_ns = sonde_clock_wall_ns();
	sonde_buffer_add_char(out, '{');
	sonde_json_i64(out, "since_ns", selection->query.since_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "until_ns", selection->query.until_ns);
	sonde_buffer_add_text(out, ",\"types\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		r = summary_type(request, &selection->query, types[i], &all);
		if (r < 0)
			return r;
	}
	sonde_buffer_add_text(out, "],");
	sonde_answer_json(&all, false, out);
	sonde_buffer_add_text(out, "}\n");
	return 0;
}

int sonde_api_summary(struct sonde_request *request)
{
	struct sonde_selection selection;
	int r;

	if (sonde_selection_read(request, SUMMARY_NS, &selection))
		return 0;
	r = summary(request, &selection);
	sonde_selection_free(&selection);
	return r < 0 ? sonde_request_store_failed(request, r) : 0;
}
