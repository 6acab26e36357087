/* SPDX-License-Identifier: Apache-2.0 */
/* Statements that have to sort and to group more than memory holds, and what an answer in SQL is worth. */
#include <store/sqlite.h>
#include <store/sqlite_fixture.h>

#define EVENTS 1200u
/* Each event with each: some 30 MB to sort. */
#define SORTED "SELECT a.number * 7919 % 1201 AS key, a.number, b.number FROM sample a, sample b ORDER BY key, 2, 3"

struct seen {
	uint64_t rows;
	int64_t last[3];
	struct sonde_store *store;
	uint64_t most_bytes; /* of temporary files */
};

static uint64_t taken(struct sonde_store *store)
{
	return sonde_temporary_bytes(((struct sqlite_store *)store)->temporary);
}

/* Each row is behind the one before. */
static int in_order(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	struct seen *seen = userdata;
	int64_t row[3];
	int i = 0;

	if (!values)
		return 0;
	for (int j = 0; j < 3; j++)
		row[j] = values[j].i;
	while (i < 2 && row[i] == seen->last[i])
		i++;
	if (seen->rows && row[i] <= seen->last[i])
		fail_msg("row %" PRIu64 " is not behind the one before", seen->rows);
	memcpy(seen->last, row, sizeof(row));
	seen->rows++;
	if (taken(seen->store) > seen->most_bytes)
		seen->most_bytes = taken(seen->store);
	return 0;
}

static int ask(struct fixture *f, const char *sql, int64_t timeout_ns, struct seen *seen, const char **ret_error)
{
	struct sonde_answer answer;

	*seen = (struct seen){.store = f->store};
	return sonde_store_sql(f->store, sql, 0, timeout_ns, in_order, seen, &answer, ret_error);
}

static void test_sort(void **state)
{
	struct fixture *f = *state;
	const char *error = "";
	struct seen seen;

	open_store(f);
	assert_int_equal(store_rows(f, 0, EVENTS), 0);
	if (ask(f, SORTED, 600 * SONDE_NS_PER_S, &seen, &error))
		fail_msg("%s", error);
	assert_int_equal(seen.rows, EVENTS * EVENTS);
	assert_true(seen.most_bytes > 8u << 20);
	assert_int_equal(taken(f->store), 0);
	/* Its time ends in the middle of it: before the first row comes. */
	assert_int_equal(ask(f, SORTED, SONDE_NS_PER_MS, &seen, &error), -ETIMEDOUT);
	assert_int_equal(taken(f->store), 0);
	/* The same file, read by somebody else: then it is not beside it. */
	sonde_store_close(&f->store);
	f->opts.read_only = true;
	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	if (ask(f, SORTED, 600 * SONDE_NS_PER_S, &seen, &error))
		fail_msg("%s", error);
	assert_int_equal(seen.rows, EVENTS * EVENTS);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	const char *error = "";
	struct seen seen;

	f->opts.max_bytes = 8u << 20;
	open_store(f);
	assert_int_equal(store_rows(f, 0, EVENTS), 0);
	assert_int_equal(ask(f, SORTED, 600 * SONDE_NS_PER_S, &seen, &error), -ENOSPC);
	if (!strstr(error, "take more than 8 MiB: ask for a shorter span of time"))
		fail_msg("%s", error);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(taken(f->store), 0);
	/* The connection is as good as before. */
	if (ask(f, "SELECT number % 10, number, 0 FROM sample ORDER BY 1, 2", 0, &seen, &error))
		fail_msg("%s", error);
	assert_int_equal(seen.rows, EVENTS);
}

/* Half of the disk's room stays for the store, which goes on. */
static void test_small_disk(void **state)
{
	struct fixture *f = *state;
	const char *error = "";
	struct seen seen;
	char disk[96];

	small_disk(f, disk, sizeof(disk));
	open_store(f);
	assert_int_equal(store_rows(f, 0, EVENTS), 0);
	assert_int_equal(ask(f, SORTED, 600 * SONDE_NS_PER_S, &seen, &error), -ENOSPC);
	if (!strstr(error, "has too little room left"))
		fail_msg("%s", error);
	assert_int_equal(taken(f->store), 0);
	assert_int_equal(store_rows(f, EVENTS, 5), 0);
	assert_int_equal(rows_of(f), EVENTS + 5);
	sonde_store_close(&f->store);
	assert_int_equal(umount(disk), 0);
}

