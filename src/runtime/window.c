/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets of a second in a ring of 64, the second modulo 64 being the place. A bucket is one word: its round (the second
 * divided by 64) above its count, so that whoever comes first in a new round begins it anew and adds in one step, and no
 * thread can add to a bucket that another is just clearing. Invariant: a word's count belongs to the round that it says.
 */
#include <runtime/window.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <sonde/types.h>

#define BUCKETS 64 /* above SONDE_WINDOW_SECONDS and the running one */
#define COUNT_BITS 40
#define COUNT_MAX ((1ull << COUNT_BITS) - 1) /* a second that has more says this */
#define ROUND_MASK ((1u << (64 - COUNT_BITS)) - 1) /* the same round comes again after 34 years of uptime */
#define TYPES_MAX 256 /* as many as the store takes */

/* Each of these is exact for itself. */
struct bucket {
	_Atomic uint64_t events, rows, measure;
};

struct series {
	const struct sonde_type *type;
	_Atomic uint64_t too_late, from_future;
	struct bucket buckets[BUCKETS];
};

struct sonde_window {
	int64_t since_ns;
	pthread_mutex_t lock; /* of a new series */
	_Atomic unsigned n_series;
	struct series series[TYPES_MAX]; /* untouched ones cost no memory */
};

int sonde_window_new(int64_t since_ns, struct sonde_window **ret_window)
{
	struct sonde_window *window = calloc(1, sizeof(*window));

	if (!window)
		return -ENOMEM;
	window->since_ns = since_ns;
	pthread_mutex_init(&window->lock, NULL);
	*ret_window = window;
	return 0;
}

void sonde_window_free(struct sonde_window **pointer)
{
	struct sonde_window *window = TAKE_PTR(*pointer);

	if (!window)
		return;
	pthread_mutex_destroy(&window->lock);
	free(window);
}

int64_t sonde_window_since_ns(const struct sonde_window *window)
{
	return window->since_ns;
}

/* ---- a bucket ---- */

static uint32_t round_of(int64_t second)
{
	return (uint32_t)((uint64_t)second / BUCKETS) & ROUND_MASK;
}

static uint64_t word_of(uint32_t round, uint64_t count)
{
	return (uint64_t)round << COUNT_BITS | (count < COUNT_MAX ? count : COUNT_MAX);
}

static bool is_later(uint32_t round, uint32_t than)
{
	return round != than && ((round - than) & ROUND_MASK) <= ROUND_MASK / 2;
}

