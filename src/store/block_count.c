/* SPDX-License-Identifier: Apache-2.0 */
/* Counts over columns: no row is built, and a block that lies inside the span whole is counted without being opened. */
#include <store/block_scan.h>
#include <store/tally.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX 16384 /* of several columns together: beyond it most would be empty */

/* What a count needs of one block. */
struct counting {
	struct sonde_tally *tally;
	const struct sonde_tally_columns *columns;
	const struct sonde_block_part *part;
	const struct sonde_block_column *weights, *sum; /* sum NULL: none, or this block has no such column */
	bool all_one; /* all weights are `one`, as they are without sampling */
	uint64_t one;
};

/* Sums of the rows with the same values. */
struct cell {
	uint64_t rows, weight;
	int64_t sum;
};

static bool weights_are_one(const struct sonde_block_column *weights, uint64_t *ret_weight)
{
	*ret_weight = weights->n ? weights->few ? weights->few[0] : 0 : 1;
	return !weights->n || (weights->few && weights->n_entries == 1 && !weights->nulls);
}

static void cell_add(const struct counting *counting, uint32_t row, struct cell *cell)
{
	const struct sonde_block_column *weights = counting->weights;
	uint64_t weight = 1;

	if (counting->all_one)
		weight = counting->one;
	else if (weights->n && !sonde_block_column_is_null(weights, row))
		weight = weights->ids ? weights->few[weights->ids[row] - 1] : weights->numbers[row];
	cell->rows++;
	cell->weight += weight;
	if (counting->sum) {
		struct sonde_value value;

		sonde_block_column_value(counting->sum, row, &value);
		cell->sum = sonde_tally_sum(cell->sum, &value, weight);
	}
}

static int cell_end(const struct counting *counting, const struct sonde_value *values, const struct cell *cell)
{
	return sonde_tally_add(counting->tally, values, cell->rows, cell->weight, cell->sum);
}

static int count_rows(const struct counting *counting)
{
	struct cell cell = {};

	for (uint32_t i = 0; i < counting->part->n; i++)
		cell_add(counting, sonde_block_part_row(counting->part, i), &cell);
	return cell_end(counting, NULL, &cell);
}

/* ---- groups of columns with entries: a table with a cell for each combination, and each used cell once ---- */

/* The column of a group, if its rows differ. */
static const struct sonde_block_column *group_column(const struct counting *counting, unsigned k)
{
	int index = counting->columns->by[k];

	if (index < 0 || index == SONDE_COLUMN_TYPE || !counting->part->columns[index].n)
		return NULL;
	return &counting->part->columns[index];
}

/* 0: there is a column without entries, or there are too many combinations. */
static uint64_t table_size(const struct counting *counting)
{
	uint64_t cells = 1;

	for (unsigned k = 0; k < counting->tally->n_by; k++) {
		const struct sonde_block_column *column = group_column(counting, k);

		if (column && !column->ids)
			return 0;
		cells *= column ? column->n_entries + 1ull : 1;
		if (cells > CELLS_MAX && counting->tally->n_by > 1)
			return 0;
	}
	return cells;
}

static void table_fill(const struct counting *counting, struct cell *cells)
{
	const struct sonde_block_column *columns[SONDE_COUNT_BY_MAX];
	const struct sonde_block_part *part = counting->part;
	unsigned n = 0;

	for (unsigned k = 0; k < counting->tally->n_by; k++)
		if (group_column(counting, k))
			columns[n++] = group_column(counting, k);
	if (n == 1 && counting->all_one && !counting->sum) { /* the usual case */
		for (uint32_t i = 0; i < part->n; i++)
			cells[columns[0]->ids[sonde_block_part_row(part, i)]].rows++;
		for (uint32_t i = 0; i <= columns[0]->n_entries; i++)
			cells[i].weight = cells[i].rows * counting->one;
		return;
	}
	for (uint32_t i = 0; i < part->n; i++) {
		uint32_t row = sonde_block_part_row(part, i);
		uint64_t cell = 0;

		for (unsigned k = 0; k < n; k++)
			cell = cell * (columns[k]->n_entries + 1ull) + columns[k]->ids[row];
		cell_add(counting, row, &cells[cell]);
	}
}

static void table_values(const struct counting *counting, uint64_t cell, struct sonde_value *values)
{
	for (unsigned k = counting->tally->n_by; k--;) {
		const struct sonde_block_column *column = group_column(counting, k);
		uint64_t size = column ? column->n_entries + 1ull : 1;

		values[k] = (struct sonde_value){.type = SONDE_NULL};
		if (column && cell % size)
			sonde_block_column_entry(column, (uint32_t)(cell % size - 1), &values[k]);
		else if (!column && counting->columns->by[k] >= 0)
			sonde_block_part_value(counting->part, 0, (uint32_t)counting->columns->by[k], &values[k]);
		cell /= size;
	}
}

