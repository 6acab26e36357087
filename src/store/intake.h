/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file intake.h
 * Appended events that wait for their commit: open columns for each type, and blocks that are full already.
 *
 * Threads: the writer's.
 */

#include <schema/schema.h>
#include <store/block.h>
#include <store/columns.h>

/** A type as events carry it, and the place of the stored type. */
struct sonde_intake_source {
	const struct sonde_type *type;
	size_t slot;
	struct sonde_columns *open; /* where the next row goes */
	struct sonde_columns *full; /* oldest first; not encoded yet */
	struct sonde_columns *spare; /* empty, but with room: to grow again costs as much as to fill */
	bool filled; /* a block, since the last commit */
	const struct sonde_event *chunk[SONDE_COLUMNS_CHUNK]; /* of the batch, not in the columns yet */
	uint32_t n_chunk;
	int64_t chunk_oldest_ns, chunk_newest_ns;
	/* As of the start of a batch. */
	struct sonde_columns *mark;
	uint32_t mark_n;
};

struct sonde_intake {
	const struct sonde_names *names;
	size_t max_bytes;    /* a batch is taken while less than this waits */
	size_t block_bytes;  /* open columns that have so much become a block */
	int64_t max_span_ns; /* of the times in one block, so that age can drop blocks; 0: any */
	uint64_t n;	     /* events that wait */
	struct sonde_intake_source *sources;
	size_t n_sources, last_source;
	struct sonde_block_encoder *encoder;
	struct sonde_block *blocks, **end; /* encoded, oldest first */
	size_t n_blocks, bytes;		   /* of them */
};

int sonde_intake_init(struct sonde_intake *intake);
void sonde_intake_free(struct sonde_intake *intake);
int sonde_intake_add_source(struct sonde_intake *intake, const struct sonde_type *type, size_t slot);
/** All or nothing. @return 0, -ENOBUFS, -EINVAL unknown type, -ENOMEM. */
int sonde_intake_append(struct sonde_intake *intake, const struct sonde_event *events, size_t n);
/** Everything that waits into blocks. @return 0 or -ENOMEM: call again. */
int sonde_intake_seal(struct sonde_intake *intake);
/** The blocks are stored. */
void sonde_intake_clear(struct sonde_intake *intake);
