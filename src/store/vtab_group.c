/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows for GROUP BY and DISTINCT: counted by what the statement uses of them, then given as often as they are there. Invariant: the
 * statement sees what it would see without this, but for the order of rows, which is that of the keys.
 */
#include <store/vtab.h>

#include <base/buffer.h>
#include <base/cleanup.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <store/groups.h>

/* Those first by which the rows are grouped. */
static void columns_take(struct sonde_vtab_groups *groups, uint64_t used, struct sonde_count_opts *opts)
{
	uint8_t n = 0;

	memset(groups->places, UINT8_MAX, sizeof(groups->places));
	for (; n < groups->n_keys; n++) {
		groups->places[groups->keys[n].column] = n;
		opts->by[n] = groups->type->columns[groups->keys[n].column].name;
	}
	for (uint32_t i = 0; i < groups->type->n_columns; i++)
		if (used & 1ull << i && groups->places[i] == UINT8_MAX) {
			groups->places[i] = n;
			opts->by[n++] = groups->type->columns[i].name;
		}
}

static int order(const void *a_group, const void *b_group, void *userdata)
{
	const struct sonde_value *a = ((const struct sonde_vtab_group *)a_group)->values,
				 *b = ((const struct sonde_vtab_group *)b_group)->values;
	const struct sonde_vtab_groups *groups = userdata;
	int result = 0;

	for (unsigned i = 0; !result && i < groups->n_keys; i++)
		result = groups->keys[i].descending ? sonde_vtab_order(&b[i], &a[i]) : sonde_vtab_order(&a[i], &b[i]);
	return result;
}

/* Older blocks may have a column with values of another type, which SQL may take for the same value. */
static bool types_differ(const struct sonde_vtab_groups *groups)
{
	enum sonde_value_type types[SONDE_COUNT_BY_MAX] = {};

	for (size_t i = 0; i < groups->n; i++)
		for (unsigned k = 0; k < groups->tally.n_by; k++) {
			enum sonde_value_type type = groups->items[i].values[k].type;

			if (type != SONDE_NULL && types[k] != SONDE_NULL && types[k] != type)
				return true;
			if (type != SONDE_NULL)
				types[k] = type;
		}
	return false;
}

