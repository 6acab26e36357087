/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file prometheus.h
 * The agent's numbers as a page for Prometheus: text format 0.0.4 or OpenMetrics 1.0.0.
 *
 * Bounded whatever the programs count: at most SONDE_SERIES_PER_METRIC series a metric, SONDE_SERIES_MAX and
 * SONDE_PAGE_MAX bytes in all. What is beyond is added up in one series whose labels are all "other", so a metric's sum
 * stays exact. A series keeps its place from page to page as long as it exists, so no counter goes down by folding.
 *
 * Threads: one at a time.
 */

#include <base/buffer.h>
#include <runtime/view.h>

#define SONDE_SERIES_PER_METRIC 1000u
#define SONDE_SERIES_MAX 5000u
#define SONDE_PAGE_MAX (2u * 1024 * 1024)

struct sonde_prometheus;

enum sonde_prometheus_format { SONDE_PROMETHEUS_TEXT, SONDE_PROMETHEUS_OPENMETRICS };

int sonde_prometheus_new(struct sonde_prometheus **ret_prometheus);
void sonde_prometheus_free(struct sonde_prometheus **prometheus);

/** A new page: values from before are forgotten, the places of series are kept. */
void sonde_prometheus_begin(struct sonde_prometheus *prometheus);
/** Everything the view tells. */
void sonde_prometheus_collect(struct sonde_prometheus *prometheus, const struct sonde_view *view);
/** One number more (a sonde_number_fn); a name without sonde_ or process_ gets sonde_ in front. `labels` are written as they are: `program="connection"`. */
void sonde_prometheus_number(const char *name, const char *doc, bool is_counter, const char *labels, double value,
			     void *prometheus);
/** @return 0, -ENOMEM */
int sonde_prometheus_write(struct sonde_prometheus *prometheus, enum sonde_prometheus_format format, struct sonde_buffer *out);

/** A label's value between its quotes: escaped, invalid UTF-8 and control bytes replaced, at most 128 bytes of it. */
void sonde_prometheus_label(const char *bytes, size_t length, struct sonde_buffer *out);
