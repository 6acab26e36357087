/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file columns.h
 * Open columns: rows of one type as they come, until they become a block.
 *
 * Threads: one.
 */

#include <schema/schema.h>
#include <store/dictionary.h>

#define SONDE_COLUMN_RECENT 32
#define SONDE_COLUMNS_CHUNK 128u

struct sonde_open_column {
	enum sonde_value_type type;
	bool follows;			    /* from the number in the record: enum, symbol, errno ... */
	/* Rows differ. As long as they do not, which is how most columns stay, only row 0 is written: it stands for all. */
	bool is_spread;
	uint64_t *numbers;		    /* of numbers and bools */
	uint64_t *nulls;		    /* bitmap of the rows; zero from row n on */
	uint32_t n_nulls;
	uint32_t *ids;			    /* of text and addresses: 0 null, else 1 + entry */
	struct sonde_dictionary dictionary;
	/* What numbers, interned texts, or 16 bytes (names of processes, addresses) were lately: their ids plus one, 0 unused. */
	struct {
		uint64_t key[2];
		uint32_t id;
	} recent[SONDE_COLUMN_RECENT];
};

struct sonde_columns {
	const struct sonde_type *type; /* borrowed */
	struct sonde_columns *next;    /* for who keeps them */
	uint32_t n, capacity, n_columns;
	size_t row_bytes; /* of one row, without its texts */
	int64_t oldest_ns, newest_ns;
	struct sonde_open_column columns[SONDE_COLUMNS_MAX]; /* n_columns, like the type's */
};

int sonde_columns_new(const struct sonde_type *type, struct sonde_columns **ret_columns);
void sonde_columns_free(struct sonde_columns **columns);
/** A value of another type than its column becomes null. @return 0 or -ENOMEM: the row was not added. */
int sonde_columns_add(struct sonde_columns *columns, int64_t time_ns, const struct sonde_value *values);
/**
 * @brief The same from events of the type, with less work: column by column, and names are looked up once, not for each row.
 * @param n At most SONDE_COLUMNS_CHUNK. @return 0 or -ENOMEM: no row was added.
 */
int sonde_columns_add_events(struct sonde_columns *columns, const struct sonde_event *const *events, uint32_t n,
			     const struct sonde_names *names);
struct sonde_block_column;
/**
 * @brief Add all rows of a block.
 * @param from A decoded column for each of the columns, of the same types. @return 0, -EBADMSG they are not, -ENOMEM.
 */
int sonde_columns_merge(struct sonde_columns *columns, const struct sonde_block_column *from, uint32_t n);
/** Memory that the rows take, about. */
size_t sonde_columns_bytes(const struct sonde_columns *columns);
/** Drop the rows from `n` on. */
void sonde_columns_cut(struct sonde_columns *columns, uint32_t n);
/** Empty; the memory is kept. */
void sonde_columns_clear(struct sonde_columns *columns);

/* ---- for columns*.c only ---- */

int sonde_columns_grow(struct sonde_columns *columns);
void sonde_columns_time_seen(struct sonde_columns *columns, int64_t time_ns);
/** Row number `row` of one column, which has those before it and is spread, or has none. */
int sonde_column_add(struct sonde_open_column *column, uint32_t row, const struct sonde_value *value);
/** Each row for itself: before one that may differ. @param n Rows there are. */
void sonde_column_spread(struct sonde_open_column *column, uint32_t n);
/** Does row 0 stand for all of `n` rows? */
static inline bool sonde_column_is_same(const struct sonde_open_column *column, uint32_t n)
{
	return n && !column->is_spread;
}
/** `n` rows, at least 1, from row `row` on that say the same. @return 0 or -ENOMEM. */
int sonde_column_add_same(struct sonde_open_column *column, uint32_t row, uint32_t n, const struct sonde_value *value);
/** The same: a number; of texts and addresses an id. */
void sonde_column_add_same_number(struct sonde_open_column *column, uint32_t row, uint32_t n, bool is_null, uint64_t number);
void sonde_column_add_same_id(struct sonde_open_column *column, uint32_t row, uint32_t n, uint32_t id);
static inline void sonde_column_add_null(struct sonde_open_column *column, uint32_t row)
{
	column->nulls[row >> 6] |= 1ull << (row & 63);
	column->n_nulls++;
	column->numbers[row] = row ? column->numbers[row - 1] : 0; /* what costs least */
}
