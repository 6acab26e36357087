/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file vtab_rows.h
 * Rows of a table in memory, for a statement that looks into it again and again (a join): from when it pays on, the columns that it
 * uses are read once, and each further look-up finds its rows by the values that it asks for with '=', and by time among these. All
 * such rows of the process together have a limit, beyond which each look-up reads blocks.
 *
 * Threads: those of the connection; the limit is shared by all.
 */

#include <store/block_scan.h>
#include <store/sqlite_api.h>

#define SONDE_VTAB_ROWS_BYTES (64u << 20)
#define SONDE_VTAB_KEYS_MAX 5
#define SONDE_VTAB_KEY_START 1 /* the hash of no value at all */

struct sonde_vtab_rows;

/** The columns that are asked for with '='. */
struct sonde_vtab_row_keys {
	uint8_t columns[SONDE_VTAB_KEYS_MAX];
	unsigned n;
};

/** Add a value to a hash, which begins with SONDE_VTAB_KEY_START. @return 0; 1 nothing is equal to it (null); -EINVAL only SQLite knows what is. */
int sonde_vtab_key_of(sqlite3_value *value, const struct sonde_column *column, uint64_t *hash);

/**
 * @brief Read the rows that the scan wants; its blocks were offered. Damaged ones are left out and counted in the scan.
 * @param columns A bit for each that will be asked for. @param by_time They will be asked for by time.
 * @return 0; -EDOM the values are not all of their column's kind, -ENOSPC too many, or as sonde_block_scan_next().
 */
int sonde_vtab_rows_new(struct sonde_block_scan *scan, uint64_t columns, const struct sonde_vtab_row_keys *keys, bool by_time,
			struct sonde_vtab_rows **ret_rows);
struct sonde_vtab_rows *sonde_vtab_rows_ref(struct sonde_vtab_rows *rows);
void sonde_vtab_rows_unref(struct sonde_vtab_rows **rows);
/** Those with the hash in the span: from `*ret_begin` on, oldest first, before `*ret_end`. */
void sonde_vtab_rows_find(const struct sonde_vtab_rows *rows, uint64_t hash, const struct sonde_span *span, size_t *ret_begin,
			  size_t *ret_end);
void sonde_vtab_rows_value(const struct sonde_vtab_rows *rows, size_t i, uint32_t column, struct sonde_value *ret_value);
int64_t sonde_vtab_rows_sequence(const struct sonde_vtab_rows *rows, size_t i);

/* ---- the look-ups of a statement, by plan (vtab_lookup.c) ---- */

struct sonde_vtab_lookup {
	struct sonde_vtab_lookup *next;
	int terms;
	char *plan;
	uint64_t spent; /* rows of the blocks that were opened, and something for those that were not */
	bool refused;	/* the rows cannot be held */
	bool asked;	/* the following is what all look-ups have in common */
	struct sonde_span span;
	int64_t pid;
	char *command, *container;
	struct sonde_vtab_rows *rows; /* all that follow from it, or NULL */
};

/** The one of a plan, which comes to be. @return NULL: no memory. */
struct sonde_vtab_lookup *sonde_vtab_lookup_get(struct sonde_vtab_lookup **list, int terms, const char *plan);
void sonde_vtab_lookups_free(struct sonde_vtab_lookup **list);
/** One more asks: its rows are dropped if they are not all that it wants. @return 0 or -ENOMEM. */
int sonde_vtab_lookup_ask(struct sonde_vtab_lookup *lookup, const struct sonde_block_want *want);
/** What all of them want together, instead of what one of them wants. */
void sonde_vtab_lookup_want(const struct sonde_vtab_lookup *lookup, struct sonde_block_want *want);
