/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in memory: the decoded columns of the blocks, and behind them one small item for each row, in the order of hash, time and
 * arrival. Invariant: a row that is equal to what is asked for is found; others may be, as hashes go, and SQLite checks all again.
 */
#include <store/vtab.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t taken; /* by all rows of the process */

struct item {
	uint64_t hash;
	int64_t time_ns; /* 0: nobody asks */
	uint32_t part, row;
};

struct sonde_vtab_rows {
	unsigned references;
	size_t bytes;
	struct sonde_block_want want; /* the parts borrow it: only its type is looked at later */
	struct sonde_block_part **parts;
	size_t n_parts;
	struct item *items;
	size_t n, capacity;
};

/* ---- hashes ---- */

static uint64_t hash_join(uint64_t hash, uint64_t value)
{
	return (hash * 0x9e3779b97f4a7c15ull ^ value) ?: 1;
}

static bool is_number(const struct sonde_column *column)
{
	return column->type == SONDE_INT || column->type == SONDE_UINT || column->type == SONDE_BOOL;
}

int sonde_vtab_key_of(sqlite3_value *value, const struct sonde_column *column, uint64_t *hash)
{
	int type = sqlite3_value_type(value);
	uint64_t own;

	if (type == SQLITE_NULL)
		return 1;
	if (is_number(column) && type == SQLITE_INTEGER) {
		own = sonde_block_hash_number((uint64_t)sqlite3_value_int64(value));
	} else if (!is_number(column) && type == SQLITE_TEXT) {
		const char *text = (const char *)sqlite3_value_text(value);

		own = sonde_block_hash(text ?: "", (size_t)sqlite3_value_bytes(value));
	} else {
		return -EINVAL; /* perhaps after a conversion */
	}
	*hash = hash_join(*hash, own);
	return 0;
}

/* The same of a value in a block; 0: it is equal to nothing that sonde_vtab_key_of() takes. */
static int value_hash(const struct sonde_value *value, const struct sonde_column *column, uint64_t *ret_hash)
{
	char text[SONDE_VTAB_ADDRESS_TEXT];

	*ret_hash = 0;
	if (value->type == SONDE_NULL)
		return 0;
	if (is_number(column)) {
		if (value->type == SONDE_UINT && value->u > INT64_MAX)
			return 0; /* a text in SQL */
		if (value->type == SONDE_BOOL)
			*ret_hash = sonde_block_hash_number(value->b);
		else if (value->type == SONDE_UINT || value->type == SONDE_INT)
			*ret_hash = sonde_block_hash_number(value->u);
	} else if (value->type == SONDE_TEXT) {
		*ret_hash = sonde_block_hash(value->text, value->length);
	} else if (value->type == SONDE_ADDRESS) {
		sonde_vtab_address_text(value->address, text);
		*ret_hash = sonde_block_hash(text, strlen(text));
	}
	return *ret_hash ? 0 : -EDOM;
}

/* Into hashes of rows: 0 is that of a row that nothing is equal to. */
static int join_entries(const struct sonde_block_part *part, uint32_t index, uint64_t *hashes)
{
	const struct sonde_block_column *column = &part->columns[index];
	uint64_t *of_entry CLEANUP_FREE = calloc(column->n_entries + 1ul, sizeof(*of_entry));
	struct sonde_value value;
	int r = of_entry ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < column->n_entries && !r; i++) {
		sonde_block_column_entry(column, i, &value);
		r = value_hash(&value, &part->want->type->columns[index], &of_entry[i + 1]);
	}
	for (uint32_t i = 0; i < part->n && !r; i++) {
		uint64_t own = of_entry[column->ids[sonde_block_part_row(part, i)]];

		hashes[i] = own && hashes[i] ? hash_join(hashes[i], own) : 0;
	}
	return r;
}

