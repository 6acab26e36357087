/* SPDX-License-Identifier: Apache-2.0 */
/* What every back end must do: the same tests run against each. */
#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
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

static void open_store(struct fixture *f)
{
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_add_type(f->store, &test_type), 0);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
	assert_int_equal(sonde_store_add_type(f->store, &other_type), 0);
}

static int setup(void **state, const char *backend)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->backend = backend;
	snprintf(f->folder, sizeof(f->folder), "%s", test_folder());
	snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
	f->shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->opts = (struct sonde_store_opts){.path = strcmp(backend, "memory") ? f->path : "memory",
					    .checkpoints = f->shared, .checkpoints_size = SHARED_BYTES};
	open_store(f);
	f->start_ns = sonde_clock_wall_ns() - N * STEP_NS;
	*state = f;
	return 0;
}

static int setup_memory(void **state)
{
	return setup(state, "memory");
}

static int setup_sqlite(void **state)
{
	return setup(state, "sqlite");
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sonde_store_close(&f->store);
	munmap(f->shared, SHARED_BYTES);
	test_remove(f->folder);
	free(f);
	return 0;
}

static bool is_memory(const struct fixture *f)
{
	return !strcmp(f->backend, "memory");
}

static void commit(struct fixture *f)
{
	if (sonde_store_commit(f->store, NULL, 0))
		fail_msg("%s", sonde_store_error(f->store));
}

static void fill(struct fixture *f, const struct sonde_type *type, uint64_t first, uint64_t n)
{
	assert_int_equal(test_append(f->store, type, first, n, f->start_ns + (int64_t)first * STEP_NS, STEP_NS), 0);
	commit(f);
}

/* The rows as text. */
static char *listing(struct fixture *f, const struct sonde_query *query, struct sonde_answer *ret_answer)
{
	struct sonde_buffer text = SONDE_BUFFER_INIT;
	int r = sonde_store_query(f->store, query, test_collect, &text, ret_answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	return text.data ? text.data : strdup("");
}

static uint64_t rows_of(struct fixture *f, const struct sonde_query *query)
{
	struct sonde_answer answer;
	uint64_t n = 0;
	int r = sonde_store_query(f->store, query, test_count_rows, &n, &answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	assert_int_equal(answer.rows, n);
	return n;
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	struct sonde_store_status status;

	assert_int_equal(rows_of(f, &query), 0);
	query.type = "unheard_of";
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, NULL, NULL), -ENOENT);
	sonde_store_status(f->store, &status);
	assert_string_equal(status.backend, f->backend);
	assert_string_equal(status.error, "");
	assert_int_equal(status.stored + status.readable + status.expired, 0);
	assert_int_equal(status.oldest_ns, 0);
}

/* Byte by byte what was appended, for every kind of value. */
static void test_values(void **state)
{
	struct fixture *f = *state;
	struct sonde_buffer expected CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct test_record records[12];
	struct sonde_value values[SONDE_COLUMNS_MAX];
	struct sonde_answer answer;
	char *text CLEANUP_FREE = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		records[i] = test_record(i);
	records[1].number = UINT64_MAX;
	records[2].number = (uint64_t)INT64_MAX + 1;
	records[3].offset = INT64_MIN;
	records[4].offset = INT64_MAX;
	memset(records[5].address, 0x20, 16);			/* IPv6 */
	memcpy(records[6].name, "\xff\xfe\0\x1b[31m\xc3", 9);	/* not UTF-8, NUL inside */
	records[6].name_length = 9;
	memcpy(records[7].name, "gr\xc3\xbc\xc3\x9f'\"; --", 12);
	records[7].name_length = 12;
	records[8].name_length = 0;
	memcpy(records[9].arguments, "\0\0a b\0'\0\\\0\xff", 12);
	records[9].arguments_length = 12;
	records[10].arguments_length = 0;
	records[11].header.flags = SONDE_PROCESS_UNKNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct sonde_event event = test_event(&test_type, &records[i], f->start_ns + (int64_t)i);

		sonde_event_values(&event, NULL, values);
		test_row_text(&test_type, values, &expected);
		assert_int_equal(sonde_store_append(f->store, &event, 1), 0);
	}
	commit(f);
	query.oldest_first = true;
	text = listing(f, &query, &answer);
	assert_string_equal(text, expected.data);
}

