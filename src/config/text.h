/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file text.h Is this a text that may be parsed at all, and if not, where not. */

#include <stddef.h>

struct sonde_text_fault {
	const char *what;
	unsigned line, column; /* from 1; columns count characters */
};

/**
 * @brief Check that the bytes are UTF-8 without NUL and control characters (tab and line breaks are fine).
 * @return 0, or -EINVAL with the first fault.
 */
int sonde_text_check(const char *bytes, size_t length, struct sonde_text_fault *ret_fault);
