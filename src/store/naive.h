/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file naive.h
 * For tests: every answer of a store is what a walk over all events gives. The walk shares nothing with the back ends but the
 * filter's match.
 */

#include <store/store_test.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct naive_event {
	struct sonde_event event;
	uint64_t arrival; /* among the events of its type */
};

struct naive {
	struct sonde_store *store;
	const struct sonde_names *names;
	struct naive_event *events;
	size_t n;
	unsigned seed;
};

static inline unsigned naive_pick(struct naive *naive, unsigned n)
{
	return (unsigned)rand_r(&naive->seed) % n;
}

/* ---- the naive walk ---- */

static const struct naive *naive_sorted;
static bool naive_oldest_first;

static inline int naive_order(const void *a, const void *b)
{
	const struct naive_event *x = &naive_sorted->events[*(const uint32_t *)a], *y = &naive_sorted->events[*(const uint32_t *)b];
	int order = x->event.time_ns < y->event.time_ns ? -1 : x->event.time_ns > y->event.time_ns;

	if (!order)
		order = x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
	if (!order)
		order = strcmp(x->event.type->name, y->event.type->name);
	return naive_oldest_first ? order : -order;
}

static inline bool naive_container_fits(const struct sonde_query *query, const char *container)
{
	size_t length = strlen(query->container);

	return container && (!strcmp(container, query->container) || (length >= 12 && !strncmp(container, query->container, length)));
}

static inline bool naive_fits(const struct naive *naive, const struct sonde_query *query, const struct sonde_event *event,
			      struct sonde_value *values)
{
	const struct sonde_header *header = event->record;
	bool unknown = header->flags & SONDE_PROCESS_UNKNOWN;

	sonde_event_values(event, naive->names, values);
	if ((query->type && strcmp(query->type, event->type->name)) || event->time_ns < query->since_ns ||
	    event->time_ns >= query->until_ns)
		return false;
	if (query->pid >= 0 && (unknown || header->pid != query->pid))
		return false;
	if (query->command && (unknown || strncmp(header->command, query->command, sizeof(header->command))))
		return false;
	if (query->container && !naive_container_fits(query, event->container))
		return false;
	return !query->where || sonde_filter_match(query->where, event->type, values);
}

/* The rows as text, in order; of a memory store only the set matters at one moment, so times stand first. */
static inline char *naive_rows(const struct naive *naive, const struct sonde_query *query, uint64_t *ret_rows, uint64_t *ret_weight)
{
	uint32_t *order CLEANUP_FREE = calloc(naive->n, sizeof(*order));
	struct sonde_value values[SONDE_COLUMNS_MAX];
	struct sonde_buffer out = SONDE_BUFFER_INIT;

	for (uint32_t i = 0; i < naive->n; i++)
		order[i] = i;
	naive_sorted = naive;
	naive_oldest_first = query->oldest_first;
	qsort(order, naive->n, sizeof(*order), naive_order);
	*ret_rows = *ret_weight = 0;
	for (size_t i = 0; i < naive->n; i++) {
		const struct sonde_event *event = &naive->events[order[i]].event;

		if (!naive_fits(naive, query, event, values))
			continue;
		test_row_text(event->type, values, &out);
		(*ret_rows)++;
		*ret_weight += event->record->weight;
	}
	return out.data ?: strdup("");
}

/* ---- compare ---- */

static inline void naive_check_rows(struct naive *naive, const struct sonde_query *query, const char *text, const char *expected)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_query page = *query;
	struct sonde_answer answer = {.more = true};
	char cursor[SONDE_CURSOR_MAX];

	page.limit = naive_pick(naive, 2) ? 0 : 1 + naive_pick(naive, 400);
	while (answer.more) {
		assert_int_equal(sonde_store_query(naive->store, &page, test_collect, &out, &answer), 0);
		assert_int_equal(answer.lost, 0);
		memcpy(cursor, answer.cursor, sizeof(cursor));
		page.cursor = cursor;
	}
	if (strcmp(out.data ?: "", expected))
		fail_msg("other rows for: type %s pid %" PRId64 " command %s container %s where %s, %s first, %u a page",
			 query->type ?: "*", query->pid, query->command ?: "*", query->container ?: "*", text,
			 query->oldest_first ? "oldest" : "newest", page.limit);
}

struct naive_answer {
	unsigned n_by;
	struct sonde_buffer text;
};

/* Of a group its values, then the number of its events and the sum. */
static inline int naive_add_group(const struct sonde_group *group, void *userdata)
{
	struct naive_answer *out = userdata;

	for (unsigned i = 0; group->values && i < out->n_by; i++)
		test_value_text(&group->values[i], &out->text);
	sonde_buffer_printf(&out->text, "=%" PRIu64 " %" PRId64 "\n", group->count, group->sum);
	return 0;
}

static inline int naive_line_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void naive_sort_lines(struct sonde_buffer *text)
{
	struct sonde_buffer out = SONDE_BUFFER_INIT;
	char **lines CLEANUP_FREE = calloc(text->length + 1, sizeof(*lines)), *save = NULL;
	size_t n = 0;

	if (!text->length)
		return;
	for (char *line = strtok_r(text->data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), naive_line_order);
	for (size_t i = 0; i < n; i++)
		sonde_buffer_printf(&out, "%s\n", lines[i]);
	sonde_buffer_free(text);
	*text = out;
}

