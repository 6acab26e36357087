/* SPDX-License-Identifier: Apache-2.0 */
/* The ring's consumer against the real kernel: the flood program sends one record for each call of system call 1023. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/object.h>
#include <bpf/ring.h>
#include <runtime/manager.h>

#define RING_BYTES (1u << 20) /* some windows long */

struct flood {
	struct sonde_header header;
	uint64_t number;
};

struct fixture {
	struct sonde_manager *manager;
	struct sonde_ring *ring;
	int ring_fd;
};

static int setup_with(void **state, uint64_t ring_bytes)
{
	static struct fixture fixture;
	struct sonde_object_setting ours = {"tag", getpid()}; /* others may test at the same time */
	struct sonde_program_spec spec = {
		.name = "flood", .object_path = SONDE_BUILD_DIR "/flood.bpf.o", .enabled = true, .ring_bytes = ring_bytes,
		.settings = &ours, .n_settings = 1,
	};
	struct sonde_object *object;

	*state = NULL;
	if (geteuid() != 0)
		return 0;
	assert_int_equal(sonde_manager_new(&fixture.manager), 0);
	assert_int_equal(sonde_manager_register(fixture.manager, &spec), 0);
	assert_int_equal(sonde_manager_load(fixture.manager, "flood"), 0);
	assert_int_equal(sonde_manager_attach(fixture.manager, "flood"), 0);
	object = sonde_manager_object(fixture.manager, "flood");
	fixture.ring_fd = sonde_object_ring_fd(object);
	assert_int_equal(sonde_ring_new(fixture.ring_fd, sonde_object_control_fd(object), &fixture.ring), 0);
	*state = &fixture;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, RING_BYTES);
}

static int setup_smallest(void **state)
{
	return setup_with(state, (uint64_t)sysconf(_SC_PAGESIZE));
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (!fixture)
		return 0;
	sonde_ring_free(&fixture->ring);
	sonde_manager_free(&fixture->manager);
	return 0;
}

static void produce(uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		syscall(1023, i, (long)getpid());
}

/* @return number of records read, each with the number that is its turn. */
static uint64_t consume(struct sonde_ring *ring, uint64_t from, uint64_t max)
{
	const struct flood *record;
	uint64_t n = 0;
	size_t length;

	while (n < max && sonde_ring_next(ring, (const void **)&record, &length) == 1) {
		assert_int_equal(length, sizeof(*record));
		assert_int_equal(record->number, from + n++);
	}
	return n;
}

static void test_read_is_not_freed(void **state)
{
	struct fixture *f = *state;

	if (!f)
		skip();
	produce(0, 10);
	assert_int_equal(sonde_ring_waiting(f->ring, sonde_ring_position(f->ring)), 10);
	assert_int_equal(consume(f->ring, 0, 4), 4);
	assert_int_equal(sonde_ring_waiting(f->ring, sonde_ring_position(f->ring)), 6);
	assert_int_equal(consume(f->ring, 4, 100), 6);
	assert_true(sonde_ring_used(f->ring) >= 10 * sizeof(struct flood));
	sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	assert_int_equal(sonde_ring_used(f->ring), 0);
}

static void check_oldest(const struct sonde_ring *ring, uint64_t number)
{
	struct flood record = {};

	assert_int_equal(sonde_ring_oldest(ring, &record, sizeof(record)), 1);
	assert_int_equal(record.number, number);
}

/* The first one that is not freed, whether it was read or not; also where it wraps. */
static void test_oldest(void **state)
{
	struct fixture *f = *state;
	struct flood record;

	if (!f)
		skip();
	for (uint64_t i = 0; i < 5000; i += 10) {
		assert_int_equal(sonde_ring_oldest(f->ring, &record, sizeof(record)), 0);
		produce(i, 10);
		check_oldest(f->ring, i);
		assert_int_equal(consume(f->ring, i, 4), 4);
		check_oldest(f->ring, i);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
		check_oldest(f->ring, i + 4);
		assert_int_equal(sonde_ring_oldest(f->ring, &record, sizeof(record) + 1), 0); /* no record is so long */
		assert_int_equal(consume(f->ring, i + 4, 10), 6);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	}
}

