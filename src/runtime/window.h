/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file window.h
 * How many events of each type happened in the last minute, from one bucket for each second of the boot clock: the clock of
 * the events themselves, so neither a set wall clock nor the time that an event was on its way moves anything.
 *
 * An event stands in the bucket of its own second. "In the last N s" is the running second and the N whole ones before it:
 * whatever is at most N s old is in, whatever is older than N + 1 s is not. `last_second` is the last whole second, a rate.
 * Events count with their weight (what they stand for when sampled), and what they stand for (SONDE_MEASURE) is added up.
 *
 * Nothing is guessed: the window knows what it saw itself, from `since_ns` on.
 *
 * Threads: any, at any time; counts added by several threads are exact.
 */

#include <schema/schema.h>

#define SONDE_WINDOW_SECONDS 60

struct sonde_window;

struct sonde_window_counts {
	uint64_t last_second, last_10s, last_60s; /* events */
	uint64_t sum_second, sum_10s, sum_60s;	  /* what they stand for: SONDE_MEASURE; 0 without */
	uint64_t rows_60s;			  /* the same without weights */
	uint64_t per_second[SONDE_WINDOW_SECONDS]; /* whole seconds, the oldest first */
	unsigned known; /* of these, the last so many lie after the start */
	/* Ever, and in none of the above: older than the window or than `since_ns`; later than the clock when they came. */
	uint64_t too_late, from_future;
};

/** @param since_ns Boot time, mostly now: what happened before it is not counted. */
int sonde_window_new(int64_t since_ns, struct sonde_window **ret_window);
void sonde_window_free(struct sonde_window **window);
int64_t sonde_window_since_ns(const struct sonde_window *window);
/**
 * @brief Count events. Those of one type and second that stand together, as they mostly do, cost one addition.
 * The types must outlive the window; more than 256 are not counted (the store takes no more either).
 * @param now_ns Boot time.
 */
void sonde_window_add(struct sonde_window *window, const struct sonde_event *events, size_t n, int64_t now_ns);
/** Of the type of this name; all zero if there was none. @param now_ns Boot time. */
void sonde_window_read(struct sonde_window *window, const char *type, int64_t now_ns, struct sonde_window_counts *ret_counts);