static void test_uncommitted(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);

	assert_int_equal(test_append(f->store, &test_type, 0, 10, f->start_ns, 1), 0);
	assert_int_equal(rows_of(f, &query), 0);
	commit(f);
	assert_int_equal(rows_of(f, &query), 10);
	commit(f);
	assert_int_equal(rows_of(f, &query), 10);
}

static void test_unknown_type(void **state)
{
	struct fixture *f = *state;
	struct sonde_type stranger = test_type;
	struct test_record records[2] = {test_record(1), test_record(2)};
	struct sonde_event events[2] = {test_event(&test_type, &records[0], f->start_ns),
					test_event(&stranger, &records[1], f->start_ns)};
	struct sonde_query query = test_query(NULL);

	assert_int_equal(sonde_store_append(f->store, events, 2), -EINVAL);
	commit(f);
	assert_int_equal(rows_of(f, &query), 0); /* all or nothing */
}

static void test_bad_types(void **state)
{
	struct fixture *f = *state;
	struct sonde_column columns[SONDE_COLUMN_COMMON_MAX + 2];
	struct sonde_type bad = {.name = "bad", .n_columns = ARRAY_SIZE(columns), .columns = columns};
	static const char *const names[] = {"", "a b", "x\"; DROP TABLE sample", "sonde_types", "sqlite_schema", "0a",
					    "a_name_that_is_much_longer_than_any_name_of_a_type_may_be"};

	memcpy(columns, test_columns, sizeof(columns));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bad.name = names[i];
		assert_int_equal(sonde_store_add_type(f->store, &bad), -EINVAL);
	}
	bad.name = "bad";
	columns[SONDE_COLUMN_COMMON_MAX].name = "OFFSET"; /* like the next, but for its case */
	assert_int_equal(sonde_store_add_type(f->store, &bad), -EINVAL);
	columns[SONDE_COLUMN_COMMON_MAX].name = "a\"b";
	assert_int_equal(sonde_store_add_type(f->store, &bad), -EINVAL);
	bad.n_columns = 3;
	assert_int_equal(sonde_store_add_type(f->store, &bad), -EINVAL);
}

/* ---- filters ---- */

static uint64_t expect(bool (*wanted)(uint64_t number))
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < N; i++)
		n += wanted(i);
	return n;
}

static bool is_pid_103(uint64_t i)
{
	return i % 7 == 3;
}

static bool is_curl(uint64_t i)
{
	return i % 4 == 1;
}

static bool in_container(uint64_t i)
{
	return i % 3 == 0;
}

static bool is_pid_103_curl_in_container(uint64_t i)
{
	return is_pid_103(i) && is_curl(i) && in_container(i);
}

static bool is_port_2_of_upper_half(uint64_t i)
{
	return i % 5 == 2 && i >= N / 2;
}

static void test_filters(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	const char *error = "";

	fill(f, &test_type, 0, N);
	assert_int_equal(rows_of(f, &query), N);
	query.pid = 103;
	assert_int_equal(rows_of(f, &query), expect(is_pid_103));
	query.pid = 0;
	assert_int_equal(rows_of(f, &query), 0);
	query.pid = -1;
	query.command = "curl";
	assert_int_equal(rows_of(f, &query), expect(is_curl));
	query.command = "cur";
	assert_int_equal(rows_of(f, &query), 0);
	query.command = NULL;
	query.container = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	assert_int_equal(rows_of(f, &query), expect(in_container));
	query.container = "0123456789ab";
	assert_int_equal(rows_of(f, &query), expect(in_container));
	query.container = "0123456789a"; /* too short for a prefix */
	assert_int_equal(rows_of(f, &query), 0);
	query.container = "0123456789ab%";
	assert_int_equal(rows_of(f, &query), 0);
	query.container = "0123456789ab";
	query.pid = 103;
	query.command = "curl";
	assert_int_equal(rows_of(f, &query), expect(is_pid_103_curl_in_container));

	query = test_query(TEST_PROGRAM);
	if (sonde_filter_new("port = 2 and offset <= -500", &error, &where))
		fail_msg("%s", error);
	query.where = where;
	assert_int_equal(rows_of(f, &query), expect(is_port_2_of_upper_half));
}

