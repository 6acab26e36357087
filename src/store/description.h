/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file description.h
 * What a store's file says of itself: that it is one, of which version, and which types it has. It is foreign input: a file of another
 * kind or version, and a description that is not what was written, are refused.
 *
 * Threads: those of the connection.
 */

#include <schema/schema.h>
#include <store/sqlite_api.h>

#define SONDE_STORE_APPLICATION_ID 0x736f6e64 /* "sond" */
#define SONDE_STORE_VERSION 2 /* 1 had a table for each type */

struct sonde_description {
	struct sonde_type type;
	const char *program;
	uint64_t stored, expired, readable;
	int64_t dropped_until_ns; /* INT64_MIN: nothing was */
};

/** Of all that decides what a type's values mean. */
uint32_t sonde_description_checksum(const struct sonde_type *type);

/** @param ret_why "" before; why not. @return SQLite's code; SQLITE_FORMAT: the file is of another kind, or version. */
int sonde_description_marks(sqlite3 *db, char *ret_why, size_t size);

/**
 * @brief All types, by name. @param fn Gets what it may use until it returns; its result, if not 0, is that of the whole.
 * @param ret_why As before. @return SQLite's code; SQLITE_CORRUPT: a description is damaged.
 */
int sonde_description_each(sqlite3 *db, int (*fn)(const struct sonde_description *description, void *userdata), void *userdata,
			   char *ret_why, size_t size);
