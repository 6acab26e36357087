/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file log.h
 * One line a message on standard error: "level: text". Foreign bytes in the text come out as \xNN.
 *
 * The agent logs, once, where it decides what to do; library code returns errors and logs at debug at most.
 *
 * Threads: any.
 */

enum sonde_log_level { SONDE_LOG_ERROR, SONDE_LOG_WARNING, SONDE_LOG_INFO, SONDE_LOG_DEBUG };

void sonde_log_set_level(enum sonde_log_level level);
/** @return 0, -EINVAL: not one of error, warning, info, debug. */
int sonde_log_parse_level(const char *name, enum sonde_log_level *ret_level);
/** Stands before every message, e.g. "worker"; static text or NULL. */
void sonde_log_set_name(const char *name);
/** @return `error`, so that a caller logs and returns in one statement; a negative error's text is added. */
int sonde_log(enum sonde_log_level level, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define sonde_log_err(error, ...) sonde_log(SONDE_LOG_ERROR, (error), __VA_ARGS__)
#define sonde_log_warning(...) sonde_log(SONDE_LOG_WARNING, 0, __VA_ARGS__)
#define sonde_log_info(...) sonde_log(SONDE_LOG_INFO, 0, __VA_ARGS__)
#define sonde_log_debug(...) sonde_log(SONDE_LOG_DEBUG, 0, __VA_ARGS__)
