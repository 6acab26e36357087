/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file kallsyms.h
 * /proc/kallsyms, the functions of it, as one compact sorted table.
 *
 * Threads: a table is read-only once it is there.
 */

#include <stdint.h>

#define SONDE_KALLSYMS_MAX 1000000
#define SONDE_KALLSYMS_NAME_BYTES_MAX (32u << 20)

struct sonde_kallsyms;

/** @return 0; -ENODATA: no address can be seen; -E2BIG: beyond the limits above. */
int sonde_kallsyms_read(int fd, struct sonde_kallsyms **ret_table);
void sonde_kallsyms_free(struct sonde_kallsyms **table);
/** Valid as long as the table, or NULL. */
const char *sonde_kallsyms_find(const struct sonde_kallsyms *table, uint64_t address);
uint32_t sonde_kallsyms_count(const struct sonde_kallsyms *table);
