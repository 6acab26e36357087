/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file ring.h
 * Consumer of a BPF ring buffer that frees nothing before it is told to.
 *
 * libbpf's consumer gives each record back to the kernel as soon as the callback returns. Here reading and freeing are apart:
 * sonde_ring_next() moves a private cursor, sonde_ring_commit() frees everything before a position, after what was read is
 * safe. A reader that dies in between is followed by one that finds the records still there.
 *
 * Waking: hooks wake the reader only when sonde_control.reader_sleeping is set (sonde.bpf.h); the kernel's own adaptive
 * wake-up cannot serve, since it compares with the consumer position, which lags behind the cursor here.
 *
 * Threads: one reader thread; sonde_ring_commit() may come from one other thread.
 * Needs no capability: the descriptors are enough.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sonde/types.h>

struct sonde_ring;

/**
 * @param map_fd Ring buffer map; borrowed, must stay open.
 * @param control_fd The map of section .data.sonde; borrowed. -1: nothing is ever woken, the caller polls.
 * @return 0, -EINVAL not a ring buffer, or the error of mmap(2).
 */
int sonde_ring_new(int map_fd, int control_fd, struct sonde_ring **ret_ring);
void sonde_ring_free(struct sonde_ring **ring);

/** Start at `position` instead of the consumer position of the kernel, if that is further on; frees what lies before. */
void sonde_ring_start_at(struct sonde_ring *ring, uint64_t position);
/**
 * @brief Next record. Borrowed until its position is committed or the next one is taken.
 * @return 1, 0: none is complete now. Records that the kernel side discarded are passed over. Of one longer than SONDE_RECORD_MAX
 * only so much can be read.
 */
int sonde_ring_next(struct sonde_ring *ring, const void **ret_record, size_t *ret_length);
/** Does much of it count as memory of this process, because it was filled fast lately? Then sonde_ring_narrow() gives that back. */
bool sonde_ring_is_wide(const struct sonde_ring *ring);
/** By the reader; what sonde_ring_next() returned is gone. */
void sonde_ring_narrow(struct sonde_ring *ring);
/** Where the cursor stands: everything before it has been returned by sonde_ring_next(). */
uint64_t sonde_ring_position(const struct sonde_ring *ring);
void sonde_ring_commit(struct sonde_ring *ring, uint64_t position);
/** Bytes read or reserved that are not committed. */
size_t sonde_ring_used(const struct sonde_ring *ring);
size_t sonde_ring_size(const struct sonde_ring *ring);
/** Where the next record will stand (any thread). */
uint64_t sonde_ring_end(const struct sonde_ring *ring);
/** Records from there on to the producer (any thread). Nonsense if what is there was committed meanwhile: then ask again. */
uint64_t sonde_ring_waiting(const struct sonde_ring *ring, uint64_t from);
/**
 * @brief The first `size` bytes of the oldest record that is not freed and has so many (any thread).
 * @return 1, 0: there is none, -EAGAIN: it is being freed all the time.
 */
int sonde_ring_oldest(const struct sonde_ring *ring, void *ret_start, size_t size);

/** Ask to be woken by the next record. @return false: there is something to read already (and nobody will wake). */
bool sonde_ring_sleep(struct sonde_ring *ring);
/** Take that back. */
void sonde_ring_awake(struct sonde_ring *ring);
