/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches and who listens to them. A publisher only takes the bus's lock and appends a pointer to each listener's queue; it never
 * waits. Invariant: a queue never holds more than its limit in bytes, what did not fit is counted as skipped.
 */
#include <runtime/bus.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <runtime/batch.h>
#include <runtime/publish.h>

#define QUEUE_BATCHES 1024
#define POOL_BATCHES 8
#define BATCH_OVERHEAD_BYTES 12288 /* pages of its own that even a batch of one event touches */

struct sonde_subscription {
	struct sonde_bus *bus;
	struct sonde_subscription *next;
	char *type; /* or NULL */
	int fd;
	size_t max_bytes, bytes;
	uint64_t skipped;
	unsigned head, n;
	const struct sonde_batch *queue[QUEUE_BATCHES];
};

struct sonde_bus {
	pthread_mutex_t lock;
	struct sonde_subscription *subscriptions;
	_Atomic unsigned n_subscriptions;
};

/* Batches are large (over malloc's mmap threshold): a few are kept for reuse, so that load does not mean page faults. */
static struct {
	pthread_mutex_t lock;
	unsigned n;
	struct sonde_batch_full *free[POOL_BATCHES];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct sonde_batch_full *sonde_batch_new(void)
{
	struct sonde_batch_full *batch = NULL;

	pthread_mutex_lock(&pool.lock);
	if (pool.n)
		batch = pool.free[--pool.n];
	pthread_mutex_unlock(&pool.lock);
	if (!batch)
		batch = malloc(sizeof(*batch));
	if (!batch)
		return NULL;
	batch->batch.n = 0;
	batch->batch.events = batch->events;
	batch->refs = 1;
	batch->bytes = 0;
	batch->consumed = batch->invalid = 0;
	batch->position = 0;
	return batch;
}

const struct sonde_batch *sonde_batch_ref(const struct sonde_batch *batch)
{
	struct sonde_batch_full *full = (struct sonde_batch_full *)(uintptr_t)batch;

	atomic_fetch_add_explicit(&full->refs, 1, memory_order_relaxed);
	return batch;
}

void sonde_batch_unref(const struct sonde_batch *batch)
{
	struct sonde_batch_full *full = (struct sonde_batch_full *)(uintptr_t)batch;

	if (!batch || atomic_fetch_sub_explicit(&full->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&pool.lock);
	if (pool.n < POOL_BATCHES) {
		pool.free[pool.n++] = full;
		full = NULL;
	}
	pthread_mutex_unlock(&pool.lock);
	free(full);
}

static size_t batch_cost(const struct sonde_batch *batch)
{
	return ((const struct sonde_batch_full *)batch)->bytes + BATCH_OVERHEAD_BYTES;
}

int sonde_bus_new(struct sonde_bus **ret_bus)
{
	struct sonde_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	pthread_mutex_init(&bus->lock, NULL);
	*ret_bus = bus;
	return 0;
}

void sonde_bus_free(struct sonde_bus **pointer)
{
	struct sonde_bus *bus = TAKE_PTR(*pointer);

	if (!bus)
		return;
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

static int subscription_init(struct sonde_subscription *subscription, const char *type)
{
	if (type) {
		subscription->type = strdup(type);
		if (!subscription->type)
			return -ENOMEM;
	}
	subscription->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (subscription->fd >= 0)
		return 0;
	free(subscription->type);
	return -errno;
}

int sonde_bus_subscribe(struct sonde_bus *bus, const char *type, size_t max_bytes, struct sonde_subscription **ret_subscription)
{
	struct sonde_subscription *subscription = calloc(1, sizeof(*subscription));
	int r = subscription ? subscription_init(subscription, type) : -ENOMEM;

	if (r) {
		free(subscription);
		return r;
	}
	subscription->bus = bus;
	subscription->max_bytes = max_bytes;
	pthread_mutex_lock(&bus->lock);
	subscription->next = bus->subscriptions;
	bus->subscriptions = subscription;
	bus->n_subscriptions++;
	pthread_mutex_unlock(&bus->lock);
	*ret_subscription = subscription;
	return 0;
}

void sonde_bus_unsubscribe(struct sonde_subscription **pointer)
{
	struct sonde_subscription *subscription = TAKE_PTR(*pointer), **at;

	if (!subscription)
		return;
	pthread_mutex_lock(&subscription->bus->lock);
	for (at = &subscription->bus->subscriptions; *at != subscription;)
		at = &(*at)->next;
	*at = subscription->next;
	subscription->bus->n_subscriptions--;
	pthread_mutex_unlock(&subscription->bus->lock);
	for (; subscription->n; subscription->n--, subscription->head++)
		sonde_batch_unref(subscription->queue[subscription->head % QUEUE_BATCHES]);
	close(subscription->fd);
	free(subscription->type);
	free(subscription);
}

static uint32_t events_for(const struct sonde_subscription *subscription, const struct sonde_batch *batch)
{
	const struct sonde_type *type = NULL;
	uint32_t n = 0;
	bool is_it = false;

	if (!subscription->type)
		return batch->n;
	for (uint32_t i = 0; i < batch->n; i++) {
		if (batch->events[i].type != type) {
			type = batch->events[i].type;
			is_it = !strcmp(type->name, subscription->type);
		}
		n += is_it;
	}
	return n;
}

void sonde_bus_publish(struct sonde_bus *bus, const struct sonde_batch *batch)
{
	size_t bytes = batch_cost(batch);

	pthread_mutex_lock(&bus->lock);
	for (struct sonde_subscription *s = bus->subscriptions; s; s = s->next) {
		uint32_t n = events_for(s, batch);

		if (!n)
			continue;
		if (s->n == QUEUE_BATCHES || (s->n && s->bytes + bytes > s->max_bytes)) {
			s->skipped += n;
			continue;
		}
		s->queue[(s->head + s->n++) % QUEUE_BATCHES] = sonde_batch_ref(batch);
		s->bytes += bytes;
		if (s->n == 1)
			eventfd_write(s->fd, 1);
	}
	pthread_mutex_unlock(&bus->lock);
}

bool sonde_bus_has_listeners(struct sonde_bus *bus)
{
	return bus->n_subscriptions;
}

int sonde_subscription_fd(const struct sonde_subscription *subscription)
{
	return subscription->fd;
}

const struct sonde_batch *sonde_subscription_next(struct sonde_subscription *subscription)
{
	const struct sonde_batch *batch = NULL;
	eventfd_t ignored;

	pthread_mutex_lock(&subscription->bus->lock);
	if (subscription->n) {
		batch = subscription->queue[subscription->head++ % QUEUE_BATCHES];
		subscription->n--;
		subscription->bytes -= batch_cost(batch);
	}
	if (!subscription->n)
		(void)eventfd_read(subscription->fd, &ignored);
	pthread_mutex_unlock(&subscription->bus->lock);
	return batch;
}

uint64_t sonde_subscription_skipped(const struct sonde_subscription *subscription)
{
	uint64_t skipped;

	pthread_mutex_lock(&subscription->bus->lock);
	skipped = subscription->skipped;
	pthread_mutex_unlock(&subscription->bus->lock);
	return skipped;
}
