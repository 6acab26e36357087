/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include <base/clock.h>
#include <runtime/window.h>
#include <sonde/types.h>

#define S SONDE_NS_PER_S
#define SINCE 1000 /* seconds of boot time */

/* Stands for what its record says behind the header. */
struct measured {
	struct sonde_header header;
	uint64_t bytes;
};

static const struct sonde_column measured_columns[SONDE_COLUMN_COMMON_MAX + 1] = {
	[SONDE_COLUMN_COMMON_MAX] = {.name = "bytes", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_BYTES, .size = 8,
				     .offset = sizeof(struct sonde_header), .is_plain = true, .is_measure = true,
				     .length_offset = -1},
};
static const struct sonde_type measured_type = {.name = "first", .n_columns = SONDE_COLUMN_COMMON_MAX + 1, .columns = measured_columns};

static const struct sonde_type types[] = {{.name = "first"}, {.name = "second"}, {.name = "first"}};

static int setup(void **state)
{
	return sonde_window_new(SINCE * S, (struct sonde_window **)state);
}

static int teardown(void **state)
{
	sonde_window_free((struct sonde_window **)state);
	return *state ? -1 : 0;
}

static void add(struct sonde_window *window, unsigned type, int64_t time_ns, uint32_t weight, unsigned n, int64_t now_ns)
{
	const struct sonde_header header = {.time_ns = (uint64_t)time_ns, .weight = weight};
	const struct sonde_event event = {.type = &types[type], .record = &header};

	while (n--)
		sonde_window_add(window, &event, 1, now_ns);
}

static struct sonde_window_counts read_at(struct sonde_window *window, int64_t now_ns)
{
	struct sonde_window_counts counts;

	sonde_window_read(window, "first", now_ns, &counts);
	return counts;
}

/* 600 events and then silence are 600 until they are 60 s old, and none at 61. */
static void test_silence(void **state)
{
	struct sonde_window *window = *state;

	for (int64_t phase = 0; phase < S; phase += S / 7) {
		int64_t at = (SINCE + 100 + phase / (S / 7) * 200) * S + phase;

		add(window, 0, at, 1, 600, at);
		for (int64_t age = 0; age <= 60 * S; age += S / 10)
			assert_int_equal(read_at(window, at + age).last_60s, 600);
		for (int64_t age = 61 * S; age <= 64 * S; age += S / 10)
			assert_int_equal(read_at(window, at + age).last_60s, 0);
		/* Idle for longer than the ring of buckets goes round. */
		assert_int_equal(read_at(window, at + 128 * S).last_60s, 0);
		assert_int_equal(read_at(window, at + 64 * 5 * S).last_60s, 0);
	}
}

/* Ten events in each second: every sum is known at every moment. */
static void test_rotation(void **state)
{
	struct sonde_window *window = *state;
	struct sonde_window_counts counts;

	for (int64_t second = SINCE; second < SINCE + 300; second++) {
		uint64_t passed = (uint64_t)(second - SINCE);

		for (int64_t i = 0; i < 10; i++)
			add(window, 0, second * S + i * S / 10, 3, 1, second * S + i * S / 10);
		counts = read_at(window, second * S + S - 1);
		assert_int_equal(counts.last_60s, 30 * (passed < 60 ? passed + 1 : 61));
		assert_int_equal(counts.rows_60s, 10 * (passed < 60 ? passed + 1 : 61));
		assert_int_equal(counts.last_10s, 30 * (passed < 10 ? passed + 1 : 11));
		assert_int_equal(counts.last_second, passed ? 30 : 0);
		assert_int_equal(counts.known, passed < 60 ? passed : 60);
		for (unsigned i = 0; i < SONDE_WINDOW_SECONDS; i++)
			assert_int_equal(counts.per_second[i], i < 60 - counts.known ? 0 : 30);
	}
	assert_int_equal(counts.too_late + counts.from_future, 0);
}

