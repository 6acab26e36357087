/* SPDX-License-Identifier: Apache-2.0 */
#include <store/tally.h>

#include <store/backend.h>

#include <errno.h>

static int check_column(const char *name, bool sum, const struct sonde_type *const *types, size_t n)
{
	bool found = !n;

	for (size_t i = 0; i < n; i++) {
		int column = sonde_type_find_column(types[i], name);

		found |= column >= 0;
		if (sum && column >= 0 && !sonde_column_is_quantity(&types[i]->columns[column]))
			return sonde_store_fail(-EINVAL, "the values of column '%s' cannot be added up", name);
	}
	return found ? 0 : sonde_store_fail(-ENOENT, "no column '%s'", name);
}

int sonde_tally_begin(struct sonde_tally *tally, const struct sonde_count_opts *opts, const struct sonde_type *const *types,
		      size_t n)
{
	struct sonde_groups_opts groups = {.limit = SONDE_COUNT_GROUPS_MAX};
	int r = 0;

	*tally = (struct sonde_tally){.opts = opts ? *opts : (struct sonde_count_opts){}};
	for (; !r && tally->n_by < SONDE_COUNT_BY_MAX && tally->opts.by[tally->n_by]; tally->n_by++)
		r = check_column(tally->opts.by[tally->n_by], false, types, n);
	if (!r && tally->opts.sum)
		r = check_column(tally->opts.sum, true, types, n);
	groups.n_values = tally->n_by;
	groups.by_sum = tally->opts.sum;
	groups.bytes = tally->opts.bytes ?: SONDE_GROUPS_BYTES;
	if (tally->opts.limit && tally->opts.limit < groups.limit)
		groups.limit = tally->opts.limit;
	if (!r && tally->n_by)
		r = sonde_groups_new(&groups, &tally->groups);
	return r;
}

void sonde_tally_free(struct sonde_tally *tally)
{
	sonde_groups_free(&tally->groups);
}

void sonde_tally_find(const struct sonde_tally *tally, const struct sonde_type *type, struct sonde_tally_columns *ret_columns)
{
	*ret_columns = (struct sonde_tally_columns){.sum = -1};
	for (unsigned i = 0; i < tally->n_by; i++)
		ret_columns->by[i] = sonde_type_find_column(type, tally->opts.by[i]);
	if (tally->opts.sum)
		ret_columns->sum = sonde_type_find_column(type, tally->opts.sum);
}

int64_t sonde_tally_sum(int64_t sum, const struct sonde_value *value, uint64_t weight)
{
	int64_t product, number;

	if (value->type == SONDE_NULL || !weight)
		return sum;
	number = value->type == SONDE_UINT && value->u > INT64_MAX ? INT64_MAX : value->i;
	if (__builtin_mul_overflow(number, weight, &product))
		product = number < 0 ? INT64_MIN : INT64_MAX;
	return sonde_sum(sum, product);
}

int sonde_tally_add(struct sonde_tally *tally, const struct sonde_value *values, uint64_t rows, uint64_t weight, int64_t sum)
{
	if (!tally->again) {
		tally->rows += rows;
		tally->total.count += weight;
		tally->total.sum = sonde_sum(tally->total.sum, sum);
	}
	return tally->groups ? sonde_groups_add(tally->groups, values, weight, sum) : 0;
}

int sonde_tally_pass(struct sonde_tally *tally)
{
	tally->again = true;
	return tally->groups ? sonde_groups_pass(tally->groups) : 0;
}

int sonde_tally_end(struct sonde_tally *tally, sonde_group_fn fn, void *userdata, struct sonde_answer *answer)
{
	int r;

	answer->rows = tally->rows;
	answer->count = tally->total.count;
	answer->sum = tally->total.sum;
	answer->groups = tally->groups ? sonde_groups_number(tally->groups) : 0;
	answer->more = false;
	answer->cursor[0] = '\0';
	if (tally->groups)
		return sonde_groups_each(tally->groups, fn, userdata);
	r = fn(&tally->total, userdata);
	return r < 0 ? r : 0;
}
