/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events into columns, one column after the other: each is a short loop that stays in the caches, where row by row every value
 * would go to another place of memory. Most columns say the same in a whole chunk, which one look at the records' bytes tells of all
 * of them. Invariant: what comes out is what sonde_event_values() says.
 */
#include <store/columns.h>
#include <store/vectors.h>

#include <sonde/types.h>

#include <errno.h>
#include <string.h>

#ifndef __clang__
#pragma GCC optimize("unroll-loops")
#endif

/* Bytes of the records that are compared; columns behind them are taken to differ. */
#define DIFFER_WORDS 64u

struct chunk {
	const struct sonde_event *const *events;
	uint32_t n, row;    /* the first's */
	uint32_t shortest;  /* of the records: fields up to there are in all of them */
	uint32_t n_unknown; /* of the processes (SONDE_PROCESS_UNKNOWN) */
	int64_t oldest_ns, newest_ns;
	bool same_container, same_source;
	const struct sonde_names *names;
	const uint8_t *records[SONDE_COLUMNS_CHUNK];
	uint64_t differ[DIFFER_WORDS]; /* bits of the records that are not as in the first one */
	uint32_t n_differ;	       /* bytes */
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

/* ---- the records, before the columns ---- */

static inline bool is_unknown(const struct chunk *chunk, uint32_t k)
{
	return ((const struct sonde_header *)chunk->records[k])->flags & SONDE_PROCESS_UNKNOWN;
}

static void look_at_events(struct chunk *chunk)
{
	const struct sonde_event *first = chunk->events[0];
	uintptr_t containers = 0, sources = 0;

	for (uint32_t k = 0; k < chunk->n; k++) {
		const struct sonde_event *event = chunk->events[k];

		chunk->records[k] = (const uint8_t *)event->record;
		chunk->shortest = event->length < chunk->shortest ? event->length : chunk->shortest;
		chunk->oldest_ns = event->time_ns < chunk->oldest_ns ? event->time_ns : chunk->oldest_ns;
		chunk->newest_ns = event->time_ns > chunk->newest_ns ? event->time_ns : chunk->newest_ns;
		containers |= (uintptr_t)event->container ^ (uintptr_t)first->container;
		sources |= (uintptr_t)event->source ^ (uintptr_t)first->source;
	}
	chunk->same_container = !containers;
	chunk->same_source = !sources;
}

SONDE_VECTORS static void look_at_records(struct chunk *chunk)
{
	const uint8_t *first = chunk->records[0];
	uint32_t n_words = chunk->shortest / 8 < DIFFER_WORDS ? chunk->shortest / 8 : DIFFER_WORDS;

	chunk->n_differ = n_words * 8;
	memset(chunk->differ, 0, chunk->n_differ);
	for (uint32_t k = 1; k < chunk->n; k++) {
		const uint8_t *record = chunk->records[k];

		for (uint32_t word = 0; word < n_words; word++) {
			uint64_t a, b;

			memcpy(&a, record + word * 8, 8);
			memcpy(&b, first + word * 8, 8);
			chunk->differ[word] |= a ^ b;
		}
	}
}

/* Do all records have the same bytes there? False if nobody looked. */
static bool is_same(const struct chunk *chunk, size_t offset, size_t size)
{
	const uint8_t none[16] = {};

	return size <= sizeof(none) && offset + size <= chunk->n_differ &&
	       !memcmp((const uint8_t *)chunk->differ + offset, none, size);
}

static void count_unknown(struct chunk *chunk)
{
	if (chunk->shortest >= sizeof(struct sonde_header) &&
	    is_same(chunk, offsetof(struct sonde_header, flags), sizeof(((struct sonde_header *)NULL)->flags))) {
		chunk->n_unknown = is_unknown(chunk, 0) ? chunk->n : 0;
		return;
	}
	for (uint32_t k = 0; k < chunk->n; k++)
		chunk->n_unknown += chunk->events[k]->length >= sizeof(struct sonde_header) && is_unknown(chunk, k);
}

/* ---- one row, or all ---- */

/* The column is spread. */
static int add_slowly(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k)
{
	struct sonde_value value = {.type = SONDE_NULL};

	sonde_event_value(chunk->events[k], i, chunk->names, &value);
	return sonde_column_add(column, chunk->row + k, &value);
}

static int add_all_slowly(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	int r = 0;

	sonde_column_spread(column, chunk->row);
	for (uint32_t k = 0; k < chunk->n && !r; k++)
		r = add_slowly(chunk, column, i, k);
	return r;
}

/* What the first row says, all say. */
static int add_same(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	struct sonde_value value = {.type = SONDE_NULL};

	sonde_event_value(chunk->events[0], i, chunk->names, &value);
	return sonde_column_add_same(column, chunk->row, chunk->n, &value);
}

/* The key stands for a text as long as the columns are open. */
static inline int add_recent(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k, uint64_t key,
			     uint64_t key2)
{
	size_t at = ((key ^ key2) * 0x9e3779b97f4a7c15ull) >> 59;
	int r;

	if (!((column->recent[at].key[0] ^ key) | (column->recent[at].key[1] ^ key2)) && column->recent[at].id) {
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

/* ---- fields that differ ---- */

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

SONDE_VECTORS static bool holds(const uint64_t *numbers, uint32_t n, uint64_t number)
{
	uint64_t found = 0;

	for (uint32_t k = 0; k < n; k++)
		found |= numbers[k] == number;
	return found;
}

static void add_plain(const struct chunk *chunk, struct sonde_open_column *column, const struct sonde_column *field)
{
	uint64_t *numbers = column->numbers + chunk->row;

	load_field(chunk, numbers, field);
	if (!field->has_absent || !holds(numbers, chunk->n, (uint64_t)field->absent))
		return;
	for (uint32_t k = 0; k < chunk->n; k++)
		if ((int64_t)numbers[k] == field->absent)
			sonde_column_add_null(column, chunk->row + k);
}

static int add_named(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const uint64_t *keys)
{
	int r = 0;

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
	uint64_t keys[2];
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		memcpy(keys, chunk->records[k] + offset, sizeof(keys));
		r = add_recent(chunk, column, i, k, keys[0], keys[1]);
	}
	return r;
}

static inline bool may_have_name(const struct chunk *chunk, const uint8_t *address)
{
	const struct sonde_names *names = chunk->names;

	return names && names->address && (!names->has_name || names->has_name(names->userdata, address));
}

/* Most addresses have none. */
static int add_address_names(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset)
{
	int r = 0;

	if (is_same(chunk, offset, 16) && !may_have_name(chunk, chunk->records[0] + offset)) {
		sonde_column_add_same_id(column, chunk->row, chunk->n, 0);
		return 0;
	}
	sonde_column_spread(column, chunk->row);
	for (uint32_t k = 0; k < chunk->n && !r; k++)
		if (may_have_name(chunk, chunk->records[k] + offset))
			r = add_slowly(chunk, column, i, k);
		else
			column->ids[chunk->row + k] = 0;
	return r;
}

/* Texts that end with a NUL: often it is the one of the row before, and that one's length is known. */
static int add_texts(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, const struct sonde_column *field)
{
	uint32_t *ids = column->ids + chunk->row, length = 0;
	const uint8_t *before = NULL;
	int r;

	sonde_column_spread(column, chunk->row);
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
	bool is_number = field->is_plain && column->numbers, is_address = field->type == SONDE_ADDRESS && field->size == 16;
	bool has_name = field->semantic == SONDE_SEMANTIC_ADDRESS_NAME && chunk->shortest >= sizeof(struct sonde_header);

	if (field->is_chars && field->length_offset < 0 && field->semantic != SONDE_SEMANTIC_ARGUMENTS)
		return add_texts(chunk, column, i, field);
	if ((uint64_t)field->offset + field->size > chunk->shortest)
		return add_all_slowly(chunk, column, i);
	if (has_name && !is_number && !column->follows && !is_address)
		return add_address_names(chunk, column, i, field->offset);
	if (!is_number && !column->follows && !is_address)
		return add_all_slowly(chunk, column, i);
	if (is_same(chunk, field->offset, field->size))
		return add_same(chunk, column, i);
	sonde_column_spread(column, chunk->row);
	if (is_number)
		add_plain(chunk, column, field);
	else if (column->follows)
		return add_following(chunk, column, i, field);
	else
		return add_of_16(chunk, column, i, field->offset);
	return 0;
}

/* ---- what all types have ---- */

static int add_commands(const struct chunk *chunk, struct sonde_open_column *column)
{
	const uint32_t i = SONDE_COLUMN_COMMAND;
	uint64_t keys[2];
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		memcpy(keys, chunk->records[k] + offsetof(struct sonde_header, command), sizeof(keys));
		r = is_unknown(chunk, k) ? add_slowly(chunk, column, i, k) : add_recent(chunk, column, i, k, keys[0], keys[1]);
	}
	return r;
}

/* Of the header. A process that is not known has none, whatever its bytes are. */
static int add_of_header(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset, size_t size)
{
	int r = 0;

	if (chunk->shortest < sizeof(struct sonde_header))
		return add_all_slowly(chunk, column, i);
	if ((!chunk->n_unknown || chunk->n_unknown == chunk->n) && is_same(chunk, offset, size))
		return add_same(chunk, column, i);
	sonde_column_spread(column, chunk->row);
	if (i == SONDE_COLUMN_COMMAND)
		return chunk->n_unknown ? add_commands(chunk, column) : add_of_16(chunk, column, i, offset);
	load_all(chunk, column->numbers + chunk->row, (uint32_t)offset, 4, false);
	for (uint32_t k = 0; chunk->n_unknown && k < chunk->n && !r; k++)
		if (is_unknown(chunk, k))
			r = add_slowly(chunk, column, i, k);
	return r;
}

/* Texts that are kept once in the process: the pointer says which. */
static int add_interned(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	bool is_container = i == SONDE_COLUMN_CONTAINER;
	uint64_t keys[SONDE_COLUMNS_CHUNK];

	if (chunk->shortest < sizeof(struct sonde_header))
		return add_all_slowly(chunk, column, i);
	if (is_container ? chunk->same_container : chunk->same_source)
		return add_same(chunk, column, i);
	for (uint32_t k = 0; k < chunk->n; k++)
		keys[k] = (uintptr_t)(is_container ? chunk->events[k]->container : chunk->events[k]->source);
	sonde_column_spread(column, chunk->row);
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
		return add_of_header(chunk, column, i, offsetof(struct sonde_header, pid), 4);
	case SONDE_COLUMN_TID:
		return add_of_header(chunk, column, i, offsetof(struct sonde_header, tid), 4);
	case SONDE_COLUMN_UID:
		return add_of_header(chunk, column, i, offsetof(struct sonde_header, uid), 4);
	case SONDE_COLUMN_WEIGHT:
		return add_of_header(chunk, column, i, offsetof(struct sonde_header, weight), 4);
	case SONDE_COLUMN_COMMAND:
		return add_of_header(chunk, column, i, offsetof(struct sonde_header, command), 16);
	case SONDE_COLUMN_CONTAINER:
	case SONDE_COLUMN_SOURCE:
		return add_interned(chunk, column, i);
	}
	return add_field(chunk, column, i);
}

int sonde_columns_add_events(struct sonde_columns *columns, const struct sonde_event *const *events, uint32_t n,
			     const struct sonde_names *names)
{
	struct chunk chunk;
	int r = 0;

	if (!n)
		return 0;
	while (columns->capacity < columns->n + n)
		if (sonde_columns_grow(columns))
			return -ENOMEM;
	chunk.events = events;
	chunk.n = n;
	chunk.row = columns->n;
	chunk.shortest = UINT32_MAX;
	chunk.n_unknown = 0;
	chunk.oldest_ns = INT64_MAX;
	chunk.newest_ns = INT64_MIN;
	chunk.names = names;
	look_at_events(&chunk);
	look_at_records(&chunk);
	count_unknown(&chunk);
	for (uint32_t i = 0; i < columns->n_columns && !r; i++)
		if (i != SONDE_COLUMN_TYPE)
			r = add_column(&chunk, &columns->columns[i], i);
	if (r) {
		sonde_columns_cut(columns, columns->n);
		return r;
	}
	sonde_columns_time_seen(columns, chunk.oldest_ns);
	sonde_columns_time_seen(columns, chunk.newest_ns);
	columns->n += n;
	return 0;
}
