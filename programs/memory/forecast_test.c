/* SPDX-License-Identifier: Apache-2.0 */
/* Forecasts of made-up uses: what leaks is told in time and right, what only moves is not told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "forecast.h"

#define MIB 1048576.0
#define SECOND_NS 1000000000ull
#define HORIZON_NS (600 * SECOND_NS)

static uint64_t random_state;

static double random_0_1(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

static double random_between(double least, double most)
{
	return least + random_0_1() * (most - least);
}

/* What a use did until it ended, and what was said about it. */
struct told {
	unsigned forecasts;
	double first_at, first_says; /* seconds; when it was first said, and the time of the limit that it said */
	double worst_error;	     /* of all: |said time left - true time left| / true time left */
	unsigned least_confidence;
};

struct use {
	double (*at)(double second, const struct use *use); /* bytes */
	double limit, begin, rate, amplitude, period, noise, end, hits; /* hits: true time of the limit, 0: never */
	double step;							  /* seconds between samples */
};

static struct told run(const struct use *use)
{
	struct sonde_memory_series series = {0};
	struct told told = {.least_confidence = 100};

	for (double t = 0; t < use->end && (!use->hits || t < use->hits); t += use->step) {
		struct sonde_memory_forecast forecast;
		double bytes = use->at(t, use) + use->noise * (random_0_1() - 0.5), left = use->hits - t, error;

		sonde_memory_series_add(&series, SECOND_NS + (uint64_t)(t * 1e9), bytes > 0 ? (uint64_t)bytes : 0);
		if (!sonde_memory_predict(&series, (uint64_t)use->limit, HORIZON_NS, &forecast))
			continue;
		assert_in_range(forecast.confidence_pct, 1, 100);
		assert_true(forecast.time_to_limit_ns <= HORIZON_NS);
		assert_true(forecast.slope_bytes_per_second > 0);
		if (!told.forecasts++) {
			told.first_at = t;
			told.first_says = t + (double)forecast.time_to_limit_ns / 1e9;
		}
		error = use->hits ? fabs((double)forecast.time_to_limit_ns / 1e9 - left) / left : 0;
		if (left > 5 && error > told.worst_error)
			told.worst_error = error;
		if (forecast.confidence_pct < told.least_confidence)
			told.least_confidence = forecast.confidence_pct;
	}
	return told;
}

static double leak(double t, const struct use *use)
{
	return use->begin + use->rate * t;
}

static double saw(double t, const struct use *use)
{
	return use->begin + use->rate * t + use->amplitude * fmod(t, use->period) / use->period;
}

static double late_leak(double t, const struct use *use)
{
	return use->begin + (t > use->period ? use->rate * (t - use->period) : 0);
}

static double step_up(double t, const struct use *use)
{
	return use->begin + (t >= use->period ? use->amplitude : 0);
}

static double filling(double t, const struct use *use)
{
	return use->begin + use->amplitude * (1 - exp(-t / use->period));
}

static double stops(double t, const struct use *use)
{
	return use->begin + use->rate * (t < use->period ? t : use->period);
}

static double staircase(double t, const struct use *use)
{
	return use->begin + use->rate * use->period * floor(t / use->period);
}

static void test_a_leak_of_5_mib_to_200_is_said_10_s_ahead_within_a_fifth(void **state)
{
	const struct use use = {leak, .limit = 200 * MIB, .rate = 5 * MIB, .end = 100, .hits = 40, .step = 1};
	struct told told = run(&use);

	assert_true(told.forecasts > 0);
	assert_true(told.first_at <= 30);
	assert_true(fabs((told.first_says - told.first_at) - (40 - told.first_at)) <= 0.2 * (40 - told.first_at));
	assert_true(told.worst_error <= 0.2);
}

static void test_leaks_of_all_rates_with_noise(void **state)
{
	for (int i = 0; i < 100; i++) {
		double hits = exp(random_between(log(20), log(1200)));
		struct use use = {leak, .limit = exp(random_between(log(30 * MIB), log(1e12))), .step = 1, .end = 1e9};
		struct told told;

		use.begin = random_between(0, 0.4) * use.limit;
		use.hits = hits;
		use.rate = (use.limit - use.begin) / hits;
		use.noise = random_between(0, 0.02) * (use.limit - use.begin);
		told = run(&use);
		assert_true(told.forecasts > 0);
		assert_true(hits - told.first_at >= 0.4 * hits); /* twice as far as it has seen, and some time to be sure */
		assert_true(fabs(told.first_says - hits) <= 0.2 * (hits - told.first_at));
	}
}

static void test_a_leak_that_begins_late(void **state)
{
	for (int wait = 10; wait < 1500; wait += 93) {
		struct use use = {late_leak, .limit = 200 * MIB, .begin = 50 * MIB, .rate = 3 * MIB, .period = wait,
				  .noise = 0.2 * MIB, .end = 1e9, .hits = wait + 50, .step = 1};
		struct told told = run(&use);

		assert_true(told.forecasts > 0);
		assert_true(told.first_at >= wait);
		assert_true(told.first_at <= wait + 30);
		assert_true(told.worst_error <= 0.25);
	}
}

