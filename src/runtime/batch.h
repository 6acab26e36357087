/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file batch.h
 * A batch in the making: records are copied in, counted, and then shared read-only (bus.h).
 *
 * Threads: filled by one thread; after that any number may hold and release it.
 */

#include <runtime/bus.h>

#define SONDE_BATCH_EVENTS 2048
#define SONDE_BATCH_BYTES (256u << 10)

struct sonde_batch_full {
	struct sonde_batch batch; /* first: what listeners see */
	_Atomic unsigned refs;
	size_t bytes; /* of records */
	/* What the ledger needs to know about these records. */
	uint64_t position; /* of the ring, after the last record */
	uint32_t consumed, invalid;
	struct sonde_event events[SONDE_BATCH_EVENTS];
	_Alignas(8) char records[SONDE_BATCH_BYTES];
};

/** An empty batch with one reference, or NULL. */
struct sonde_batch_full *sonde_batch_new(void);
const struct sonde_batch *sonde_batch_ref(const struct sonde_batch *batch);
