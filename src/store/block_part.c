/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block, opened as far as it is needed, and the rows of it that meet the conditions. Invariant: `rows` are in the order of
 * time and arrival unless any order will do, and everything that they say comes from columns whose checksums are right.
 */
#include <store/block_scan.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NO_FIELD UINT8_MAX

void sonde_block_part_trim(struct sonde_block_part *part)
{
	for (uint32_t i = SONDE_COLUMN_PID; i < part->want->type->n_columns; i++)
		if (part->loaded & 1ull << i)
			sonde_block_column_free(&part->columns[i]);
	part->loaded &= 1ull << SONDE_COLUMN_TIME;
}

void sonde_block_part_free(struct sonde_block_part **part)
{
	if (!*part)
		return;
	sonde_block_part_trim(*part);
	sonde_block_column_free(&(*part)->columns[SONDE_COLUMN_TIME]);
	free((*part)->rows);
	free(*part);
	*part = NULL;
}

static int head_load(struct sonde_block_source *source, struct sonde_block_part *part)
{
	uint8_t bytes[SONDE_BLOCK_HEAD_MAX];
	int64_t length = sonde_block_source_open(source, part->ref.id);
	int r, head;

	if (length < SONDE_BLOCK_HEAD_LEAST || length > SONDE_BLOCK_DATA_MAX)
		return length < 0 ? (int)length : -EBADMSG;
	part->length = (size_t)length;
	r = sonde_block_source_read(source, 0, SONDE_BLOCK_HEAD_LEAST, bytes);
	if (r)
		return r;
	head = sonde_block_head_length(bytes);
	if (head < 0)
		return head;
	r = sonde_block_source_read(source, 0, (size_t)head, bytes);
	if (!r)
		r = sonde_block_head_read(bytes, (size_t)head, part->length, &part->head);
	if (r)
		return r;
	return part->head.checksum == part->ref.head && part->head.count == part->ref.count ? 0 : -EBADMSG;
}

/* A block names its columns: it may be of another version of the type. */
static void map_make(struct sonde_block_part *part)
{
	const struct sonde_type *type = part->want->type;

	memset(part->map, NO_FIELD, sizeof(part->map));
	for (uint32_t i = 0; i < type->n_columns; i++)
		for (uint32_t j = 0; j < part->head.n_fields && part->map[i] == NO_FIELD; j++)
			if (!strcasecmp(type->columns[i].name, part->head.fields[j].name))
				part->map[i] = (uint8_t)j;
}

static bool to_load(const struct sonde_block_part *part, uint32_t column)
{
	return !(part->loaded & 1ull << column) && part->map[column] != NO_FIELD && column != SONDE_COLUMN_TYPE;
}

static int field_read(struct sonde_block_source *source, const struct sonde_block_part *part,
		      const struct sonde_block_field *field, uint8_t **ret_stored)
{
	uint8_t *stored CLEANUP_FREE = NULL;
	int64_t length = sonde_block_source_open(source, part->ref.id);
	int r;

	if (length < 0)
		return (int)length;
	stored = malloc(field->stored + 1ul);
	if (!stored)
		return -ENOMEM;
	r = sonde_block_source_read(source, field->offset, field->stored, stored);
	if (!r)
		*ret_stored = TAKE_PTR(stored);
	return r;
}

int sonde_block_part_load(struct sonde_block_source *source, struct sonde_block_part *part, uint32_t column)
{
	const struct sonde_block_field *field;
	uint8_t *stored CLEANUP_FREE = NULL;
	int r;

	if (!to_load(part, column))
		return 0;
	field = &part->head.fields[part->map[column]];
	r = field_read(source, part, field, &stored);
	if (!r)
		r = sonde_block_column_read(field, stored, part->head.count, &part->columns[column]);
	if (!r)
		part->loaded |= 1ull << column;
	return r;
}

/* What is not read yet, by its checksums only: most of it may never be asked for. */
static int check_whole(struct sonde_block_source *source, const struct sonde_block_part *part)
{
	for (uint32_t i = 0; i < part->want->type->n_columns; i++) {
		const struct sonde_block_field *field;
		uint8_t *stored CLEANUP_FREE = NULL;
		int r;

		if (!(part->want->whole_columns & 1ull << i) || !to_load(part, i))
			continue;
		field = &part->head.fields[part->map[i]];
		r = field_read(source, part, field, &stored);
		if (r)
			return r;
		if (!sonde_block_column_check(field, stored))
			return -EBADMSG;
	}
	return 0;
}

