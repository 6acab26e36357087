/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file vtab.h
 * Each type of event as a table in SQL, read only: what its columns are, and the events out of the blocks. Time, pid, command and
 * container go down to the blocks, which EXPLAIN QUERY PLAN shows ("INDEX 33:time>=? pid=? columns 7f": bits of those used).
 *
 * Values stand there as what they mean: times and durations in ns, booleans as 0 and 1, addresses as text, arguments as one
 * shell-quoted line, text as TEXT, or as BLOB where it is not UTF-8 or holds a NUL. A number above 2^63 - 1 is a BLOB of 8 bytes,
 * highest first: nothing is lost, and it sorts behind all other numbers. The hidden column sonde_sequence is the number of events of
 * the type that were stored before.
 *
 * Threads: those of the connection.
 */

#include <schema/schema.h>
#include <store/sqlite_api.h>

/** What statements asked of a table since this was zero, and what they did not get. */
struct sonde_vtab_use {
	bool used;
	int64_t since_ns, until_ns; /* all spans of time together; until exclusive */
	bool damaged;		    /* blocks were left out */
	uint64_t lost;		    /* events in them, as far as it is known */
	uint64_t found;		    /* events of the blocks whose facts are right, at the last scan */
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
};

/** Chooses what goes down: idxNum has the terms, in the order of their bits in argv; idxStr says it. */
int sonde_vtab_plan(sqlite3_vtab *table, sqlite3_index_info *info);
/** @return a bit for each column that the statement uses, out of idxStr; the highest for all from there on. */
uint64_t sonde_vtab_columns(const char *plan);
/** A column's value as SQL's. */
void sonde_vtab_result(sqlite3_context *context, const struct sonde_column *column, const struct sonde_value *value);