static void test_span(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);

	fill(f, &test_type, 0, N);
	query.since_ns = f->start_ns + 100 * STEP_NS;
	assert_int_equal(rows_of(f, &query), N - 100); /* inclusive */
	query.since_ns++;
	assert_int_equal(rows_of(f, &query), N - 101);
	query.until_ns = f->start_ns + 200 * STEP_NS;
	assert_int_equal(rows_of(f, &query), 99); /* exclusive */
	query.until_ns++;
	assert_int_equal(rows_of(f, &query), 100);
	query.until_ns = query.since_ns;
	assert_int_equal(rows_of(f, &query), 0);
}

/* ---- order, limit, cursor ---- */

struct order {
	int64_t last_ns;
	bool oldest_first;
};

static int check_order(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct order *order = userdata;
	int64_t time_ns = values[SONDE_COLUMN_TIME].i;

	assert_true(order->oldest_first ? time_ns >= order->last_ns : time_ns <= order->last_ns);
	order->last_ns = time_ns;
	return 0;
}

/* Rows of two types, interleaved, partly at the same time, appended out of order. */
static void fill_mixed(struct fixture *f)
{
	for (uint64_t block = 0; block < N; block += 50) {
		uint64_t first = (block / 50 ^ 1) * 50; /* swaps neighbours: blocks come late */

		assert_int_equal(test_append(f->store, &test_type, first, 50, f->start_ns + (int64_t)first * STEP_NS, STEP_NS), 0);
		assert_int_equal(test_append(f->store, &other_type, first, 50, f->start_ns + (int64_t)first * STEP_NS, STEP_NS * 2), 0);
	}
	commit(f);
	/* one moment, many events */
	assert_int_equal(test_append(f->store, &test_type, N, 40, f->start_ns + 500 * STEP_NS, 0), 0);
	assert_int_equal(test_append(f->store, &other_type, N, 40, f->start_ns + 500 * STEP_NS, 0), 0);
	commit(f);
}

static void test_order(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	struct order order = {.last_ns = INT64_MAX};
	struct sonde_answer answer;

	fill_mixed(f);
	assert_int_equal(sonde_store_query(f->store, &query, check_order, &order, &answer), 0);
	assert_int_equal(answer.rows, 2 * N + 80);
	assert_false(answer.more);
	order = (struct order){.last_ns = INT64_MIN, .oldest_first = true};
	query.oldest_first = true;
	assert_int_equal(sonde_store_query(f->store, &query, check_order, &order, &answer), 0);
	assert_int_equal(answer.rows, 2 * N + 80);
}

static void check_pages(struct fixture *f, bool oldest_first, uint32_t limit, bool insert)
{
	struct sonde_buffer paged CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer = {.more = true};
	char *whole CLEANUP_FREE = NULL;
	char cursor[SONDE_CURSOR_MAX];

	query.oldest_first = oldest_first;
	whole = listing(f, &query, &answer);
	query.limit = limit;
	for (answer.more = true; answer.more; query.cursor = cursor) {
		if (sonde_store_query(f->store, &query, test_collect, &paged, &answer))
			fail_msg("%s", sonde_store_error(f->store));
		assert_true(answer.rows == limit || !answer.more);
		memcpy(cursor, answer.cursor, sizeof(cursor));
		if (insert) { /* newer than all: pages that go back in time do not see it */
			assert_int_equal(test_append(f->store, &test_type, 5 * N, 1, sonde_clock_wall_ns(), 0), 0);
			commit(f);
		}
	}
	assert_string_equal(paged.data, whole);
}

