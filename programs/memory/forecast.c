/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forecasts. A line is fitted by Theil and Sen (the median of the slopes of all pairs of points: a quarter of these may
 * be wrong), to the longest run up to now that is a line at all; so a leak is seen soon after it begins, and a step, a
 * plateau or a filling cache is none. Invariant: no forecast looks further ahead than twice as long as its run lasted.
 */
#include <stdlib.h>
#include <string.h>

#include "forecast.h"

#define SILENCE_NS 15000000000ull
#define RUN_MIN 6
#define REACH 2.0 /* how much further than it has seen a forecast may look */
#define VALLEYS_MIN 3
#define VALLEYS_MAX 32
#define SECOND 1e9

void sonde_memory_series_add(struct sonde_memory_series *s, uint64_t time_ns, uint64_t bytes)
{
	const struct sonde_memory_point point = {time_ns, bytes};
	uint64_t silence_ns = s->silence_ns ?: SILENCE_NS;
	struct sonde_memory_bucket *bucket;

	if (s->n_fine && time_ns <= s->fine[s->n_fine - 1].time_ns)
		return;
	if (s->n_fine && time_ns - s->fine[s->n_fine - 1].time_ns > silence_ns)
		s->n_fine = 0;
	if (s->n_fine == SONDE_MEMORY_FINE)
		memmove(s->fine, s->fine + 1, --s->n_fine * sizeof(*s->fine));
	s->fine[s->n_fine++] = point;

	bucket = s->n_coarse ? &s->coarse[s->n_coarse - 1] : NULL;
	if (!bucket || bucket->least.time_ns / SONDE_MEMORY_BUCKET_NS != time_ns / SONDE_MEMORY_BUCKET_NS) {
		if (s->n_coarse == SONDE_MEMORY_COARSE)
			memmove(s->coarse, s->coarse + 1, --s->n_coarse * sizeof(*s->coarse));
		s->coarse[s->n_coarse++] = (struct sonde_memory_bucket){point, point};
		return;
	}
	if (bytes < bucket->least.bytes)
		bucket->least = point;
	if (bytes >= bucket->most.bytes)
		bucket->most = point;
}

size_t sonde_memory_series_points(const struct sonde_memory_series *s,
				  struct sonde_memory_point ret_points[SONDE_MEMORY_POINTS])
{
	uint64_t fine_from = s->n_fine ? s->fine[0].time_ns : UINT64_MAX;
	size_t n = 0;

	for (unsigned i = 0; i < s->n_coarse; i++) {
		const struct sonde_memory_bucket *b = &s->coarse[i];
		bool least_first = b->least.time_ns <= b->most.time_ns;
		const struct sonde_memory_point pair[2] = {least_first ? b->least : b->most,
							   least_first ? b->most : b->least};

		for (int k = 0; k < 2; k++)
			if (pair[k].time_ns < fine_from && (!n || pair[k].time_ns > ret_points[n - 1].time_ns))
				ret_points[n++] = pair[k];
	}
	memcpy(&ret_points[n], s->fine, s->n_fine * sizeof(*s->fine));
	return n + s->n_fine;
}

struct fit {
	double slope;	 /* bytes per second */
	double rising;	 /* share of the pairs that rise */
	double residual; /* median distance of a point from the line, in bytes */
};

static int compare_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_numbers);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double seconds_between(const struct sonde_memory_point *a, const struct sonde_memory_point *b)
{
	return (double)(b->time_ns - a->time_ns) / SECOND;
}

static double rise_between(const struct sonde_memory_point *a, const struct sonde_memory_point *b)
{
	return (double)b->bytes - (double)a->bytes;
}

