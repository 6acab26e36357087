/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file mappings.h What a victim had, as one line of text. The names are whatever the process chose. */

#include <stddef.h>

#include "event.h"

/**
 * "12.5:rw-p:[heap] 1.0:r--s:/var/lib/a\\040b", the biggest first: MiB, rights as in /proc/PID/maps, name. In a name a space, a control
 * byte and a backslash stand as three octal digits behind a backslash; of a long one the end is kept. "": nothing is known.
 * @param max Mappings at most.
 */
void sonde_memory_mappings_text(const struct memory_mappings *mappings, size_t max, char ret_text[MEMORY_MAPPINGS_SIZE]);