static void test_pages(void **state)
{
	struct fixture *f = *state;

	fill_mixed(f);
	check_pages(f, false, 7, false);
	check_pages(f, true, 7, false);
	check_pages(f, false, 1, false);
	check_pages(f, false, N * 2 + 80, false);
	check_pages(f, false, 33, true);
}

/* The clock was set back over a restart of the kernel's counting: two events with one time and sequence are two events. */
static void test_same_place(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);

	fill(f, &test_type, 0, 20);
	fill(f, &test_type, 0, 20);
	assert_int_equal(rows_of(f, &query), 40);
	check_pages(f, false, 1, false);
	check_pages(f, true, 3, false);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_answer answer;
	uint64_t n = 0;

	fill(f, &test_type, 0, 10);
	query.limit = 10;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_false(answer.more); /* exactly all */
	query.limit = 9;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_true(answer.more);
	assert_int_equal(n, 19);
}

static int stop_at_third(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	return ++*(int *)userdata == 3;
}

static int fail_at_third(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	return ++*(int *)userdata == 3 ? -EPIPE : 0;
}

static void test_callback_stops(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_answer answer = {.rows = 77};
	int n = 0;

	fill(f, &test_type, 0, 10);
	assert_int_equal(sonde_store_query(f->store, &query, fail_at_third, &n, &answer), -EPIPE);
	assert_int_equal(answer.rows, 77); /* untouched */
	n = 0;
	assert_int_equal(sonde_store_query(f->store, &query, stop_at_third, &n, &answer), 0);
	assert_int_equal(answer.rows, 3);
	assert_true(answer.more);
	query.cursor = answer.cursor;
	assert_int_equal(rows_of(f, &query), 7);
}

static void test_bad_cursors(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	char huge[400];
	const char *const cursors[] = {"", "n", "n.", "n.1", "n.1.2", "n.1.2.", "o.1.2.sample", "x.1.2.sample", "n.a.2.sample",
				       "n.99999999999999999999.2.sample", "n. 1.2.sample", "n.1.+2.sample", "n.1.2x.sample", huge};

	memset(huge, 'a', sizeof(huge));
	memcpy(huge, "n.1.2.", 6);
	huge[sizeof(huge) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		query.cursor = cursors[i];
		if (sonde_store_query(f->store, &query, test_count_rows, NULL, NULL) != -EINVAL)
			fail_msg("taken: '%s'", cursors[i]);
	}
}

/* ---- counts ---- */

struct groups {
	struct sonde_buffer text;
	uint64_t sum, last;
	int n;
};

static int take_group(const struct sonde_value *group, uint64_t count, void *userdata)
{
	struct groups *groups = userdata;

	assert_true(!groups->n || count <= groups->last); /* largest first */
	groups->last = count;
	groups->sum += count;
	groups->n++;
	if (group)
		test_value_text(group, &groups->text);
	return 0;
}

static struct groups count(struct fixture *f, const struct sonde_query *query, const char *by, uint64_t *ret_rows)
{
	struct groups groups = {};
	struct sonde_answer answer;
	int r = sonde_store_count(f->store, query, by, take_group, &groups, &answer);

	if (r)
		fail_msg("%d %s", r, sonde_store_error(f->store));
	*ret_rows = answer.rows;
	sonde_buffer_free(&groups.text);
	return groups;
}

static void test_counts(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	uint64_t weights = 0, rows;
	struct groups groups;
	const char *error;

	fill(f, &test_type, 0, N);
	fill(f, &other_type, 0, 10);
	for (uint64_t i = 0; i < N; i++)
		weights += 1 + i % 3;
	groups = count(f, &query, NULL, &rows);
	assert_int_equal(groups.n, 1);
	assert_int_equal(groups.sum, weights);
	assert_int_equal(rows, N);
	groups = count(f, &query, "command", &rows);
	assert_int_equal(groups.n, 4);
	assert_int_equal(groups.sum, weights);
	groups = count(f, &query, "port", &rows);
	assert_int_equal(groups.n, 5); /* one of them null: port 0 is absent */
	groups = count(f, &query, "address", &rows);
	assert_int_equal(groups.n, N);
	groups = count(f, &query, "container", &rows);
	assert_int_equal(groups.n, 2);
	assert_int_equal(sonde_filter_new("command = curl", &error, &where), 0);
	query.where = where;
	groups = count(f, &query, "command", &rows);
	assert_int_equal(groups.n, 1);
	assert_int_equal(rows, expect(is_curl));
	query = test_query(NULL);
	groups = count(f, &query, "type", &rows);
	assert_int_equal(groups.n, 2);
	assert_int_equal(rows, N + 10);
	groups = count(f, &query, "address", &rows);
	assert_int_equal(groups.n, N + 1); /* the other type has none: null */
	assert_int_equal(sonde_store_count(f->store, &query, "nonsense", take_group, &groups, NULL), -ENOENT);
	query.since_ns = sonde_clock_wall_ns();
	assert_int_equal(count(f, &query, NULL, &rows).sum, 0);
}

