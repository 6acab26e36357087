/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file vtab.h
 * Each type of event as a table in SQL, read only: what its columns are, and the events out of the blocks. Time, pid, command and
 * container go down to the blocks, which EXPLAIN QUERY PLAN shows ("INDEX 33:time>=? pid=? columns 7f": bits of those used). So
 * does '=' on any other column if its value comes from elsewhere, as in a join: rows that are looked up often are kept (vtab_rows.h).
 *
 * Values stand there as what they mean: times and durations in ns, booleans as 0 and 1, addresses as text, arguments as one
 * shell-quoted line, text as TEXT with its bytes as they are. A number above 2^63 - 1 is a text of 20 digits: nothing is lost, and
 * it sorts behind all other numbers. The hidden column sonde_sequence is the number of events of the type that were stored before.
 *
 * Threads: those of the connection.
 */

#include <schema/schema.h>
#include <store/block_scan.h>
#include <store/sqlite_api.h>
#include <store/tally.h>
#include <store/vtab_rows.h>

#include <stdatomic.h>

/** What statements asked of a table since this was zero, and what they did not get. */
struct sonde_vtab_use {
	bool used;
	int64_t since_ns, until_ns; /* all spans of time together; until exclusive */
	bool damaged;		    /* blocks were left out */
	uint64_t lost;		    /* events in them, as far as it is known */
	uint64_t found;		    /* events of the blocks whose facts are right, at the last scan */
	int64_t deadline_ns;	    /* boot clock; 0: none */
	const atomic_bool *interrupted; /* or NULL */
};

/**
 * @brief Make the table of a type, under its name, on a connection.
 * @param source Another connection, or the same, whose main database is a store: the events come from there.
 * @param type Copied. @param use Borrowed as long as statements run; may be NULL. @return SQLite's code.
 */
int sonde_vtab_add(sqlite3 *db, sqlite3 *source, const struct sonde_type *type, struct sonde_vtab_use *use);

/* ---- for vtab*.c only ---- */

enum sonde_vtab_term {
	SONDE_VTAB_SINCE = 1,	  /* time >= */
	SONDE_VTAB_AFTER = 2,	  /* time > */
	SONDE_VTAB_UNTIL = 4,	  /* time <= */
	SONDE_VTAB_BEFORE = 8,	  /* time < */
	SONDE_VTAB_AT = 16,	  /* time = */
	SONDE_VTAB_PID = 32,
	SONDE_VTAB_COMMAND = 64,
	SONDE_VTAB_CONTAINER = 128,
	SONDE_VTAB_TERMS = 8,
	SONDE_VTAB_OLDEST_FIRST = 256, /* the order that the rows must have */
	SONDE_VTAB_NEWEST_FIRST = 512,
	SONDE_VTAB_GROUPED = 1024, /* rows with the same values in some columns stand together */
	SONDE_VTAB_DISTINCT = 2048, /* and rows that are equal in all that is used need not be there twice */
	SONDE_VTAB_OTHERS = 2,	    /* columns beside these that are asked for with '=': 1 + which, 0 none, in 6 bits each */
	SONDE_VTAB_OTHER_SHIFT = 12,
	SONDE_VTAB_OTHER_BITS = 6,
	SONDE_VTAB_PID_IN = 1 << 24, /* the value of SONDE_VTAB_PID is a set, all at once */
};

/** @return which column that is, -1: there is no such term. */
static inline int sonde_vtab_other(int terms, int i)
{
	return (terms >> (SONDE_VTAB_OTHER_SHIFT + i * SONDE_VTAB_OTHER_BITS) & ((1 << SONDE_VTAB_OTHER_BITS) - 1)) - 1;
}

/**
 * @brief Choose what goes down: idxNum has the terms, in the order of their bits in argv; idxStr says it.
 * @param rows Of the whole table, about.
 */
int sonde_vtab_plan(const struct sonde_type *type, double rows, sqlite3_index_info *info);
/** @return a bit for each column that the statement uses, out of idxStr; the highest for all from there on. */
uint64_t sonde_vtab_columns(const char *plan);
/** The columns by whose values rows stand together, and in which order, out of idxStr too. @return how many */
struct sonde_vtab_key {
	uint8_t column;
	bool descending;
};
unsigned sonde_vtab_grouped(const char *plan, struct sonde_vtab_key keys[SONDE_COUNT_BY_MAX]);

/* vtab_terms.c */
struct sonde_vtab_asked {
	char *command, *container;
	int64_t *pids; /* in order; NULL: any */
	size_t n_pids;
	struct sonde_vtab_row_keys keys;
	uint64_t hash; /* of the values of these */
	bool never;    /* no row fulfils it */
	bool by_value; /* only SQLite knows which rows do, not the hash */
};

/**
 * @brief The values of the terms. @param argv As the plan ordered them.
 * @param want Made narrower; borrows from `asked`, which is empty. @return SQLite's code.
 */
int sonde_vtab_terms_read(int terms, int argc, sqlite3_value **argv, struct sonde_block_want *want, struct sonde_vtab_asked *asked);
void sonde_vtab_asked_clear(struct sonde_vtab_asked *asked);
/** May the block have one of the pids? */
bool sonde_vtab_pids_may(const struct sonde_vtab_asked *asked, const struct sonde_block_facts *facts);
bool sonde_vtab_pids_have(const struct sonde_vtab_asked *asked, const struct sonde_value *pid);

/* vtab_group.c */
struct sonde_vtab_group {
	struct sonde_value values[SONDE_COUNT_BY_MAX]; /* borrowed from the tally */
	uint64_t count;
};

struct sonde_vtab_groups {
	struct sonde_tally tally;
	const struct sonde_type *type;
	struct sonde_vtab_key keys[SONDE_COUNT_BY_MAX]; /* the first of a group's values are theirs */
	unsigned n_keys;
	uint8_t places[SONDE_COLUMNS_MAX]; /* of a column in a group's values */
	struct sonde_vtab_group *items; /* in the order of the keys */
	size_t n, capacity, next;
	uint64_t left; /* rows of the group before `next` that are still to come, this one too */
	bool once;
	sqlite3_stmt *sorted; /* there are too many groups: SQLite sorts, as it does without this */
};

/**
 * @brief Begin. The blocks have been offered to the scan. @param table The name in SQL, quoted.
 * @return SQLite's code, or below zero what the scan returned.
 */
int sonde_vtab_groups_begin(struct sonde_vtab_groups *groups, sqlite3 *db, const char *table, const char *plan, int terms,
			    struct sonde_block_scan *scan);
/** @return 1 there is a (next) row, 0 the end; below zero: SQLite's code, negative. */
int sonde_vtab_groups_next(struct sonde_vtab_groups *groups);
void sonde_vtab_groups_column(const struct sonde_vtab_groups *groups, sqlite3_context *context, int column);
void sonde_vtab_groups_end(struct sonde_vtab_groups *groups);

#define SONDE_VTAB_ADDRESS_TEXT 46
void sonde_vtab_address_text(const uint8_t *address, char text[SONDE_VTAB_ADDRESS_TEXT]);
/** Two values of one column as SQL orders them, arguments excepted: null first, or both of one type. */
int sonde_vtab_order(const struct sonde_value *a, const struct sonde_value *b);
/** A column's value as SQL's. */
void sonde_vtab_result(sqlite3_context *context, const struct sonde_column *column, const struct sonde_value *value);