static int take_number(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	*(int64_t *)userdata = values[0].i;
	return 0;
}

static void check_worth(struct fixture *f, const char *sql, int64_t number, uint64_t lost)
{
	struct sonde_answer answer;
	const char *error = "";
	int64_t found = -1;

	if (sonde_store_sql(f->store, sql, 0, 0, take_number, &found, &answer, &error))
		fail_msg("%s: %s", sql, error);
	assert_int_equal(found, number);
	assert_int_equal(answer.lost, lost);
	assert_int_equal(answer.complete, !lost);
	if (lost && !strstr(answer.reason, "events lost in damaged blocks of the file"))
		fail_msg("%s: '%s'", sql, answer.reason);
}

/* A block whose facts are damaged is not known to be this type's; but its events are missing. */
static void test_damaged_facts(void **state)
{
	struct fixture *f = *state;
	char all[128];

	open_store(f);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(store_rows(f, i * 100, 100), 0);
	/* Not since before the store was there: then more is missing. */
	snprintf(all, sizeof(all), "SELECT count(*) FROM sample WHERE time >= %" PRId64, sonde_clock_wall_ns() - 1);
	assert_int_equal(store_rows(f, 500, 100), 0);
	check_worth(f, all, 100, 0);
	run_in(f->path, "UPDATE sonde_blocks SET checksum = checksum + 1 WHERE id = (SELECT min(id) FROM sonde_blocks)");
	check_worth(f, all, 100, 100);
	check_worth(f, "SELECT count(*) FROM sonde_types", 1, 0);
}

/* What is lost is lost once, however often rows are looked up. */
static void test_damaged_lookups(void **state)
{
	struct fixture *f = *state;
	char sql[300];

	open_store(f);
	assert_int_equal(store_rows(f, 0, 1), 0);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM sample a JOIN sample b ON b.number = a.number AND b.name IS NOT NULL"
				   " WHERE a.time >= %" PRId64 " AND b.time >= a.time", sonde_clock_wall_ns() - 1);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(store_rows(f, 1 + i * 100, 100), 0);
	check_worth(f, sql, 500, 0);
	run_in(f->path, "UPDATE sonde_blocks SET data = zeroblob(length(data)) WHERE id = 3");
	check_worth(f, sql, 400, 100);
}

/* It is the program's, whichever of its types are asked. */
static void test_gap_of_two_types(void **state)
{
	static const char both[] = "SELECT (SELECT count(*) FROM sample) + (SELECT count(*) FROM other)";
	struct sonde_type types[] = {test_type, other_type};
	struct sonde_schema schema = {.program = TEST_PROGRAM, .n_types = ARRAY_SIZE(types), .types = types};
	struct sonde_gap gap = {.program = TEST_PROGRAM, .cause = "ring_full", .count = 30};
	struct fixture *f = *state;
	struct sonde_answer answer;
	const char *error = NULL;
	int64_t rows = 0;

	assert_int_equal(sonde_store_open(&f->opts, &f->store), 0);
	assert_int_equal(sonde_store_add_schema(f->store, &schema), 0);
	assert_int_equal(test_append(f->store, &types[0], 0, 3, sonde_clock_wall_ns(), 1), 0);
	assert_int_equal(test_append(f->store, &types[1], 0, 4, sonde_clock_wall_ns(), 1), 0);
	gap.from_ns = gap.to_ns = sonde_clock_wall_ns();
	assert_int_equal(sonde_store_gap(f->store, &gap), 0);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	assert_int_equal(sonde_store_sql(f->store, both, 0, SONDE_NS_PER_S, take_number, &rows, &answer, &error), 0);
	assert_int_equal(rows, 7);
	assert_int_equal(answer.lost, 30);
	assert_non_null(strstr(answer.reason, "30 events of sample lost (ring_full)"));
}

static void test_own_tables(void **state)
{
	struct fixture *f = *state;

	make_store(f, 5);
	open_store(f);
	check_worth(f, "SELECT count(*) FROM pragma_table_info('sample')", test_type.n_columns, 0);
	check_worth(f, "SELECT count(*) FROM pragma_table_xinfo('sample') WHERE hidden", 1, 0);
	check_worth(f, "SELECT count(*) FROM pragma_table_list WHERE name = 'sonde_types'", 1, 0);
	check_worth(f, "SELECT sum(value) FROM json_each('[40, 2]')", 42, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_lookups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gap_of_two_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_tables, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
