/* SPDX-License-Identifier: Apache-2.0 */
/* Rows into columns. Invariant: every column has exactly n rows; a row that could not be added whole is not there. */
#include <store/columns.h>

#include <store/block.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_LEAST 256u

static bool is_dictionary(enum sonde_value_type type)
{
	return type == SONDE_TEXT || type == SONDE_ADDRESS;
}

/* A time does not: the event's own moves it. */
static bool follows(const struct sonde_column *column, uint32_t i)
{
	return i >= SONDE_COLUMN_COMMON_MAX && !column->is_chars && column->semantic != SONDE_SEMANTIC_TIME &&
	       (column->size == 1 || column->size == 2 || column->size == 4 || column->size == 8);
}

int sonde_columns_new(const struct sonde_type *type, struct sonde_columns **ret_columns)
{
	struct sonde_columns *columns = calloc(1, sizeof(*columns));

	if (!columns)
		return -ENOMEM;
	columns->type = type;
	columns->n_columns = type->n_columns;
	for (uint32_t i = 0; i < type->n_columns; i++) {
		columns->columns[i].type = type->columns[i].type;
		columns->columns[i].follows = follows(&type->columns[i], i);
		if (i != SONDE_COLUMN_TYPE)
			columns->row_bytes += is_dictionary(type->columns[i].type) ? 4 : 8;
	}
	sonde_columns_clear(columns);
	*ret_columns = columns;
	return 0;
}

void sonde_columns_free(struct sonde_columns **columns)
{
	if (!*columns)
		return;
	for (uint32_t i = 0; i < (*columns)->n_columns; i++) {
		struct sonde_open_column *column = &(*columns)->columns[i];

		free(column->numbers);
		free(column->nulls);
		free(column->ids);
		sonde_dictionary_free(&column->dictionary);
	}
	free(*columns);
	*columns = NULL;
}

static int column_grow(struct sonde_open_column *column, uint32_t before, uint32_t capacity)
{
	if (is_dictionary(column->type)) {
		uint32_t *ids = reallocarray(column->ids, capacity, sizeof(*ids));

		column->ids = ids ?: column->ids;
		return ids ? 0 : -ENOMEM;
	} else {
		uint64_t *numbers = reallocarray(column->numbers, capacity, sizeof(*numbers)), *nulls;

		column->numbers = numbers ?: column->numbers;
		nulls = numbers ? reallocarray(column->nulls, capacity / 64, sizeof(*nulls)) : NULL;
		column->nulls = nulls ?: column->nulls;
		if (nulls)
			memset(nulls + before / 64, 0, (capacity - before) / 8);
		return nulls ? 0 : -ENOMEM;
	}
}

int sonde_columns_grow(struct sonde_columns *columns)
{
	uint32_t capacity = columns->capacity ? columns->capacity * 2 : CAPACITY_LEAST;
	int r = 0;

	for (uint32_t i = 0; i < columns->n_columns && !r; i++)
		if (i != SONDE_COLUMN_TYPE)
			r = column_grow(&columns->columns[i], columns->capacity, capacity);
	if (!r)
		columns->capacity = capacity;
	return r;
}

static bool number_of(enum sonde_value_type type, const struct sonde_value *value, uint64_t *ret_number)
{
	*ret_number = value->type == SONDE_BOOL ? value->b : value->u;
	if (value->type == type)
		return value->type != SONDE_NULL;
	/* the same number under another type is no loss */
	return (value->type == SONDE_INT || value->type == SONDE_UINT) && (type == SONDE_INT || type == SONDE_UINT) &&
	       value->i >= 0;
}

static void number_add(struct sonde_open_column *column, uint32_t row, const struct sonde_value *value)
{
	uint64_t number;

	if (number_of(column->type, value, &number))
		column->numbers[row] = number;
	else
		sonde_column_add_null(column, row);
}

static bool is_entry(const struct sonde_dictionary *dictionary, uint32_t i, const void *bytes, uint32_t length)
{
	uint32_t offset = dictionary->offsets[i];

	return dictionary->offsets[i + 1] - offset == length && !memcmp(dictionary->bytes + offset, bytes, length);
}

static int text_id(struct sonde_open_column *column, uint32_t row, const struct sonde_value *value, uint32_t *ret_id)
{
	uint32_t length = value->type == SONDE_ADDRESS ? 16 : value->length, before;
	int64_t entry;

	*ret_id = 0;
	if (value->type != column->type)
		return 0;
	/* The row before often has the same. */
	before = !row ? 0 : column->ids[column->is_spread ? row - 1 : 0];
	if (before && is_entry(&column->dictionary, before - 1, value->text, length)) {
		*ret_id = before;
		return 0;
	}
	entry = sonde_dictionary_add(&column->dictionary, value->text, length);
	if (entry < 0)
		return (int)entry;
	*ret_id = (uint32_t)entry + 1;
	return 0;
}

int sonde_column_add(struct sonde_open_column *column, uint32_t row, const struct sonde_value *value)
{
	if (is_dictionary(column->type))
		return text_id(column, row, value, &column->ids[row]);
	number_add(column, row, value);
	return 0;
}

/* ---- rows that say the same ---- */

static void nulls_fill(struct sonde_open_column *column, uint32_t row, uint32_t n)
{
	for (uint32_t i = row; i < row + n; i++)
		column->nulls[i >> 6] |= 1ull << (i & 63);
}