/* @return false: the bucket is in a later round already. */
static bool word_add(_Atomic uint64_t *word, uint32_t round, uint64_t n)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed), next;

	do {
		uint32_t found = (uint32_t)(old >> COUNT_BITS);

		if (is_later(found, round))
			return false;
		next = word_of(round, (found == round ? old & COUNT_MAX : 0) + n);
	} while (!atomic_compare_exchange_weak_explicit(word, &old, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static uint64_t word_read(_Atomic uint64_t *word, uint32_t round)
{
	uint64_t value = atomic_load_explicit(word, memory_order_relaxed);

	return value >> COUNT_BITS == round ? value & COUNT_MAX : 0;
}

/* ---- counting ---- */

static struct series *series_find(struct sonde_window *window, const struct sonde_type *type)
{
	unsigned n = atomic_load_explicit(&window->n_series, memory_order_acquire);

	for (unsigned i = 0; i < n; i++)
		if (window->series[i].type == type)
			return &window->series[i];
	return NULL;
}

/* NULL: there are too many types. */
static struct series *series_get(struct sonde_window *window, const struct sonde_type *type)
{
	struct series *series = series_find(window, type);

	if (series)
		return series;
	pthread_mutex_lock(&window->lock);
	series = series_find(window, type);
	if (!series && window->n_series < TYPES_MAX) {
		series = &window->series[window->n_series];
		series->type = type;
		atomic_fetch_add_explicit(&window->n_series, 1, memory_order_release);
	}
	pthread_mutex_unlock(&window->lock);
	return series;
}

/* Events of one type and one second. */
struct run {
	const struct sonde_type *type;
	int measure; /* column, or negative */
	int64_t second;
	int64_t from_ns, to_ns; /* to exclusive */
	uint64_t events, rows, sum;
};

/* What happened before the start is in a second that is too late for every window. */
static void run_begin(struct run *run, const struct sonde_type *type, int64_t time_ns, int64_t since_ns)
{
	int measure = type == run->type ? run->measure : sonde_type_measure(type);
	int64_t second = time_ns / SONDE_NS_PER_S;

	*run = (struct run){.type = type, .measure = measure, .second = second, .from_ns = second * SONDE_NS_PER_S};
	run->to_ns = run->from_ns + SONDE_NS_PER_S;
	if (time_ns < since_ns) {
		run->second = INT64_MIN / 2;
		run->from_ns = INT64_MIN;
		run->to_ns = since_ns;
	} else if (run->from_ns < since_ns) {
		run->from_ns = since_ns;
	}
}

/* What this event stands for; as a store adds it up, but never negative, and no more than a bucket holds. */
static uint64_t measure_of(const struct sonde_event *event, int column)
{
	struct sonde_value value;
	uint64_t sum;

	if (column < 0)
		return 0;
	sonde_event_value(event, (uint32_t)column, NULL, &value);
	if (value.type == SONDE_NULL || (value.type == SONDE_INT && value.i < 0))
		return 0;
	if (__builtin_mul_overflow(value.u, event->record->weight, &sum) || sum > COUNT_MAX)
		return COUNT_MAX;
	return sum;
}

static void run_end(struct sonde_window *window, const struct run *run, int64_t now)
{
	struct series *series = run->rows ? series_get(window, run->type) : NULL;
	struct bucket *bucket;

	if (!series)
		return;
	bucket = &series->buckets[(uint64_t)run->second % BUCKETS];
	if (run->second > now)
		series->from_future += run->events;
	else if (run->second < now - SONDE_WINDOW_SECONDS || !word_add(&bucket->events, round_of(run->second), run->events))
		series->too_late += run->events;
	else if (word_add(&bucket->rows, round_of(run->second), run->rows) && run->sum)
		(void)word_add(&bucket->measure, round_of(run->second), run->sum);
}

void sonde_window_add(struct sonde_window *window, const struct sonde_event *events, size_t n, int64_t now_ns)
{
	int64_t now = now_ns / SONDE_NS_PER_S;
	struct run run = {};

	for (size_t i = 0; i < n; i++) {
		const struct sonde_header *header = events[i].record;
		int64_t time_ns = header->time_ns < INT64_MAX / 2 ? (int64_t)header->time_ns : INT64_MAX / 2;

		if (events[i].type != run.type || time_ns < run.from_ns || time_ns >= run.to_ns) {
			run_end(window, &run, now);
			run_begin(&run, events[i].type, time_ns, window->since_ns);
		}
		run.events += header->weight;
		run.rows++;
		run.sum += measure_of(&events[i], run.measure);
	}
	run_end(window, &run, now);
}

/* ---- reading ---- */

static void series_read(struct series *series, int64_t now, struct sonde_window_counts *counts)
{
	for (int64_t age = 0; age <= SONDE_WINDOW_SECONDS && age <= now; age++) {
		struct bucket *bucket = &series->buckets[(now - age) % BUCKETS];
		uint64_t events = word_read(&bucket->events, round_of(now - age));
		uint64_t sum = word_read(&bucket->measure, round_of(now - age));

		counts->last_60s += events;
		counts->sum_60s += sum;
		counts->rows_60s += word_read(&bucket->rows, round_of(now - age));
		if (age <= 10) {
			counts->last_10s += events;
			counts->sum_10s += sum;
		}
		if (age == 1) {
			counts->last_second += events;
			counts->sum_second = sum;
		}
		if (age)
			counts->per_second[SONDE_WINDOW_SECONDS - age] += events;
	}
	counts->too_late += series->too_late;
	counts->from_future += series->from_future;
}

void sonde_window_read(struct sonde_window *window, const char *type, int64_t now_ns, struct sonde_window_counts *ret_counts)
{
	int64_t now = now_ns / SONDE_NS_PER_S, first = (window->since_ns + SONDE_NS_PER_S - 1) / SONDE_NS_PER_S;
	unsigned n = atomic_load_explicit(&window->n_series, memory_order_acquire);
	struct sonde_window_counts counts = {};

	if (now > first)
		counts.known = now - first < SONDE_WINDOW_SECONDS ? (unsigned)(now - first) : SONDE_WINDOW_SECONDS;
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(window->series[i].type->name, type))
			series_read(&window->series[i], now, &counts);
	*ret_counts = counts;
}
