/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file names.h
 * Names of numbers that are the same on every Linux: protocols, errors, signals. Texts live as long as the process.
 *
 * Threads: any.
 */

#include <stdint.h>

/** The IANA keyword of an IPPROTO_*, NULL if it has none. */
const char *sonde_protocol_name(uint64_t protocol);
/** "ECONNREFUSED" for 111; the kernel's inner numbers (ERESTARTSYS ...) too. NULL: not known. */
const char *sonde_errno_name(uint64_t number);
/** "SIGKILL" for 9, "SIGRTMIN+1" for 35. NULL: not known. */
const char *sonde_signal_name(uint64_t number);

/**
 * A copy of the text that lives as long as the process; the same one for the same text. Readers take no lock: its place is written
 * once. @param number What the text is made of; spreads the places. @return NULL: no room for more.
 */
const char *sonde_kept_text(const char *text, uint64_t number);
/** The number as text, decimal or 0x and hexadecimal, for what has no name. */
const char *sonde_number_text(int64_t number);
const char *sonde_hex_text(uint64_t number);
