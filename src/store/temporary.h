/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file temporary.h
 * Where SQLite puts the rows that a statement has to sort or to group, once they are more than it holds in memory: files without
 * a name, with a limit for all of them together, which also leave half of the disk's room alone. As a "VFS" of SQLite: named files are
 * what they are without it.
 *
 * Threads: the connections that use it may be in any; new and free while there are none.
 */

#include <stdbool.h>
#include <stdint.h>

struct sonde_temporary;

/** @param folder Where the files are. @return 0 or -ENOMEM. */
int sonde_temporary_new(const char *folder, uint64_t max_bytes, struct sonde_temporary **ret_temporary);
void sonde_temporary_free(struct sonde_temporary **temporary);
/** The name of the VFS, for sqlite3_open_v2(). */
const char *sonde_temporary_vfs(const struct sonde_temporary *temporary);
/** Bytes that are taken now. */
uint64_t sonde_temporary_bytes(const struct sonde_temporary *temporary);
