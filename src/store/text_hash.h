/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file text_hash.h A hash for tables in memory. It has a seed of the process: texts come from anybody. Threads: any. */

#include <stddef.h>
#include <stdint.h>

uint64_t sonde_text_hash(const void *bytes, size_t length);
