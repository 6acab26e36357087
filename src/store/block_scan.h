/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_scan.h
 * The rows of one type that meet conditions, out of blocks. Blocks that cannot have one are not opened, of the others only the
 * columns are read that a condition or the caller asks for. A damaged block is left out and counted.
 *
 * Threads: one for each scan.
 */

#include <base/clock.h>
#include <schema/filter.h>
#include <store/block_source.h>
#include <store/damage.h>
#include <store/query.h>

struct sonde_block_want {
	const struct sonde_type *type; /* the stored type, which the rows follow */
	struct sonde_span span;
	bool oldest_first;
	bool unordered; /* any order will do */
	int64_t pid;	/* -1: any */
	const char *command, *container; /* NULL: any */
	bool container_prefix;
	const struct sonde_filter *where;
	uint64_t where_columns;
	uint64_t whole_columns; /* a block of which one of these is damaged is left out as soon as it is opened */
	int64_t deadline_ns; /* boot clock */
	const atomic_bool *interrupted; /* NULL: by nobody */
	struct sonde_damage *damage;	/* NULL, or where damaged blocks are noted too */
};

/** Is it time to end? */
static inline bool sonde_block_want_late(const struct sonde_block_want *want)
{
	return (want->interrupted && *want->interrupted) || sonde_clock_boot_ns() > want->deadline_ns;
}

/* What is kept of a block that may have rows. */
struct sonde_block_ref {
	int64_t id;
	uint64_t first, weight;
	int64_t oldest_ns, newest_ns;
	uint32_t count, head;
	bool lost; /* found damaged when it was counted */
};

static inline void sonde_block_ref_set(struct sonde_block_ref *ref, const struct sonde_block_facts *facts)
{
	*ref = (struct sonde_block_ref){
		.id = facts->id, .first = facts->first, .weight = facts->weight, .oldest_ns = facts->oldest_ns,
		.newest_ns = facts->newest_ns, .count = facts->count, .head = facts->head,
	};
}

/* ---- one block (block_part.c) ---- */

struct sonde_block_part {
	struct sonde_block_ref ref;
	const struct sonde_block_want *want;
	size_t length; /* of the data */
	struct sonde_block_head head;
	uint8_t map[SONDE_COLUMNS_MAX]; /* of the stored type's columns: which field, or UINT8_MAX */
	uint64_t loaded;
	struct sonde_block_column columns[SONDE_COLUMNS_MAX];
	uint32_t *rows; /* that meet the conditions; NULL: all */
	uint32_t n;	/* of them */
	uint32_t next;
};

/** @return 0, -EBADMSG damaged, -EIO with the source's code, -ENOMEM. */
int sonde_block_part_open(struct sonde_block_source *source, const struct sonde_block_want *want,
			  const struct sonde_block_ref *ref, struct sonde_block_part **ret_part);
void sonde_block_part_free(struct sonde_block_part **part);
/** Make a column of the stored type readable. One that the block does not have stays empty (n 0). */
int sonde_block_part_load(struct sonde_block_source *source, struct sonde_block_part *part, uint32_t column);
/** Give the columns' memory back; they can be loaded again. */
void sonde_block_part_trim(struct sonde_block_part *part);
/** Row number `i` of those that meet the conditions. */
static inline uint32_t sonde_block_part_row(const struct sonde_block_part *part, uint32_t i)
{
	return part->rows ? part->rows[i] : i;
}
int64_t sonde_block_part_time(const struct sonde_block_part *part, uint32_t row);
/** A loaded column of a row. */
void sonde_block_part_value(const struct sonde_block_part *part, uint32_t row, uint32_t column, struct sonde_value *ret_value);

/* ---- all blocks (block_scan.c) ---- */

struct sonde_block_scan {
	struct sonde_block_source *source;
	struct sonde_block_want want;
	uint64_t command_hash, container_hash, pid_hash;
	struct sonde_block_ref *refs;
	size_t n, capacity, next; /* refs before `next` are open or done */
	struct sonde_block_part **open;
	size_t n_open, open_capacity;
	struct sonde_block_part *current;
	uint32_t row;
	uint64_t lost_blocks, lost_events; /* damaged */
};

void sonde_block_scan_init(struct sonde_block_scan *scan, struct sonde_block_source *source,
			   const struct sonde_block_want *want);
void sonde_block_scan_free(struct sonde_block_scan *scan);
/** Take the block if it may have rows. @return 0 or -ENOMEM. */
int sonde_block_scan_offer(struct sonde_block_scan *scan, const struct sonde_block_facts *facts);
/** It was offered, and does not count. */
void sonde_block_scan_drop(struct sonde_block_scan *scan, const struct sonde_block_place *place);
/** All blocks were offered. */
void sonde_block_scan_start(struct sonde_block_scan *scan);
/** @return 1 there is a (next) row, 0 the end, -EIO with the source's code, -ETIMEDOUT, -ENOMEM. */
int sonde_block_scan_next(struct sonde_block_scan *scan);
/** Of the current row; borrows until the next one. @return 0, 1 the block is damaged: the row is not there, or an error. */
int sonde_block_scan_value(struct sonde_block_scan *scan, uint32_t column, struct sonde_value *ret_value);
int64_t sonde_block_scan_sequence(const struct sonde_block_scan *scan);

struct sonde_tally;
/** Count the rows (block_count.c) instead of walking them, as often as the tally wants. @return as sonde_block_scan_next(). */
int sonde_block_scan_count(struct sonde_block_scan *scan, struct sonde_tally *tally);