static void test_group_limit(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_answer answer;
	struct groups groups = {};

	for (uint64_t i = 0; i < 66000; i += 1000)
		fill(f, &test_type, i, 1000);
	assert_int_equal(sonde_store_count(f->store, &query, "number", take_group, &groups, &answer), -E2BIG);
	assert_int_equal(groups.n, 0);
}

/* ---- checkpoints ---- */

static struct sonde_checkpoint checkpoint(uint64_t ring_id, uint64_t stored)
{
	return (struct sonde_checkpoint){.program = TEST_PROGRAM, .ring_id = ring_id, .position = stored * 128,
					 .consumed = stored + 3, .stored = stored, .invalid = 2, .limited = 1};
}

static void test_checkpoints(void **state)
{
	struct fixture *f = *state;
	struct sonde_checkpoint saved = checkpoint(UINT64_MAX - 7, 10), got;

	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, saved.ring_id, &got), 0);
	assert_int_equal(got.ring_id, saved.ring_id);
	assert_string_equal(got.program, TEST_PROGRAM);
	assert_int_equal(got.position + got.stored + got.consumed, 0);
	assert_int_equal(test_append(f->store, &test_type, 0, 10, f->start_ns, STEP_NS), 0);
	assert_int_equal(sonde_store_commit(f->store, &saved, 1), 0);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, saved.ring_id, &got), 0);
	assert_memory_equal(&got, &saved, sizeof(got));
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, 1, &got), 0);
	assert_int_equal(got.position, 0); /* another ring starts from zero */
	assert_int_equal(sonde_store_checkpoint(f->store, "other", saved.ring_id, &got), 0);
	assert_int_equal(got.position, 0);
	saved.program[0] = '\0';
	assert_int_equal(sonde_store_commit(f->store, &saved, 1), -EINVAL);
}

/* stored = readable + expired, for the ring, across the death of the process. */
static void test_reopen(void **state)
{
	struct fixture *f = *state;
	struct sonde_checkpoint saved = checkpoint(7, 10), got;
	struct sonde_query query = test_query(NULL);
	struct sonde_store_status status;

	assert_int_equal(test_append(f->store, &test_type, 0, 10, f->start_ns, STEP_NS), 0);
	assert_int_equal(sonde_store_commit(f->store, &saved, 1), 0);
	assert_int_equal(test_append(f->store, &test_type, 10, 5, f->start_ns, STEP_NS), 0); /* never committed */
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, 7, &got), 0);
	assert_int_equal(got.position, saved.position);
	assert_int_equal(got.stored, 10);
	assert_int_equal(got.expired, is_memory(f) ? 10 : 0);
	assert_int_equal(rows_of(f, &query), got.stored - got.expired);
	saved = checkpoint(7, 14);
	assert_int_equal(test_append(f->store, &test_type, 10, 4, f->start_ns + 10 * STEP_NS, STEP_NS), 0);
	assert_int_equal(sonde_store_commit(f->store, &saved, 1), 0);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, 7, &got), 0);
	assert_int_equal(got.expired, is_memory(f) ? 10 : 0);
	assert_int_equal(rows_of(f, &query), got.stored - got.expired);
	sonde_store_status(f->store, &status);
	assert_int_equal(status.stored, status.readable + status.expired);
}

