/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file store.h What the parts of bench_store share. */

#include <schema/schema.h>

void bench_die(const char *what) __attribute__((noreturn));
/** One line of the result. */
void bench_figure(const char *name, double value, const char *unit);
/** CPU time of the process. */
int64_t bench_cpu_ns(void);
/** Event number `i` of an endless recording. */
struct sonde_event bench_event_at(uint64_t i);

/** `n` events into plain SQLite with three indexes. */
void bench_plain(const char *folder, uint64_t n, const struct sonde_names *names);
