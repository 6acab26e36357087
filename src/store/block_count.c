/* SPDX-License-Identifier: Apache-2.0 */
/* Counts over columns: no row is built, and a block that lies inside the span whole is counted without being opened. */
#include <store/block_scan.h>
#include <store/groups.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct counting {
	int group;
	struct sonde_groups *groups;
	uint64_t rows, weight;
};

static uint64_t weight_of(const struct sonde_block_column *weights, uint32_t row)
{
	if (!weights->n || sonde_block_column_is_null(weights, row))
		return 1;
	return weights->ids ? weights->few[weights->ids[row] - 1] : weights->numbers[row];
}

/* Without sampling all weights are the same. */
static bool weights_are_one(const struct sonde_block_column *weights, uint64_t *ret_weight)
{
	*ret_weight = weights->n ? weights->few ? weights->few[0] : 0 : 1;
	return !weights->n || (weights->few && weights->n_entries == 1 && !weights->nulls);
}

static int group_value(struct counting *counting, const struct sonde_value *value, uint64_t weight)
{
	return counting->groups ? sonde_groups_add(counting->groups, value, weight) : 0;
}

/* Of a column with entries: sums first, then each entry once. */
static int group_entries(struct counting *counting, const struct sonde_block_part *part,
			 const struct sonde_block_column *column, const struct sonde_block_column *weights)
{
	struct sum {
		uint64_t weight, rows;
	} *sums CLEANUP_FREE = calloc(column->n_entries + 1ul, sizeof(*sums));
	uint64_t one;
	bool all_one = weights_are_one(weights, &one);
	int r = 0;

	if (!sums)
		return -ENOMEM;
	if (all_one && !part->rows)
		for (uint32_t row = 0; row < part->n; row++)
			sums[column->ids[row]].rows++;
	else if (all_one)
		for (uint32_t i = 0; i < part->n; i++)
			sums[column->ids[part->rows[i]]].rows++;
	else
		for (uint32_t i = 0; i < part->n; i++) {
			uint32_t row = sonde_block_part_row(part, i);

			sums[column->ids[row]].rows++;
			sums[column->ids[row]].weight += weight_of(weights, row);
		}
	for (uint32_t i = 0; !r && i <= column->n_entries; i++) {
		struct sonde_value value = {.type = SONDE_NULL};

		if (!sums[i].rows)
			continue;
		if (i)
			sonde_block_column_entry(column, i - 1, &value);
		r = group_value(counting, &value, all_one ? sums[i].rows * one : sums[i].weight);
	}
	return r;
}

/* Of numbers: equal neighbours are added up first. */
static int group_numbers(struct counting *counting, const struct sonde_block_part *part, uint32_t index,
			 const struct sonde_block_column *weights)
{
	struct sonde_value value = {.type = SONDE_NULL}, last = {.type = SONDE_NULL};
	uint64_t sum = 0;
	bool any = false;
	int r = 0;

	for (uint32_t i = 0; !r && i < part->n; i++) {
		uint32_t row = sonde_block_part_row(part, i);

		sonde_block_part_value(part, row, index, &value);
		if (any && (value.type != last.type || value.u != last.u)) {
			r = group_value(counting, &last, sum);
			sum = 0;
		}
		any = true;
		last = value;
		sum += weight_of(weights, row);
	}
	return r || !any ? r : group_value(counting, &last, sum);
}

static int group_part(struct sonde_block_source *source, struct counting *counting, struct sonde_block_part *part)
{
	const struct sonde_block_column *weights = &part->columns[SONDE_COLUMN_WEIGHT];
	uint32_t index = (uint32_t)counting->group;
	struct sonde_value value;
	uint64_t sum = 0;
	int r = sonde_block_part_load(source, part, SONDE_COLUMN_WEIGHT);

	if (!r && counting->groups && counting->group >= 0)
		r = sonde_block_part_load(source, part, index);
	if (r || !part->n)
		return r;
	for (uint32_t i = 0; i < part->n; i++)
		sum += weight_of(weights, sonde_block_part_row(part, i));
	counting->rows += part->n;
	counting->weight += sum;
	if (!counting->groups)
		return 0;
	if (counting->group < 0 || index == SONDE_COLUMN_TYPE || !part->columns[index].n) {
		value = (struct sonde_value){.type = SONDE_NULL};
		if (counting->group >= 0)
			sonde_block_part_value(part, 0, index, &value);
		return group_value(counting, &value, sum);
	}
	return part->columns[index].ids ? group_entries(counting, part, &part->columns[index], weights) :
					  group_numbers(counting, part, index, weights);
}

static bool is_whole(const struct sonde_block_want *want, const struct sonde_block_ref *ref)
{
	return want->span.since_ns <= ref->oldest_ns && want->span.until_ns > ref->newest_ns && want->pid < 0 &&
	       !want->command && !want->container && !want->where;
}

static int count_block(struct sonde_block_scan *scan, struct counting *counting, const struct sonde_block_ref *ref)
{
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = NULL;
	struct counting before = *counting;
	int r;

	if (is_whole(&scan->want, ref) && !counting->groups) {
		counting->rows += ref->count;
		counting->weight += ref->weight;
		return 0;
	}
	r = sonde_block_part_open(scan->source, &scan->want, ref, &part);
	if (!r)
		r = group_part(scan->source, counting, part);
	if (r != -EBADMSG)
		return r;
	*counting = before;
	scan->lost_blocks++;
	scan->lost_events += ref->count;
	return 0;
}

int sonde_block_scan_count(struct sonde_block_scan *scan, int group, struct sonde_groups *groups, uint64_t *rows,
			   uint64_t *weight)
{
	struct counting counting = {.group = group, .groups = groups};
	int r = 0;

	scan->want.unordered = true;
	for (size_t i = 0; !r && i < scan->n; i++)
		r = sonde_block_want_late(&scan->want) ? -ETIMEDOUT : count_block(scan, &counting, &scan->refs[i]);
	*rows += counting.rows;
	*weight += counting.weight;
	return r;
}
