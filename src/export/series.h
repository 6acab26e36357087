/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file series.h
 * Metric families and their series, in the order in which they became known; kept from page to page.
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sonde_series {
	char *labels; /* `a="x",b="y"` or "" */
	bool real;
	uint64_t integer;
	double number;
	uint64_t page; /* last page that it was on */
};

struct sonde_family {
	char *name; /* as in the text format: a counter ends in _total */
	char *doc;
	bool is_counter;
	bool is_histogram; /* the family of its buckets: the head names it without "_bucket" */
	bool is_part;	   /* sum and count of a histogram: under the head of its buckets */
	size_t n, capacity;
	struct sonde_series *series; /* the first `n_index` slots of index point into it */
	uint32_t *index;	     /* open addressing by labels; 0: free, else number + 1 */
	size_t n_index;
	uint64_t folded; /* keys added to the series "other" on this page */
};

struct sonde_families {
	uint64_t page;
	size_t n, capacity;
	struct sonde_family *list;
	size_t n_series;
	size_t bytes; /* upper bound of the page */
	uint64_t refused; /* numbers without memory or with a name that no page may have */
};

void sonde_families_free(struct sonde_families *families);
/** Begin a page; series that were not on the last one give up their place. */
void sonde_families_begin(struct sonde_families *families);
/** The family of this name, made if new; NULL: no memory, or not a metric name. */
struct sonde_family *sonde_family_get(struct sonde_families *families, const char *name, const char *doc, bool is_counter);
/** The series with these labels, on this page from now; NULL: no room, fold it. `is_new`: it was not yet on this page. */
struct sonde_series *sonde_series_get(struct sonde_families *families, struct sonde_family *family, const char *labels,
				      bool forced, bool *ret_is_new);
