/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file bus.h
 * Batches of events, handed from the readers to whoever listens. A batch is shared, counted and never changed, so a listener
 * costs no copy; a listener that is slow loses batches (counted, told), and nobody else notices.
 *
 * Threads: publish from any thread; a subscription has one user. sonde_subscription_fd() becomes readable when a batch waits.
 */

#include <schema/schema.h>

struct sonde_bus;
struct sonde_subscription;

struct sonde_batch {
	uint32_t n;
	const struct sonde_event *events;
};

int sonde_bus_new(struct sonde_bus **ret_bus);
void sonde_bus_free(struct sonde_bus **bus);

/**
 * @param type Batches without an event of this type are nothing to it; NULL: all are.
 * @param max_bytes Of records that may wait; beyond it batches are skipped for this subscription, and their events of its type counted.
 * @return 0 or -ENOMEM, -EMFILE, -ENFILE.
 */
int sonde_bus_subscribe(struct sonde_bus *bus, const char *type, size_t max_bytes, struct sonde_subscription **ret_subscription);
void sonde_bus_unsubscribe(struct sonde_subscription **subscription);
int sonde_subscription_fd(const struct sonde_subscription *subscription);
/** Next batch without waiting, or NULL. Give it back with sonde_batch_unref(). */
const struct sonde_batch *sonde_subscription_next(struct sonde_subscription *subscription);
/** Events of its type skipped so far because the subscriber was slow. */
uint64_t sonde_subscription_skipped(const struct sonde_subscription *subscription);
void sonde_batch_unref(const struct sonde_batch *batch);
