/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file damage.h
 * Which damaged blocks an answer met that is asked for in pages: each page meets those at its edges again, each counts once.
 *
 * Threads: whoever holds it.
 */

#include <schema/schema.h>

struct sonde_damage {
	uint64_t blocks, events;
	struct sonde_damaged_block *met;
	size_t capacity;
};

/** @param type As long as it lives. @param first The block's first event. @return 0 or -ENOMEM. */
int sonde_damage_add(struct sonde_damage *damage, const struct sonde_type *type, uint64_t first, uint32_t events);
void sonde_damage_free(struct sonde_damage *damage);