int64_t sonde_block_part_time(const struct sonde_block_part *part, uint32_t row)
{
	struct sonde_value value;

	sonde_block_column_value(&part->columns[SONDE_COLUMN_TIME], row, &value);
	return value.i;
}

void sonde_block_part_value(const struct sonde_block_part *part, uint32_t row, uint32_t column, struct sonde_value *ret_value)
{
	const char *name = part->want->type->name;

	if (column == SONDE_COLUMN_TYPE)
		*ret_value = (struct sonde_value){.type = SONDE_TEXT, .text = name, .length = (uint32_t)strlen(name)};
	else if (part->loaded & 1ull << column)
		sonde_block_column_value(&part->columns[column], row, ret_value);
	else
		*ret_value = (struct sonde_value){.type = SONDE_NULL};
}

/* ---- conditions ---- */

/* Keeps the rows for which `keep` of their entry is set. */
static void keep_entries(struct sonde_block_part *part, const uint32_t *ids, const uint8_t *keep)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < part->n; i++) {
		part->rows[n] = part->rows[i];
		n += keep[ids[part->rows[i]]];
	}
	part->n = n;
}

static int select_span(struct sonde_block_part *part)
{
	const struct sonde_block_want *want = part->want;
	uint32_t n = 0;

	for (uint32_t i = 0; i < part->n; i++) {
		uint32_t row = part->rows[i];

		if (sonde_span_holds(&want->span, want->oldest_first, sonde_block_part_time(part, row),
				     (int64_t)(part->ref.first + row)))
			part->rows[n++] = row;
	}
	part->n = n;
	return 0;
}

static bool entry_fits(const struct sonde_block_want *want, uint32_t column, const struct sonde_value *value)
{
	const char *text = column == SONDE_COLUMN_COMMAND ? want->command : want->container;
	bool prefix = column == SONDE_COLUMN_CONTAINER && want->container_prefix;
	size_t length;

	if (column == SONDE_COLUMN_PID)
		return (value->type == SONDE_UINT || value->type == SONDE_INT) && value->i == want->pid;
	length = strlen(text);
	return value->type == SONDE_TEXT && (value->length == length || (prefix && value->length > length)) &&
	       !memcmp(value->text, text, length);
}

static int select_column(struct sonde_block_source *source, struct sonde_block_part *part, uint32_t index)
{
	const struct sonde_block_column *column = &part->columns[index];
	uint8_t *keep CLEANUP_FREE = NULL;
	struct sonde_value value;
	uint32_t n = 0;
	int r = sonde_block_part_load(source, part, index);

	if (r)
		return r;
	if (column->ids) {
		keep = calloc(column->n_entries + 1ul, 1);
		if (!keep)
			return -ENOMEM;
		for (uint32_t i = 0; i < column->n_entries; i++) {
			sonde_block_column_entry(column, i, &value);
			keep[i + 1] = entry_fits(part->want, index, &value);
		}
		keep_entries(part, column->ids, keep);
		return 0;
	}
	for (uint32_t i = 0; column->n && i < part->n; i++) {
		sonde_block_column_value(column, part->rows[i], &value);
		if (entry_fits(part->want, index, &value))
			part->rows[n++] = part->rows[i];
	}
	part->n = n;
	return 0;
}

/* A condition on one column of few different values is decided once for each of these. */
static int select_where_entries(struct sonde_block_part *part, uint32_t index)
{
	const struct sonde_block_column *column = &part->columns[index];
	struct sonde_value values[SONDE_COLUMNS_MAX] = {};
	uint8_t *keep CLEANUP_FREE = calloc(column->n_entries + 1ul, 1);

	if (!keep)
		return -ENOMEM;
	for (uint32_t i = 0; i <= column->n_entries; i++) {
		values[index] = (struct sonde_value){.type = SONDE_NULL};
		if (i)
			sonde_block_column_entry(column, i - 1, &values[index]);
		keep[i] = sonde_filter_match(part->want->where, part->want->type, values);
	}
	keep_entries(part, column->ids, keep);
	return 0;
}

