/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_overlap.h
 * Each event of a type has one sequence, so its blocks never lie over each other: a block has the rows first to first + count - 1 for
 * itself. Where two do, one wrong bit in a page of SQLite's brought back a row that was deleted when its block was merged into
 * a larger one. All its checksums are right; the larger one has the same events.
 *
 * Threads: one for each list.
 */

#include <store/block.h>

struct sonde_block_place {
	int64_t id;
	uint64_t first;
	size_t length; /* of the data */
	uint32_t count;
	uint32_t type; /* of the list's own numbers for them */
};

struct sonde_block_places {
	struct sonde_block_place *items;
	size_t n, capacity;
	char (*types)[SONDE_BLOCK_NAME_MAX];
	uint32_t n_types, last_type;
};

/** Of @p type. @return 0 to go on. */
typedef int (*sonde_block_drop_fn)(const char *type, const struct sonde_block_place *place, void *userdata);

/** @return 0 or -ENOMEM. */
int sonde_block_places_add(struct sonde_block_places *places, const struct sonde_block_facts *facts, size_t length);
/** @brief Call fn for each that lies over a larger one. Of two that are alike it is one. @return 0, or what fn returned. */
int sonde_block_places_compare(struct sonde_block_places *places, sonde_block_drop_fn fn, void *userdata);
void sonde_block_places_free(struct sonde_block_places *places);
