/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of rows, and the snapshot of them that a query walks. Rows come nearly, not exactly, in order of time (several
 * CPUs, several batches): a query orders each segment's entries when it gets there, and merges the few whose times overlap.
 */
#include <store/segments.h>

#include <store/types.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES 32768u

struct entry {
	int64_t time_ns, sequence;
	uint32_t offset, length;
};

static struct entry *segment_entry(const struct sonde_segment *segment, uint32_t i)
{
	return (struct entry *)(segment->data + segment->capacity) - 1 - i;
}

static void segment_unref(struct sonde_segment *segment)
{
	if (atomic_fetch_sub(&segment->references, 1) == 1)
		free(segment);
}

void sonde_segments_free(struct sonde_segments *segments)
{
	for (size_t i = 0; i < segments->n; i++)
		segment_unref(segments->items[i]);
	free(segments->items);
	*segments = (struct sonde_segments){};
}

static struct sonde_segment *segment_new(struct sonde_segments *segments, const struct sonde_type *type, size_t need)
{
	size_t capacity = need > SEGMENT_BYTES ? (need + 7) & ~(size_t)7 : SEGMENT_BYTES;
	struct sonde_segment *segment;

	if (segments->n == segments->capacity) {
		size_t more = segments->capacity ? segments->capacity * 2 : 16;
		struct sonde_segment **items = reallocarray(segments->items, more, sizeof(*items));

		if (!items)
			return NULL;
		segments->items = items;
		segments->capacity = more;
	}
	segment = malloc(sizeof(*segment) + capacity);
	if (!segment)
		return NULL;
	*segment = (struct sonde_segment){.references = 1, .type = type, .oldest_ns = INT64_MAX, .newest_ns = INT64_MIN,
					  .bytes = sizeof(*segment) + capacity, .capacity = capacity};
	segments->items[segments->n++] = segment;
	return segment;
}

static bool segment_takes(const struct sonde_segment *segment, const struct sonde_type *type, size_t need,
			  int64_t time_ns, int64_t max_span_ns)
{
	return segment->type == type && segment->capacity - segment->used - segment->n * sizeof(struct entry) >= need &&
	       (!max_span_ns || (time_ns - segment->oldest_ns <= max_span_ns &&
				 segment->newest_ns - time_ns <= max_span_ns));
}

int64_t sonde_segments_add(struct sonde_segments *segments, const struct sonde_type *type,
			   const struct sonde_pending_row *row, const char *values, int64_t max_span_ns)
{
	struct sonde_segment *segment = segments->n ? segments->items[segments->n - 1] : NULL;
	size_t need = row->length + sizeof(struct entry);
	int64_t allocated = 0;

	if (!segment || !segment_takes(segment, type, need, row->time_ns, max_span_ns)) {
		segment = segment_new(segments, type, need);
		if (!segment)
			return -ENOMEM;
		allocated = (int64_t)segment->bytes;
	}
	memcpy(segment->data + segment->used, values, row->length);
	*segment_entry(segment, segment->n) = (struct entry){.time_ns = row->time_ns, .sequence = row->sequence,
							     .offset = (uint32_t)segment->used, .length = row->length};
	segment->used += row->length;
	segment->n++;
	if (row->time_ns < segment->oldest_ns)
		segment->oldest_ns = row->time_ns;
	if (row->time_ns > segment->newest_ns)
		segment->newest_ns = row->time_ns;
	return allocated;
}

void sonde_segments_drop(struct sonde_segments *segments)
{
	segment_unref(segments->items[0]);
	memmove(segments->items, segments->items + 1, --segments->n * sizeof(*segments->items));
}

/* ---- a snapshot in order ---- */

struct part {
	struct sonde_segment *segment;
	uint32_t n; /* rows as of the snapshot */
	int64_t oldest_ns, newest_ns;
	struct entry *entries; /* in the query's order once it is open */
	uint32_t next;
};

struct snapshot {
	struct sonde_rows rows;
	const struct sonde_query *query;
	struct sonde_span span;
	struct part *parts; /* by their first row in the query's order */
	size_t n, n_open;   /* the open ones: parts[0] to parts[n_open - 1] */
	const struct part *current;
	const struct entry *entry;
	struct sonde_value values[SONDE_COLUMNS_MAX];
	const struct sonde_type *mapped; /* what `map` is for */
	uint8_t map[SONDE_COLUMNS_MAX];
};

static int entry_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int entry_order_newest(const void *a, const void *b)
{
	return entry_order(b, a);
}

static int part_order(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->oldest_ns < y->oldest_ns ? -1 : x->oldest_ns > y->oldest_ns;
}

static int part_order_newest(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->newest_ns > y->newest_ns ? -1 : x->newest_ns < y->newest_ns;
}

static int part_open(struct snapshot *snapshot, struct part *part)
{
	bool oldest_first = snapshot->query->oldest_first;
	uint32_t n = 0;

	part->entries = malloc((part->n + 1) * sizeof(*part->entries));
	if (!part->entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < part->n; i++) {
		const struct entry *entry = segment_entry(part->segment, i);

		if (sonde_span_holds(&snapshot->span, oldest_first, entry->time_ns, entry->sequence))
			part->entries[n++] = *entry;
	}
	part->n = n;
	qsort(part->entries, n, sizeof(*part->entries), oldest_first ? entry_order : entry_order_newest);
	return 0;
}

static void part_close(struct part *part)
{
	if (part->segment)
		segment_unref(part->segment);
	free(part->entries);
	*part = (struct part){};
}

