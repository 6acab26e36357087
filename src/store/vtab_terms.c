/* SPDX-License-Identifier: Apache-2.0 */
/* The values of the conditions that go down. Invariant: what is wanted lets through every row that fulfils them. */
#include <store/vtab.h>

#include <base/cleanup.h>

#include <stdlib.h>
#include <string.h>

static void want_time(int term, int64_t time_ns, struct sonde_span *span)
{
	int64_t since_ns = INT64_MIN, until_ns = INT64_MAX;

	switch (term) {
	case SONDE_VTAB_AFTER:
	case SONDE_VTAB_SINCE:
		since_ns = time_ns;
		break;
	case SONDE_VTAB_BEFORE:
	case SONDE_VTAB_UNTIL:
		until_ns = time_ns;
		break;
	case SONDE_VTAB_AT:
		since_ns = until_ns = time_ns;
		break;
	}
	/* inclusive and exclusive alike: SQLite looks again */
	if (until_ns != INT64_MAX)
		until_ns++;
	if (since_ns > span->since_ns)
		span->since_ns = since_ns;
	if (until_ns < span->until_ns)
		span->until_ns = until_ns;
}

static int want_text(sqlite3_value *value, char **ret_copy)
{
	const char *text;

	if (sqlite3_value_type(value) != SQLITE_TEXT)
		return SQLITE_OK;
	text = (const char *)sqlite3_value_text(value);
	if (text && strlen(text) != (size_t)sqlite3_value_bytes(value)) /* the blocks are asked for texts that end at a NUL */
		return SQLITE_OK;
	*ret_copy = text ? strdup(text) : NULL;
	return *ret_copy ? SQLITE_OK : SQLITE_NOMEM;
}

static int want_term(struct sonde_vtab_asked *asked, int term, sqlite3_value *value, struct sonde_block_want *want)
{
	bool is_number = sqlite3_value_type(value) == SQLITE_INTEGER;

	switch (term) {
	case SONDE_VTAB_PID:
		if (is_number && sqlite3_value_int64(value) >= 0)
			want->pid = sqlite3_value_int64(value);
		return SQLITE_OK;
	case SONDE_VTAB_COMMAND:
		return want_text(value, &asked->command);
	case SONDE_VTAB_CONTAINER:
		return want_text(value, &asked->container);
	}
	if (is_number)
		want_time(term, sqlite3_value_int64(value), &want->span);
	return SQLITE_OK;
}

/* ---- pid IN (...) ---- */

#define PIDS_MAX 1000000
#define PIDS_PROBED 256 /* of more, some will be in the block */

static int pid_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* All of the set, or, if one is no number or there are too many, none: then any pid is let through. */
static int want_pids(sqlite3_value *set, struct sonde_vtab_asked *asked)
{
	int64_t *pids CLEANUP_FREE = malloc(sizeof(*pids));
	size_t n = 0, capacity = 1;
	sqlite3_value *value = NULL;
	int code = sqlite3_vtab_in_first(set, &value);

	for (; pids && code == SQLITE_OK && value; code = sqlite3_vtab_in_next(set, &value)) {
		if (sqlite3_value_type(value) == SQLITE_NULL)
			continue;
		if (sqlite3_value_type(value) != SQLITE_INTEGER || n == PIDS_MAX)
			return SQLITE_OK;
		if (n == capacity) {
			int64_t *more = reallocarray(pids, 2 * capacity, sizeof(*pids));

			if (!more)
				return SQLITE_NOMEM;
			pids = more;
			capacity *= 2;
		}
		pids[n++] = sqlite3_value_int64(value);
	}
	if (!pids || (code != SQLITE_OK && code != SQLITE_DONE))
		return pids ? code : SQLITE_NOMEM;
	qsort(pids, n, sizeof(*pids), pid_order);
	asked->pids = TAKE_PTR(pids);
	asked->n_pids = n;
	return SQLITE_OK;
}

/* The first that is not below. */
static size_t pid_place(const struct sonde_vtab_asked *asked, int64_t pid)
{
	size_t low = 0, high = asked->n_pids;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (asked->pids[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool sonde_vtab_pids_have(const struct sonde_vtab_asked *asked, const struct sonde_value *pid)
{
	size_t at;

	if (!asked->pids || (pid->type != SONDE_UINT && pid->type != SONDE_INT))
		return !asked->pids;
	at = pid_place(asked, pid->i);
	return at < asked->n_pids && asked->pids[at] == pid->i;
}

bool sonde_vtab_pids_may(const struct sonde_vtab_asked *asked, const struct sonde_block_facts *facts)
{
	size_t at, begin;

	if (!asked->pids)
		return true;
	begin = pid_place(asked, facts->pid_min);
	for (at = begin; at < asked->n_pids && asked->pids[at] <= facts->pid_max; at++)
		if (at - begin == PIDS_PROBED ||
		    sonde_block_filter_holds(facts, SONDE_BLOCK_PID, sonde_block_hash_number((uint64_t)asked->pids[at])))
			return true;
	return false;
}

static void key_add(sqlite3_value *value, const struct sonde_column *column, struct sonde_vtab_asked *asked)
{
	int r = sonde_vtab_key_of(value, column, &asked->hash);

	asked->never |= r > 0;
	asked->by_value |= r < 0;
}

int sonde_vtab_terms_read(int terms, int argc, sqlite3_value **argv, struct sonde_block_want *want, struct sonde_vtab_asked *asked)
{
	static const uint8_t columns[SONDE_VTAB_TERMS] = {[5] = SONDE_COLUMN_PID, [6] = SONDE_COLUMN_COMMAND, [7] = SONDE_COLUMN_CONTAINER};
	struct sonde_vtab_row_keys *keys = &asked->keys;
	int code = SQLITE_OK, at = 0;

	asked->hash = SONDE_VTAB_KEY_START;
	for (int i = 0; i < SONDE_VTAB_TERMS && !code && at < argc; i++)
		if (1 << i == SONDE_VTAB_PID && terms & SONDE_VTAB_PID_IN) {
			code = want_pids(argv[at++], asked);
		} else if (terms & 1 << i) {
			asked->never |= sqlite3_value_type(argv[at]) == SQLITE_NULL;
			if (columns[i])
				keys->columns[keys->n++] = columns[i];
			if (columns[i])
				key_add(argv[at], &want->type->columns[columns[i]], asked);
			code = want_term(asked, 1 << i, argv[at++], want);
		}
	for (int i = 0; i < SONDE_VTAB_OTHERS && sonde_vtab_other(terms, i) >= 0 && at < argc; i++) {
		keys->columns[keys->n++] = (uint8_t)sonde_vtab_other(terms, i);
		key_add(argv[at++], &want->type->columns[sonde_vtab_other(terms, i)], asked);
	}
	want->command = asked->command;
	want->container = asked->container;
	return code;
}

void sonde_vtab_asked_clear(struct sonde_vtab_asked *asked)
{
	free(asked->command);
	free(asked->container);
	free(asked->pids);
	*asked = (struct sonde_vtab_asked){};
}
