/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file sqlite_api.h
 * SQLite for what is built twice: into sonde, which links to the library, and into the loadable extension, which must call the
 * SQLite of the program that loads it (SONDE_EXTENSION).
 */

#ifdef SONDE_EXTENSION
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#else
#include <sqlite3.h>
#endif
