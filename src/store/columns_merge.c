/* SPDX-License-Identifier: Apache-2.0 */
/* A block's columns behind open ones, without building rows. */
#include <store/columns.h>

#include <store/block.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int merge_texts(struct sonde_open_column *column, uint32_t row, const struct sonde_block_column *from)
{
	uint32_t *map CLEANUP_FREE = calloc(from->n_entries + 1ul, sizeof(*map));

	if (!map)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_entries; i++) {
		int64_t entry = sonde_dictionary_add(&column->dictionary, from->bytes + from->offsets[i],
						     from->offsets[i + 1] - from->offsets[i]);

		if (entry < 0)
			return -ENOMEM;
		map[i + 1] = (uint32_t)entry + 1;
	}
	if (from->n && sonde_block_is_constant(from->ids, from->n, sizeof(*from->ids))) {
		sonde_column_add_same_id(column, row, from->n, map[from->ids[0]]);
		return 0;
	}
	sonde_column_spread(column, row);
	for (uint32_t i = 0; i < from->n; i++)
		column->ids[row + i] = map[from->ids[i]];
	return 0;
}

static void merge_numbers(struct sonde_open_column *column, uint32_t row, const struct sonde_block_column *from)
{
	if (from->n && !from->nulls && from->ids && from->n_entries == 1) {
		sonde_column_add_same_number(column, row, from->n, false, from->few[0]);
		return;
	}
	sonde_column_spread(column, row);
	if (!from->nulls && from->ids)
		for (uint32_t i = 0; i < from->n; i++)
			column->numbers[row + i] = from->few[from->ids[i] - 1];
	else if (!from->nulls)
		memcpy(column->numbers + row, from->numbers, from->n * sizeof(*from->numbers));
	for (uint32_t i = 0; from->nulls && i < from->n; i++)
		if (sonde_block_column_is_null(from, i))
			sonde_column_add_null(column, row + i);
		else
			column->numbers[row + i] = from->ids ? from->few[from->ids[i] - 1] : from->numbers[i];
}

int sonde_columns_merge(struct sonde_columns *columns, const struct sonde_block_column *from, uint32_t n)
{
	const struct sonde_block_column *times = &from[SONDE_COLUMN_TIME];
	int r = 0;

	while (columns->capacity < columns->n + n)
		if (sonde_columns_grow(columns))
			return -ENOMEM;
	for (uint32_t i = 0; i < columns->n_columns && !r; i++) {
		struct sonde_open_column *column = &columns->columns[i];

		if (i == SONDE_COLUMN_TYPE)
			continue;
		if (from[i].n != n || from[i].type != column->type)
			r = -EBADMSG;
		else if (column->type == SONDE_TEXT || column->type == SONDE_ADDRESS)
			r = merge_texts(column, columns->n, &from[i]);
		else
			merge_numbers(column, columns->n, &from[i]);
	}
	if (r) {
		sonde_columns_cut(columns, columns->n);
		return r;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct sonde_value value;

		sonde_block_column_value(times, i, &value);
		sonde_columns_time_seen(columns, value.i);
	}
	columns->n += n;
	return 0;
}
