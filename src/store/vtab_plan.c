/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which conditions of a statement go down to the blocks. SQLite checks all of them again, so what goes down only has to let
 * through every row that fulfils them.
 */
#include <store/vtab.h>

#include <stdlib.h>
#include <string.h>

#define GROUPED "grouped by"

static const char *const term_texts[SONDE_VTAB_TERMS] = {
	"time>=?", "time>?", "time<=?", "time<?", "time=?", "pid=?", "command=?", "container=?",
};
/* How much of the rows each leaves, at a guess. */
static const double term_shares[SONDE_VTAB_TERMS] = {0.25, 0.25, 0.5, 0.5, 0.0001, 0.01, 0.02, 0.05};

static int time_term(unsigned char op)
{
	switch (op) {
	case SQLITE_INDEX_CONSTRAINT_GE:
		return 0;
	case SQLITE_INDEX_CONSTRAINT_GT:
		return 1;
	case SQLITE_INDEX_CONSTRAINT_LE:
		return 2;
	case SQLITE_INDEX_CONSTRAINT_LT:
		return 3;
	case SQLITE_INDEX_CONSTRAINT_EQ:
		return 4;
	}
	return -1;
}

/* @return which term the constraint is, -1: none */
static int term_of(sqlite3_index_info *info, int i)
{
	const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
	const char *collation;

	if (!constraint->usable)
		return -1;
	if (constraint->iColumn == SONDE_COLUMN_TIME)
		return time_term(constraint->op);
	if (constraint->op != SQLITE_INDEX_CONSTRAINT_EQ)
		return -1;
	if (constraint->iColumn == SONDE_COLUMN_PID)
		return 5;
	if (constraint->iColumn != SONDE_COLUMN_COMMAND && constraint->iColumn != SONDE_COLUMN_CONTAINER)
		return -1;
	collation = sqlite3_vtab_collation(info, i);
	if (collation && strcmp(collation, "BINARY"))
		return -1;
	return constraint->iColumn == SONDE_COLUMN_COMMAND ? 6 : 7;
}

static int order_of(const sqlite3_index_info *info)
{
	if (info->nOrderBy != 1 || info->aOrderBy[0].iColumn != SONDE_COLUMN_TIME)
		return 0;
	return info->aOrderBy[0].desc ? SONDE_VTAB_NEWEST_FIRST : SONDE_VTAB_OLDEST_FIRST;
}

/* What a statement groups by, each column once: those that stand there twice say nothing more. */
struct grouping {
	struct sonde_vtab_key keys[SONDE_COUNT_BY_MAX];
	unsigned n; /* 0: it is not grouped */
};

static bool has_key(const struct grouping *grouping, int column)
{
	for (unsigned i = 0; i < grouping->n; i++)
		if (grouping->keys[i].column == column)
			return true;
	return false;
}

static bool keys_take(const sqlite3_index_info *info, const struct sonde_type *type, struct grouping *grouping)
{
	for (int i = 0; i < info->nOrderBy; i++) {
		int column = info->aOrderBy[i].iColumn;

		if (column < 0 || !(info->colUsed & 1ull << column) || type->columns[column].semantic == SONDE_SEMANTIC_ARGUMENTS)
			return false;
		if (has_key(grouping, column))
			continue;
		if (grouping->n == SONDE_COUNT_BY_MAX)
			return false;
		grouping->keys[grouping->n++] = (struct sonde_vtab_key){.column = (uint8_t)column, .descending = info->aOrderBy[i].desc};
	}
	return grouping->n;
}

/*
 * Rows that are equal in all columns that the statement uses are one to it, however often it is there: if these columns are few, the
 * rows are counted in groups (as 'sonde count --by' does, which takes milliseconds) and given group by group, so that SQLite need not
 * sort them. The groups have the order that is asked for: SQLite relies on it where ORDER BY follows GROUP BY.
 */
