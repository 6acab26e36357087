/* SPDX-License-Identifier: Apache-2.0 */
#include <store/gaps.h>

#include <store/store_test.h>

#define S SONDE_NS_PER_S
#define DAY (86400 * S)

static struct sonde_gap gap(const char *program, const char *cause, int64_t from_ns, int64_t to_ns, uint64_t count)
{
	struct sonde_gap result = {.from_ns = from_ns, .to_ns = to_ns, .count = count};

	snprintf(result.program, sizeof(result.program), "%s", program);
	snprintf(result.cause, sizeof(result.cause), "%s", cause);
	return result;
}

static void add(struct sonde_gaps *gaps, const char *program, const char *cause, int64_t from_s, int64_t to_s, uint64_t count)
{
	struct sonde_gap item = gap(program, cause, from_s * S, to_s * S, count);

	sonde_gaps_add(gaps, &item);
}

static void test_join(void **state)
{
	struct sonde_gaps *gaps CLEANUP_FREE = calloc(1, sizeof(*gaps));

	add(gaps, "a", "ring_full", 10, 11, 5);
	add(gaps, "a", "ring_full", 11, 12, 7);
	assert_int_equal(gaps->n, 1);
	assert_int_equal(gaps->items[0].count, 12);
	assert_int_equal(gaps->items[0].to_ns, 12 * S);
	add(gaps, "a", "map_full", 12, 13, 1);
	add(gaps, "b", "ring_full", 12, 13, 1);
	add(gaps, "a", "ring_full", 20, 21, 1);
	assert_int_equal(gaps->n, 4);
	add(gaps, "a", "ring_full", 19, 20, 0); /* unknown: so is the sum */
	assert_int_equal(gaps->n, 4);
	assert_int_equal(gaps->items[3].count, 0);
	assert_int_equal(gaps->items[3].from_ns, 19 * S);
}

static void test_bound(void **state)
{
	struct sonde_gaps *gaps CLEANUP_FREE = calloc(1, sizeof(*gaps));
	uint64_t sum = 0;

	for (int64_t i = 0; i < 3 * SONDE_GAPS_MAX; i++)
		add(gaps, i % 2 ? "a" : "b", "ring_full", i * 10, i * 10 + 1, 1);
	assert_int_equal(gaps->n, SONDE_GAPS_MAX);
	for (size_t i = 0; i < gaps->n; i++)
		sum += gaps->items[i].count;
	assert_int_equal(sum, 3 * SONDE_GAPS_MAX); /* no loss is forgotten */
	assert_int_equal(gaps->items[0].from_ns % (10 * S), 0);
}

static struct sonde_answer judge(const struct sonde_coverage *coverage, int64_t since_s, int64_t until_s)
{
	struct sonde_query query = {.since_ns = since_s * S, .until_ns = until_s * S};
	struct sonde_answer answer;

	sonde_coverage_judge(coverage, &query, &answer);
	return answer;
}

static void test_judge_runs(void **state)
{
	struct sonde_run runs[] = {{100 * S, 200 * S}, {250 * S, 300 * S}, {290 * S, INT64_MAX}};
	struct sonde_coverage coverage = {.runs = runs, .n_runs = 3, .dropped_until_ns = INT64_MIN, .now_ns = 1000 * S};

	assert_true(judge(&coverage, 110, 190).complete);
	assert_true(judge(&coverage, 260, 5000).complete); /* the future does not count */
	assert_true(judge(&coverage, 2000, 3000).complete);
	assert_true(judge(&coverage, 120, 100).complete); /* an empty span misses nothing */
	assert_false(judge(&coverage, 90, 150).complete);
	assert_false(judge(&coverage, 150, 220).complete);
	assert_non_null(strstr(judge(&coverage, 150, 260).reason, "nothing was recorded between 00:03:20 and 00:04:10 UTC"));
	coverage.n_runs = 2;
	assert_false(judge(&coverage, 260, 400).complete);
	assert_true(judge(&coverage, 260, 300).complete);
	coverage.n_runs = 3;
	for (int64_t until_s = 50; until_s <= 100; until_s += 50) {
		struct sonde_query all = {.since_ns = INT64_MIN, .until_ns = until_s * S};
		struct sonde_answer answer;

		sonde_coverage_judge(&coverage, &all, &answer);
		assert_string_equal(answer.reason, "nothing was recorded before 00:01:40 UTC");
	}
	coverage.n_runs = 0;
	assert_false(judge(&coverage, 260, 300).complete);
}

