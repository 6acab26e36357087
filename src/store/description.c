/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a file's description. Invariant: a type is given away only if its checksum is right. */
#include <store/description.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <store/types.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* A name or kind that is wrong by a byte would show wrong values; docs only explain. */
uint32_t sonde_description_checksum(const struct sonde_type *type)
{
	uLong crc = crc32(0, (const Bytef *)type->name, (uInt)strlen(type->name) + 1);

	for (uint32_t i = 0; i < type->n_columns; i++) {
		const char *const texts[] = {type->columns[i].name, sonde_value_type_name(type->columns[i].type),
					     sonde_semantic_word(type->columns[i].semantic)};

		for (size_t j = 0; j < ARRAY_SIZE(texts); j++)
			crc = crc32(crc, (const Bytef *)texts[j], (uInt)strlen(texts[j]) + 1);
	}
	return (uint32_t)crc;
}

static int say(sqlite3 *db, int code, char *ret_why, size_t size)
{
	if (code && !ret_why[0])
		snprintf(ret_why, size, "%s", sqlite3_errcode(db) == code ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	return code;
}

static int mark_read(sqlite3 *db, const char *sql, int64_t *ret_mark)
{
	sqlite3_stmt *row = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &row, NULL);

	if (!code)
		code = sqlite3_step(row);
	if (code == SQLITE_ROW)
		*ret_mark = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int sonde_description_marks(sqlite3 *db, char *ret_why, size_t size)
{
	int64_t application = 0, version = 0;
	int code = mark_read(db, "PRAGMA main.application_id", &application);

	if (!code)
		code = mark_read(db, "PRAGMA main.user_version", &version);
	if (code)
		return say(db, code, ret_why, size);
	if (application == SONDE_STORE_APPLICATION_ID && version == SONDE_STORE_VERSION)
		return SQLITE_OK;
	if (application == SONDE_STORE_APPLICATION_ID)
		snprintf(ret_why, size, "its version is %d, this sonde knows version %d", (int)version, SONDE_STORE_VERSION);
	else
		snprintf(ret_why, size, "it is not a store of sonde");
	return SQLITE_FORMAT;
}

static const char *text_of(sqlite3_stmt *row, int i)
{
	return (const char *)sqlite3_column_text(row, i);
}

/* Where a column's name, unit and doc are in the texts, plus one; 0: there is none. */
struct places {
	size_t name, unit, doc;
};

static size_t text_keep(struct sonde_buffer *texts, const char *text)
{
	size_t place = texts->length + 1;

	if (text)
		sonde_buffer_add(texts, text, strlen(text) + 1);
	return text ? place : 0;
}

static const char *text_at(const struct sonde_buffer *texts, size_t place)
{
	return place ? texts->data + place - 1 : NULL;
}

static bool column_read(sqlite3_stmt *row, struct sonde_column *column, struct sonde_buffer *texts, struct places *places)
{
	const char *value = text_of(row, 1), *semantic = text_of(row, 2);

	*places = (struct places){text_keep(texts, text_of(row, 0)), text_keep(texts, text_of(row, 3)), text_keep(texts, text_of(row, 4))};
	return places->name && value && semantic && !sonde_value_type_parse(value, &column->type) &&
	       !sonde_semantic_parse(semantic, &column->semantic);
}

static int columns_read(sqlite3_stmt *row, struct sonde_type *type, struct sonde_column *columns, struct sonde_buffer *texts)
{
	struct places places[SONDE_COLUMNS_MAX];
	int code = sqlite3_bind_text(row, 1, type->name, -1, SQLITE_STATIC);

	while (!code && (code = sqlite3_step(row)) == SQLITE_ROW) {
		code = SQLITE_OK;
		if (type->n_columns == SONDE_COLUMNS_MAX ||
		    !column_read(row, &columns[type->n_columns], texts, &places[type->n_columns]))
			return SQLITE_CORRUPT;
		type->n_columns++;
	}
	if (texts->failed)
		return SQLITE_NOMEM;
	for (uint32_t i = 0; i < type->n_columns; i++) {
		columns[i].name = text_at(texts, places[i].name);
		columns[i].unit = text_at(texts, places[i].unit);
		columns[i].doc = text_at(texts, places[i].doc);
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* One row of sonde_types. */
static int type_read(sqlite3 *db, sqlite3_stmt *row,
		     int (*fn)(const struct sonde_description *description, void *userdata), void *userdata)
{
	struct sonde_buffer texts CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_column columns[SONDE_COLUMNS_MAX] = {};
	struct sonde_description description = {
		.type = {.name = text_of(row, 0), .doc = text_of(row, 2), .columns = columns}, .program = text_of(row, 1),
		.stored = (uint64_t)sqlite3_column_int64(row, 3), .expired = (uint64_t)sqlite3_column_int64(row, 4),
		.readable = (uint64_t)sqlite3_column_int64(row, 5),
		.dropped_until_ns = sqlite3_column_type(row, 6) == SQLITE_NULL ? INT64_MIN : sqlite3_column_int64(row, 6),
	};
	sqlite3_stmt *columns_row = NULL;
	int code;

	if (!description.type.name || !description.program)
		return SQLITE_CORRUPT;
	code = sqlite3_prepare_v2(db, "SELECT name, value, semantic, unit, doc FROM main.sonde_columns WHERE type = ? ORDER BY position",
				  -1, &columns_row, NULL);
	if (!code)
		code = columns_read(columns_row, &description.type, columns, &texts);
	sqlite3_finalize(columns_row);
	if (code)
		return code;
	if (sonde_description_checksum(&description.type) != sqlite3_column_int64(row, 7))
		return SQLITE_CORRUPT;
	return fn(&description, userdata);
}

int sonde_description_each(sqlite3 *db, int (*fn)(const struct sonde_description *description, void *userdata), void *userdata,
			   char *ret_why, size_t size)
{
	sqlite3_stmt *row = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT name, program, doc, stored, expired, readable, dropped_until_ns, checksum"
					  " FROM main.sonde_types ORDER BY name", -1, &row, NULL);

	while (!code && (code = sqlite3_step(row)) == SQLITE_ROW) {
		code = type_read(db, row, fn, userdata);
		if (code == SQLITE_CORRUPT)
			snprintf(ret_why, size, "the file's description of the type '%.48s' is damaged", text_of(row, 0) ?: "?");
	}
	code = say(db, code == SQLITE_DONE ? SQLITE_OK : code, ret_why, size);
	sqlite3_finalize(row);
	return code;
}
