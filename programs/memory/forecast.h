/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file forecast.h
 * From samples of a memory use to the time at which a limit is reached. Pure functions: no clock, no files, no allocation.
 *
 * A series keeps the last 64 samples and the extremes of each 10 s of the last 21 minutes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONDE_MEMORY_FINE 64
#define SONDE_MEMORY_COARSE 128
#define SONDE_MEMORY_BUCKET_NS 10000000000ull

struct sonde_memory_point {
	uint64_t time_ns, bytes;
};

/** The least and the most within a bucket of time; which came first follows from their times. */
struct sonde_memory_bucket {
	struct sonde_memory_point least, most;
};

struct sonde_memory_series {
	struct sonde_memory_point fine[SONDE_MEMORY_FINE];
	struct sonde_memory_bucket coarse[SONDE_MEMORY_COARSE];
	unsigned n_fine, n_coarse;
	uint64_t silence_ns; /* after so long without a sample the single ones begin anew; 0: 15 s */
};

/**
 * @brief Add a sample, later than all before; one that is not is left out (a clock that stood or went back).
 * After a silence the single samples begin anew: nothing is known about what lies between.
 */
void sonde_memory_series_add(struct sonde_memory_series *series, uint64_t time_ns, uint64_t bytes);

/** All points, the oldest first: of older times two of each bucket, then the single samples. @return how many. */
#define SONDE_MEMORY_POINTS (2 * SONDE_MEMORY_COARSE + SONDE_MEMORY_FINE)
size_t sonde_memory_series_points(const struct sonde_memory_series *series,
				  struct sonde_memory_point ret_points[SONDE_MEMORY_POINTS]);

struct sonde_memory_forecast {
	uint64_t slope_bytes_per_second;
	uint64_t time_to_limit_ns; /* from the last sample on */
	unsigned confidence_pct;   /* 1 to 100 */
};

/**
 * @brief Will the limit be reached within `horizon_ns`?
 * Only growth that has gone on for half as long as it would have to go on counts, and only above all that was seen before in
 * 21 minutes. Where use rises and falls in turns (garbage collection), the floor of these turns counts.
 * @return Whether there is a forecast.
 */
bool sonde_memory_predict(const struct sonde_memory_series *series, uint64_t limit_bytes, uint64_t horizon_ns,
			  struct sonde_memory_forecast *ret_forecast);