static int select_where(struct sonde_block_source *source, struct sonde_block_part *part)
{
	struct sonde_value values[SONDE_COLUMNS_MAX] = {};
	uint64_t columns = part->want->where_columns;
	uint32_t indexes[SONDE_COLUMNS_MAX], n_indexes = 0, n = 0;

	for (uint32_t i = 0; i < part->want->type->n_columns; i++) {
		int r = columns & 1ull << i ? sonde_block_part_load(source, part, i) : 0;

		if (r)
			return r;
		if (columns & 1ull << i)
			indexes[n_indexes++] = i;
	}
	if (n_indexes == 1 && part->columns[indexes[0]].ids)
		return select_where_entries(part, indexes[0]);
	for (uint32_t i = 0; i < part->n; i++) {
		for (uint32_t j = 0; j < n_indexes; j++)
			sonde_block_part_value(part, part->rows[i], indexes[j], &values[indexes[j]]);
		if (sonde_filter_match(part->want->where, part->want->type, values))
			part->rows[n++] = part->rows[i];
	}
	part->n = n;
	return 0;
}

/* ---- order ---- */

struct place {
	int64_t time_ns;
	uint32_t row;
};

static int place_order(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static bool is_ordered(const struct sonde_block_part *part)
{
	int64_t last = INT64_MIN;

	for (uint32_t i = 0; i < part->n; i++) {
		int64_t time_ns = sonde_block_part_time(part, sonde_block_part_row(part, i));

		if (time_ns < last)
			return false;
		last = time_ns;
	}
	return true;
}

static int rows_all(struct sonde_block_part *part)
{
	if (part->rows)
		return 0;
	part->rows = malloc((part->n + 1) * sizeof(*part->rows));
	for (uint32_t i = 0; part->rows && i < part->n; i++)
		part->rows[i] = i;
	return part->rows ? 0 : -ENOMEM;
}

/* Several CPUs' events come nearly in order of time, not exactly. */
static int order(struct sonde_block_part *part)
{
	struct place *places CLEANUP_FREE = NULL;

	if (is_ordered(part))
		return 0;
	places = malloc(part->n * sizeof(*places));
	if (!places || rows_all(part))
		return -ENOMEM;
	for (uint32_t i = 0; i < part->n; i++)
		places[i] = (struct place){.time_ns = sonde_block_part_time(part, part->rows[i]), .row = part->rows[i]};
	qsort(places, part->n, sizeof(*places), place_order);
	for (uint32_t i = 0; i < part->n; i++)
		part->rows[i] = places[i].row;
	return 0;
}

static int select_rows(struct sonde_block_source *source, struct sonde_block_part *part)
{
	const struct sonde_block_want *want = part->want;
	bool inside = want->span.since_ns <= part->ref.oldest_ns && want->span.until_ns > part->ref.newest_ns &&
		      (!want->span.has_edge || want->span.edge_ns < part->ref.oldest_ns ||
		       want->span.edge_ns > part->ref.newest_ns);
	int r = 0;

	part->n = part->head.count;
	if (!inside || !want->unordered)
		r = sonde_block_part_load(source, part, SONDE_COLUMN_TIME);
	if (!r && (!inside || want->pid >= 0 || want->command || want->container || want->where))
		r = rows_all(part);
	if (!r && !inside)
		r = select_span(part);
	if (!r && want->pid >= 0 && part->n)
		r = select_column(source, part, SONDE_COLUMN_PID);
	if (!r && want->command && part->n)
		r = select_column(source, part, SONDE_COLUMN_COMMAND);
	if (!r && want->container && part->n)
		r = select_column(source, part, SONDE_COLUMN_CONTAINER);
	if (!r && want->where && part->n)
		r = select_where(source, part);
	return !r && !want->unordered ? order(part) : r;
}

int sonde_block_part_open(struct sonde_block_source *source, const struct sonde_block_want *want,
			  const struct sonde_block_ref *ref, struct sonde_block_part **ret_part)
{
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = calloc(1, sizeof(*part));
	int r;

	if (!part)
		return -ENOMEM;
	part->ref = *ref;
	part->want = want;
	r = head_load(source, part);
	if (r)
		return r;
	map_make(part);
	r = select_rows(source, part);
	if (!r && part->n)
		r = check_whole(source, part);
	if (!r)
		*ret_part = TAKE_PTR(part);
	return r;
}