/* Two rings of one program, one after the other: what retention drops belongs to the first. */
static void test_expired_by_ring(void **state)
{
	struct fixture *f = *state;
	struct sonde_checkpoint first = checkpoint(1, 100), second = checkpoint(2, 50), got;
	int64_t day = 86400 * SONDE_NS_PER_S, now = sonde_clock_wall_ns();
	struct sonde_query query = test_query(NULL);

	sonde_store_close(&f->store);
	f->opts.max_age_ns = 7 * day;
	open_store(f);
	assert_int_equal(test_append(f->store, &test_type, 0, 100, now - 9 * day, 1), 0);
	assert_int_equal(sonde_store_commit(f->store, &first, 1), 0);
	assert_int_equal(test_append(f->store, &test_type, 100, 20, now - 8 * day, 1), 0);
	assert_int_equal(test_append(f->store, &test_type, 120, 30, now - day, 1), 0);
	assert_int_equal(sonde_store_commit(f->store, &second, 1), 0);
	assert_int_equal(sonde_store_expire(f->store, now), 0);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, 1, &got), 0);
	assert_int_equal(got.expired, 100);
	assert_int_equal(sonde_store_checkpoint(f->store, TEST_PROGRAM, 2, &got), 0);
	assert_int_equal(got.expired, 20);
	assert_int_equal(rows_of(f, &query), 30);
}

/* ---- limits ---- */

static void check_totals(struct fixture *f)
{
	struct sonde_query query = test_query(NULL);
	struct sonde_store_status status;

	sonde_store_status(f->store, &status);
	assert_int_equal(status.readable, rows_of(f, &query));
	assert_int_equal(status.stored, status.readable + status.expired);
}

static void test_age(void **state)
{
	struct fixture *f = *state;
	int64_t hour = 3600 * SONDE_NS_PER_S, now = sonde_clock_wall_ns();
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_answer answer;

	sonde_store_close(&f->store);
	f->opts.max_age_ns = 24 * hour;
	open_store(f);
	assert_int_equal(test_append(f->store, &test_type, 0, 5000, now - 30 * hour, 1), 0);
	assert_int_equal(test_append(f->store, &other_type, 0, 3, now - 29 * hour, 1), 0);
	assert_int_equal(test_append(f->store, &test_type, 5000, 100, now - 2 * hour, 1), 0);
	commit(f);
	assert_int_equal(sonde_store_expire(f->store, now), 0);
	assert_int_equal(rows_of(f, &query), 100);
	check_totals(f);
	sonde_store_status(f->store, &status);
	assert_int_equal(status.expired, 5003);
	assert_int_equal(status.clock_jumps, 0);
	query.since_ns = now - 48 * hour;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &(uint64_t){0}, &answer), 0);
	assert_false(answer.complete);
	assert_non_null(strstr(answer.reason, "no longer kept"));
	/* the clock is set 10 years ahead, and back */
	assert_int_equal(sonde_store_expire(f->store, now + 87600 * hour), 0);
	assert_int_equal(sonde_store_expire(f->store, now + 87601 * hour), 0);
	assert_int_equal(sonde_store_expire(f->store, now - 1000 * hour), 0);
	assert_int_equal(sonde_store_expire(f->store, now + SONDE_NS_PER_S), 0);
	query.since_ns = INT64_MIN;
	assert_int_equal(rows_of(f, &query), 100);
	sonde_store_status(f->store, &status);
	assert_true(status.clock_jumps > 0);
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	struct sonde_store_status status;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	uint64_t n = 0;

	sonde_store_close(&f->store);
	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (uint64_t i = 0; i < 150; i++) {
		fill(f, &test_type, i * 1000, 1000);
		if (i % 10 == 0)
			fill(f, &other_type, i * 1000, 20);
		sonde_store_status(f->store, &status);
		assert_true(status.bytes <= f->opts.max_bytes);
		n += 1000 + (i % 10 == 0) * 20;
	}
	assert_int_equal(sonde_store_expire(f->store, sonde_clock_wall_ns()), 0);
	assert_int_equal(status.stored, n);
	assert_true(status.expired > 0);
	assert_true(status.readable > 20000); /* the room is used */
	check_totals(f);
	/* The newest are there, and nothing older than the oldest of another type is missing in between. */
	query.limit = 1000;
	query.type = TEST_PROGRAM;
	query.since_ns = f->start_ns + 149000 * STEP_NS;
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), 0);
	assert_int_equal(answer.rows, 1000);
}

