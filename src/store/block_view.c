/* SPDX-License-Identifier: Apache-2.0 */
/* A scan over the blocks of each type. Invariant: a row is given only if all its columns are whole. */
#include <store/block_view.h>

#include <store/backend.h>
#include <store/gaps.h>
#include <store/tally.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct type_rows {
	struct sonde_rows rows;
	struct sonde_block_view *view;
	struct sonde_block_scan scan;
	uint64_t expected, found; /* events that should be there, and those of the blocks */
	struct sonde_value values[SONDE_COLUMNS_MAX];
};

static int failed(struct sonde_block_view *view, int r)
{
	view->failed = true;
	if (r == -ETIMEDOUT && view->interrupted && *view->interrupted)
		return sonde_store_fail(-ECANCELED, "the agent is stopping");
	if (r == -ETIMEDOUT)
		return sonde_store_fail(r, "the query took longer than %d s; ask for a shorter span of time, or with a condition",
					(int)(SONDE_QUERY_NS / SONDE_NS_PER_S));
	return r;
}

/* A row of which a column turns out damaged is not there. @return 1 the row is whole, 0 it is lost, or an error */
static int row_read(struct type_rows *rows)
{
	for (uint32_t i = 0; i < rows->rows.type->n_columns; i++) {
		int r = sonde_block_scan_value(&rows->scan, i, &rows->values[i]);

		if (r)
			return r < 0 ? r : 0;
	}
	return 1;
}

static int rows_next(struct sonde_rows *base)
{
	struct type_rows *rows = (struct type_rows *)base;
	int r, whole = 0;

	while (!whole) {
		/* The caller's time counts too: an open snapshot keeps what was dropped. */
		r = sonde_block_want_late(&rows->scan.want) ? -ETIMEDOUT : sonde_block_scan_next(&rows->scan);
		if (r <= 0)
			return r ? failed(rows->view, r) : 0;
		whole = row_read(rows);
		if (whole < 0)
			return failed(rows->view, whole);
	}
	rows->rows.key.time_ns = rows->values[SONDE_COLUMN_TIME].i;
	rows->rows.key.sequence = sonde_block_scan_sequence(&rows->scan);
	return 1;
}

int sonde_block_view_add(struct sonde_block_view *view, const struct sonde_type *type, const struct sonde_query *query,
			 const struct sonde_cursor *cursor)
{
	struct type_rows *rows = calloc(1, sizeof(*rows));
	struct sonde_block_want want = {
		.type = type, .oldest_first = query->oldest_first, .pid = query->pid, .command = query->command,
		.container = query->container, .container_prefix = sonde_query_container_prefix(query), .where = query->where,
		.where_columns = query->where ? sonde_filter_columns(query->where, type) : 0,
		.deadline_ns = view->deadline_ns, .interrupted = view->interrupted, .damage = query->damage,
	};

	if (!rows)
		return -ENOMEM;
	rows->rows = (struct sonde_rows){.type = type, .key.type = type->name, .next = rows_next, .values = rows->values};
	rows->view = view;
	sonde_query_span(query, cursor, type->name, &want.span);
	sonde_block_scan_init(&rows->scan, &view->source, &want);
	view->rows[view->n++] = &rows->rows;
	return 0;
}

static struct type_rows *rows_of(const struct sonde_block_view *view, size_t i)
{
	return (struct type_rows *)view->rows[i];
}

static struct type_rows *rows_find(const struct sonde_block_view *view, const char *type)
{
	for (size_t i = 0; i < view->n; i++)
		if (!strcmp(view->rows[i]->type->name, type))
			return rows_of(view, i);
	return NULL;
}

int sonde_block_view_offer(struct sonde_block_view *view, const struct sonde_block_facts *facts)
{
	struct type_rows *rows = rows_find(view, facts->type);

	if (!rows) {
		view->unknown_blocks += view->all_types;
		view->unknown_events += view->all_types ? facts->count : 0;
		return 0;
	}
	rows->found += facts->count;
	return sonde_block_scan_offer(&rows->scan, facts);
}

void sonde_block_view_drop(struct sonde_block_view *view, const char *type, const struct sonde_block_place *place)
{
	struct type_rows *rows = rows_find(view, type);

	if (!rows)
		return;
	rows->found -= place->count;
	sonde_block_scan_drop(&rows->scan, place);
}

void sonde_block_view_expect(struct sonde_block_view *view, const char *type, uint64_t events)
{
	struct type_rows *rows = rows_find(view, type);

	if (rows)
		rows->expected = events;
}

void sonde_block_view_close(struct sonde_block_view *view)
{
	sonde_block_source_close(&view->source);
	for (size_t i = 0; i < view->n; i++) {
		sonde_block_scan_free(&rows_of(view, i)->scan);
		free(view->rows[i]);
	}
	view->n = 0;
}

static void scans_start(struct sonde_block_view *view)
{
	for (size_t i = 0; i < view->n; i++)
		sonde_block_scan_start(&rows_of(view, i)->scan);
}

/* Blocks that are damaged, or gone, as far as this answer met them. */
static void judge_damage(const struct sonde_block_view *view, const struct sonde_damage *damage, struct sonde_answer *answer)
{
	uint64_t lost = view->unknown_events + (damage ? damage->events : 0);
	uint64_t blocks = view->unknown_blocks + (damage ? damage->blocks : 0);

	for (size_t i = 0; i < view->n; i++) {
		const struct type_rows *rows = rows_of(view, i);

		blocks += damage ? 0 : rows->scan.lost_blocks;
		lost += damage ? 0 : rows->scan.lost_events;
		if (rows->expected > rows->found && rows->expected <= INT64_MAX) {
			blocks++;
			lost += rows->expected - rows->found;
		}
	}
	if (blocks)
		sonde_answer_damaged(answer, lost);
}

int sonde_block_view_query(struct sonde_block_view *view, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
			   struct sonde_answer *answer)
{
	int r;

	scans_start(view);
	r = sonde_rows_query(view->rows, view->n, query, fn, userdata, answer);
	if (!r)
		judge_damage(view, query->damage, answer);
	return r;
}

static int count_types(struct sonde_block_view *view, struct sonde_tally *tally)
{
	int r = 0;

	do {
		for (size_t i = 0; i < view->n && r >= 0; i++)
			r = sonde_block_scan_count(&rows_of(view, i)->scan, tally);
		if (!r)
			r = sonde_tally_pass(tally);
	} while (r > 0);
	return r ? failed(view, r) : 0;
}

int sonde_block_view_count(struct sonde_block_view *view, const struct sonde_count_opts *opts, sonde_group_fn fn, void *userdata,
			   struct sonde_answer *answer)
{
	struct sonde_tally tally CLEANUP(sonde_tally_free) = {};
	const struct sonde_type *types[SONDE_TYPES_MAX];
	int r;

	for (size_t i = 0; i < view->n; i++)
		types[i] = view->rows[i]->type;
	scans_start(view);
	r = sonde_tally_begin(&tally, opts, types, view->n);
	if (!r)
		r = count_types(view, &tally);
	if (!r)
		r = sonde_tally_end(&tally, fn, userdata, answer);
	if (r < 0)
		return r;
	judge_damage(view, NULL, answer);
	return 0;
}
