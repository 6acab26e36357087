/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file store.h What the parts of bench_store share. */

#include <schema/schema.h>

void bench_die(const char *what) __attribute__((noreturn));
/** One line of the result. */
void bench_figure(const char *name, double value, const char *unit);
/** CPU time of the process. */
int64_t bench_cpu_ns(void);
/** "VmRSS" or "VmHWM" of this process, bytes. */
double bench_memory(const char *name);
/** From now on VmHWM is the most since now. */
void bench_memory_mark(void);
/** Event number `i` of an endless recording. */
struct sonde_event bench_event_at(uint64_t i);

/** `n` events into plain SQLite with three indexes. */
void bench_plain(const char *folder, uint64_t n, const struct sonde_names *names);
/** Counts over `n` events by a column of very many values, in a file and in memory. */
void bench_groups(const char *folder, uint64_t n);