/* `n` from 2 to SONDE_MEMORY_FINE points, times strictly rising. */
static struct fit fit_line(const struct sonde_memory_point *points, size_t n)
{
	double slopes[SONDE_MEMORY_FINE * (SONDE_MEMORY_FINE - 1) / 2], distances[SONDE_MEMORY_FINE], offset;
	size_t pairs = 0, rising = 0;
	struct fit fit;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			slopes[pairs] = rise_between(&points[i], &points[j]) / seconds_between(&points[i], &points[j]);
			rising += slopes[pairs++] > 0;
		}
	fit.slope = median(slopes, pairs);
	fit.rising = (double)rising / (double)pairs;
	for (size_t i = 0; i < n; i++)
		distances[i] = (double)points[i].bytes - fit.slope * seconds_between(&points[0], &points[i]);
	offset = median(distances, n);
	for (size_t i = 0; i < n; i++) {
		distances[i] = (double)points[i].bytes - offset - fit.slope * seconds_between(&points[0], &points[i]);
		if (distances[i] < 0)
			distances[i] = -distances[i];
	}
	fit.residual = median(distances, n);
	return fit;
}

static bool is_near(double slope, double whole)
{
	return slope >= whole * 0.6 && slope <= whole * 1.7;
}

/* Whether all of the run is one line that still rises. A few points can rise by chance, so they must all do so. */
static bool run_fits(const struct sonde_memory_point *points, size_t n, struct fit *ret_fit)
{
	struct fit fit = fit_line(points, n), first, last;
	double rise = fit.slope * seconds_between(&points[0], &points[n - 1]);

	if (fit.slope <= 0 || fit.rising < (n <= 8 ? 0.95 : 0.85) || fit.residual > rise / 10)
		return false;
	first = fit_line(points, n / 2);
	last = fit_line(points + n / 2, n - n / 2);
	if (!is_near(first.slope, fit.slope) || !is_near(last.slope, fit.slope))
		return false; /* a step, or growth that ends or begins */
	*ret_fit = fit;
	return true;
}

struct outlook {
	uint64_t limit_bytes, horizon_ns;
	struct sonde_memory_forecast forecast;
};

/* `run_s` seconds of growth by `slope` were seen; how far is it over `headroom` bytes? */
static bool outlook_set(struct outlook *o, double slope, double run_s, double headroom, double quality)
{
	double left_s = headroom / slope, confidence;

	if (left_s * SECOND > (double)o->horizon_ns || left_s > run_s * REACH)
		return false;
	confidence = 100 * quality * (1 - left_s / run_s / (2 * REACH));
	o->forecast = (struct sonde_memory_forecast){
		.slope_bytes_per_second = (uint64_t)slope,
		.time_to_limit_ns = (uint64_t)(left_s * SECOND),
		.confidence_pct = confidence < 1 ? 1 : confidence > 100 ? 100 : (unsigned)confidence,
	};
	return true;
}

static uint64_t most_before(const struct sonde_memory_point *points, size_t n, uint64_t time_ns)
{
	uint64_t most = 0;

	for (size_t i = 0; i < n && points[i].time_ns < time_ns; i++)
		if (points[i].bytes > most)
			most = points[i].bytes;
	return most;
}

/* The longest run of `points` up to the last one that is a line, of at most 64 points; `all` is what is known in all. */
static bool predict_run(struct outlook *o, const struct sonde_memory_point *points, size_t n,
			const struct sonde_memory_point *all, size_t n_all)
{
	static const unsigned lengths[] = {64, 48, 32, 24, 16, 12, 8, RUN_MIN};
	const struct sonde_memory_point *last = &points[n - 1];
	double headroom = (double)(o->limit_bytes - last->bytes);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const struct sonde_memory_point *run;
		struct fit fit;

		if (lengths[i] > n)
			continue;
		run = &points[n - lengths[i]];
		if (rise_between(run, last) * REACH < headroom / 2)
			continue; /* not seen enough, whatever its shape; half, as noise may hide a part */
		if (!run_fits(run, lengths[i], &fit))
			continue;
		/* It has been up here before and came back. */
		if (last->bytes <= most_before(all, n_all, run->time_ns))
			return false;
		return outlook_set(o, fit.slope, seconds_between(run, last), headroom,
				   1 - fit.residual / (fit.slope * seconds_between(run, last)));
	}
	return false;
}

