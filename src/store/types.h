/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file types.h
 * The types of a store: what was ever stored under a name, which may be more than the running program's type has.
 * A version of a type never changes and lives as long as the store, so that a query may use it while a newer one is made.
 *
 * Threads: add from one thread, everything else from any.
 */

#include <store/store.h>

#include <pthread.h>

#define SONDE_TYPES_MAX 256
#define SONDE_TYPE_NAME_MAX 48 /* with its NUL: a cursor holds the name */

struct sonde_stored_type {
	struct sonde_type type; /* first: who has it has the rest */
	char program[SONDE_PROGRAM_NAME_MAX];
	struct sonde_stored_type *older;
};

struct sonde_types {
	pthread_mutex_t lock;
	size_t n;
	struct sonde_stored_type *items[SONDE_TYPES_MAX]; /* newest version; the place of a name never changes */
};

void sonde_types_init(struct sonde_types *types);
void sonde_types_free(struct sonde_types *types);

/**
 * @brief Add a type, or the new columns of one. Columns that the new version lacks stay, behind the new ones.
 * @param program Owner; NULL: the type's own name.
 * @return 1 the stored type is new or changed, 0 it was so already; -EINVAL the type breaks a rule (names are
 * identifiers of at most SONDE_TYPE_NAME_MAX - 1 bytes, the common columns come first, no two columns whose names differ
 * in case only), -ENOSPC too many types, -ENOMEM.
 */
int sonde_types_add(struct sonde_types *types, const struct sonde_type *type, const char *program, size_t *ret_slot);
const struct sonde_stored_type *sonde_types_get(struct sonde_types *types, size_t slot);
/** @return slot or -ENOENT. */
int sonde_types_find(struct sonde_types *types, const char *name);
size_t sonde_types_count(struct sonde_types *types);
size_t sonde_types_list(struct sonde_types *types, const struct sonde_type **ret, size_t max);

/** Does a type keep the rules? If not, `ret_why` says it. */
bool sonde_type_check(const struct sonde_type *type, char *ret_why, size_t size);

/** Names by which a store's file says what a column is; stable, unlike the numbers of the enums. */
const char *sonde_value_type_name(enum sonde_value_type type);
int sonde_value_type_parse(const char *name, enum sonde_value_type *ret_type);
