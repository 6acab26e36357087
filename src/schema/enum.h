/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file enum.h Number -> name tables made of BTF enums. Threads: does not change once made. */

#include <schema/arena.h>
#include <schema/btf.h>
#include <schema/schema.h>

struct sonde_enum_entry {
	int64_t number;
	const char *name;
};

struct sonde_enum {
	uint32_t n;
	struct sonde_enum_entry entries[]; /* sorted by number, each number once */
};

/**
 * @brief Copy an enum out of BTF.
 * @param strip NULL: names as they are. Else they become lower case, without this prefix (in any case).
 * @return NULL: out of memory.
 */
const struct sonde_enum *sonde_enum_new(struct sonde_arena *arena, const struct sonde_btf *btf,
					const struct btf_type *type, const char *strip);
/**
 * The text of a column with SONDE_FLAGS: "O_RDWR|O_CREAT"; of what is in no flag "0x..." behind the names. It lives as long as the
 * process; where there is no room to keep it, it is the number.
 */
const char *sonde_flags_text(const struct sonde_column *column, uint64_t number);
/** Read one enum from a file of raw BTF. @return 0, -ENOENT: it has no such enum, or an error of the file. */
int sonde_enum_read(const char *path, const char *name, struct sonde_arena *arena, const struct sonde_enum **ret_names);
