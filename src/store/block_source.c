/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the table of blocks. Invariant: facts are given away only if their checksum is right. */
#include <store/block_source.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ID, TYPE, FIRST, COUNT, WEIGHT, OLDEST, NEWEST, PID_MIN, PID_MAX, HEAD, FILTER, CHECKSUM, LENGTH };

static bool facts_read(sqlite3_stmt *row, struct sonde_block_facts *facts)
{
	const char *type = (const char *)sqlite3_column_text(row, TYPE);
	int type_length = sqlite3_column_bytes(row, TYPE), n_filter;
	int64_t count = sqlite3_column_int64(row, COUNT), head = sqlite3_column_int64(row, HEAD);
	const void *filter = sqlite3_column_blob(row, FILTER);

	n_filter = sqlite3_column_bytes(row, FILTER);
	if (!type || type_length >= (int)sizeof(facts->type) || strlen(type) != (size_t)type_length || count < 1 ||
	    count > SONDE_BLOCK_ROWS_MAX || head < 0 || head > UINT32_MAX || n_filter > SONDE_BLOCK_FILTER_MAX)
		return false;
	memcpy(facts->type, type, (size_t)type_length + 1);
	facts->id = sqlite3_column_int64(row, ID);
	facts->first = (uint64_t)sqlite3_column_int64(row, FIRST);
	facts->count = (uint32_t)count;
	facts->weight = (uint64_t)sqlite3_column_int64(row, WEIGHT);
	facts->oldest_ns = sqlite3_column_int64(row, OLDEST);
	facts->newest_ns = sqlite3_column_int64(row, NEWEST);
	facts->pid_min = sqlite3_column_int64(row, PID_MIN);
	facts->pid_max = sqlite3_column_int64(row, PID_MAX);
	facts->head = (uint32_t)head;
	facts->n_filter = (uint32_t)n_filter;
	if (n_filter)
		memcpy(facts->filter, filter, (size_t)n_filter);
	return sqlite3_column_int64(row, CHECKSUM) == sonde_block_facts_checksum(facts);
}

static int each(sqlite3 *db, const char *where, struct sonde_block_places *places, sonde_block_fn take, void *userdata)
{
	struct sonde_block_facts facts;
	sqlite3_stmt *row = NULL;
	char sql[256];
	int code, r = 0;

	snprintf(sql, sizeof(sql), "SELECT id, type, first, count, weight, oldest_ns, newest_ns, pid_min, pid_max, head, filter,"
				   " checksum, length(data) FROM main.sonde_blocks %s", where);
	code = sqlite3_prepare_v2(db, sql, -1, &row, NULL);
	while (!code && !r && (code = sqlite3_step(row)) == SQLITE_ROW) {
		size_t length = (size_t)sqlite3_column_int64(row, LENGTH);
		bool right = facts_read(row, &facts);

		code = SQLITE_OK;
		if (right && places)
			r = sonde_block_places_add(places, &facts, length);
		if (!r && take)
			r = take(sqlite3_column_int64(row, ID), right ? &facts : NULL, length, userdata);
	}
	sqlite3_finalize(row);
	if (r < 0)
		return r;
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int sonde_blocks_each(sqlite3 *db, sonde_block_fn take, sonde_block_drop_fn drop, void *userdata)
{
	struct sonde_block_places places CLEANUP(sonde_block_places_free) = {};
	int r = each(db, "", drop ? &places : NULL, take, userdata);

	return r ?: sonde_block_places_compare(&places, drop, userdata);
}

int sonde_block_facts_of(sqlite3 *db, int64_t id, sonde_block_fn take, void *userdata)
{
	char where[48];

	/* No parameter: a connection that takes SQL from people allows none. */
	snprintf(where, sizeof(where), "WHERE id = %lld", (long long)id);
	return each(db, where, NULL, take, userdata);
}

static const struct sonde_block *memory_block(const struct sonde_block_source *source)
{
	return (const struct sonde_block *)(intptr_t)source->id;
}

/* No such row, its data is no blob, or its pages are damaged: it is this block's loss. Else nothing can be read. */
static int block_error(struct sonde_block_source *source, int code)
{
	source->code = code;
	return code == SQLITE_ERROR || (code & 0xff) == SQLITE_CORRUPT ? -EBADMSG : -EIO;
}

int64_t sonde_block_source_open(struct sonde_block_source *source, int64_t id)
{
	int code;

	if (source->in_memory) {
		source->id = id;
		return (int64_t)memory_block(source)->length;
	}
	if (source->blob && source->id == id)
		return sqlite3_blob_bytes(source->blob);
	source->id = id;
	code = source->blob ? sqlite3_blob_reopen(source->blob, id) :
			      sqlite3_blob_open(source->db, "main", "sonde_blocks", "data", id, 0, &source->blob);
	if (!code)
		return sqlite3_blob_bytes(source->blob);
	sonde_block_source_close(source);
	return block_error(source, code);
}

int sonde_block_source_read(struct sonde_block_source *source, size_t offset, size_t length, void *out)
{
	const struct sonde_block *block = source->in_memory ? memory_block(source) : NULL;
	size_t all = block ? block->length : (size_t)sqlite3_blob_bytes(source->blob);
	int code;

	if (offset > all || length > all - offset)
		return -EBADMSG;
	if (block) {
		memcpy(out, block->data + offset, length);
		return 0;
	}
	code = sqlite3_blob_read(source->blob, out, (int)length, (int)offset);
	return code ? block_error(source, code) : 0;
}

void sonde_block_source_close(struct sonde_block_source *source)
{
	sqlite3_blob_close(source->blob);
	source->blob = NULL;
}