static void test_judge_dropped(void **state)
{
	struct sonde_run run = {0, INT64_MAX};
	struct sonde_coverage coverage = {.runs = &run, .n_runs = 1, .dropped_until_ns = 500 * S, .now_ns = 1000 * S};

	assert_true(judge(&coverage, 501, 600).complete);
	assert_false(judge(&coverage, 500, 600).complete);
	assert_non_null(strstr(judge(&coverage, 10, 600).reason, "no longer kept"));
}

static void test_judge_gaps(void **state)
{
	struct sonde_gap gaps[] = {gap("a", "ring_full", 100 * S, 103 * S, 1204), gap("a", "map_full", 102 * S, 102 * S, 1),
				   gap("b", "ring_full", 100 * S, 103 * S, 7)};
	struct sonde_run run = {0, INT64_MAX};
	struct sonde_coverage coverage = {.gaps = gaps, .n_gaps = 3, .runs = &run, .n_runs = 1, .program = "a",
					  .dropped_until_ns = INT64_MIN, .now_ns = 1000 * S};
	struct sonde_answer answer = judge(&coverage, 50, 150);

	assert_false(answer.complete);
	assert_int_equal(answer.lost, 1205);
	assert_string_equal(answer.reason, "1,204 events of a lost (ring_full) between 00:01:40 and 00:01:43 UTC; and 1 more gap");
	assert_true(judge(&coverage, 104, 150).complete);
	assert_true(judge(&coverage, 50, 100).complete);
	assert_false(judge(&coverage, 103, 150).complete);
	coverage.program = NULL;
	assert_int_equal(judge(&coverage, 50, 150).lost, 1212);
	coverage.now_ns += 3 * DAY; /* then the day stands there too */
	assert_non_null(strstr(judge(&coverage, 50, 150).reason, "between 1970-01-01 00:01:40 and"));
	for (size_t i = 0; i < sizeof(gaps[0].program) - 1; i++)
		gaps[0].program[i] = gaps[0].cause[i] = 'x'; /* a long reason is cut, not overrun */
	assert_true(strlen(judge(&coverage, 50, 150).reason) < sizeof(answer.reason));
}

/* A program that does not run, for as long as it lasts. */
static void test_lasting(void **state)
{
	struct sonde_gap stopped = gap("a", SONDE_GAP_STOPPED, 100 * S, INT64_MAX, 0);
	struct sonde_run run = {0, INT64_MAX};
	struct sonde_coverage coverage = {.runs = &run, .n_runs = 1, .program = "a", .dropped_until_ns = INT64_MIN, .now_ns = 1000 * S};
	struct sonde_gaps gaps = {};

	sonde_gaps_add(&gaps, &stopped);
	sonde_gaps_add(&gaps, &stopped);
	assert_int_equal(gaps.n, 1);
	coverage.gaps = gaps.items;
	coverage.n_gaps = gaps.n;
	assert_true(judge(&coverage, 50, 100).complete);
	assert_string_equal(judge(&coverage, 50, 900).reason, "a did not run (stopped) since 00:01:40 UTC");
	assert_false(sonde_gaps_end(&gaps, "a", SONDE_GAP_DISABLED, 200 * S));
	assert_true(sonde_gaps_end(&gaps, "a", SONDE_GAP_STOPPED, 200 * S));
	assert_false(sonde_gaps_end(&gaps, "a", SONDE_GAP_STOPPED, 300 * S));
	assert_string_equal(judge(&coverage, 50, 900).reason, "a did not run (stopped) between 00:01:40 and 00:03:20 UTC");
	assert_true(judge(&coverage, 201, 900).complete);
	coverage.program = NULL;
	assert_false(judge(&coverage, 50, 900).complete);
	snprintf(gaps.items[0].cause, sizeof(gaps.items[0].cause), "%s", SONDE_GAP_DISABLED);
	assert_true(judge(&coverage, 50, 900).complete); /* nobody expects it */
	coverage.program = "a";
	assert_false(judge(&coverage, 50, 900).complete);
}