static void test_uneven_samples(void **state)
{
	struct sonde_memory_series series = {0};
	struct sonde_memory_forecast forecast;
	double t = 0;

	while (t < 30) {
		t += random_between(0.2, 2);
		sonde_memory_series_add(&series, (uint64_t)(t * 1e9), (uint64_t)(5 * MIB * t));
	}
	assert_true(sonde_memory_predict(&series, (uint64_t)(200 * MIB), HORIZON_NS, &forecast));
	assert_true(fabs((double)forecast.time_to_limit_ns / 1e9 - (40 - t)) < 0.5);
	assert_true(fabs((double)forecast.slope_bytes_per_second - 5 * MIB) < 0.1 * MIB);
}

static void test_a_staircase_is_a_leak(void **state)
{
	const struct use use = {staircase, .limit = 200 * MIB, .rate = 1 * MIB, .period = 4, .end = 1e9, .hits = 200, .step = 1};
	struct told told = run(&use);

	assert_true(told.forecasts > 0);
	assert_true(told.first_at <= 120);
	assert_true(fabs(told.first_says - 200) <= 0.2 * (200 - told.first_at));
}

static void none(const struct use *use)
{
	struct told told = run(use);

	if (told.forecasts)
		print_error("%u forecasts, first at %.0f s for %.0f s: begin %.1f rate %.3f amplitude %.1f period %.0f noise %.1f of %.1f MiB\n",
			    told.forecasts, told.first_at, told.first_says, use->begin / MIB, use->rate / MIB, use->amplitude / MIB,
			    use->period, use->noise / MIB, use->limit / MIB);
	assert_int_equal(told.forecasts, 0);
}

static void test_stable_is_quiet(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct use use = {leak, .limit = 200 * MIB, .end = 1000, .step = 1};

		use.begin = random_between(0, 0.97) * use.limit;
		use.noise = random_between(0, 0.02) * use.limit;
		none(&use);
	}
}

static void test_saw_teeth_are_quiet(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct use use = {saw, .limit = 200 * MIB, .end = 1500, .step = 1};

		use.period = random_between(3, 200);
		use.amplitude = random_between(0.01, 0.3) * use.limit;
		/* A first tooth that takes a third of what is left, slowly, is not to be told from a leak. */
		use.begin = random_between(0, use.limit - 3.3 * use.amplitude > 0 ? use.limit - 3.3 * use.amplitude : 0);
		use.noise = random_between(0, 0.1) * use.amplitude;
		none(&use);
	}
}

static void test_a_leak_under_saw_teeth_is_told_by_its_floor(void **state)
{
	for (double period = 4; period <= 40; period *= 1.5) {
		struct use use = {saw, .limit = 400 * MIB, .begin = 20 * MIB, .rate = 1 * MIB, .amplitude = 60 * MIB,
				  .period = period, .end = 1e9, .hits = 320, .step = 1};
		struct told told = run(&use);

		assert_true(told.forecasts > 0);
		assert_true(320 - told.first_at >= 60);
		assert_true(fabs(told.first_says - 320) <= 0.3 * (320 - told.first_at));
	}
}

static void test_steps_plateaus_and_caches_are_quiet(void **state)
{
	for (int i = 0; i < 100; i++) {
		double share = random_between(0.05, 0.6);
		struct use use = {step_up, .limit = 200 * MIB, .begin = 20 * MIB, .amplitude = share * 200 * MIB,
				  .period = random_between(3, 80), .noise = 0.1 * MIB, .end = 300, .step = 1};

		none(&use);
		use.at = filling;
		use.amplitude = random_between(0.05, 0.25) * use.limit;
		none(&use);
	}
}

static void test_growth_that_stopped_is_not_said_again(void **state)
{
	const struct use use = {stops, .limit = 200 * MIB, .rate = 5 * MIB, .period = 25, .end = 400, .step = 1};
	struct sonde_memory_series series = {0};
	struct sonde_memory_forecast forecast;

	for (int t = 0; t < 400; t++) {
		sonde_memory_series_add(&series, (uint64_t)(t + 1) * SECOND_NS, (uint64_t)stops(t, &use));
		if (t > 32)
			assert_false(sonde_memory_predict(&series, (uint64_t)(200 * MIB), HORIZON_NS, &forecast));
	}
}

static void test_shrinking_is_quiet(void **state)
{
	const struct use use = {leak, .limit = 200 * MIB, .begin = 190 * MIB, .rate = -0.3 * MIB, .noise = 1 * MIB, .end = 600, .step = 1};

	none(&use);
}

static void fill(struct sonde_memory_series *series, unsigned seconds, double rate)
{
	for (unsigned t = 0; t < seconds; t++)
		sonde_memory_series_add(series, (t + 1) * SECOND_NS, (uint64_t)(rate * t));
}

