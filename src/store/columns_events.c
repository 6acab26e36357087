/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events into columns, one column after the other: each is a short loop that stays in the caches, where row by row every value
 * would go to another place of memory. Invariant: what comes out is what sonde_event_values() says.
 */
#include <store/columns.h>

#include <sonde/types.h>

#include <errno.h>
#include <string.h>

struct chunk {
	const struct sonde_event *const *events;
	uint32_t n, row; /* the first's */
	const struct sonde_names *names;
};

static uint64_t load(const uint8_t *at, uint32_t size, bool is_signed)
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

static int add_slowly(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k)
{
	struct sonde_value value = {.type = SONDE_NULL};

	sonde_event_value(chunk->events[k], i, chunk->names, &value);
	return sonde_column_add(column, chunk->row + k, &value);
}

/* The key stands for a text as long as the columns are open. */
static int add_recent(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, uint32_t k, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15ull) >> 59;
	int r;

	if (column->recent[at].id && column->recent[at].key == key) {
		column->ids[chunk->row + k] = column->recent[at].id - 1;
		return 0;
	}
	r = add_slowly(chunk, column, i, k);
	if (!r) {
		column->recent[at].key = key;
		column->recent[at].id = column->ids[chunk->row + k] + 1;
	}
	return r;
}

static int add_field(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	const struct sonde_column *field = &chunk->events[0]->type->columns[i];
	bool is_plain = field->is_plain && column->numbers;
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		const struct sonde_event *event = chunk->events[k];
		uint64_t number;

		if ((!is_plain && !column->is_named) || (uint64_t)field->offset + field->size > event->length) {
			r = add_slowly(chunk, column, i, k);
			continue;
		}
		number = load((const uint8_t *)event->record + field->offset, field->size, field->is_signed);
		if (!is_plain)
			r = add_recent(chunk, column, i, k, number);
		else if (field->has_absent && (int64_t)number == field->absent)
			sonde_column_add_null(column, chunk->row + k);
		else
			column->numbers[chunk->row + k] = number;
	}
	return r;
}

/* Of the header. */
static int add_number(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i, size_t offset)
{
	int r = 0;

	for (uint32_t k = 0; k < chunk->n && !r; k++) {
		const struct sonde_event *event = chunk->events[k];
		uint32_t number;

		if (event->length < sizeof(*event->record) || event->record->flags & SONDE_PROCESS_UNKNOWN) {
			r = add_slowly(chunk, column, i, k);
			continue;
		}
		memcpy(&number, (const char *)event->record + offset, sizeof(number));
		column->numbers[chunk->row + k] = number;
	}
	return r;
}

static int add_column(const struct chunk *chunk, struct sonde_open_column *column, uint32_t i)
{
	int r = 0;

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
		for (uint32_t k = 0; k < chunk->n && !r; k++)
			r = add_slowly(chunk, column, i, k);
		return r;
	case SONDE_COLUMN_CONTAINER: /* interned */
		for (uint32_t k = 0; k < chunk->n && !r; k++)
			r = add_recent(chunk, column, i, k, (uintptr_t)chunk->events[k]->container);
		return r;
	case SONDE_COLUMN_SOURCE:
		for (uint32_t k = 0; k < chunk->n && !r; k++)
			r = add_recent(chunk, column, i, k, (uintptr_t)chunk->events[k]->source);
		return r;
	}
	return add_field(chunk, column, i);
}

int sonde_columns_add_events(struct sonde_columns *columns, const struct sonde_event *const *events, uint32_t n,
			     const struct sonde_names *names)
{
	const struct chunk chunk = {.events = events, .n = n, .row = columns->n, .names = names};
	int r = 0;

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
