/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <runtime/batch.h>
#include <runtime/publish.h>

#define EVENTS 10

static const struct sonde_batch *batch_of(unsigned n, size_t bytes)
{
	struct sonde_batch_full *batch = sonde_batch_new();

	assert_non_null(batch);
	batch->batch.n = n;
	batch->bytes = bytes;
	return &batch->batch;
}

static bool is_readable(const struct sonde_subscription *subscription)
{
	struct pollfd fd = {.fd = sonde_subscription_fd(subscription), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void test_all_listeners_get_the_same_batch(void **state)
{
	struct sonde_subscription *a, *b;
	const struct sonde_batch *batch, *seen;
	struct sonde_bus *bus;

	assert_int_equal(sonde_bus_new(&bus), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 1 << 20, &a), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 1 << 20, &b), 0);
	assert_false(is_readable(a));
	batch = batch_of(EVENTS, 100);
	sonde_bus_publish(bus, batch);
	assert_true(is_readable(a));
	seen = sonde_subscription_next(a);
	assert_ptr_equal(seen, batch);
	sonde_batch_unref(seen);
	assert_null(sonde_subscription_next(a));
	assert_false(is_readable(a));
	/* The publisher and one listener let go: it is still whole for the other. */
	sonde_batch_unref(batch);
	seen = sonde_subscription_next(b);
	assert_int_equal(seen->n, EVENTS);
	sonde_batch_unref(seen);
	sonde_bus_unsubscribe(&a);
	sonde_bus_unsubscribe(&b);
	sonde_bus_free(&bus);
}

/* A listener that does not read loses batches beyond its limit, counted; the other loses nothing. */
static void test_slow_listener(void **state)
{
	struct sonde_subscription *slow, *quick;
	const struct sonde_batch *seen;
	uint64_t got = 0, kept = 0;
	struct sonde_bus *bus;

	assert_int_equal(sonde_bus_new(&bus), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 100000, &slow), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 100000, &quick), 0);
	for (unsigned i = 0; i < 5000; i++) {
		const struct sonde_batch *batch = batch_of(EVENTS, 1000);

		sonde_bus_publish(bus, batch);
		sonde_batch_unref(batch);
		while ((seen = sonde_subscription_next(quick))) {
			got += seen->n;
			sonde_batch_unref(seen);
		}
	}
	assert_int_equal(got, 5000 * EVENTS);
	assert_int_equal(sonde_subscription_skipped(quick), 0);
	while ((seen = sonde_subscription_next(slow))) {
		kept += seen->n;
		sonde_batch_unref(seen);
	}
	assert_true(kept > 0 && kept < 100 * EVENTS);
	assert_int_equal(kept + sonde_subscription_skipped(slow), 5000 * EVENTS);
	sonde_bus_unsubscribe(&slow);
	sonde_bus_unsubscribe(&quick);
	sonde_bus_free(&bus);
}

/* What a listener did not ask for takes no room in its queue, and is not told as missing. */
static void test_other_types(void **state)
{
	const struct sonde_type dns = {.name = "dns"}, file = {.name = "file"};
	struct sonde_subscription *subscription;
	const struct sonde_batch *batch, *seen;
	struct sonde_bus *bus;

	assert_int_equal(sonde_bus_new(&bus), 0);
	assert_int_equal(sonde_bus_subscribe(bus, "dns", 20000, &subscription), 0);
	for (unsigned i = 0; i < 500; i++) {
		batch = batch_of(EVENTS, 1000);
		for (unsigned j = 0; j < EVENTS; j++)
			((struct sonde_event *)(uintptr_t)batch->events)[j].type = i % 100 == 99 && j < 2 ? &dns : &file;
		sonde_bus_publish(bus, batch);
		sonde_batch_unref(batch);
		if (i == 99) {
			seen = sonde_subscription_next(subscription);
			assert_int_equal(seen->n, EVENTS);
			sonde_batch_unref(seen);
			assert_null(sonde_subscription_next(subscription));
		}
	}
	/* of the last four batches the queue holds one */
	assert_int_equal(sonde_subscription_skipped(subscription), 3 * 2);
	sonde_bus_unsubscribe(&subscription);
	sonde_bus_free(&bus);
}

/* However small its limit, a listener gets a batch when it has none. */
static void test_tiny_limit_is_no_deadlock(void **state)
{
	struct sonde_subscription *subscription;
	const struct sonde_batch *batch = batch_of(EVENTS, 1000), *seen;
	struct sonde_bus *bus;

	assert_int_equal(sonde_bus_new(&bus), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 1, &subscription), 0);
	sonde_bus_publish(bus, batch);
	sonde_bus_publish(bus, batch);
	seen = sonde_subscription_next(subscription);
	assert_non_null(seen);
	sonde_batch_unref(seen);
	assert_null(sonde_subscription_next(subscription));
	assert_int_equal(sonde_subscription_skipped(subscription), EVENTS);
	sonde_batch_unref(batch);
	sonde_bus_unsubscribe(&subscription);
	sonde_bus_free(&bus);
}

static void *publisher(void *userdata)
{
	for (unsigned i = 0; i < 20000; i++) {
		const struct sonde_batch *batch = batch_of(1, 8);

		sonde_bus_publish(userdata, batch);
		sonde_batch_unref(batch);
	}
	return NULL;
}

/* Listeners come and go while four publish: every event is seen or counted, nothing is used after it is gone. */
static void test_many_threads(void **state)
{
	struct sonde_subscription *steady, *passing;
	const struct sonde_batch *seen;
	pthread_t threads[4];
	struct sonde_bus *bus;
	uint64_t got = 0;
	unsigned left = 4;

	assert_int_equal(sonde_bus_new(&bus), 0);
	assert_int_equal(sonde_bus_subscribe(bus, NULL, 1 << 20, &steady), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publisher, bus), 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(sonde_bus_subscribe(bus, NULL, 1 << 16, &passing), 0);
		sonde_batch_unref(sonde_subscription_next(passing));
		sonde_bus_unsubscribe(&passing);
		while ((seen = sonde_subscription_next(steady))) {
			got += seen->n;
			sonde_batch_unref(seen);
		}
	}
	while (left)
		pthread_join(threads[--left], NULL);
	while ((seen = sonde_subscription_next(steady))) {
		got += seen->n;
		sonde_batch_unref(seen);
	}
	assert_int_equal(got + sonde_subscription_skipped(steady), 4 * 20000);
	sonde_bus_unsubscribe(&steady);
	sonde_bus_free(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_listeners_get_the_same_batch),
		cmocka_unit_test(test_slow_listener),
		cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_tiny_limit_is_no_deadlock),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
