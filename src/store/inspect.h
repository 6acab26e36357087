/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file inspect.h
 * A store's file seen from outside: what is in it, whether all of it can be read, and a copy of it as plain tables. It may be in
 * use: what is seen is one state of it.
 *
 * Threads: any; nothing is shared.
 */

#include <store/store.h>

struct sonde_store_type_report {
	char name[48];
	uint64_t stored, expired, readable; /* as the totals say */
	uint64_t blocks, events, bytes;	    /* of blocks whose facts are right; bytes as they are stored */
	uint64_t raw_bytes;		    /* of their columns, unpacked */
	uint64_t bad_blocks, bad_events;    /* of these, whose data is damaged; and blocks that are there again, without events */
	int64_t oldest_ns, newest_ns;
};

struct sonde_store_report {
	uint64_t file_bytes;
	uint64_t bad_facts;	 /* blocks of which nothing is known, or of types that the file no longer describes */
	uint64_t unknown_events; /* of the latter */
	size_t n;
	struct sonde_store_type_report types[256];
	void (*on_bad)(const struct sonde_store_type_report *type, int64_t id, int64_t oldest_ns, int64_t newest_ns,
		       uint32_t events, void *userdata); /* or NULL; no events: they are all in another block */
	void *userdata;
};

/**
 * @param read_all Read each block whole: damage is found.
 * @param report Zeroed but for on_bad. @return 0, or a negative errno with sonde_store_error(): the report has what was read.
 */
int sonde_store_inspect(const char *path, bool read_all, struct sonde_store_report *report);

/**
 * @brief Copy events of a store in a file into a new SQLite file: a plain table for each type.
 * Of the query count type, since, until, pid, command, container, and limit: of each type. @return 0; -EEXIST there is such a
 * file, -ENOENT no such type, ... and there is no file.
 */
int sonde_store_export(struct sonde_store *store, const char *target, const struct sonde_query *query,
		       struct sonde_answer *ret_answer);
