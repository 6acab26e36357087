/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block.h
 * A block: up to 65,536 events of one type as columns, each encoded for what it holds and compressed by itself, so that a
 * query reads only the columns that it needs.
 *
 * Beside the block, in columns of the file's table, stand its facts: span of time, numbers, and small filters for pid, command
 * and container. They have a checksum, the block's head has one that the facts name, and each column has one that the head
 * names: whatever byte is wrong, it is seen before it is believed.
 *
 * The data (little endian):
 *	head	"sbk1", u32 length of the head, u32 rows, u32 columns, then for each column: u8 type (enum sonde_value_type),
 *		u8 flags, u8 length of the name, the name, u32 bytes, u32 stored bytes, u32 CRC-32 of the stored bytes;
 *		at the end u32 CRC-32 of the head before it
 *	columns	one after the other, as they are or, flag 1, as a zstd frame
 *
 * A column (of a number or bool): with flag 2 a bitmap of the rows that are null; then numbers.
 * A column (of text or address): u32 entries, u32 bytes of all entries, numbers: the length of each (text only), the
 * entries' bytes; then numbers: 0 null, else 1 + the entry of each row.
 * Numbers: u8 how, then
 *	constant	u64
 *	planes		u64 least, u8 width, then the lowest byte of all (number - least), then the next byte of all, ...
 *	deltas		u64 first, u8 width, planes of the zigzag-coded difference of each number to the one before it
 *	few		u8 how many, u64 each, then one byte for each row
 *
 * Threads: an encoder belongs to one thread.
 */

#include <schema/schema.h>

#include <stdatomic.h>

#define SONDE_BLOCK_ROWS_MAX 65536u
#define SONDE_BLOCK_COLUMN_BYTES_MAX (16u << 20)
#define SONDE_BLOCK_DATA_MAX (48u << 20)
#define SONDE_BLOCK_NAME_MAX 48
#define SONDE_BLOCK_FILTER_MAX 3200

enum sonde_block_filter { SONDE_BLOCK_PID, SONDE_BLOCK_COMMAND, SONDE_BLOCK_CONTAINER, SONDE_BLOCK_FILTERS };

/** What is known of a block without opening it. */
struct sonde_block_facts {
	int64_t id; /* row of the table, in memory the address of the block; no part of the checksum */
	char type[SONDE_BLOCK_NAME_MAX];
	uint64_t first; /* sequence of the first row: events of the type that were stored before it */
	uint32_t count;
	uint64_t weight; /* of all rows */
	int64_t oldest_ns, newest_ns;
	int64_t pid_min, pid_max; /* pid_min > pid_max: no row has a pid */
	uint32_t head;		  /* checksum of the head of the data */
	uint32_t n_filter;
	uint8_t filter[SONDE_BLOCK_FILTER_MAX];
};

/** Encoded, on its way to the file, or kept in memory. */
struct sonde_block {
	struct sonde_block *next;
	size_t slot; /* of the stored type */
	atomic_uint references; /* in memory: by the store and by queries */
	struct sonde_block_facts facts;
	size_t length;
	uint8_t data[];
};

uint32_t sonde_block_facts_checksum(const struct sonde_block_facts *facts);

/* ---- filters (block_filter.c) ---- */

/** A set of hashes that gives up beyond some thousand. */
struct sonde_block_set {
	uint32_t n;
	bool any; /* too many: the filter says nothing */
	uint64_t buckets[2048];
};

void sonde_block_set_add(struct sonde_block_set *set, uint64_t hash);
/** Append the filter of a set. @return bytes written, at most SONDE_BLOCK_FILTER_MAX / 3. */
uint32_t sonde_block_filter_write(const struct sonde_block_set *set, uint8_t *out);
uint64_t sonde_block_hash(const void *bytes, size_t length);
uint64_t sonde_block_hash_number(uint64_t number);
/** Of a container: what a prefix of 12 characters and the whole have in common. */
uint64_t sonde_block_hash_container(const char *text, size_t length);
/** May a row with this hash be in the block? True for a filter that makes no sense. */
bool sonde_block_filter_holds(const struct sonde_block_facts *facts, enum sonde_block_filter which, uint64_t hash);

/* ---- numbers (block_numbers.c) ---- */

#define SONDE_BLOCK_NUMBERS_BYTES(n) ((size_t)(n) * 8 + 2048)

