/* SPDX-License-Identifier: Apache-2.0 */
/* What every back end must do, second half: checkpoints, limits, completeness, types that change, threads. */
#include <store/store_fixture.h>

#include <pthread.h>
#include <stdatomic.h>

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
	uint64_t n = 0, thousands = 600;

	sonde_store_close(&f->store);
	f->opts.max_bytes = 8 << 20;
	open_store(f);
	for (uint64_t i = 0; i < thousands; i++) {
		assert_int_equal(test_append_noise(f->store, i * 1000, 1000, f->start_ns + (int64_t)i * 1000 * STEP_NS, STEP_NS), 0);
		commit(f);
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
	query.since_ns = f->start_ns + (int64_t)(thousands - 1) * 1000 * STEP_NS;
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

/* What whoever brings the events says of those that are not here. */
static void say_waiting(void *userdata, struct sonde_waiting *waiting)
{
	const struct sonde_waiting *said = userdata;

	waiting->starting = said->starting;
	waiting->usual_ns = said->usual_ns;
	waiting->n = said->n;
	waiting->programs[0] = said->programs[0];
	waiting->n_gaps = said->n_gaps;
	waiting->gaps[0] = said->gaps[0];
}

static void test_waiting(void **state)
{
	struct fixture *f = *state;
	int64_t opened = sonde_clock_wall_ns(), from = opened - SONDE_NS_PER_S;
	struct sonde_waiting said = {.starting = true, .usual_ns = 60 * SONDE_NS_PER_S};
	struct sonde_answer answer;

	sonde_store_set_waiting(f->store, say_waiting, &said);
	assert_string_equal(ask(f, NULL, opened, INT64_MAX).reason, "programs are being started");
	said.starting = false;
	assert_true(ask(f, NULL, opened, INT64_MAX).complete);
	said.n = 1;
	snprintf(said.programs[0].program, sizeof(said.programs[0].program), TEST_PROGRAM);
	said.programs[0].since_ns = sonde_clock_wall_ns() - SONDE_NS_PER_S;
	assert_true(ask(f, TEST_PROGRAM, opened, INT64_MAX).complete);
	said.usual_ns = 0;
	assert_non_null(strstr(ask(f, TEST_PROGRAM, opened, INT64_MAX).reason, "UTC wait to be stored"));
	assert_true(ask(f, "other", opened, INT64_MAX).complete);
	assert_false(ask(f, NULL, opened, INT64_MAX).complete);
	said.n = 0;
	said.n_gaps = 1;
	said.gaps[0] = (struct sonde_gap){.program = TEST_PROGRAM, .cause = "ring_full", .from_ns = opened, .to_ns = opened + 1, .count = 5};
	assert_int_equal(ask(f, TEST_PROGRAM, opened, INT64_MAX).lost, 5);
	assert_int_equal(sonde_store_gap(f->store, &said.gaps[0]), 0); /* not committed */
	answer = ask(f, TEST_PROGRAM, opened, INT64_MAX);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 5);
	sonde_store_set_waiting(f->store, NULL, NULL);
	assert_int_equal(ask(f, TEST_PROGRAM, opened, INT64_MAX).lost, 5);
	sonde_store_seen_from(f->store, opened + SONDE_NS_PER_S);
	while (sonde_clock_wall_ns() < opened + SONDE_NS_PER_S)
		usleep(10000);
	assert_non_null(strstr(ask(f, "other", from, INT64_MAX).reason, "nothing was recorded before"));
	assert_non_null(strstr(ask(f, "other", opened, INT64_MAX).reason, "nothing was recorded before"));
	assert_true(ask(f, "other", opened + SONDE_NS_PER_S, INT64_MAX).complete);
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
	pthread_t threads[8]; /* more readers than can be served at once */
	void *bad;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i ? reader_main : adder_main, &readers), 0);
	for (uint64_t i = 0; i < 100 || readers.queries < 20; i++) {
		struct sonde_checkpoint saved = checkpoint(1, (i + 1) * 100);

		assert_int_equal(test_append(f->store, &test_type, i * 100, 100, f->start_ns + (int64_t)i * 100, 1), 0);
		assert_int_equal(sonde_store_commit(f->store, &saved, 1), 0);
		if (i % 10 == 0)
			assert_int_equal(sonde_store_expire(f->store, sonde_clock_wall_ns()), 0);
	}
	readers.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	check_totals(f);
}

static int interrupt(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	sonde_store_interrupt(((struct fixture *)userdata)->store);
	return 0;
}

/* The agent stops: queries end, the writer writes on. */
static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	uint64_t n = 0;

	fill(f, &test_type, 0, 100);
	assert_int_equal(sonde_store_query(f->store, &query, interrupt, f, &answer), -ECANCELED);
	assert_int_equal(sonde_store_query(f->store, &query, test_count_rows, &n, &answer), -ECANCELED);
	assert_int_equal(n, 0);
	fill(f, &test_type, 100, 100);
	sonde_store_close(&f->store);
	open_store(f);
	assert_int_equal(rows_of(f, &query), is_memory(f) ? 0 : 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_interrupt), BOTH(test_checkpoints), BOTH(test_reopen), BOTH(test_expired_by_ring), BOTH(test_age),
		BOTH(test_size), BOTH(test_complete), BOTH(test_waiting), BOTH(test_program_of_type), BOTH(test_type_changes),
		BOTH(test_threads),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
