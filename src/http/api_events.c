/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored events. A long answer is made in pieces: each asks the store for the next rows from the cursor, so neither
 * memory nor a transaction grows with the limit.
 */
#include <http/answer.h>
#include <http/request.h>
#include <schema/encode.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
#define PIECE_ROWS 256

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