static struct sonde_waiting *waiting_new(void)
{
	struct sonde_waiting *waiting = calloc(1, sizeof(*waiting));

	assert_non_null(waiting);
	waiting->usual_ns = 2 * S;
	waiting->n = 2;
	snprintf(waiting->programs[0].program, sizeof(waiting->programs[0].program), "a");
	waiting->programs[0].since_ns = 990 * S;
	snprintf(waiting->programs[1].program, sizeof(waiting->programs[1].program), "b");
	waiting->programs[1].since_ns = 980 * S;
	return waiting;
}

/* Events that are late, or that cannot be stored at all: whoever asks for their time misses them. */
static void test_judge_waiting(void **state)
{
	struct sonde_waiting *waiting CLEANUP_FREE = waiting_new();
	struct sonde_run run = {0, INT64_MAX};
	struct sonde_coverage coverage = {.runs = &run, .n_runs = 1, .program = "a", .waiting = waiting,
					  .dropped_until_ns = INT64_MIN, .now_ns = 991 * S};
	struct sonde_answer answer;

	assert_true(judge(&coverage, 50, 2000).complete); /* they are young */
	coverage.now_ns = 1000 * S;
	answer = judge(&coverage, 50, 2000);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 0);
	assert_string_equal(answer.reason, "events since 00:16:30 UTC wait to be stored");
	assert_false(judge(&coverage, 995, 2000).complete);
	assert_true(judge(&coverage, 50, 990).complete);
	coverage.program = "c";
	assert_true(judge(&coverage, 50, 2000).complete);
	coverage.program = NULL; /* of all, the oldest */
	assert_string_equal(judge(&coverage, 50, 2000).reason, "events since 00:16:20 UTC wait to be stored");
	coverage.program = "a";
	coverage.now_ns = 991 * S;
	snprintf(waiting->error, sizeof(waiting->error), "cannot write: no space is left");
	assert_string_equal(judge(&coverage, 50, 2000).reason, "events since 00:16:30 UTC wait (store: cannot write: no space is left)");
	waiting->n = 0; /* nothing happened since */
	assert_true(judge(&coverage, 50, 2000).complete);
	waiting->starting = true;
	assert_string_equal(judge(&coverage, 50, 2000).reason, "programs are being started");
}

/* Losses that no gap says yet count, once. */
static void test_add_waiting(void **state)
{
	struct sonde_waiting *waiting CLEANUP_FREE = waiting_new();
	struct sonde_gaps gaps = {};

	add(&gaps, "a", "ring_full", 100, 103, 10);
	waiting->n_gaps = 2;
	waiting->gaps[0] = gap("a", "ring_full", 103 * S, 104 * S, 5);
	waiting->gaps[1] = gap("a", "map_full", 103 * S, 104 * S, 1);
	sonde_gaps_add_waiting(&gaps, waiting);
	assert_int_equal(gaps.n, 2);
	assert_int_equal(gaps.items[0].count, 15);
	assert_int_equal(gaps.items[1].count, 1);
	sonde_gaps_add_waiting(&gaps, waiting); /* now they are said */
	assert_int_equal(gaps.items[0].count, 15);
	assert_int_equal(gaps.items[1].count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_judge_runs),
		cmocka_unit_test(test_judge_dropped),
		cmocka_unit_test(test_judge_gaps),
		cmocka_unit_test(test_lasting),
		cmocka_unit_test(test_judge_waiting),
		cmocka_unit_test(test_add_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
