/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_source.h
 * Blocks as they stand in a file: the list with its facts, and the data. All that reads sonde_blocks goes through here. A source
 * may also be of blocks in memory, so that whoever reads blocks does not know where they are.
 *
 * The table: sonde_blocks(id, type, first, count, weight, oldest_ns, newest_ns, pid_min, pid_max, head, filter, checksum, data)
 *
 * Threads: one for each source.
 */

#include <store/block_overlap.h>
#include <store/sqlite_api.h>

struct sonde_block_source {
	bool in_memory; /* an id is the address of a struct sonde_block; else it is of a row in a file */
	sqlite3 *db;	/* borrowed */
	sqlite3_blob *blob;
	int64_t id; /* of the block that `blob` is */
	int code;   /* of SQLite: why the last read failed with -EIO */
};

/** Gets a block's facts; of a row whose facts are damaged NULL. @return 0 to go on. */
typedef int (*sonde_block_fn)(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata);

/**
 * @brief All blocks, in no order.
 * @param take NULL: none is wanted.
 * @param drop Called in the end for each block that was given and does not count: it lies over another one (block_overlap.h). NULL:
 * that is not looked at.
 * @return SQLite's code, or what a function returned below zero.
 */
int sonde_blocks_each(sqlite3 *db, sonde_block_fn take, sonde_block_drop_fn drop, void *userdata);

/** One block. */
int sonde_block_facts_of(sqlite3 *db, int64_t id, sonde_block_fn take, void *userdata);

/** @return bytes of the block's data; -EBADMSG there is none that can be read, -EIO with `code`: nothing can be read. */
int64_t sonde_block_source_open(struct sonde_block_source *source, int64_t id);
/** Of the block that was opened last. @return 0, -EBADMSG it is shorter or its pages are damaged, -EIO with `code`. */
int sonde_block_source_read(struct sonde_block_source *source, size_t offset, size_t length, void *out);
void sonde_block_source_close(struct sonde_block_source *source);
