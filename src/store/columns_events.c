/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events into columns, one column after the other: each is a short loop that stays in the caches, where row by row every value
 * would go to another place of memory. Invariant: what comes out is what sonde_event_values() says.
 */
#include <store/columns.h>

#include <sonde/types.h>

#include <errno.h>
#include <string.h>

/* Short loops over many numbers, like those of block_numbers.c. */
#ifndef __clang__ /* it does so anyway */
#pragma GCC optimize("O3", "unroll-loops")
#endif

struct chunk {
	const struct sonde_event *const *events;
	uint32_t n, row; /* the first's */
	uint32_t shortest; /* of the records: fields up to there are in all of them */
	uint32_t n_unknown; /* of the processes (SONDE_PROCESS_UNKNOWN) */
	const struct sonde_names *names;
	const uint8_t *records[SONDE_COLUMNS_CHUNK];
};

static inline uint64_t load(const uint8_t *at, uint32_t size, bool is_signed)
{
	uint64_t number = 0;

	/* Programs lay out fields as they like: a load may be unaligned. */
	switch (size) {
	case 8:
		memcpy(&number, at, 8);
		return number;
	case 4:
		memcpy(&number, at, 4);
		return is_signed ? (uint64_t)(int32_t)number : number;
	case 2:
		memcpy(&number, at, 2);
		return is_signed ? (uint64_t)(int16_t)number : number;
	default:
		return is_signed ? (uint64_t)(int8_t)*at : *at;
	}
}

/* ---- one row ---- */

static int add_slowly(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k)
{
	struct sonde_value value = {.type = SONDE_NULL};

	sonde_event_value(chunk->events[k], i, chunk->names, &value);
	return sonde_column_add(column, chunk->row + k, &value);
}

static int add_all_slowly(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++)
		r = add_slowly(chunk, column, i, k);
	return r;
}

/* The key stands for a text as long as the columns are open. */
static inline int add_recent(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k, uint64_t key,
			     uint64_t key2)
{
	size_t at = ((key ^ key2) * 0x9e3779b97f4a7c15ull) >> 59;
	int r;

	if (column->recent[at].id && column->recent[at].key[0] == key && column->recent[at].key[1] == key2) {
		column->ids[chunk->row + k] = column->recent[at].id - 1;
		return 0;
	}
	r = add_slowly(chunk, column, i, k);
	if (!r) {
		column->recent[at].key[0] = key;
		column->recent[at].key[1] = key2;
		column->recent[at].id = column->ids[chunk->row + k] + 1;
	}
	return r;
}

/* ---- all rows that say the same: most columns, most of the time ---- */

static bool all_same(const void *items, uint32_t n, size_t size)
{
	return n < 2 || !memcmp(items, (const char *)items + size, (n - 1) * size);
}

/* Texts of all rows are that of the first one. */
static void fill_ids(const struct chunk *chunk, struct sonde_open_column *column)
{
	uint32_t *ids = column->ids + chunk->row, id = *ids;

	for (uint32_t k = 1; k < chunk->n; k++)
		ids[k] = id;
}

static void fill_nulls(const struct chunk *chunk, struct sonde_open_column *column)
{
	uint64_t number = chunk->row ? column->numbers[chunk->row - 1] : 0; /* as sonde_column_add_null() */

	for (uint32_t row = chunk->row; row < chunk->row + chunk->n; row++) {
		column->nulls[row >> 6] |= 1ull << (row & 63);
		column->numbers[row] = number;
	}
	column->n_nulls += chunk->n;
}

/* ---- fields ---- */

/* Inlined for each size, so that a round is a load and a store. */
static inline void load_all(const struct chunk *chunk, uint64_t *numbers, uint32_t offset, uint32_t size, bool is_signed)
{
	for (uint32_t k = 0; k < chunk->n; k++)
		numbers[k] = load(chunk->records[k] + offset, size, is_signed);
}

static void load_field(const struct chunk *chunk, uint64_t *numbers, const struct sonde_column *field)
{
	if (field->size == 8)
		load_all(chunk, numbers, field->offset, 8, false);
	else if (field->size == 4 && !field->is_signed)
		load_all(chunk, numbers, field->offset, 4, false);
	else if (field->size == 2 && !field->is_signed)
		load_all(chunk, numbers, field->offset, 2, false);
	else if (field->size == 1 && !field->is_signed)
		load_all(chunk, numbers, field->offset, 1, false);
	else
		load_all(chunk, numbers, field->offset, field->size, field->is_signed);
}

