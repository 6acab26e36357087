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

#define PID_TERM 5
/* The same of any other column, and of a set of pids. */
#define OTHER_SHARE 0.01
#define SET_SHARE 0.1
/* What a row that is kept takes, at a guess. */
#define ROW_BYTES 80

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
		return PID_TERM;
	if (constraint->iColumn != SONDE_COLUMN_COMMAND && constraint->iColumn != SONDE_COLUMN_CONTAINER)
		return -1;
	collation = sqlite3_vtab_collation(info, i);
	if (collation && strcmp(collation, "BINARY"))
		return -1;
	return constraint->iColumn == SONDE_COLUMN_COMMAND ? 6 : 7;
}

/* Does its value come from elsewhere, as in a join? Then the rows may be looked up many times. */
static bool is_lookup(sqlite3_index_info *info, int i)
{
	sqlite3_value *value;

	return sqlite3_libversion_number() >= 3038000 && sqlite3_vtab_rhs_value(info, i, &value) != SQLITE_OK;
}

/* @return which column rows can be looked up by, beside those of term_of(); -1: none */
static int other_of(sqlite3_index_info *info, int i, const struct sonde_type *type)
{
	const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
	const struct sonde_column *column;
	const char *collation;

	if (!constraint->usable || constraint->op != SQLITE_INDEX_CONSTRAINT_EQ || constraint->iColumn < 0 ||
	    constraint->iColumn >= (int)type->n_columns || constraint->iColumn + 1 >= 1 << SONDE_VTAB_OTHER_BITS)
		return -1;
	column = &type->columns[constraint->iColumn];
	collation = sqlite3_vtab_collation(info, i);
	if (column->semantic == SONDE_SEMANTIC_ARGUMENTS || column->type == SONDE_REAL || (collation && strcmp(collation, "BINARY")) ||
	    !is_lookup(info, i))
		return -1;
	return constraint->iColumn;
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
static void plan_text(const struct sonde_type *type, int terms, const struct grouping *grouping, uint64_t used, char *out, size_t size)
{
	size_t length = 0;

	out[0] = '\0';
	for (int i = 0; i < SONDE_VTAB_TERMS; i++)
		if (terms & 1 << i) {
			sqlite3_snprintf((int)(size - length), out + length, "%s%s", length ? " " : "",
					 i == PID_TERM && terms & SONDE_VTAB_PID_IN ? "pid IN ?" : term_texts[i]);
			length = strlen(out);
		}
	for (int i = 0; i < SONDE_VTAB_OTHERS && sonde_vtab_other(terms, i) >= 0; i++) {
		sqlite3_snprintf((int)(size - length), out + length, "%s%s=?", length ? " " : "", type->columns[sonde_vtab_other(terms, i)].name);
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

/* What goes down: for each term the constraint that has it. */
struct choice {
	int terms;
	int constraints[SONDE_VTAB_TERMS], others[SONDE_VTAB_OTHERS];
	unsigned n_others;
	bool lookup, pid_in;
	double rows, kept; /* that are left; the share of these that SQLite's own conditions leave */
};

/* SQLite does not guess for virtual tables what its conditions leave, but the order of tables in a join depends on it. */
static double kept_share(const struct sqlite3_index_constraint *constraint)
{
	if (!constraint->usable)
		return 1;
	switch (constraint->op) {
	case SQLITE_INDEX_CONSTRAINT_EQ:
	case SQLITE_INDEX_CONSTRAINT_IS:
	case SQLITE_INDEX_CONSTRAINT_ISNULL:
		return 0.1;
	case SQLITE_INDEX_CONSTRAINT_GT:
	case SQLITE_INDEX_CONSTRAINT_GE:
	case SQLITE_INDEX_CONSTRAINT_LT:
	case SQLITE_INDEX_CONSTRAINT_LE:
	case SQLITE_INDEX_CONSTRAINT_LIKE:
	case SQLITE_INDEX_CONSTRAINT_GLOB:
		return 0.25;
	}
	return 1;
}

static bool has_other(const struct choice *choice, int column)
{
	for (unsigned i = 0; i < choice->n_others; i++)
		if (sonde_vtab_other(choice->terms, (int)i) == column)
			return true;
	return false;
}

/* Is it `pid IN (...)`, with a set that can be had all at once? */
static bool is_set(sqlite3_index_info *info, int i, int term)
{
	return term == PID_TERM && sqlite3_libversion_number() >= 3038000 && sqlite3_vtab_in(info, i, -1);
}

static void choose(const struct sonde_type *type, sqlite3_index_info *info, struct choice *choice)
{
	for (int i = 0; i < info->nConstraint; i++) {
		int term = term_of(info, i), other = term < 0 ? other_of(info, i, type) : -1;

		if (term >= 0 && !(choice->terms & 1 << term)) {
			choice->terms |= 1 << term;
			choice->constraints[term] = i;
			if (is_set(info, i, term)) {
				choice->pid_in = true;
				choice->rows *= SET_SHARE;
			} else {
				choice->rows *= term_shares[term];
				choice->lookup |= is_lookup(info, i);
			}
		} else if (other >= 0 && choice->n_others < SONDE_VTAB_OTHERS && !has_other(choice, other)) {
			choice->terms |= (other + 1) << (SONDE_VTAB_OTHER_SHIFT + (int)choice->n_others * SONDE_VTAB_OTHER_BITS);
			choice->others[choice->n_others++] = i;
			choice->rows *= OTHER_SHARE;
			choice->lookup = true;
		} else {
			choice->kept *= kept_share(&info->aConstraint[i]);
		}
	}
}

/* In rows that are read. Of rows that are kept a look-up costs little more than what it finds. */
static double cost_of(const struct choice *choice, double rows)
{
	if (choice->lookup && rows * ROW_BYTES < SONDE_VTAB_ROWS_BYTES)
		return 20 + choice->rows;
	return 1000 + choice->rows;
}

int sonde_vtab_plan(const struct sonde_type *type, double rows, sqlite3_index_info *info)
{
	struct choice choice = {.rows = rows, .kept = 1};
	struct grouping grouping = {};
	bool grouped;
	char text[400];
	int n = 0;

	choose(type, info, &choice);
	for (int i = 0; i < SONDE_VTAB_TERMS; i++)
		if (choice.terms & 1 << i)
			info->aConstraintUsage[choice.constraints[i]].argvIndex = ++n;
	for (unsigned i = 0; i < choice.n_others; i++)
		info->aConstraintUsage[choice.others[i]].argvIndex = ++n;
	if (choice.pid_in && !choice.lookup && sqlite3_vtab_in(info, choice.constraints[PID_TERM], 1))
		choice.terms |= SONDE_VTAB_PID_IN;
	else
		choice.lookup |= choice.pid_in;
	info->estimatedRows = choice.rows * choice.kept < 1 ? 1 : (sqlite3_int64)(choice.rows * choice.kept);
	info->estimatedCost = cost_of(&choice, rows);
	grouped = !choice.lookup && is_grouped(info, type, &grouping, &choice.terms);
	choice.terms |= grouped ? 0 : order_of(info);
	info->orderByConsumed = grouped || order_of(info);
	info->idxNum = choice.terms;
	plan_text(type, choice.terms, &grouping, info->colUsed, text, sizeof(text));
	info->idxStr = sqlite3_mprintf("%s", text);
	info->needToFreeIdxStr = 1;
	return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}
