/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file store_fixture.h For the conformance tests: each runs once with every back end, on a fresh store. */

#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#define N 1000
#define STEP_NS 1000
#define SHARED_BYTES 65536

struct fixture {
	const char *backend;
	char folder[64], path[128];
	void *shared;
	struct sonde_store *store;
	struct sonde_store_opts opts;
	int64_t start_ns;
};

static inline void open_store(struct fixture *f)
{
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_add_type(f->store, &test_type), 0);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
}

static inline int setup(void **state, const char *backend)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->backend = backend;
	snprintf(f->folder, sizeof(f->folder), "%s", test_folder());
	snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
	f->shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->opts = (struct sonde_store_opts){.path = strcmp(backend, "memory") ? f->path : "memory",
					    .checkpoints = f->shared, .checkpoints_size = SHARED_BYTES, .merge_cpu_pct = 100};
	open_store(f);
	f->start_ns = sonde_clock_wall_ns() - N * STEP_NS;
	*state = f;
	return 0;
}

static inline int setup_memory(void **state)
{
	return setup(state, "memory");
}

static inline int setup_sqlite(void **state)
{
	return setup(state, "sqlite");
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	sonde_store_close(&f->store);
	munmap(f->shared, SHARED_BYTES);
	test_remove(f->folder);
	free(f);
	return 0;
}

static inline bool is_memory(const struct fixture *f)
{
	return !strcmp(f->backend, "memory");
}

static inline void commit(struct fixture *f)
{
	if (sonde_store_commit(f->store, NULL, 0))
		fail_msg("%s", sonde_store_error(f->store));
}

static inline void fill(struct fixture *f, const struct sonde_type *type, uint64_t first, uint64_t n)
{
	assert_int_equal(test_append(f->store, type, first, n, f->start_ns + (int64_t)first * STEP_NS, STEP_NS), 0);
	commit(f);
}

/* The rows as text. */
static inline char *listing(struct fixture *f, const struct sonde_query *query, struct sonde_answer *ret_answer)
{
	struct sonde_buffer text = SONDE_BUFFER_INIT;
	int r = sonde_store_query(f->store, query, test_collect, &text, ret_answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	return text.data ? text.data : strdup("");
}

static inline uint64_t rows_of(struct fixture *f, const struct sonde_query *query)
{
	struct sonde_answer answer;
	uint64_t n = 0;
	int r = sonde_store_query(f->store, query, test_count_rows, &n, &answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	assert_int_equal(answer.rows, n);
	return n;
}

/** The entries of a test for all back ends. */
#define BOTH(test) \
	{"memory: " #test, test, setup_memory, teardown, NULL}, {"sqlite: " #test, test, setup_sqlite, teardown, NULL}
