/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file clock.h Clocks in ns, and event time (boot time) to wall-clock time. Threads: any. */

#include <stdint.h>

#define SONDE_NS_PER_S 1000000000ll
#define SONDE_NS_PER_MS 1000000ll

int64_t sonde_clock_boot_ns(void);
int64_t sonde_clock_wall_ns(void);
/** Stands still while the machine sleeps: for how long something had a chance to run. */
int64_t sonde_clock_awake_ns(void);
/** Wall clock minus boot clock, measured again when the last measurement is older than a second (a clock may be set). */
int64_t sonde_clock_wall_offset_ns(void);