static int count_table(const struct counting *counting, uint64_t n)
{
	struct cell *cells CLEANUP_FREE = calloc(n, sizeof(*cells));
	struct sonde_value values[SONDE_COUNT_BY_MAX];
	int r = 0;

	if (!cells)
		return -ENOMEM;
	table_fill(counting, cells);
	for (uint64_t i = 0; !r && i < n; i++) {
		if (!cells[i].rows)
			continue;
		table_values(counting, i, values);
		r = cell_end(counting, values, &cells[i]);
	}
	return r;
}

/* ---- other groups: equal neighbours are added up first ---- */

/* Texts of one block are equal if they are the same bytes. */
static bool same(const struct sonde_value *a, const struct sonde_value *b, unsigned n)
{
	unsigned i = 0;

	while (i < n && a[i].type == b[i].type && a[i].u == b[i].u && a[i].length == b[i].length)
		i++;
	return i == n;
}

static int count_runs(const struct counting *counting)
{
	struct sonde_value values[SONDE_COUNT_BY_MAX], last[SONDE_COUNT_BY_MAX] = {};
	const struct sonde_block_part *part = counting->part;
	unsigned n = counting->tally->n_by;
	struct cell cell = {};
	int r = 0;

	for (uint32_t i = 0; !r && i < part->n; i++) {
		uint32_t row = sonde_block_part_row(part, i);

		for (unsigned k = 0; k < n; k++) {
			values[k] = (struct sonde_value){.type = SONDE_NULL};
			if (counting->columns->by[k] >= 0)
				sonde_block_part_value(part, row, (uint32_t)counting->columns->by[k], &values[k]);
		}
		if (cell.rows && !same(values, last, n)) {
			r = cell_end(counting, last, &cell);
			cell = (struct cell){};
		}
		memcpy(last, values, sizeof(last));
		cell_add(counting, row, &cell);
	}
	return r ?: cell_end(counting, last, &cell);
}

/* ---- one block ---- */

static int part_load(struct sonde_block_source *source, struct sonde_block_part *part, const struct counting *counting)
{
	int r = counting->tally->unweighted ? 0 : sonde_block_part_load(source, part, SONDE_COLUMN_WEIGHT);

	if (!r && counting->columns->sum >= 0)
		r = sonde_block_part_load(source, part, (uint32_t)counting->columns->sum);
	for (unsigned k = 0; !r && k < counting->tally->n_by; k++)
		if (counting->columns->by[k] >= 0)
			r = sonde_block_part_load(source, part, (uint32_t)counting->columns->by[k]);
	return r;
}

static int count_part(struct sonde_block_source *source, struct sonde_block_part *part, struct counting *counting)
{
	int r = part_load(source, part, counting);
	uint64_t cells;

	if (r || !part->n)
		return r;
	counting->part = part;
	counting->weights = &part->columns[SONDE_COLUMN_WEIGHT];
	counting->one = 1;
	counting->all_one = counting->tally->unweighted || weights_are_one(counting->weights, &counting->one);
	counting->sum = NULL;
	if (counting->columns->sum >= 0 && part->columns[counting->columns->sum].n)
		counting->sum = &part->columns[counting->columns->sum];
	if (!counting->tally->groups)
		return count_rows(counting);
	cells = table_size(counting);
	return cells ? count_table(counting, cells) : count_runs(counting);
}

static bool is_whole(const struct sonde_block_want *want, const struct sonde_block_ref *ref)
{
	return want->span.since_ns <= ref->oldest_ns && want->span.until_ns > ref->newest_ns && want->pid < 0 &&
	       !want->command && !want->container && !want->where;
}

static int count_block(struct sonde_block_scan *scan, struct counting *counting, struct sonde_block_ref *ref)
{
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = NULL;
	int r;

	if (is_whole(&scan->want, ref) && !counting->tally->groups && counting->columns->sum < 0)
		return sonde_tally_add(counting->tally, NULL, ref->count, ref->weight, 0);
	r = sonde_block_part_open(scan->source, &scan->want, ref, &part);
	if (!r)
		r = count_part(scan->source, part, counting);
	if (r != -EBADMSG)
		return r;
	ref->lost = true;
	scan->lost_blocks++; /* what is damaged shows when it is loaded, before anything of it is counted */
	scan->lost_events += ref->count;
	return 0;
}

int sonde_block_scan_count(struct sonde_block_scan *scan, struct sonde_tally *tally)
{
	struct sonde_tally_columns columns;
	struct counting counting = {.tally = tally, .columns = &columns};
	int r = 0;

	sonde_tally_find(tally, scan->want.type, &columns);
	scan->want.unordered = true;
	for (size_t i = 0; !r && i < scan->n; i++)
		if (!scan->refs[i].lost)
			r = sonde_block_want_late(&scan->want) ? -ETIMEDOUT : count_block(scan, &counting, &scan->refs[i]);
	return r;
}