static int add_plain(const struct chunk *chunk, struct sonde_open_column *column, const struct sonde_column *field)
{
	uint64_t *numbers = column->numbers + chunk->row;

	load_field(chunk, numbers, field);
	if (!field->has_absent)
		return 0;
	if (all_same(numbers, chunk->n, sizeof(*numbers))) {
		if ((int64_t)*numbers == field->absent)
			fill_nulls(chunk, column);
		return 0;
	}
	for (uint32_t k = 0; k < chunk->n; k++)
		if ((int64_t)numbers[k] == field->absent)
			sonde_column_add_null(column, chunk->row + k);
	return 0;
}

static int add_named(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const uint64_t *keys)
{
	int r = 0;

	if (all_same(keys, chunk->n, sizeof(*keys))) {
		r = add_recent(chunk, column, i, 0, keys[0], 0);
		fill_ids(chunk, column);
		return r;
	}
	for (uint32_t k = 0; k < chunk->n && !r; k++)
		r = add_recent(chunk, column, i, k, keys[k], 0);
	return r;
}

/* A number that is shown as another one: an errno, a signal, a bool. */
static int add_shown(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const uint64_t *keys)
{
	int r = add_slowly(chunk, column, i, 0);

	for (uint32_t k = 1; k < chunk->n && !r; k++) {
		uint32_t row = chunk->row + k;

		if (keys[k] != keys[k - 1])
			r = add_slowly(chunk, column, i, k);
		else if (column->nulls[(row - 1) >> 6] >> ((row - 1) & 63) & 1)
			sonde_column_add_null(column, row);
		else
			column->numbers[row] = column->numbers[row - 1];
	}
	return r;
}

/* What follows from a number in the record. */
static int add_following(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const struct sonde_column *field)
{
	uint64_t keys[SONDE_COLUMNS_CHUNK];

	load_field(chunk, keys, field);
	return column->numbers ? add_shown(chunk, column, i, keys) : add_named(chunk, column, i, keys);
}

/* A text or address that follows from 16 bytes of the record. */
static int add_of_16(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset)
{
	uint64_t keys[SONDE_COLUMNS_CHUNK][2];
	int r = 0;

	for (uint32_t k = 0; k < chunk->n; k++)
		memcpy(keys[k], chunk->records[k] + offset, sizeof(keys[k]));
	if (all_same(keys, chunk->n, sizeof(*keys))) {
		r = add_recent(chunk, column, i, 0, keys[0][0], keys[0][1]);
		fill_ids(chunk, column);
		return r;
	}
	for (uint32_t k = 0; k < chunk->n && !r; k++)
		r = add_recent(chunk, column, i, k, keys[k][0], keys[k][1]);
	return r;
}

/* Most addresses have no name: nothing but the question is to be asked for these. */
static int add_address_names(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset)
{
	const struct sonde_names *names = chunk->names;
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		const uint8_t *record = chunk->records[k];

		column->ids[chunk->row + k] = 0;
		if (names && names->address && names->address(names->userdata, (const struct sonde_header *)record, record + offset))
			r = add_slowly(chunk, column, i, k);
	}
	return r;
}

/* Texts that end with a NUL: often it is the one of the row before, and that one's length is known. */
static int add_texts(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const struct sonde_column *field)
{
	uint32_t *ids = column->ids + chunk->row, length = 0;
	const uint8_t *before = NULL;
	int r;

	for (uint32_t k = 0; k < chunk->n; k++) {
		const uint8_t *text = chunk->records[k] + field->offset;
		uint32_t room = chunk->events[k]->length > field->offset ? chunk->events[k]->length - field->offset : 0;

		room = room < field->size ? room : field->size;
		if (before && length < room && !memcmp(text, before, length + 1)) {
			ids[k] = ids[k - 1];
			continue;
		}
		r = add_slowly(chunk, column, i, k);
		if (r)
			return r;
		length = ids[k] ? column->dictionary.offsets[ids[k]] - column->dictionary.offsets[ids[k] - 1] : 0;
		before = length < room ? text : NULL; /* else no NUL ends it */
	}
	return 0;
}

static int add_field(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	const struct sonde_column *field = &chunk->events[0]->type->columns[i];

	if (field->is_chars && field->length_offset < 0 && field->semantic != SONDE_SEMANTIC_ARGUMENTS)
		return add_texts(chunk, column, i, field);
	if ((uint64_t)field->offset + field->size > chunk->shortest)
		return add_all_slowly(chunk, column, i);
	if (field->is_plain && column->numbers)
		return add_plain(chunk, column, field);
	if (column->follows)
		return add_following(chunk, column, i, field);
	if (field->type == SONDE_ADDRESS && field->size == 16)
		return add_of_16(chunk, column, i, field->offset);
	if (field->semantic == SONDE_SEMANTIC_ADDRESS_NAME && chunk->shortest >= sizeof(struct sonde_header))
		return add_address_names(chunk, column, i, field->offset);
	return add_all_slowly(chunk, column, i);
}

