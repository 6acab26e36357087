/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file checkpoints.h
 * Checkpoints in memory that outlives the process (shared with the loader), so that a worker that dies with an in-memory
 * store, or one whose file was damaged, still knows how far each ring was read.
 *
 * Each place has two slots and a number that says which is valid; it is changed last, so that a writer that is killed in
 * between leaves the older checkpoint, never half of one.
 *
 * Threads: the writer's.
 */

#include <store/store.h>

#include <stdatomic.h>

struct sonde_checkpoint_slots {
	_Atomic uint64_t generation; /* slots[generation & 1] is valid; 0: the place is free */
	struct sonde_checkpoint slots[2];
};

struct sonde_checkpoints {
	struct sonde_checkpoint_slots *places;
	size_t n;
};

/** @param memory Zeroed when it was made; NULL: none is kept. Contents that make no sense are dropped. */
void sonde_checkpoints_attach(struct sonde_checkpoints *checkpoints, void *memory, size_t size);
/** @return false: there is none. */
bool sonde_checkpoints_find(const struct sonde_checkpoints *checkpoints, const char *program, uint64_t ring_id,
			    struct sonde_checkpoint *ret_checkpoint);
/** The oldest ring of the same program makes room. @return 0 or -ENOSPC. */
int sonde_checkpoints_save(struct sonde_checkpoints *checkpoints, const struct sonde_checkpoint *checkpoint);

/**
 * @brief Of the events that a ring's checkpoint calls stored, how many the store no longer has.
 * What retention drops is the oldest, so the drops of a program belong to its older rings first. `base` is what the store held
 * of the program before this ring, below zero if events of the ring itself are not in this store (they died with another process
 * or with a damaged file). `dropped` is what retention dropped of the program in this store.
 */
uint64_t sonde_checkpoint_expired(uint64_t stored, int64_t base, uint64_t dropped);
