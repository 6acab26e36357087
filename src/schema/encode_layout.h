/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file encode_layout.h
 * Which columns of a type a table shows, and how wide.
 *
 * Threads: a layout belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include <schema/schema.h>

#define SONDE_LAYOUT_GAP 2 /* blanks between two columns */

struct sonde_layout_column {
	uint32_t column;  /* of the type */
	int port;	  /* the column shown behind the address, or -1 */
	char name[40];	  /* safe, without the unit; the header shows it in capitals */
	unsigned rank;	  /* 0: most wanted */
	bool trivial;	  /* says little of what happened: not in the layout for several types */
	size_t least;	  /* narrowest sensible width */
	size_t widest;	  /* value so far, gone up in steps */
	bool right;	  /* numbers stand on the right */
	bool text;	  /* may be cut */
	bool seen;	  /* had a value that says something */
	bool shown;
	size_t width;
};

struct sonde_layout {
	const struct sonde_type *type;
	size_t n_columns;
	struct sonde_layout_column columns[SONDE_COLUMNS_MAX]; /* in the order of display */
};

/** All columns of the type, none shown yet. Those beyond SONDE_COLUMNS_MAX are left out. */
void sonde_layout_init(struct sonde_layout *layout, const struct sonde_type *type);
/** Decide again which columns are shown. `width` 0: all. @return true if what is shown, or where, changed. */
bool sonde_layout_fit(struct sonde_layout *layout, size_t width);
/** Learn from a row's cell of column `i` of the layout. @return true if the layout has to be fitted again. */
bool sonde_layout_learn(struct sonde_layout *layout, size_t i, const struct sonde_value *values, size_t cell_width);
