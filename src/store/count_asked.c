/* SPDX-License-Identifier: Apache-2.0 */
#include <store/count_asked.h>

#include <errno.h>
#include <string.h>

static const struct sonde_column *column_find(const struct sonde_type *const *types, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		int column = sonde_type_find_column(types[i], name);

		if (column >= 0)
			return &types[i]->columns[column];
	}
	return NULL;
}

int sonde_count_asked_read(struct sonde_count_asked *asked, const struct sonde_type *const *types, size_t n, const char *by,
			   const char *sum, const char **ret_wrong)
{
	const struct sonde_column *column;
	char *rest = asked->names, *name;

	asked->opts = (struct sonde_count_opts){.sum = sum};
	asked->n_by = 0;
	*ret_wrong = by;
	if (by && strlen(by) >= sizeof(asked->names))
		return -ENOENT;
	strcpy(asked->names, by ?: "");
	while (by && (name = strsep(&rest, ","))) {
		*ret_wrong = name;
		if (asked->n_by == SONDE_COUNT_BY_MAX)
			return -E2BIG;
		column = column_find(types, n, name);
		if (!column)
			return -ENOENT;
		asked->columns[asked->n_by] = column;
		asked->opts.by[asked->n_by++] = name;
	}
	*ret_wrong = sum;
	column = sum ? column_find(types, n, sum) : NULL;
	if (sum && !column)
		return -ENOENT;
	return column && !sonde_column_is_quantity(column) ? -EINVAL : 0;
}