static int take_group(const struct sonde_group *group, void *userdata)
{
	struct sonde_vtab_groups *groups = userdata;

	if (groups->n == groups->capacity) {
		size_t capacity = groups->capacity ? 2 * groups->capacity : 64;
		struct sonde_vtab_group *items = reallocarray(groups->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		groups->items = items;
		groups->capacity = capacity;
	}
	groups->items[groups->n].count = group->count;
	memcpy(groups->items[groups->n++].values, group->values, groups->tally.n_by * sizeof(*group->values));
	return 0;
}

/* @return 0; 1: it is for SQLite to group: there are too many, or values of several types in a column. */
static int groups_take(struct sonde_vtab_groups *groups)
{
	struct sonde_groups *counted = groups->tally.groups;
	int r = sonde_tally_pass(&groups->tally);

	if (!r && sonde_groups_number(counted) > SONDE_COUNT_GROUPS_MAX)
		return 1;
	if (!r)
		r = sonde_groups_each(counted, take_group, groups);
	if (!r && types_differ(groups))
		return 1;
	if (!r && groups->n)
		qsort_r(groups->items, groups->n, sizeof(*groups->items), order, groups);
	return r;
}

/* ---- too many groups: the same rows, sorted by SQLite ---- */

static void text_add(const char *column, const char *text, struct sonde_buffer *sql)
{
	char *condition = text ? sqlite3_mprintf(" AND %s = %Q", column, text) : NULL;

	if (condition) /* if not, more rows than need be are looked at */
		sonde_buffer_add_text(sql, condition);
	sqlite3_free(condition);
}

/* What goes down to the blocks. SQLite checks it, and all else, again, in the statement that asked. */
static void conditions_add(const struct sonde_block_want *want, struct sonde_buffer *sql)
{
	sonde_buffer_add_text(sql, " WHERE 1");
	if (want->span.since_ns != INT64_MIN)
		sonde_buffer_printf(sql, " AND time >= %" PRId64, want->span.since_ns);
	if (want->span.until_ns != INT64_MAX)
		sonde_buffer_printf(sql, " AND time < %" PRId64, want->span.until_ns);
	if (want->pid >= 0)
		sonde_buffer_printf(sql, " AND pid = %" PRId64, want->pid);
	text_add("command", want->command, sql);
	text_add("container", want->container, sql);
}

static int sorted_begin(struct sonde_vtab_groups *groups, sqlite3 *db, const char *table,
			const struct sonde_block_want *want)
{
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const struct sonde_tally *tally = &groups->tally;

	sonde_buffer_add_text(&sql, "SELECT ");
	for (unsigned i = 0; i < tally->n_by; i++)
		sonde_buffer_printf(&sql, "%s\"%s\"", i ? ", " : "", tally->opts.by[i]);
	sonde_buffer_printf(&sql, " FROM %s", table);
	conditions_add(want, &sql);
	sonde_buffer_add_text(&sql, " ORDER BY ");
	for (unsigned i = 0; i < groups->n_keys; i++)
		sonde_buffer_printf(&sql, "%s%u%s", i ? ", " : "", i + 1, groups->keys[i].descending ? " DESC" : "");
	if (sql.failed)
		return SQLITE_NOMEM;
	return sqlite3_prepare_v2(db, sql.data, -1, &groups->sorted, NULL);
}

/* ---- all ---- */

int sonde_vtab_groups_begin(struct sonde_vtab_groups *groups, sqlite3 *db, const char *table, const char *plan, int terms,
			    struct sonde_block_scan *scan)
{
	struct sonde_count_opts opts = {};
	int r;

	*groups = (struct sonde_vtab_groups){.type = scan->want.type, .once = terms & SONDE_VTAB_DISTINCT};
	groups->n_keys = sonde_vtab_grouped(plan, groups->keys);
	columns_take(groups, sonde_vtab_columns(plan), &opts);
	r = sonde_tally_begin(&groups->tally, &opts, NULL, 0);
	groups->tally.unweighted = true;
	if (!r)
		r = sonde_block_scan_count(scan, &groups->tally);
	r = r ?: groups_take(groups);
	if (r < 0 && r != -E2BIG)
		return r;
	if (r) {
		sonde_groups_free(&groups->tally.groups);
		return sorted_begin(groups, db, table, &scan->want);
	}
	return 0;
}

int sonde_vtab_groups_next(struct sonde_vtab_groups *groups)
{
	if (groups->sorted) {
		int code = sqlite3_step(groups->sorted);

		return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : -code;
	}
	if (groups->left > 1) {
		groups->left--;
		return 1;
	}
	if (groups->next == groups->n)
		return 0;
	groups->left = groups->once ? 1 : groups->items[groups->next].count;
	groups->next++;
	return 1;
}

void sonde_vtab_groups_column(const struct sonde_vtab_groups *groups, sqlite3_context *context, int column)
{
	unsigned place = column < (int)groups->type->n_columns ? groups->places[column] : SONDE_COUNT_BY_MAX;

	if (place >= groups->tally.n_by)
		sqlite3_result_null(context); /* the statement does not use it */
	else if (groups->sorted)
		sqlite3_result_value(context, sqlite3_column_value(groups->sorted, (int)place));
	else
		sonde_vtab_result(context, &groups->type->columns[column], &groups->items[groups->next - 1].values[place]);
}

void sonde_vtab_groups_end(struct sonde_vtab_groups *groups)
{
	sqlite3_finalize(groups->sorted);
	groups->sorted = NULL;
	free(groups->items);
	groups->items = NULL;
	sonde_tally_free(&groups->tally);
}