/* ---- completeness ---- */

static struct sonde_answer ask(struct fixture *f, const char *type, int64_t since_ns, int64_t until_ns)
{
	struct sonde_query query = test_query(type);
	struct sonde_answer answer;
	uint64_t n = 0;

	query.since_ns = since_ns;
	query.until_ns = until_ns;
	if (sonde_store_query(f->store, &query, test_count_rows, &n, &answer))
		fail_msg("%s", sonde_store_error(f->store));
	return answer;
}

static void test_complete(void **state)
{
	struct fixture *f = *state;
	int64_t opened = sonde_clock_wall_ns(), later;
	struct sonde_gap gap = {.program = TEST_PROGRAM, .cause = "ring_full", .count = 1204};
	struct sonde_answer answer;

	answer = ask(f, TEST_PROGRAM, opened, INT64_MAX); /* the future is not missed */
	if (!answer.complete)
		fail_msg("%s", answer.reason);
	assert_string_equal(answer.reason, "");
	assert_true(ask(f, NULL, INT64_MIN, INT64_MAX).complete);
	answer = ask(f, TEST_PROGRAM, opened - 3600 * SONDE_NS_PER_S, INT64_MAX);
	assert_false(answer.complete);
	assert_non_null(strstr(answer.reason, "nothing was recorded before"));

	later = opened + SONDE_NS_PER_MS;
	gap.from_ns = opened;
	gap.to_ns = later;
	assert_int_equal(sonde_store_gap(f->store, &gap), 0);
	commit(f);
	while (sonde_clock_wall_ns() < later + 2 * SONDE_NS_PER_MS)
		;
	answer = ask(f, TEST_PROGRAM, opened, INT64_MAX);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 1204);
	assert_non_null(strstr(answer.reason, "1,204 events of sample lost (ring_full) between "));
	assert_true(ask(f, TEST_PROGRAM, later + 1, INT64_MAX).complete);
	assert_true(ask(f, "other", opened, INT64_MAX).complete); /* another program's gap */
	assert_false(ask(f, NULL, opened, INT64_MAX).complete);
	gap.from_ns = later + 1;
	gap.to_ns = later;
	assert_int_equal(sonde_store_gap(f->store, &gap), -EINVAL);
}

/* A program with a type of another name. */
static void test_program_of_type(void **state)
{
	struct fixture *f = *state;
	struct sonde_type type = test_type;
	struct sonde_schema schema = {.program = "owner", .n_types = 1, .types = &type};
	struct sonde_gap gap = {.program = "owner", .cause = "map_full", .from_ns = sonde_clock_wall_ns() - 1000,
				.to_ns = sonde_clock_wall_ns()};
	struct sonde_answer answer;

	type.name = "owned";
	assert_int_equal(sonde_store_add_schema(f->store, &schema), 0);
	assert_int_equal(sonde_store_gap(f->store, &gap), 0);
	commit(f);
	answer = ask(f, "owned", gap.from_ns, INT64_MAX);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 0); /* number unknown */
	assert_non_null(strstr(answer.reason, "an unknown number of events of owner"));
	assert_true(ask(f, TEST_PROGRAM, gap.to_ns, INT64_MAX).complete);
}

/* ---- types that change ---- */