/** `out` has SONDE_BLOCK_NUMBERS_BYTES(n) bytes. @return bytes written. */
size_t sonde_block_numbers_write(const uint64_t *numbers, uint32_t n, uint64_t *scratch, uint8_t *out);
/** The same for 32 bits; `scratch` has 2 * n places. */
size_t sonde_block_ids_write(const uint32_t *ids, uint32_t n, uint64_t *scratch, uint8_t *out);
/** Numbers or ids that are all this one. `out` has 9 bytes. */
size_t sonde_block_constant_write(uint64_t number, uint8_t *out);
/** Do `n` items of `size` bytes say the same? */
bool sonde_block_is_constant(const void *items, uint32_t n, size_t size);
/** @return bytes read, or -EBADMSG. */
int64_t sonde_block_numbers_read(const uint8_t *in, size_t length, uint32_t n, uint64_t *numbers);
/** The same into 32 bits: -EBADMSG also if a number is above `max`. */
int64_t sonde_block_ids_read(const uint8_t *in, size_t length, uint32_t n, uint32_t max, uint32_t *ids);
/** If the numbers are few: which, and for each row 1 + its place among them. @return bytes read, 0 they are not few, -EBADMSG. */
int64_t sonde_block_few_read(const uint8_t *in, size_t length, uint32_t n, uint64_t *few, uint32_t *ret_n, uint32_t *ids);

/* ---- encode (block_encode.c) ---- */

struct sonde_columns;
struct sonde_block_encoder;

int sonde_block_encoder_new(struct sonde_block_encoder **ret_encoder);
void sonde_block_encoder_free(struct sonde_block_encoder **encoder);
/** The rows as a block; `first` is not known yet. The columns stay as they are. */
int sonde_block_encode(struct sonde_block_encoder *encoder, const struct sonde_columns *columns,
		       struct sonde_block **ret_block);

/* ---- decode (block_decode.c): hostile input ---- */

enum { SONDE_BLOCK_ZSTD = 1, SONDE_BLOCK_NULLS = 2 };

struct sonde_block_field {
	char name[SONDE_BLOCK_NAME_MAX];
	enum sonde_value_type type;
	uint8_t flags;
	uint32_t bytes, stored, checksum;
	size_t offset; /* in the data */
};

struct sonde_block_head {
	uint32_t count, n_fields;
	size_t length; /* of the head */
	uint32_t checksum;
	struct sonde_block_field fields[SONDE_COLUMNS_MAX];
};

#define SONDE_BLOCK_HEAD_MAX (20 + SONDE_COLUMNS_MAX * (15 + SONDE_BLOCK_NAME_MAX))
#define SONDE_BLOCK_HEAD_LEAST 16

/** Bytes that the head has, from the first SONDE_BLOCK_HEAD_LEAST of them; or -EBADMSG. */
int sonde_block_head_length(const uint8_t *data);
/** @param data_length Of the whole data; only `length` bytes of the head are there. */
int sonde_block_head_read(const uint8_t *head, size_t length, size_t data_length, struct sonde_block_head *ret_head);

/** A decoded column. Either each row's number, or each row's entry. */
struct sonde_block_column {
	enum sonde_value_type type;
	uint32_t n;
	uint64_t *numbers; /* NULL: entries */
	uint8_t *nulls;	   /* bitmap; NULL: none */
	uint32_t *ids;	   /* 0: null, else 1 + entry */
	uint32_t n_entries;
	uint64_t *few;	   /* entries that are numbers */
	char *bytes;	   /* entries that are text or addresses, one after the other */
	uint32_t *offsets; /* n_entries + 1 */
};

/** @return 0, -EBADMSG damaged, -ENOMEM. */
int sonde_block_column_read(const struct sonde_block_field *field, const uint8_t *stored, uint32_t count,
			    struct sonde_block_column *ret_column);
/** Is what is stored of a column whole? */
bool sonde_block_column_check(const struct sonde_block_field *field, const uint8_t *stored);
void sonde_block_column_free(struct sonde_block_column *column);
/** Borrows from the column. */
void sonde_block_column_value(const struct sonde_block_column *column, uint32_t row, struct sonde_value *ret_value);
void sonde_block_column_entry(const struct sonde_block_column *column, uint32_t entry, struct sonde_value *ret_value);

static inline bool sonde_block_column_is_null(const struct sonde_block_column *column, uint32_t row)
{
	if (column->ids)
		return !column->ids[row];
	return column->nulls && column->nulls[row >> 3] & 1u << (row & 7);
}
