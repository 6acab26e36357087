/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file say.h
 * What a command tells the person beside its answer: on standard error, one line each, safe for a terminal.
 */

/** "sonde: text". @return `code`, so that a command says and returns in one statement. */
int sonde_say_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** "note: text" */
void sonde_say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