/* A reader that died is followed by one that finds what was not committed, and only that. */
static void test_second_reader_goes_on(void **state)
{
	struct sonde_ring *second;
	struct fixture *f = *state;
	uint64_t position;

	if (!f)
		skip();
	produce(0, 10);
	assert_int_equal(consume(f->ring, 0, 4), 4);
	position = sonde_ring_position(f->ring);
	assert_int_equal(consume(f->ring, 4, 6), 6);
	assert_int_equal(sonde_ring_new(f->ring_fd, -1, &second), 0);
	/* Nothing was committed: it starts at the first; told of a checkpoint, there. */
	assert_int_equal(sonde_ring_waiting(second, sonde_ring_position(second)), 10);
	sonde_ring_start_at(second, position);
	assert_int_equal(consume(second, 4, 100), 6);
	/* Positions that cannot be are not followed. */
	sonde_ring_start_at(second, UINT64_MAX / 2);
	sonde_ring_start_at(second, 0);
	assert_int_equal(sonde_ring_waiting(second, sonde_ring_position(second)), 0);
	sonde_ring_commit(second, sonde_ring_position(second));
	sonde_ring_commit(second, UINT64_MAX);
	assert_int_equal(sonde_ring_used(second), 0);
	sonde_ring_free(&second);
}

/* What is read but not committed is not written over: a full ring refuses, and says so in its counters. */
static void test_overflow(void **state)
{
	const uint64_t room = RING_BYTES / (sizeof(struct flood) + 8);
	struct fixture *f = *state;
	uint64_t n;

	if (!f)
		skip();
	produce(0, 10 * room);
	n = consume(f->ring, 0, UINT64_MAX);
	assert_in_range(n, room - 2, room);
	produce(0, 10);
	assert_int_equal(sonde_ring_waiting(f->ring, sonde_ring_position(f->ring)), 0);
	sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	produce(500, 10);
	assert_int_equal(consume(f->ring, 500, 100), 10);
}

static bool is_woken(const struct fixture *f)
{
	struct pollfd fd = {.fd = f->ring_fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

/* Around the ring many times: records that wrap are whole, and there is sleep only when there is nothing to read. */
static void test_wrap_and_sleep(void **state)
{
	struct fixture *f = *state;

	if (!f)
		skip();
	for (uint64_t i = 0; i < 60000; i += 50) {
		assert_true(sonde_ring_sleep(f->ring));
		produce(i, 50);
		assert_false(sonde_ring_sleep(f->ring));
		assert_true(is_woken(f));
		assert_int_equal(consume(f->ring, i, 100), 50);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	}
}

static void test_smallest(void **state)
{
	struct fixture *f = *state;

	if (!f)
		skip();
	for (uint64_t i = 0; i < 2000; i += 20) {
		produce(i, 20);
		assert_int_equal(sonde_ring_waiting(f->ring, sonde_ring_position(f->ring)), 20);
		assert_int_equal(consume(f->ring, i, 100), 20);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	}
}

/* What was mapped for a burst is given back, and what comes then is read all the same. */
static void test_narrow(void **state)
{
	const uint64_t turn = RING_BYTES / (sizeof(struct flood) + 8), part = turn / 8;
	struct fixture *f = *state;
	uint64_t i = 0;

	if (!f)
		skip();
	assert_false(sonde_ring_is_wide(f->ring));
	for (; i < 2 * turn && !sonde_ring_is_wide(f->ring); i += part) {
		produce(i, part);
		assert_int_equal(consume(f->ring, i, turn), part);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	}
	for (unsigned round = 0; round < 20; round++, i += part) {
		sonde_ring_narrow(f->ring);
		assert_false(sonde_ring_is_wide(f->ring));
		produce(i, part);
		assert_int_equal(sonde_ring_waiting(f->ring, sonde_ring_position(f->ring)), part);
		assert_int_equal(consume(f->ring, i, turn), part);
		sonde_ring_commit(f->ring, sonde_ring_position(f->ring));
	}
}

static void test_not_a_ring(void **state)
{
	struct fixture *f = *state;
	struct sonde_ring *ring = NULL;

	if (!f)
		skip();
	assert_true(sonde_ring_new(sonde_object_counters_fd(sonde_manager_object(f->manager, "flood")), -1, &ring) < 0);
	assert_true(sonde_ring_new(-1, -1, &ring) < 0);
	assert_null(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_is_not_freed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_reader_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrap_and_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_smallest, setup_smallest, teardown),
		cmocka_unit_test_setup_teardown(test_narrow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_ring, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