static int join_values(const struct sonde_block_part *part, uint32_t index, uint64_t *hashes)
{
	struct sonde_value value;
	uint64_t own;
	int r = 0;

	for (uint32_t i = 0; i < part->n && !r; i++) {
		sonde_block_part_value(part, sonde_block_part_row(part, i), index, &value);
		r = value_hash(&value, &part->want->type->columns[index], &own);
		hashes[i] = own && hashes[i] ? hash_join(hashes[i], own) : 0;
	}
	return r;
}

static int part_hashes(const struct sonde_block_part *part, const struct sonde_vtab_row_keys *keys, uint64_t *hashes)
{
	int r = 0;

	for (uint32_t i = 0; i < part->n; i++)
		hashes[i] = SONDE_VTAB_KEY_START;
	for (unsigned k = 0; k < keys->n && !r; k++)
		r = part->columns[keys->columns[k]].ids ? join_entries(part, keys->columns[k], hashes) :
							  join_values(part, keys->columns[k], hashes);
	return r;
}

/* ---- make ---- */

static bool take(struct sonde_vtab_rows *rows, size_t bytes)
{
	rows->bytes += bytes;
	return atomic_fetch_add(&taken, bytes) + bytes <= SONDE_VTAB_ROWS_BYTES;
}

static size_t column_bytes(const struct sonde_block_column *column)
{
	size_t bytes = column->n * (column->ids ? sizeof(*column->ids) : sizeof(*column->numbers)) + (column->nulls ? column->n / 8 : 0);

	if (column->few)
		bytes += column->n_entries * sizeof(*column->few);
	if (column->offsets)
		bytes += column->n_entries * sizeof(*column->offsets) + column->offsets[column->n_entries];
	return bytes;
}

static int load_columns(struct sonde_block_source *source, struct sonde_block_part *part, uint64_t columns, struct sonde_vtab_rows *rows)
{
	int r = 0;

	for (uint32_t i = 0; i < part->want->type->n_columns && !r; i++) {
		if (columns & 1ull << i)
			r = sonde_block_part_load(source, part, i);
		if (!r && !take(rows, column_bytes(&part->columns[i])))
			r = -ENOSPC;
	}
	return r;
}

static int items_add(struct sonde_vtab_rows *rows, const struct sonde_block_part *part, const struct sonde_vtab_row_keys *keys, bool by_time)
{
	uint64_t *hashes CLEANUP_FREE = malloc((part->n + 1) * sizeof(*hashes));
	size_t capacity = rows->n + part->n > rows->capacity ? 2 * rows->n + part->n : rows->capacity;
	struct item *items;
	int r;

	/* sorting takes as much again */
	if (capacity > rows->capacity && !take(rows, 2 * (capacity - rows->capacity) * sizeof(*items)))
		return -ENOSPC;
	items = capacity > rows->capacity ? reallocarray(rows->items, capacity, sizeof(*items)) : rows->items;
	if (!items || !hashes)
		return -ENOMEM;
	rows->items = items;
	rows->capacity = capacity;
	r = part_hashes(part, keys, hashes);
	if (r)
		return r;
	for (uint32_t i = 0; i < part->n; i++) {
		uint32_t row = sonde_block_part_row(part, i);

		if (hashes[i])
			items[rows->n++] = (struct item){.hash = hashes[i], .time_ns = by_time ? sonde_block_part_time(part, row) : 0,
							 .part = (uint32_t)rows->n_parts, .row = row};
	}
	return 0;
}

static int part_take(struct sonde_vtab_rows *rows, struct sonde_block_scan *scan, const struct sonde_block_ref *ref, uint64_t columns,
		     const struct sonde_vtab_row_keys *keys, bool by_time)
{
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = NULL;
	size_t before = rows->n;
	int r = sonde_block_part_open(scan->source, &rows->want, ref, &part);

	if (!r && !part->n)
		return 0;
	if (!r && !take(rows, sizeof(*part) + (part->rows ? part->n * sizeof(*part->rows) : 0)))
		return -ENOSPC;
	if (!r)
		r = load_columns(scan->source, part, columns, rows);
	if (r == -EBADMSG) {
		scan->lost_blocks++;
		scan->lost_events += ref->count;
		return 0;
	}
	if (!r)
		r = items_add(rows, part, keys, by_time);
	if (!r && rows->n > before)
		rows->parts[rows->n_parts++] = TAKE_PTR(part);
	return r;
}