static void test_the_limit_may_change(void **state)
{
	struct sonde_memory_series series = {0};
	struct sonde_memory_forecast near, far;

	fill(&series, 31, 4 * MIB); /* 120 MiB now */
	assert_true(sonde_memory_predict(&series, (uint64_t)(160 * MIB), HORIZON_NS, &near));
	assert_true(sonde_memory_predict(&series, (uint64_t)(240 * MIB), HORIZON_NS, &far));
	assert_true(fabs((double)near.time_to_limit_ns / 1e9 - 10) < 0.1);
	assert_true(fabs((double)far.time_to_limit_ns / 1e9 - 30) < 0.1);
	assert_true(near.confidence_pct > far.confidence_pct);
	assert_false(sonde_memory_predict(&series, (uint64_t)(1000 * MIB), HORIZON_NS, &far)); /* further than it has seen */
	assert_false(sonde_memory_predict(&series, (uint64_t)(120 * MIB), HORIZON_NS, &far));  /* reached: no forecast */
	assert_false(sonde_memory_predict(&series, 1, HORIZON_NS, &far));
	assert_false(sonde_memory_predict(&series, 0, HORIZON_NS, &far));
	assert_false(sonde_memory_predict(&series, (uint64_t)(160 * MIB), 5 * SECOND_NS, &far)); /* beyond the horizon */
}

static void test_clocks_that_stand_go_back_or_jump(void **state)
{
	struct sonde_memory_series series = {0};
	struct sonde_memory_forecast forecast;

	fill(&series, 20, 5 * MIB);
	assert_int_equal(series.n_fine, 20);
	sonde_memory_series_add(&series, 20 * SECOND_NS, 0);
	sonde_memory_series_add(&series, 3 * SECOND_NS, 0);
	assert_int_equal(series.n_fine, 20);
	assert_true(sonde_memory_predict(&series, (uint64_t)(150 * MIB), HORIZON_NS, &forecast));
	/* An hour of suspend: what is known of the slope is old. */
	sonde_memory_series_add(&series, 3620 * SECOND_NS, (uint64_t)(100 * MIB));
	assert_int_equal(series.n_fine, 1);
	assert_false(sonde_memory_predict(&series, (uint64_t)(150 * MIB), HORIZON_NS, &forecast));
}

static void test_series_is_bounded_and_in_order(void **state)
{
	struct sonde_memory_point points[SONDE_MEMORY_POINTS];
	struct sonde_memory_series series = {0};
	uint64_t t = 0;
	size_t n;

	assert_int_equal(sonde_memory_series_points(&series, points), 0);
	for (int i = 0; i < 20000; i++) {
		t += (uint64_t)(random_between(0.1, i % 100 ? 2 : 40) * 1e9);
		sonde_memory_series_add(&series, t, (uint64_t)(random_0_1() * 1e12));
		assert_true(series.n_fine <= SONDE_MEMORY_FINE && series.n_coarse <= SONDE_MEMORY_COARSE);
		if (i % 50)
			continue;
		n = sonde_memory_series_points(&series, points);
		assert_in_range(n, 1, SONDE_MEMORY_POINTS);
		for (size_t k = 1; k < n; k++)
			assert_true(points[k].time_ns > points[k - 1].time_ns);
		assert_int_equal(points[n - 1].time_ns, t);
	}
}

/* Whatever comes, no crash and nothing beyond its bounds. */
static void test_nonsense(void **state)
{
	struct sonde_memory_series series = {0};
	struct sonde_memory_forecast forecast;
	uint64_t t = 0;

	for (int i = 0; i < 5000; i++) {
		uint64_t bytes = random_0_1() < 0.1 ? UINT64_MAX : (uint64_t)exp(random_between(0, 43));
		uint64_t limit = (uint64_t)exp(random_between(0, 43));

		t += 1 + (uint64_t)(random_0_1() < 0.01 ? 1e18 * random_0_1() : exp(random_between(0, 23)));
		sonde_memory_series_add(&series, t, bytes);
		if (!sonde_memory_predict(&series, limit, HORIZON_NS, &forecast))
			continue;
		assert_in_range(forecast.confidence_pct, 1, 100);
		assert_true(forecast.time_to_limit_ns <= HORIZON_NS);
	}
}

static int setup(void **state)
{
	random_state = 20240229;
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_leak_of_5_mib_to_200_is_said_10_s_ahead_within_a_fifth), TEST(test_leaks_of_all_rates_with_noise),
		TEST(test_a_leak_that_begins_late), TEST(test_uneven_samples), TEST(test_a_staircase_is_a_leak),
		TEST(test_stable_is_quiet), TEST(test_saw_teeth_are_quiet),
		TEST(test_a_leak_under_saw_teeth_is_told_by_its_floor), TEST(test_steps_plateaus_and_caches_are_quiet),
		TEST(test_growth_that_stopped_is_not_said_again), TEST(test_shrinking_is_quiet), TEST(test_the_limit_may_change),
		TEST(test_clocks_that_stand_go_back_or_jump), TEST(test_series_is_bounded_and_in_order), TEST(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