struct naive_group {
	char *value;
	uint64_t weight;
	__int128 sum;
};

static inline int64_t naive_limited(__int128 sum)
{
	return sum > INT64_MAX ? INT64_MAX : sum < INT64_MIN ? INT64_MIN : (int64_t)sum;
}

/* What an event's group is called. */
static inline char *naive_group_value(const struct sonde_type *type, const struct sonde_value *values,
				      const struct sonde_count_opts *opts, unsigned n_by)
{
	struct sonde_buffer text = SONDE_BUFFER_INIT;

	for (unsigned i = 0; i < n_by; i++) {
		int column = sonde_type_find_column(type, opts->by[i]);

		test_value_text(column < 0 ? &(struct sonde_value){.type = SONDE_NULL} : &values[column], &text);
	}
	return text.data ?: strdup("");
}

static inline void naive_groups(const struct naive *naive, const struct sonde_query *query, const struct sonde_count_opts *opts,
				struct naive_answer *out)
{
	struct naive_group *groups CLEANUP_FREE = calloc(naive->n + 1, sizeof(*groups));
	struct sonde_value values[SONDE_COLUMNS_MAX];
	size_t n = 0;

	if (!out->n_by) /* without groups there is a number also of nothing */
		groups[n++].value = strdup("");
	for (size_t i = 0; i < naive->n; i++) {
		const struct sonde_event *event = &naive->events[i].event;
		int sum = opts->sum ? sonde_type_find_column(event->type, opts->sum) : -1;
		char *value CLEANUP_FREE = NULL;
		size_t j = 0;

		if (!naive_fits(naive, query, event, values))
			continue;
		value = naive_group_value(event->type, values, opts, out->n_by);
		while (j < n && strcmp(groups[j].value, value))
			j++;
		if (j == n)
			groups[n++].value = TAKE_PTR(value);
		groups[j].weight += event->record->weight;
		if (sum >= 0 && values[sum].type != SONDE_NULL)
			groups[j].sum += (__int128)values[sum].i * event->record->weight;
	}
	for (size_t i = 0; i < n; i++) {
		sonde_buffer_printf(&out->text, "%s=%" PRIu64 " %" PRId64 "\n", groups[i].value, groups[i].weight,
				    naive_limited(groups[i].sum));
		free(groups[i].value);
	}
}

static inline void naive_check_groups(struct naive *naive, const struct sonde_query *query, const char *text,
				      const struct sonde_count_opts *opts)
{
	struct naive_answer got = {.text = SONDE_BUFFER_INIT}, expected = {.text = SONDE_BUFFER_INIT};
	struct sonde_answer answer;
	int r;

	while (got.n_by < SONDE_COUNT_BY_MAX && opts->by[got.n_by])
		got.n_by++;
	expected.n_by = got.n_by;
	r = sonde_store_count(naive->store, query, opts, naive_add_group, &got, &answer);
	if (r == -ENOENT && query->type) /* this type has no such column */
		return;
	assert_int_equal(r, 0);
	naive_groups(naive, query, opts, &expected);
	naive_sort_lines(&got.text);
	naive_sort_lines(&expected.text);
	if (strcmp(got.text.data ?: "", expected.text.data ?: ""))
		fail_msg("other groups by %s,%s,%s, sum of %s, where %s:\n%s\nnot\n%s", opts->by[0] ?: "", opts->by[1] ?: "",
			 opts->by[2] ?: "", opts->sum ?: "", text, got.text.data ?: "", expected.text.data ?: "");
	sonde_buffer_free(&got.text);
	sonde_buffer_free(&expected.text);
}

static inline void naive_check_counts(struct naive *naive, const struct sonde_query *query, const char *text, uint64_t rows,
				      uint64_t weight)
{
	struct naive_answer got = {.text = SONDE_BUFFER_INIT};
	struct sonde_answer answer;
	char sum[40];

	assert_int_equal(sonde_store_count(naive->store, query, NULL, naive_add_group, &got, &answer), 0);
	snprintf(sum, sizeof(sum), "=%" PRIu64 " 0\n", weight);
	if (strcmp(got.text.data, sum) || answer.rows != rows)
		fail_msg("count %s not %s, %" PRIu64 " rows not %" PRIu64 ": where %s", got.text.data, sum, answer.rows, rows, text);
	sonde_buffer_free(&got.text);
}

/** Ask for rows, their number, and groups. @param where The text of query->where, for messages. */
static inline void naive_ask(struct naive *naive, const struct sonde_query *query, const char *where,
			     const struct sonde_count_opts *opts)
{
	uint64_t rows, weight;
	char *expected CLEANUP_FREE = naive_rows(naive, query, &rows, &weight);

	naive_check_rows(naive, query, where, expected);
	naive_check_counts(naive, query, where, rows, weight);
	naive_check_groups(naive, query, where, opts);
}