/* Parts that are read to their end make place, so that a long query does not hold on to dropped segments. */
static void snapshot_shrink(struct snapshot *snapshot)
{
	size_t kept = 0;

	for (size_t i = 0; i < snapshot->n_open; i++) {
		if (snapshot->parts[i].next < snapshot->parts[i].n)
			snapshot->parts[kept++] = snapshot->parts[i];
		else
			part_close(&snapshot->parts[i]);
	}
	if (kept == snapshot->n_open)
		return;
	memmove(&snapshot->parts[kept], &snapshot->parts[snapshot->n_open],
		(snapshot->n - snapshot->n_open) * sizeof(*snapshot->parts));
	snapshot->n -= snapshot->n_open - kept;
	snapshot->n_open = kept;
}

static struct part *snapshot_first(struct snapshot *snapshot)
{
	struct part *first = NULL;

	for (size_t i = 0; i < snapshot->n_open; i++) {
		struct part *part = &snapshot->parts[i];
		int order = first ? entry_order(&part->entries[part->next], &first->entries[first->next]) : 0;

		if (!first || (snapshot->query->oldest_first ? order < 0 : order > 0))
			first = part;
	}
	return first;
}

/* An unopened part may hold the next row if its first row is not behind the first of the open ones. */
static int snapshot_open(struct snapshot *snapshot)
{
	int r = 0;

	for (;;) {
		struct part *first, *part;
		int64_t time_ns;

		snapshot_shrink(snapshot);
		first = snapshot_first(snapshot);
		if (snapshot->n_open == snapshot->n)
			return 0;
		part = &snapshot->parts[snapshot->n_open];
		time_ns = first ? first->entries[first->next].time_ns : 0;
		if (first && (snapshot->query->oldest_first ? part->oldest_ns > time_ns : part->newest_ns < time_ns))
			return 0;
		r = part_open(snapshot, part);
		if (r < 0)
			return r;
		snapshot->n_open++;
	}
}

static void snapshot_read(struct snapshot *snapshot)
{
	const struct sonde_type *type = snapshot->current->segment->type, *stored = snapshot->rows.type;
	struct sonde_value row[SONDE_COLUMNS_MAX], *values = snapshot->values;

	if (snapshot->mapped != type) {
		sonde_types_map(type, stored, snapshot->map);
		snapshot->mapped = type;
	}
	sonde_row_values(snapshot->current->segment->data + snapshot->entry->offset, row, type->n_columns);
	memset(values, 0, stored->n_columns * sizeof(*values));
	for (uint32_t i = 0; i < type->n_columns; i++)
		if (snapshot->map[i] != SONDE_COLUMN_NONE)
			values[snapshot->map[i]] = row[i];
	values[SONDE_COLUMN_TIME] = (struct sonde_value){.type = SONDE_INT, .i = snapshot->entry->time_ns};
	values[SONDE_COLUMN_TYPE] = (struct sonde_value){.type = SONDE_TEXT, .text = stored->name,
							 .length = (uint32_t)strlen(stored->name)};
}

static int snapshot_next(struct sonde_rows *rows)
{
	struct snapshot *snapshot = (struct snapshot *)rows;
	struct part *part;
	int r;

	do {
		r = snapshot_open(snapshot);
		if (r < 0)
			return r;
		part = snapshot_first(snapshot);
		if (!part)
			return 0;
		snapshot->current = part;
		snapshot->entry = &part->entries[part->next++];
		snapshot_read(snapshot);
	} while (!sonde_query_match(snapshot->query, snapshot->values));
	rows->key.time_ns = snapshot->entry->time_ns;
	rows->key.sequence = snapshot->entry->sequence;
	return 1;
}

static int snapshot_values(struct sonde_rows *rows, struct sonde_value *values)
{
	const struct snapshot *snapshot = (const struct snapshot *)rows;

	memcpy(values, snapshot->values, rows->type->n_columns * sizeof(*values));
	return 0;
}

int sonde_segments_rows(const struct sonde_segments *segments, const struct sonde_type *type,
			const struct sonde_query *query, const struct sonde_cursor *cursor, struct sonde_rows **ret_rows)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return -ENOMEM;
	snapshot->parts = calloc(segments->n + 1, sizeof(*snapshot->parts));
	if (!snapshot->parts) {
		free(snapshot);
		return -ENOMEM;
	}
	snapshot->query = query;
	sonde_query_span(query, cursor, type->name, &snapshot->span);
	for (size_t i = 0; i < segments->n; i++) {
		struct sonde_segment *segment = segments->items[i];

		if (segment->newest_ns < snapshot->span.since_ns || segment->oldest_ns >= snapshot->span.until_ns)
			continue;
		atomic_fetch_add(&segment->references, 1);
		snapshot->parts[snapshot->n++] = (struct part){.segment = segment, .n = segment->n,
							       .oldest_ns = segment->oldest_ns,
							       .newest_ns = segment->newest_ns};
	}
	qsort(snapshot->parts, snapshot->n, sizeof(*snapshot->parts),
	      query->oldest_first ? part_order : part_order_newest);
	snapshot->rows = (struct sonde_rows){.type = type, .key.type = type->name, .next = snapshot_next,
					     .values = snapshot_values};
	*ret_rows = &snapshot->rows;
	return 0;
}

void sonde_segments_rows_free(struct sonde_rows **rows)
{
	struct snapshot *snapshot = (struct snapshot *)*rows;

	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->n; i++)
		part_close(&snapshot->parts[i]);
	free(snapshot->parts);
	free(snapshot);
	*rows = NULL;
}