static void test_late(void **state)
{
	struct sonde_window *window = *state;
	struct sonde_window_counts counts;
	int64_t now = (SINCE + 500) * S;

	add(window, 0, now, 1, 5, now);
	add(window, 0, now - 30 * S, 1, 7, now); /* to the bucket of its own second */
	add(window, 0, now - 60 * S, 1, 2, now);
	add(window, 0, now - 61 * S, 1, 3, now); /* no longer in the window */
	add(window, 0, now - 64 * S, 1, 4, now); /* nor in the bucket of the running second, which is its place in the ring */
	counts = read_at(window, now);
	assert_int_equal(counts.last_60s, 14);
	assert_int_equal(counts.last_10s, 5);
	assert_int_equal(counts.per_second[SONDE_WINDOW_SECONDS - 30], 7);
	assert_int_equal(counts.per_second[0], 2);
	assert_int_equal(counts.too_late, 7);
	/* A reader that stood still believes that it is a minute ago: the bucket has gone on. */
	add(window, 0, now - 64 * S, 1, 1, now - 64 * S);
	counts = read_at(window, now);
	assert_int_equal(counts.last_60s, 14);
	assert_int_equal(counts.too_late, 8);
}

static void test_edges(void **state)
{
	struct sonde_window *window = *state;
	struct sonde_window_counts counts;
	int64_t now = (SINCE + 10) * S + S / 2;

	add(window, 0, SINCE * S - 1, 1, 3, now); /* before it counted */
	add(window, 0, SINCE * S, 1, 1, now);
	add(window, 0, now + S / 4, 1, 1, now); /* clocks of two CPUs may differ by that little */
	add(window, 0, now + S, 1, 5, now);
	add(window, 0, INT64_MAX, 1, 1, now);
	add(window, 0, -1, 1, 1, now);
	counts = read_at(window, now);
	assert_int_equal(counts.last_60s, 2);
	assert_int_equal(counts.too_late, 3);
	assert_int_equal(counts.from_future, 7);
	assert_int_equal(counts.known, 10);
	/* A second may be full: it never runs over into its round. */
	for (int i = 0; i < 2000; i++)
		add(window, 0, now, UINT32_MAX, 1, now);
	assert_int_equal(read_at(window, now).last_60s, (1ull << 40) - 1 + 1);
	assert_int_equal(read_at(window, now).rows_60s, 2002);
}

static void add_measured(struct sonde_window *window, int64_t time_ns, uint32_t weight, uint64_t bytes, uint32_t length)
{
	const struct measured record = {.header = {.time_ns = (uint64_t)time_ns, .weight = weight}, .bytes = bytes};
	const struct sonde_event event = {.type = &measured_type, .record = &record.header, .length = length};

	sonde_window_add(window, &event, 1, time_ns);
}

/* What rows stand for leaves the window with them. */
static void test_measure(void **state)
{
	struct sonde_window *window = *state;
	int64_t at = (SINCE + 100) * S;
	struct sonde_window_counts counts;

	add(window, 1, at, 1, 1, at); /* of another type */
	for (int i = 0; i < 6; i++)
		add_measured(window, at, 1, 100, sizeof(struct measured));
	add_measured(window, at + S, 5, 20, sizeof(struct measured));
	add_measured(window, at + S, 5, 20, sizeof(struct sonde_header)); /* the record ends before it */
	counts = read_at(window, at + 2 * S);
	assert_int_equal(counts.rows_60s, 8);
	assert_int_equal(counts.sum_second, 100);
	assert_int_equal(counts.sum_10s, 700);
	assert_int_equal(counts.sum_60s, 700);
	assert_int_equal(read_at(window, at + 60 * S).sum_60s, 700);
	assert_int_equal(read_at(window, at + 61 * S).sum_60s, 100);
	assert_int_equal(read_at(window, at + 62 * S).sum_60s, 0);
	assert_int_equal(read_at(window, at + 12 * S).sum_10s, 0);
	/* A second may be full of it. */
	at += 200 * S;
	add_measured(window, at, UINT32_MAX, UINT64_MAX, sizeof(struct measured));
	add_measured(window, at, 1, 1, sizeof(struct measured));
	counts = read_at(window, at);
	assert_int_equal(counts.sum_60s, (1ull << 40) - 1);
	assert_int_equal(counts.rows_60s, 2);
}

