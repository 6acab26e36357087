/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file moment.h Points in time as people type them. Threads: any (reads the environment's time zone). */

#include <stdint.h>

#define SONDE_MOMENT_HELP "5m or 2h30m (ago), 12:30 (the last one), 2026-05-01, 2026-05-01T12:30:00Z, or now"

/**
 * @brief A point in time: a span ("5m": ago), a time of day (the last such), a date, RFC 3339, "now".
 * Without a zone it is local time.
 * @param now_ns Wall clock. @param ret_ns Wall clock.
 * @return 0, -EINVAL, -ERANGE.
 */
int sonde_moment_parse(const char *text, int64_t now_ns, int64_t *ret_ns);

#define SONDE_MOMENT_TEXT_MAX 40
/** RFC 3339 in UTC with nanoseconds. */
const char *sonde_moment_text(int64_t ns, char text[SONDE_MOMENT_TEXT_MAX]);
/** The reverse of sonde_moment_text(); any RFC 3339 time. @return 0, -EINVAL, -ERANGE. */
int sonde_moment_rfc3339_parse(const char *text, int64_t *ret_ns);