/* ---- what all types have ---- */

static inline bool is_unknown(const struct chunk *chunk, uint32_t k)
{
	return ((const struct sonde_header *)chunk->records[k])->flags & SONDE_PROCESS_UNKNOWN;
}

/* Of the header. */
static int add_number(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset)
{
	int r = 0;

	if (chunk->shortest < sizeof(struct sonde_header))
		return add_all_slowly(chunk, column, i);
	load_all(chunk, column->numbers + chunk->row, (uint32_t)offset, 4, false);
	for (uint32_t k = 0; chunk->n_unknown && k < chunk->n && !r; k++)
		if (is_unknown(chunk, k))
			r = add_slowly(chunk, column, i, k);
	return r;
}

/* A process that is not known has none, whatever its bytes are. */
static int add_command(const struct chunk *chunk, struct sonde_open_column *column)
{
	const size_t offset = offsetof(struct sonde_header, command);
	uint64_t keys[2];
	int r = 0;

	if (chunk->shortest < sizeof(struct sonde_header))
		return add_all_slowly(chunk, column, SONDE_COLUMN_COMMAND);
	if (!chunk->n_unknown)
		return add_of_16(chunk, column, SONDE_COLUMN_COMMAND, offset);
	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		memcpy(keys, chunk->records[k] + offset, sizeof(keys));
		r = is_unknown(chunk, k) ? add_slowly(chunk, column, SONDE_COLUMN_COMMAND, k) :
					   add_recent(chunk, column, SONDE_COLUMN_COMMAND, k, keys[0], keys[1]);
	}
	return r;
}

/* Texts that are kept once in the process: the pointer says which. */
static int add_interned(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	uint64_t keys[SONDE_COLUMNS_CHUNK];

	if (chunk->shortest < sizeof(struct sonde_header))
		return add_all_slowly(chunk, column, i);
	for (uint32_t k = 0; k < chunk->n; k++)
		keys[k] = (uintptr_t)(i == SONDE_COLUMN_CONTAINER ? chunk->events[k]->container : chunk->events[k]->source);
	return add_named(chunk, column, i, keys);
}

static int add_column(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	switch (i) {
	case SONDE_COLUMN_TIME:
		for (uint32_t k = 0; k < chunk->n; k++)
			column->numbers[chunk->row + k] = (uint64_t)chunk->events[k]->time_ns;
		return 0;
	case SONDE_COLUMN_PID:
		return add_number(chunk, column, i, offsetof(struct sonde_header, pid));
	case SONDE_COLUMN_TID:
		return add_number(chunk, column, i, offsetof(struct sonde_header, tid));
	case SONDE_COLUMN_UID:
		return add_number(chunk, column, i, offsetof(struct sonde_header, uid));
	case SONDE_COLUMN_WEIGHT:
		return add_number(chunk, column, i, offsetof(struct sonde_header, weight));
	case SONDE_COLUMN_COMMAND:
		return add_command(chunk, column);
	case SONDE_COLUMN_CONTAINER:
	case SONDE_COLUMN_SOURCE:
		return add_interned(chunk, column, i);
	}
	return add_field(chunk, column, i);
}

int sonde_columns_add_events(struct sonde_columns *columns, const struct sonde_event *const *events, uint32_t n,
			     const struct sonde_names *names)
{
	struct chunk chunk = {.events = events, .n = n, .row = columns->n, .shortest = UINT32_MAX, .names = names};
	int r = 0;

	for (uint32_t k = 0; k < n; k++) {
		chunk.records[k] = (const uint8_t *)events[k]->record;
		chunk.shortest = events[k]->length < chunk.shortest ? events[k]->length : chunk.shortest;
		chunk.n_unknown += events[k]->length >= sizeof(struct sonde_header) && is_unknown(&chunk, k);
	}

	while (columns->capacity < columns->n + n)
		if (sonde_columns_grow(columns))
			return -ENOMEM;
	for (uint32_t i = 0; i < columns->n_columns && !r; i++)
		if (i != SONDE_COLUMN_TYPE)
			r = add_column(&chunk, &columns->columns[i], i);
	if (r) {
		sonde_columns_cut(columns, columns->n);
		return r;
	}
	for (uint32_t k = 0; k < n; k++)
		sonde_columns_time_seen(columns, events[k]->time_ns);
	columns->n += n;
	return 0;
}