void sonde_column_spread(struct sonde_open_column *column, uint32_t n)
{
	if (column->is_spread)
		return;
	column->is_spread = true;
	if (column->ids)
		for (uint32_t i = 1; i < n; i++)
			column->ids[i] = column->ids[0];
	else if (n && (column->nulls[0] & 1))
		nulls_fill(column, 0, n);
	for (uint32_t i = 1; column->numbers && i < n; i++)
		column->numbers[i] = column->numbers[0];
}

void sonde_column_add_same_number(struct sonde_open_column *column, uint32_t row, uint32_t n, bool is_null, uint64_t number)
{
	if (!row && !column->is_spread) {
		column->nulls[0] = is_null;
		column->numbers[0] = is_null ? 0 : number;
	} else if (column->is_spread || (column->nulls[0] & 1) != is_null || (!is_null && column->numbers[0] != number)) {
		sonde_column_spread(column, row);
		if (is_null) {
			nulls_fill(column, row, n);
			number = row ? column->numbers[row - 1] : 0; /* as sonde_column_add_null() */
		}
		for (uint32_t i = row; i < row + n; i++)
			column->numbers[i] = number;
	}
	column->n_nulls += is_null ? n : 0;
}

void sonde_column_add_same_id(struct sonde_open_column *column, uint32_t row, uint32_t n, uint32_t id)
{
	if (!row && !column->is_spread) {
		column->ids[0] = id;
	} else if (column->is_spread || column->ids[0] != id) {
		sonde_column_spread(column, row);
		for (uint32_t i = row; i < row + n; i++)
			column->ids[i] = id;
	}
}

int sonde_column_add_same(struct sonde_open_column *column, uint32_t row, uint32_t n, const struct sonde_value *value)
{
	uint64_t number;
	uint32_t id;
	int r = 0;

	if (is_dictionary(column->type)) {
		r = text_id(column, row, value, &id);
		if (!r)
			sonde_column_add_same_id(column, row, n, id);
	} else {
		bool is_null = !number_of(column->type, value, &number);

		sonde_column_add_same_number(column, row, n, is_null, number);
	}
	return r;
}

/* ---- rows ---- */

void sonde_columns_time_seen(struct sonde_columns *columns, int64_t time_ns)
{
	columns->oldest_ns = time_ns < columns->oldest_ns ? time_ns : columns->oldest_ns;
	columns->newest_ns = time_ns > columns->newest_ns ? time_ns : columns->newest_ns;
}

int sonde_columns_add(struct sonde_columns *columns, int64_t time_ns, const struct sonde_value *values)
{
	uint32_t row = columns->n;

	if (row == columns->capacity && sonde_columns_grow(columns))
		return -ENOMEM;
	for (uint32_t i = SONDE_COLUMN_PID; i < columns->n_columns; i++) {
		sonde_column_spread(&columns->columns[i], row);
		if (sonde_column_add(&columns->columns[i], row, &values[i])) {
			sonde_columns_cut(columns, row);
			return -ENOMEM;
		}
	}
	columns->columns[SONDE_COLUMN_TIME].numbers[columns->n++] = (uint64_t)time_ns;
	sonde_columns_time_seen(columns, time_ns);
	return 0;
}

size_t sonde_columns_bytes(const struct sonde_columns *columns)
{
	size_t bytes = columns->n * columns->row_bytes;

	for (uint32_t i = SONDE_COLUMN_PID; i < columns->n_columns; i++)
		bytes += columns->columns[i].dictionary.length + columns->columns[i].dictionary.n * 12ul;
	return bytes;
}

static void nulls_cut(struct sonde_open_column *column, uint32_t n, uint32_t capacity)
{
	column->n_nulls = 0;
	if (sonde_column_is_same(column, n)) {
		column->n_nulls = column->nulls[0] & 1 ? n : 0;
		return;
	}
	for (uint32_t word = 0; word < capacity / 64; word++) {
		if (word == n / 64)
			column->nulls[word] &= (1ull << (n & 63)) - 1;
		else if (word > n / 64)
			column->nulls[word] = 0;
		column->n_nulls += (uint32_t)__builtin_popcountll(column->nulls[word]);
	}
}

void sonde_columns_cut(struct sonde_columns *columns, uint32_t n)
{
	/* Rows from n on may be there in some columns only. */
	for (uint32_t i = 0; i < columns->n_columns; i++)
		if (columns->columns[i].nulls)
			nulls_cut(&columns->columns[i], n, columns->capacity);
	columns->n = n;
	columns->oldest_ns = INT64_MAX;
	columns->newest_ns = INT64_MIN;
	for (uint32_t row = 0; row < n; row++)
		sonde_columns_time_seen(columns, (int64_t)columns->columns[SONDE_COLUMN_TIME].numbers[row]);
}

void sonde_columns_clear(struct sonde_columns *columns)
{
	for (uint32_t i = 0; i < columns->n_columns; i++) {
		struct sonde_open_column *column = &columns->columns[i];

		if (column->n_nulls)
			memset(column->nulls, 0, (columns->n + 63ul) / 64 * sizeof(*column->nulls));
		column->n_nulls = 0;
		column->is_spread = i == SONDE_COLUMN_TIME;
		sonde_dictionary_clear(&column->dictionary);
		memset(column->recent, 0, sizeof(column->recent));
	}
	columns->n = 0;
	columns->oldest_ns = INT64_MAX;
	columns->newest_ns = INT64_MIN;
}
