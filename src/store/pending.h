/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file pending.h
 * Appended events that wait for their commit, as compact rows, and the coding of such a row.
 *
 * Threads: the writer's.
 */

#include <base/buffer.h>
#include <schema/schema.h>

struct sonde_pending_row {
	int64_t time_ns;
	int64_t sequence;
	uint32_t length; /* of the values that follow */
	uint32_t source; /* index in sonde_pending.sources */
};

/** A type as events carry it, and the place of the stored type. */
struct sonde_pending_source {
	const struct sonde_type *type;
	size_t slot;
};

struct sonde_pending {
	struct sonde_buffer rows;
	uint64_t n;
	size_t max_bytes; /* a batch is taken while less than this waits */
	const struct sonde_names *names;
	struct sonde_pending_source *sources;
	size_t n_sources, last_source;
};

void sonde_pending_free(struct sonde_pending *pending);
int sonde_pending_add_source(struct sonde_pending *pending, const struct sonde_type *type, size_t slot);
/** All or nothing. @return 0, -ENOBUFS, -EINVAL unknown type, -ENOMEM. */
int sonde_pending_append(struct sonde_pending *pending, const struct sonde_event *events, size_t n);
/** Row after row from *offset 0 on. @return false at the end. */
bool sonde_pending_next(const struct sonde_pending *pending, size_t *offset, struct sonde_pending_row *ret_row,
			const char **ret_values);
/** Empty; memory of a burst is given back. */
void sonde_pending_clear(struct sonde_pending *pending);

/** Time and type are not part of a row: its keeper knows them. */
void sonde_row_add(struct sonde_buffer *out, const struct sonde_value *values, uint32_t n);
/** Borrows from `row`, which must come from sonde_row_add(). `values` has `n` places. */
void sonde_row_values(const char *row, struct sonde_value *values, uint32_t n);