static bool is_grouped(sqlite3_index_info *info, const struct sonde_type *type, struct grouping *ret_grouping, int *terms)
{
	struct grouping grouping = {};
	int mode;

	/* The hidden column is in no two rows the same. */
	if (sqlite3_libversion_number() < 3038000 || type->n_columns > 62 || info->colUsed >> type->n_columns ||
	    __builtin_popcountll(info->colUsed) > SONDE_COUNT_BY_MAX)
		return false;
	mode = sqlite3_vtab_distinct(info);
	if ((mode != 1 && mode != 2) || !keys_take(info, type, &grouping))
		return false;
	*terms |= SONDE_VTAB_GROUPED | (mode == 2 ? SONDE_VTAB_DISTINCT : 0);
	*ret_grouping = grouping;
	return true;
}

/* What the scan has to know, in words for EXPLAIN QUERY PLAN; the columns last, as bits, for sonde_vtab_columns(). */
static void plan_text(int terms, const struct grouping *grouping, uint64_t used, char *out, size_t size)
{
	size_t length = 0;

	out[0] = '\0';
	for (int i = 0; i < SONDE_VTAB_TERMS; i++)
		if (terms & 1 << i) {
			sqlite3_snprintf((int)(size - length), out + length, "%s%s", length ? " " : "", term_texts[i]);
			length = strlen(out);
		}
	if (terms & (SONDE_VTAB_OLDEST_FIRST | SONDE_VTAB_NEWEST_FIRST))
		sqlite3_snprintf((int)(size - length), out + length, "%s%s", length ? " " : "",
				 terms & SONDE_VTAB_OLDEST_FIRST ? "oldest first" : "newest first");
	length = strlen(out);
	for (unsigned i = 0; i < grouping->n; i++) {
		sqlite3_snprintf((int)(size - length), out + length, "%s%s %d%s", length ? " " : "", i ? "," : GROUPED,
				 grouping->keys[i].column, grouping->keys[i].descending ? " desc" : "");
		length = strlen(out);
	}
	sqlite3_snprintf((int)(size - length), out + length, "%scolumns %llx", length ? " " : "", (unsigned long long)used);
}

uint64_t sonde_vtab_columns(const char *plan)
{
	const char *columns = strrchr(plan, ' ');

	return columns ? strtoull(columns + 1, NULL, 16) : 0;
}

unsigned sonde_vtab_grouped(const char *plan, struct sonde_vtab_key keys[SONDE_COUNT_BY_MAX])
{
	const char *at = strstr(plan, GROUPED);
	unsigned n = 0;
	char *end;

	for (at = at ? at + strlen(GROUPED) : NULL; at && n < SONDE_COUNT_BY_MAX; n++) {
		keys[n].column = (uint8_t)strtoul(at, &end, 10);
		keys[n].descending = !strncmp(end, " desc", 5);
		end += keys[n].descending ? 5 : 0;
		at = !strncmp(end, " ,", 2) ? end + 2 : NULL;
	}
	return n;
}

int sonde_vtab_plan(const struct sonde_type *type, sqlite3_index_info *info)
{
	int constraints[SONDE_VTAB_TERMS], terms = 0, n = 0;
	struct grouping grouping = {};
	bool grouped;
	double rows = 1e6;
	char text[200];

	for (int i = 0; i < info->nConstraint; i++) {
		int term = term_of(info, i);

		if (term < 0 || terms & 1 << term)
			continue;
		terms |= 1 << term;
		constraints[term] = i;
		rows *= term_shares[term];
	}
	for (int i = 0; i < SONDE_VTAB_TERMS; i++)
		if (terms & 1 << i)
			info->aConstraintUsage[constraints[i]].argvIndex = ++n;
	info->estimatedRows = rows < 1 ? 1 : (sqlite3_int64)rows;
	info->estimatedCost = 1000 + rows;
	grouped = is_grouped(info, type, &grouping, &terms);
	terms |= grouped ? 0 : order_of(info);
	info->orderByConsumed = grouped || order_of(info);
	info->idxNum = terms;
	plan_text(terms, &grouping, info->colUsed, text, sizeof(text));
	info->idxStr = sqlite3_mprintf("%s", text);
	info->needToFreeIdxStr = 1;
	return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}