static void test_types(void **state)
{
	struct sonde_window *window = *state;
	int64_t now = (SINCE + 10) * S;
	const struct sonde_header headers[] = {{.time_ns = (uint64_t)now, .weight = 1}, {.time_ns = (uint64_t)(now - S), .weight = 2}};
	const struct sonde_event events[] = {
		{.type = &types[0], .record = &headers[0]}, {.type = &types[0], .record = &headers[1]},
		{.type = &types[1], .record = &headers[1]}, {.type = &types[2], .record = &headers[1]},
		{.type = &types[0], .record = &headers[0]},
	};
	struct sonde_window_counts counts;

	sonde_window_add(window, events, 5, now);
	sonde_window_add(window, NULL, 0, now);
	counts = read_at(window, now); /* of both that have this name */
	assert_int_equal(counts.last_60s, 6);
	assert_int_equal(counts.last_second, 4);
	assert_int_equal(counts.rows_60s, 4);
	sonde_window_read(window, "second", now, &counts);
	assert_int_equal(counts.last_60s, 2);
	sonde_window_read(window, "none", now, &counts);
	assert_int_equal(counts.last_60s, 0);
	assert_int_equal(counts.known, 10);
}

static void test_too_many_types(void **state)
{
	static struct sonde_type many[300];
	struct sonde_window *window = *state;
	const struct sonde_header header = {.time_ns = SINCE * S, .weight = 1};

	for (unsigned i = 0; i < 300; i++) {
		const struct sonde_event event = {.type = &many[i], .record = &header};

		many[i].name = "first";
		sonde_window_add(window, &event, 1, SINCE * S);
	}
	assert_int_equal(read_at(window, SINCE * S).last_60s, 256);
}

/* ---- several threads ---- */

#define THREADS 8
#define ROUNDS 125000 /* times 8: 1,000,000 */

struct adder {
	struct sonde_window *window;
	pthread_barrier_t *barrier;
	int64_t first_second, n_seconds;
};

static void *adder_main(void *userdata)
{
	const struct adder *adder = userdata;

	pthread_barrier_wait(adder->barrier);
	for (int64_t i = 0; i < ROUNDS; i++) {
		int64_t at = (adder->first_second + i * adder->n_seconds / ROUNDS) * S + i;

		add(adder->window, (unsigned)(i % 3 == 0), at, 2, 1, at);
	}
	return NULL;
}

static void add_at_once(struct sonde_window *window, int64_t first_second, int64_t n_seconds)
{
	pthread_t threads[THREADS];
	pthread_barrier_t barrier;
	struct adder adder = {window, &barrier, first_second, n_seconds};

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, adder_main, &adder), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

/* Into buckets that must begin a new round, all threads at once: not one is lost. */
static void test_concurrent(void **state)
{
	struct sonde_window *window = *state;
	struct sonde_window_counts first, second;

	for (int64_t from = SINCE; from < SINCE + 640; from += 64) {
		add_at_once(window, from, 50);
		first = read_at(window, (from + 50) * S);
		sonde_window_read(window, "second", (from + 50) * S, &second);
		assert_int_equal(first.rows_60s + second.rows_60s, THREADS * ROUNDS);
		assert_int_equal(first.last_60s + second.last_60s, 2 * THREADS * ROUNDS);
		assert_int_equal(second.rows_60s, THREADS * ((ROUNDS + 2) / 3));
		assert_int_equal(first.too_late + second.too_late, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_measure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_concurrent, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
