/* SPDX-License-Identifier: Apache-2.0 */
/* What every back end must do: counts, in groups and with sums. */
#include <store/store_fixture.h>

struct groups {
	struct sonde_buffer text;
	uint64_t sum, last;
	int n;
};

static int take_group(const struct sonde_group *group, void *userdata)
{
	struct groups *groups = userdata;

	assert_true(!groups->n || group->count <= groups->last); /* largest first */
	groups->last = group->count;
	groups->sum += group->count;
	groups->n++;
	if (group->values)
		test_value_text(group->values, &groups->text);
	return 0;
}

static struct groups count(struct fixture *f, const struct sonde_query *query, const char *by, uint64_t *ret_rows)
{
	struct groups groups = {};
	struct sonde_answer answer;
	int r = sonde_store_count(f->store, query, &(struct sonde_count_opts){.by = {by}}, take_group, &groups, &answer);

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
	assert_int_equal(rows, N / 4);
	query = test_query(NULL);
	groups = count(f, &query, "type", &rows);
	assert_int_equal(groups.n, 2);
	assert_int_equal(rows, N + 10);
	groups = count(f, &query, "address", &rows);
	assert_int_equal(groups.n, N + 1); /* the other type has none: null */
	assert_int_equal(sonde_store_count(f->store, &query, &(struct sonde_count_opts){.by = {"nonsense"}}, take_group, &groups,
					   NULL), -ENOENT);
	query.since_ns = sonde_clock_wall_ns();
	assert_int_equal(count(f, &query, NULL, &rows).sum, 0);
}

#define MANY 70000

struct top {
	uint64_t next, n;
};

/* Equal counts stand in the order of their values: those of weight 3 first, from the smallest number on. */
static int take_top(const struct sonde_group *group, void *userdata)
{
	struct top *top = userdata;

	assert_int_equal(group->count, 3);
	assert_int_equal(group->values->u, top->next);
	top->next += 3;
	top->n++;
	return 0;
}

/* However many groups there are, the largest are given, and how many there are. */
static void test_many_groups(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_count_opts opts = {.by = {"number"}, .limit = 500};
	struct groups groups = {};
	struct sonde_answer answer;
	struct top top = {.next = 2};

	for (uint64_t i = 0; i < MANY; i += 1000)
		fill(f, &test_type, i, 1000);
	assert_int_equal(sonde_store_count(f->store, &query, &opts, take_top, &top, &answer), 0);
	assert_int_equal(top.n, opts.limit);
	assert_int_equal(answer.groups, MANY);
	assert_int_equal(answer.rows, MANY);
	assert_int_equal(answer.count, MANY / 3 * 6 + 1);
	opts.limit = 0;
	assert_int_equal(sonde_store_count(f->store, &query, &opts, take_group, &groups, &answer), 0);
	assert_int_equal(groups.n, SONDE_COUNT_GROUPS_MAX);
	assert_int_equal(answer.groups, MANY);
	sonde_buffer_free(&groups.text);
}

/* A question whose time is over ends at once, and says what to do. */
static void test_too_late(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct groups groups = {};
	struct sonde_answer answer;

	fill(f, &test_type, 0, N);
	query.deadline_ns = sonde_clock_boot_ns() - 1;
	assert_int_equal(sonde_store_count(f->store, &query, &(struct sonde_count_opts){.by = {"pid"}}, take_group, &groups,
					   &answer), -ETIMEDOUT);
	assert_int_equal(groups.n, 0);
	assert_non_null(strstr(sonde_store_error(f->store), "shorter span"));
	query.deadline_ns = 0;
	assert_int_equal(count(f, &query, "pid", &answer.rows).n, 7);
}

struct sums {
	struct sonde_group groups[40];
	struct sonde_value values[40][SONDE_COUNT_BY_MAX];
	char commands[40][16];
	size_t n;
};

static int take_sum(const struct sonde_group *group, void *userdata)
{
	struct sums *sums = userdata;

	assert_true(sums->n < ARRAY_SIZE(sums->groups));
	assert_true(!sums->n || group->sum <= sums->groups[sums->n - 1].sum);
	sums->groups[sums->n] = *group;
	for (unsigned i = 0; group->values && i < 2; i++)
		sums->values[sums->n][i] = group->values[i];
	if (group->values && group->values[1].type == SONDE_TEXT)
		snprintf(sums->commands[sums->n], 16, "%.*s", (int)group->values[1].length, group->values[1].text);
	sums->n++;
	return 0;
}

/* Sums in groups of two columns: of each the very number. */
static void test_sums(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct sonde_count_opts opts = {.by = {"pid", "command"}, .sum = "number"};
	struct sums sums = {};
	struct sonde_answer answer;

	fill(f, &test_type, 0, N);
	fill(f, &other_type, 0, 10);
	assert_int_equal(sonde_store_count(f->store, &query, &opts, take_sum, &sums, &answer), 0);
	assert_int_equal(answer.rows, N);
	assert_int_equal(sums.n, 28); /* 7 processes with 4 names */
	for (size_t i = 0; i < sums.n; i++) {
		uint64_t count = 0;
		int64_t sum = 0;

		for (uint64_t number = 0; number < N; number++)
			if (100 + number % 7 == sums.values[i][0].u &&
			    !strcmp(test_record(number).header.command, sums.commands[i])) {
				count += 1 + number % 3;
				sum += (int64_t)(number * (1 + number % 3));
			}
		assert_int_equal(sums.groups[i].count, count);
		assert_int_equal(sums.groups[i].sum, sum);
	}
}

static void test_bad_sums(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(NULL);
	struct sonde_answer answer;
	struct sums sums = {};
	static const struct {
		struct sonde_count_opts opts;
		int r;
	} bad[] = {
		{{.sum = "nonsense"}, -ENOENT},	 {{.sum = "name"}, -EINVAL},		  {{.sum = "pid"}, -EINVAL},
		{{.sum = "address"}, -EINVAL},	 {{.by = {"pid", "nonsense"}}, -ENOENT}, {{.sum = "time"}, -EINVAL},
		{{.sum = "flag"}, -EINVAL},
	};

	fill(f, &test_type, 0, 10);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(sonde_store_count(f->store, &query, &bad[i].opts, take_sum, &sums, &answer), bad[i].r);
	assert_int_equal(sums.n, 0);
}

/* At the limits of 64 bits a sum stays there. */
static void test_sum_limits(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = test_query(TEST_PROGRAM);
	struct test_record record = test_record(1);
	struct sonde_event event = test_event(&test_type, &record, sonde_clock_wall_ns());
	struct sonde_answer answer;
	struct sums sums = {};

	record.number = UINT64_MAX;
	record.offset = INT64_MIN;
	for (int i = 0; i < 3; i++)
		assert_int_equal(sonde_store_append(f->store, &event, 1), 0);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	assert_int_equal(sonde_store_count(f->store, &query, &(struct sonde_count_opts){.sum = "number"}, take_sum, &sums, &answer), 0);
	assert_int_equal(sums.groups[0].sum, INT64_MAX);
	assert_int_equal(sums.groups[0].count, 6);
	sums.n = 0;
	assert_int_equal(sonde_store_count(f->store, &query, &(struct sonde_count_opts){.sum = "offset"}, take_sum, &sums, &answer), 0);
	assert_true(sums.groups[0].sum == INT64_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_counts), BOTH(test_many_groups), BOTH(test_too_late), BOTH(test_sums), BOTH(test_bad_sums), BOTH(test_sum_limits),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
