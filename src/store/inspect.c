/* SPDX-License-Identifier: Apache-2.0 */
/* Walks all blocks of a file, for its owner. Read only: a damaged block stays where it is. */
#include <store/inspect.h>
#include <store/sqlite.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct inspection {
	struct sonde_store_report *report;
	struct sonde_block_source source;
	struct sonde_block_place *over; /* blocks that do not count: see block_overlap.h */
	size_t n_over;
	bool read_all;
};

static void inspection_end(struct inspection *inspection)
{
	sonde_block_source_close(&inspection->source);
	free(inspection->over);
}

static void db_close(sqlite3 **db)
{
	sqlite3_close(*db);
}

static struct sonde_store_type_report *type_of(struct sonde_store_report *report, const char *name)
{
	for (size_t i = 0; i < report->n; i++)
		if (!strcmp(report->types[i].name, name))
			return &report->types[i];
	return NULL;
}

static int head_read(struct sonde_block_source *source, const struct sonde_block_facts *facts, size_t length,
		     struct sonde_block_head *head)
{
	uint8_t bytes[SONDE_BLOCK_HEAD_MAX];
	int64_t r = sonde_block_source_open(source, facts->id);
	int size;

	if (r < SONDE_BLOCK_HEAD_LEAST)
		return r < 0 ? (int)r : -EBADMSG;
	r = sonde_block_source_read(source, 0, SONDE_BLOCK_HEAD_LEAST, bytes);
	if (r)
		return (int)r;
	size = sonde_block_head_length(bytes);
	if (size < 0)
		return size;
	r = sonde_block_source_read(source, 0, (size_t)size, bytes);
	if (!r)
		r = sonde_block_head_read(bytes, (size_t)size, length, head);
	if (!r && (head->checksum != facts->head || head->count != facts->count))
		r = -EBADMSG;
	return (int)r;
}

static int columns_read(struct sonde_block_source *source, const struct sonde_block_head *head)
{
	int r = 0;

	for (uint32_t i = 0; i < head->n_fields && !r; i++) {
		struct sonde_block_column column CLEANUP(sonde_block_column_free) = {};
		uint8_t *stored CLEANUP_FREE = malloc(head->fields[i].stored + 1ul);

		if (!stored)
			return -ENOMEM;
		r = sonde_block_source_read(source, head->fields[i].offset, head->fields[i].stored, stored);
		if (!r)
			r = sonde_block_column_read(&head->fields[i], stored, head->count, &column);
	}
	return r;
}

/* ---- blocks that lie over others: found first ---- */

static int note_over(const char *type, const struct sonde_block_place *place, void *userdata)
{
	struct inspection *inspection = userdata;
	struct sonde_store_type_report *report = type_of(inspection->report, type);
	struct sonde_block_place *over = reallocarray(inspection->over, inspection->n_over + 1, sizeof(*over));

	if (!over)
		return -ENOMEM;
	inspection->over = over;
	over[inspection->n_over++] = *place;
	if (!report)
		return 0;
	report->bad_blocks++;
	if (inspection->report->on_bad)
		inspection->report->on_bad(report, place->id, 0, 0, 0, inspection->report->userdata);
	return 0;
}

/* Each is passed over once: of a row that is there twice the other one counts. */
static bool is_over(struct inspection *inspection, const struct sonde_block_facts *facts)
{
	for (size_t i = 0; i < inspection->n_over; i++) {
		if (inspection->over[i].id != facts->id || inspection->over[i].first != facts->first ||
		    inspection->over[i].count != facts->count)
			continue;
		inspection->over[i] = inspection->over[--inspection->n_over];
		return true;
	}
	return false;
}

/* ---- each block ---- */

static int inspect_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct inspection *inspection = userdata;
	struct sonde_store_type_report *type = facts ? type_of(inspection->report, facts->type) : NULL;
	struct sonde_block_head head;
	int r;

	if (!type) {
		inspection->report->bad_facts++;
		inspection->report->unknown_events += facts ? facts->count : 0;
		return 0;
	}
	if (is_over(inspection, facts))
		return 0;
	type->blocks++;
	type->events += facts->count;
	type->bytes += length;
	type->oldest_ns = type->oldest_ns && type->oldest_ns < facts->oldest_ns ? type->oldest_ns : facts->oldest_ns;
	type->newest_ns = type->newest_ns > facts->newest_ns ? type->newest_ns : facts->newest_ns;
	r = head_read(&inspection->source, facts, length, &head);
	for (uint32_t i = 0; !r && i < head.n_fields; i++)
		type->raw_bytes += head.fields[i].bytes;
	if (!r && inspection->read_all)
		r = columns_read(&inspection->source, &head);
	if (r != -EBADMSG)
		return r;
	type->bad_blocks++;
	type->bad_events += facts->count;
	if (inspection->report->on_bad)
		inspection->report->on_bad(type, id, facts->oldest_ns, facts->newest_ns, facts->count, inspection->report->userdata);
	return 0;
}

static int types_read(sqlite3 *db, struct sonde_store_report *report)
{
	sqlite3_stmt *row CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT name, stored, expired, readable FROM sonde_types ORDER BY name", -1, &row, NULL);

	while (!code && (code = sqlite3_step(row)) == SQLITE_ROW && report->n < ARRAY_SIZE(report->types)) {
		struct sonde_store_type_report *type = &report->types[report->n++];

		code = SQLITE_OK;
		snprintf(type->name, sizeof(type->name), "%s", (const char *)sqlite3_column_text(row, 0) ?: "");
		type->stored = (uint64_t)sqlite3_column_int64(row, 1);
		type->expired = (uint64_t)sqlite3_column_int64(row, 2);
		type->readable = (uint64_t)sqlite3_column_int64(row, 3);
	}
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

int sonde_store_inspect(const char *path, bool read_all, struct sonde_store_report *report)
{
	struct sonde_store_opts opts = {.path = path, .read_only = true};
	struct sonde_store *store CLEANUP(sonde_store_close) = NULL;
	sqlite3 *db CLEANUP(db_close) = NULL; /* closed after the block that is read of it */
	struct inspection inspection CLEANUP(inspection_end) = {.report = report, .read_all = read_all};
	int code, r = sonde_store_open(&opts, &store); /* says what is wrong with the file as a whole */

	if (r)
		return r;
	path = ((struct sqlite_store *)store)->path;
	code = sqlite_open_reader(path, true, NULL, &db);
	if (code)
		return sqlite_errno(code);
	inspection.source.db = db;
	report->file_bytes = sqlite_file_bytes(path);
	code = sqlite_run(db, "BEGIN");
	if (!code)
		code = types_read(db, report);
	if (!code)
		code = sonde_blocks_each(db, NULL, note_over, &inspection);
	if (!code)
		code = sonde_blocks_each(db, inspect_block, NULL, &inspection);
	if (code == -ENOMEM)
		return -ENOMEM;
	return code ? sqlite_fail(db, code < 0 ? inspection.source.code : code, "cannot read") : 0;
}
