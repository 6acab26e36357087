/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file grid.h
 * A small table of texts, laid out once all are known: programs, counts, the ledger. (Events stream: sonde_table.)
 * Every cell is made safe for a terminal.
 */

#include <stdbool.h>
#include <base/buffer.h>

#define SONDE_GRID_COLUMNS_MAX 64

struct sonde_grid {
	unsigned n_columns, n_cells;
	uint64_t right; /* bits: columns of numbers, aligned to the right */
	char **cells;	/* row by row, headings first */
	unsigned capacity;
	bool failed;
};

/** @param headings Up to a NULL. */
void sonde_grid_begin(struct sonde_grid *grid, const char *const *headings, uint64_t right);
/** The next cell; a row is complete with its last column. */
void sonde_grid_add(struct sonde_grid *grid, const char *text);
void sonde_grid_addf(struct sonde_grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Lay it out: the last column is cut to `width` (0: nothing is cut). @return 0, -ENOMEM. */
int sonde_grid_write(const struct sonde_grid *grid, unsigned width, bool color, struct sonde_buffer *out);
void sonde_grid_end(struct sonde_grid *grid);
