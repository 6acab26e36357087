/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file answer.h What the routes that ask the store have in common. Threads: as their request. */

#include <http/params.h>
#include <base/buffer.h>

/** Add what one piece told to what is known of the whole answer. */
void sonde_answer_merge(struct sonde_answer *all, const struct sonde_answer *answer);
/** `"complete":..,"lost":..,"reason":..` and, if paged, `,"next":..` */
void sonde_answer_json(const struct sonde_answer *answer, bool paged, struct sonde_buffer *out);
/** For sonde_store_count() without groups: adds to the uint64_t that `total` points to. */
int sonde_answer_total(const struct sonde_group *group, void *total);
