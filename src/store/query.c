/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges the sources of a query. Invariant: every source stands at its next row of the query's order, so the first of them
 * is the next row of the answer.
 */
#include <store/query.h>

#include <store/backend.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINER_PREFIX_MIN 12

static int number_parse(const char **text, int64_t *ret_number)
{
	char *end;

	if (**text != '-' && (**text < '0' || **text > '9'))
		return -EINVAL;
	errno = 0;
	*ret_number = strtoll(*text, &end, 10);
	if (errno || *end != '.')
		return -EINVAL;
	*text = end + 1;
	return 0;
}

/* "n.TIME.SEQUENCE.TYPE", "o" for oldest first: a cursor of the other direction would skip rows in silence. */
int sonde_cursor_parse(const struct sonde_query *query, struct sonde_cursor *ret_cursor)
{
	struct sonde_cursor cursor = {.set = true};
	const char *text = query->cursor;

	if (!text) {
		*ret_cursor = (struct sonde_cursor){};
		return 0;
	}
	if (text[0] != (query->oldest_first ? 'o' : 'n') || text[1] != '.')
		return sonde_store_fail(-EINVAL, "not a cursor of this query");
	text += 2;
	if (number_parse(&text, &cursor.time_ns) || number_parse(&text, &cursor.sequence) || !*text ||
	    strlen(text) >= sizeof(cursor.type))
		return sonde_store_fail(-EINVAL, "not a cursor of this query");
	strcpy(cursor.type, text);
	*ret_cursor = cursor;
	return 0;
}

static void cursor_write(const struct sonde_query *query, const struct sonde_key *key, char *out, size_t size)
{
	snprintf(out, size, "%c.%" PRId64 ".%" PRId64 ".%s", query->oldest_first ? 'o' : 'n', key->time_ns, key->sequence,
		 key->type);
}

void sonde_query_span(const struct sonde_query *query, const struct sonde_cursor *cursor, const char *type,
		      struct sonde_span *ret_span)
{
	struct sonde_span span = {.since_ns = query->since_ns, .until_ns = query->until_ns};
	int order;

	if (cursor->set) {
		order = strcmp(type, cursor->type);
		span.has_edge = true;
		span.edge_ns = cursor->time_ns;
		span.edge_sequence = cursor->sequence;
		span.edge_included = query->oldest_first ? order > 0 : order < 0;
		if (query->oldest_first && span.since_ns < cursor->time_ns)
			span.since_ns = cursor->time_ns;
		if (!query->oldest_first && cursor->time_ns != INT64_MAX && span.until_ns > cursor->time_ns + 1)
			span.until_ns = cursor->time_ns + 1;
	}
	*ret_span = span;
}

bool sonde_query_container_prefix(const struct sonde_query *query)
{
	return query->container && strlen(query->container) >= CONTAINER_PREFIX_MIN;
}

static bool text_matches(const struct sonde_value *value, const char *text, bool prefix)
{
	size_t length = strlen(text);

	return value->type == SONDE_TEXT && (value->length == length || (prefix && value->length > length)) &&
	       !memcmp(value->text, text, length);
}

bool sonde_query_match(const struct sonde_query *query, const struct sonde_value *values)
{
	const struct sonde_value *pid = &values[SONDE_COLUMN_PID];

	if (query->pid >= 0 && !((pid->type == SONDE_UINT || pid->type == SONDE_INT) && pid->i == query->pid))
		return false;
	if (query->command && !text_matches(&values[SONDE_COLUMN_COMMAND], query->command, false))
		return false;
	return !query->container || text_matches(&values[SONDE_COLUMN_CONTAINER], query->container,
						 sonde_query_container_prefix(query));
}

static int key_order(const struct sonde_key *a, const struct sonde_key *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (a->sequence != b->sequence)
		return a->sequence < b->sequence ? -1 : 1;
	return strcmp(a->type, b->type);
}

static int source_advance(struct sonde_rows *source)
{
	int r = source->next(source);

	source->at_row = r > 0;
	return r < 0 ? r : 0;
}

/* The first of all sources, or NULL at the end. Types are few: a look at each is cheaper than a heap. */
static struct sonde_rows *sources_first(struct sonde_rows **sources, size_t n, bool oldest_first)
{
	struct sonde_rows *first = NULL;

	for (size_t i = 0; i < n; i++) {
		int order;

		if (!sources[i]->at_row)
			continue;
		order = first ? key_order(&sources[i]->key, &first->key) : 0;
		if (!first || (oldest_first ? order < 0 : order > 0))
			first = sources[i];
	}
	return first;
}

int sonde_rows_query(struct sonde_rows **sources, size_t n, const struct sonde_query *query, sonde_row_fn fn,
			void *userdata, struct sonde_answer *answer)
{
	struct sonde_rows *source;
	int r, stop = 0;

	answer->rows = 0;
	answer->more = false;
	answer->cursor[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		r = source_advance(sources[i]);
		if (r < 0)
			return r;
	}
	for (;;) {
		source = sources_first(sources, n, query->oldest_first);
		if (!source)
			return 0;
		/* One row is looked at beyond the end: `more` promises that there is one. */
		if (stop || (query->limit && answer->rows == query->limit)) {
			answer->more = true;
			return 0;
		}
		stop = fn(source->type, source->values, userdata);
		if (stop < 0)
			return stop;
		answer->rows++;
		cursor_write(query, &source->key, answer->cursor, sizeof(answer->cursor));
		r = source_advance(source);
		if (r < 0)
			return r;
	}
}
