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
#include <string.h>

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

static int order(const struct sonde_value *a, const struct sonde_value *b, void *userdata)
{
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
	struct sonde_group group;

	for (size_t i = 0; sonde_groups_get(groups->tally.groups, i, &group); i++)
		for (unsigned k = 0; k < groups->tally.n_by; k++) {
			enum sonde_value_type type = group.values[k].type;

			if (type != SONDE_NULL && types[k] != SONDE_NULL && types[k] != type)
				return true;
			if (type != SONDE_NULL)
				types[k] = type;
		}
	return false;
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
	if (r && r != -E2BIG)
		return r;
	if (r || types_differ(groups)) {
		sonde_groups_free(&groups->tally.groups);
		return sorted_begin(groups, db, table, &scan->want);
	}
	sonde_groups_sort(groups->tally.groups, order, groups);
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
	if (!sonde_groups_get(groups->tally.groups, groups->next, &groups->group))
		return 0;
	groups->next++;
	groups->left = groups->once ? 1 : groups->group.count;
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
		sonde_vtab_result(context, &groups->type->columns[column], &groups->group.values[place]);
}

void sonde_vtab_groups_end(struct sonde_vtab_groups *groups)
{
	sqlite3_finalize(groups->sorted);
	groups->sorted = NULL;
	sonde_tally_free(&groups->tally);
}