static void test_type_changes(void **state)
{
	struct fixture *f = *state;
	struct sonde_column columns[ARRAY_SIZE(test_columns)];
	struct sonde_type next = test_type;
	const struct sonde_type *types[8];
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	const char *error;

	/* the next version lost `number` and gained `extra` in its place */
	memcpy(columns, test_columns, sizeof(columns));
	columns[SONDE_COLUMN_COMMON_MAX].name = "extra";
	next.columns = columns;
	fill(f, &test_type, 0, 10);
	assert_int_equal(sonde_store_add_type(f->store, &next), 0);
	fill(f, &next, 10, 10);
	fill(f, &test_type, 20, 10); /* both in one process: a program that was reloaded */
	assert_int_equal(rows_of(f, &query), 30);
	assert_int_equal(sonde_filter_new("number < 10 and extra = null", &error, &where), 0);
	query.where = where;
	assert_int_equal(rows_of(f, &query), 10);
	sonde_filter_free(&where);
	assert_int_equal(sonde_filter_new("extra >= 10 and number = null", &error, &where), 0);
	query.where = where;
	assert_int_equal(rows_of(f, &query), 10);
	assert_int_equal(sonde_store_types(f->store, types, ARRAY_SIZE(types)), 2);
	for (size_t i = 0; i < 2; i++)
		if (!strcmp(types[i]->name, TEST_PROGRAM)) {
			assert_int_equal(types[i]->n_columns, ARRAY_SIZE(columns) + 1);
			assert_true(sonde_type_find_column(types[i], "number") >= 0);
			assert_string_equal(types[i]->columns[SONDE_COLUMN_COMMON_MAX].unit, "1");
			assert_string_equal(types[i]->doc, "Samples of a test");
		}
}

/* ---- threads ---- */

struct readers {
	struct fixture *f;
	atomic_bool stop;
	atomic_uint queries;
};

/* Whatever moment a reader sees: whole commits, in order, each event once. */
static int check_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	uint64_t *next = userdata;

	if (values[SONDE_COLUMN_COMMON_MAX].u != *next)
		return -EPROTO;
	(*next)++;
	return 0;
}

static void *reader_main(void *userdata)
{
	struct readers *readers = userdata;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_store_status status;
	struct sonde_answer answer;
	intptr_t bad = 0;

	query.oldest_first = true;
	while (!readers->stop) {
		uint64_t next = 0;

		if (sonde_store_query(readers->f->store, &query, check_row, &next, &answer) || next % 100)
			bad++;
		sonde_store_status(readers->f->store, &status);
		if (status.readable + status.expired != status.stored)
			bad++;
		readers->queries++;
	}
	return (void *)bad;
}

/* A program is started while others run: its types come from another thread. */
static void *adder_main(void *userdata)
{
	static char names[40][16];
	static struct sonde_type types[40];
	struct readers *readers = userdata;
	intptr_t bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		snprintf(names[i], sizeof(names[i]), "added_%zu", i);
		types[i] = other_type;
		types[i].name = names[i];
		bad += sonde_store_add_type(readers->f->store, &types[i]) != 0;
	}
	return (void *)bad;
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	struct readers readers = {.f = f};
	pthread_t threads[4];
	void *bad;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i ? reader_main : adder_main, &readers), 0);
	for (uint64_t i = 0; i < 100 || readers.queries < 20; i++) {
		struct sonde_checkpoint saved = checkpoint(1, (i + 1) * 100);

		assert_int_equal(test_append(f->store, &test_type, i * 100, 100, f->start_ns + (int64_t)i * 100, 1), 0);
		assert_int_equal(sonde_store_commit(f->store, &saved, 1), 0);
	}
	readers.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	check_totals(f);
}

#define BOTH(test) \
	{"memory: " #test, test, setup_memory, teardown, NULL}, {"sqlite: " #test, test, setup_sqlite, teardown, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_nothing), BOTH(test_values), BOTH(test_uncommitted), BOTH(test_unknown_type), BOTH(test_bad_types),
		BOTH(test_filters), BOTH(test_span), BOTH(test_order), BOTH(test_pages), BOTH(test_same_place), BOTH(test_limit),
		BOTH(test_callback_stops), BOTH(test_bad_cursors), BOTH(test_counts), BOTH(test_group_limit),
		BOTH(test_checkpoints), BOTH(test_reopen), BOTH(test_expired_by_ring), BOTH(test_age), BOTH(test_size),
		BOTH(test_complete), BOTH(test_program_of_type), BOTH(test_type_changes), BOTH(test_threads),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
