/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file remote.h
 * Types and rows as the agent sends them, turned back into what the encoders take: so a table from the agent looks,
 * and is as safe for the terminal, as one made here.
 *
 * Threads: a schema and its rows belong to one thread.
 */

#include <jansson.h>
#include <schema/schema.h>

struct sonde_remote_schema;

/** @param json Answer of /api/v1/schema. @return 0, -EBADMSG it is none, -ENOMEM. */
int sonde_remote_schema_new(const json_t *json, struct sonde_remote_schema **ret_schema);
void sonde_remote_schema_free(struct sonde_remote_schema **schema);
const struct sonde_type *sonde_remote_schema_type(const struct sonde_remote_schema *schema, const char *name); /* or NULL */

/** A row; the values borrow from it. */
struct sonde_remote_row {
	const struct sonde_type *type;
	struct sonde_value values[SONDE_COLUMNS_MAX];
	json_t *json;
	uint8_t addresses[SONDE_COLUMNS_MAX][16];
};

/**
 * @brief Read a line of JSON into the row, replacing what was there.
 * A column that the line lacks, or whose value is no number of 64 bits, text or boolean, is null.
 * @return 0; -ENOENT it is no event of a known type (`row->json` holds the object); -EBADMSG it is no JSON object; -ENOMEM.
 */
int sonde_remote_row_read(struct sonde_remote_row *row, const struct sonde_remote_schema *schema, const char *line, size_t length);
void sonde_remote_row_free(struct sonde_remote_row *row);