static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int ref_order(const void *a, const void *b)
{
	const struct sonde_block_ref *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static int rows_read(struct sonde_vtab_rows *rows, struct sonde_block_scan *scan, uint64_t columns, const struct sonde_vtab_row_keys *keys,
		     bool by_time)
{
	int r = 0;

	rows->parts = calloc(scan->n + 1, sizeof(struct sonde_block_part *));
	if (!rows->parts)
		return -ENOMEM;
	for (unsigned k = 0; k < keys->n; k++)
		columns |= 1ull << keys->columns[k];
	if (by_time)
		columns |= 1ull << SONDE_COLUMN_TIME;
	if (scan->n)
		qsort(scan->refs, scan->n, sizeof(*scan->refs), ref_order); /* so that rows of one time come in the order of arrival */
	for (size_t i = 0; i < scan->n && !r; i++)
		r = sonde_block_want_late(&scan->want) ? -ETIMEDOUT : part_take(rows, scan, &scan->refs[i], columns, keys, by_time);
	if (!r && rows->n)
		qsort(rows->items, rows->n, sizeof(*rows->items), item_order);
	return r;
}

int sonde_vtab_rows_new(struct sonde_block_scan *scan, uint64_t columns, const struct sonde_vtab_row_keys *keys, bool by_time,
			struct sonde_vtab_rows **ret_rows)
{
	struct sonde_vtab_rows *rows CLEANUP(sonde_vtab_rows_unref) = calloc(1, sizeof(*rows));
	int r;

	if (!rows)
		return -ENOMEM;
	rows->references = 1;
	rows->want = scan->want;
	r = rows_read(rows, scan, columns, keys, by_time);
	if (!r)
		*ret_rows = TAKE_PTR(rows);
	return r;
}

struct sonde_vtab_rows *sonde_vtab_rows_ref(struct sonde_vtab_rows *rows)
{
	rows->references++;
	return rows;
}

void sonde_vtab_rows_unref(struct sonde_vtab_rows **rows)
{
	struct sonde_vtab_rows *old = *rows;

	*rows = NULL;
	if (!old || --old->references)
		return;
	for (size_t i = 0; i < old->n_parts; i++)
		sonde_block_part_free(&old->parts[i]);
	atomic_fetch_sub(&taken, old->bytes);
	free(old->parts);
	free(old->items);
	free(old);
}

/* ---- find ---- */

/* The first item that is not before (hash, time). */
static size_t find(const struct sonde_vtab_rows *rows, uint64_t hash, int64_t time_ns)
{
	size_t low = 0, high = rows->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct item *item = &rows->items[middle];

		if (item->hash < hash || (item->hash == hash && item->time_ns < time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void sonde_vtab_rows_find(const struct sonde_vtab_rows *rows, uint64_t hash, const struct sonde_span *span, size_t *ret_begin,
			  size_t *ret_end)
{
	*ret_begin = find(rows, hash, span->since_ns);
	*ret_end = find(rows, hash, span->until_ns);
	if (*ret_end < *ret_begin) /* the span is empty */
		*ret_end = *ret_begin;
}

void sonde_vtab_rows_value(const struct sonde_vtab_rows *rows, size_t i, uint32_t column, struct sonde_value *ret_value)
{
	sonde_block_part_value(rows->parts[rows->items[i].part], rows->items[i].row, column, ret_value);
}

int64_t sonde_vtab_rows_sequence(const struct sonde_vtab_rows *rows, size_t i)
{
	return (int64_t)(rows->parts[rows->items[i].part]->ref.first + rows->items[i].row);
}