struct turns {
	struct sonde_memory_point valleys[VALLEYS_MAX]; /* the last ones */
	size_t n_valleys;
	uint64_t highest; /* of what was followed by a fall */
	uint64_t depth;	  /* from which on a fall is one */
};

/* Rises and falls in turns. A fall that has not ended has no valley yet. */
static void turns_find(const struct sonde_memory_point *points, size_t n, uint64_t limit, struct turns *ret)
{
	struct sonde_memory_point high = points[0], low = points[0];
	uint64_t least = UINT64_MAX, most = most_before(points, n, UINT64_MAX);
	bool falling = false;

	*ret = (struct turns){0};
	for (size_t i = 0; i < n; i++)
		if (points[i].bytes < least)
			least = points[i].bytes;
	ret->depth = (most - least) / 5 > limit / 50 ? (most - least) / 5 : limit / 50;
	for (size_t i = 1; i < n; i++) {
		if (!falling && points[i].bytes > high.bytes)
			high = points[i];
		if (!falling && points[i].bytes + ret->depth <= high.bytes) {
			falling = true;
			low = points[i];
			if (high.bytes > ret->highest)
				ret->highest = high.bytes;
		}
		if (falling && points[i].bytes < low.bytes)
			low = points[i];
		if (falling && points[i].bytes >= low.bytes + ret->depth) {
			falling = false;
			high = points[i];
			if (ret->n_valleys == VALLEYS_MAX)
				memmove(ret->valleys, ret->valleys + 1, --ret->n_valleys * sizeof(low));
			ret->valleys[ret->n_valleys++] = low;
		}
	}
}

/* What stays after each fall grows: the limit is reached by the peaks. */
static bool predict_floor(struct outlook *o, const struct turns *turns)
{
	const struct sonde_memory_point *first = &turns->valleys[0], *last = &turns->valleys[turns->n_valleys - 1];
	double span = seconds_between(first, last), headroom;
	struct fit fit = fit_line(turns->valleys, turns->n_valleys);

	if (fit.slope <= 0 || fit.rising < 0.9 || fit.slope * span < (double)o->limit_bytes / 50 ||
	    turns->highest >= o->limit_bytes)
		return false;
	headroom = (double)(o->limit_bytes - turns->highest);
	return outlook_set(o, fit.slope, span, headroom, 0.8);
}

bool sonde_memory_predict(const struct sonde_memory_series *s, uint64_t limit_bytes, uint64_t horizon_ns,
			  struct sonde_memory_forecast *ret_forecast)
{
	struct sonde_memory_point points[SONDE_MEMORY_POINTS], least[SONDE_MEMORY_COARSE + 1];
	struct outlook o = {.limit_bytes = limit_bytes, .horizon_ns = horizon_ns};
	size_t n = sonde_memory_series_points(s, points), n_least = 0;
	struct sonde_memory_point last;
	struct turns turns;

	if (s->n_fine < RUN_MIN || s->fine[s->n_fine - 1].bytes >= limit_bytes)
		return false;
	last = s->fine[s->n_fine - 1];
	turns_find(points, n, limit_bytes, &turns);
	if (turns.n_valleys >= VALLEYS_MIN && last.bytes <= turns.highest + turns.depth) {
		if (!predict_floor(&o, &turns))
			return false;
		*ret_forecast = o.forecast;
		return true;
	}
	for (unsigned i = 0; i < s->n_coarse; i++)
		if (s->coarse[i].least.time_ns < last.time_ns && (!n_least || s->coarse[i].least.time_ns > least[n_least - 1].time_ns))
			least[n_least++] = s->coarse[i].least;
	least[n_least++] = last;
	if (!predict_run(&o, s->fine, s->n_fine, points, n) && !predict_run(&o, least, n_least, points, n))
		return false;
	*ret_forecast = o.forecast;
	return true;
}
