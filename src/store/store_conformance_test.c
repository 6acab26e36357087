/* SPDX-License-Identifier: Apache-2.0 */
/* What every back end must do, first half: events come back as they went in, in order, and filtered. */
#include <store/store_fixture.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_nothing), BOTH(test_values), BOTH(test_uncommitted), BOTH(test_unknown_type),
		BOTH(test_bad_types), BOTH(test_filters), BOTH(test_span), BOTH(test_order), BOTH(test_pages),
		BOTH(test_same_place), BOTH(test_limit), BOTH(test_callback_stops), BOTH(test_bad_cursors),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
