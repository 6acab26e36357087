/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file histogram.h Histograms on the metrics page, from maps that hold them bucket by bucket (SONDE_HISTOGRAM). */

#include <schema/schema.h>

#include "series.h"

/**
 * @brief Add one number of such a map to the page.
 * @param labels As in the text format, without `le`.
 * @param bucket The key's `le`.
 * @return 0; -ENOSPC: no room or no memory for its series, which then are not on the page or are partly there.
 */
int sonde_histogram_add(struct sonde_families *families, const struct sonde_metric *metric, const char *labels, uint8_t bucket,
			uint64_t value);
