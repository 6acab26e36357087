/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of age and size. The oldest blocks go, over all types alike, whole, in short transactions, so that no reader and no
 * commit waits long. The pages that become free are used again; the file only shrinks when it is above its limit.
 */
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_BLOCKS 64
#define SLICES_AT_ONCE 64 /* of one call; the rest has time */

/* An eighth of the limit is for the write-ahead log. */
uint64_t sqlite_limit(const struct sqlite_store *store)
{
	return store->max_bytes - store->max_bytes / 8;
}

struct victim {
	size_t slot;
	struct sonde_indexed_block block;
};

struct slice {
	struct victim victims[SLICE_BLOCKS];
	size_t n;
	uint64_t deleted[SONDE_TYPES_MAX];
	int64_t newest_ns[SONDE_TYPES_MAX];
};

static bool is_chosen(const struct slice *slice, int64_t id)
{
	for (size_t i = 0; i < slice->n; i++)
		if (slice->victims[i].block.id == id)
			return true;
	return false;
}

/* The block whose newest event is the oldest of all. @return false: there is none. */
static bool choose_oldest(struct sqlite_store *store, struct slice *slice, int64_t cutoff_ns)
{
	struct victim *victim = &slice->victims[slice->n];
	bool found = false;

	for (size_t i = 0; i < store->types.n; i++)
		for (size_t j = 0; j < store->slots[i].index.n; j++) {
			const struct sonde_indexed_block *block = &store->slots[i].index.items[j];

			if (block->newest_ns >= cutoff_ns || (found && block->newest_ns >= victim->block.newest_ns) ||
			    is_chosen(slice, block->id))
				continue;
			*victim = (struct victim){.slot = i, .block = *block};
			found = true;
		}
	slice->n += found;
	return found;
}

static void totals_move(struct sqlite_store *store, const struct slice *slice, bool back)
{
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->types.n; i++) {
		uint64_t n = back ? -slice->deleted[i] : slice->deleted[i];

		if (!n)
			continue;
		store->slots[i].expired += n;
		store->slots[i].readable -= n;
		store->slots[i].changed = true;
	}
	pthread_mutex_unlock(&store->lock);
}

static int delete_slice(struct sqlite_store *store, void *userdata)
{
	struct slice *slice = userdata;
	int code = SQLITE_OK;

	memset(slice->deleted, 0, sizeof(slice->deleted));
	for (size_t i = 0; !code && i < slice->n; i++) {
		const struct victim *victim = &slice->victims[i];

		code = sqlite_block_delete(store, victim->block.id);
		slice->deleted[victim->slot] += victim->block.count;
		if (!code && victim->block.newest_ns > store->slots[victim->slot].dropped_until_ns)
			store->slots[victim->slot].dropped_until_ns = victim->block.newest_ns;
	}
	totals_move(store, slice, false);
	return code ? code : sqlite_meta_write_totals(store);
}

static void index_forget(struct sqlite_store *store, const struct victim *victim)
{
	struct sonde_block_index *index = &store->slots[victim->slot].index;

	for (size_t i = 0; i < index->n; i++)
		if (index->items[i].id == victim->block.id) {
			sonde_block_index_remove(index, i, 1);
			return;
		}
}

/* Oldest blocks until there are `bytes` of them. */
static int delete_oldest(struct sqlite_store *store, int64_t cutoff_ns, uint64_t bytes, size_t *ret_deleted)
{
	struct slice *slice CLEANUP_FREE = calloc(1, sizeof(*slice));
	uint64_t sum = 0;
	int code = SQLITE_OK;

	if (!slice)
		return SQLITE_NOMEM;
	while (slice->n < SLICE_BLOCKS && sum < bytes && choose_oldest(store, slice, cutoff_ns))
		sum += slice->victims[slice->n - 1].block.bytes;
	if (slice->n)
		code = sqlite_transaction(store, delete_slice, slice);
	if (code)
		totals_move(store, slice, true);
	for (size_t i = 0; !code && i < slice->n; i++)
		index_forget(store, &slice->victims[i]);
	if (!code && slice->n) {
		pthread_mutex_lock(&store->lock);
		sqlite_span_make(store);
		pthread_mutex_unlock(&store->lock);
	}
	*ret_deleted = code ? 0 : slice->n;
	return code;
}

static int expire_age(struct sqlite_store *store, int64_t cutoff_ns)
{
	size_t deleted = 1;
	int code = SQLITE_OK;

	for (int i = 0; !code && deleted && i < SLICES_AT_ONCE; i++)
		code = delete_oldest(store, cutoff_ns, UINT64_MAX, &deleted);
	return code;
}

static int used_bytes(struct sqlite_store *store, uint64_t *ret_used, uint64_t *ret_size)
{
	int64_t pages, unused;
	int code = sqlite_number(store->db, "PRAGMA page_count", &pages);

	if (!code)
		code = sqlite_number(store->db, "PRAGMA freelist_count", &unused);
	if (code)
		return code;
	*ret_size = (uint64_t)pages * 4096;
	*ret_used = (uint64_t)(pages - unused) * 4096;
	return SQLITE_OK;
}

int sqlite_make_room(struct sqlite_store *store, uint64_t bytes)
{
	uint64_t limit = sqlite_limit(store), used, size;
	size_t deleted = 1;
	int code;

	if (!limit)
		return SQLITE_OK;
	if (bytes > limit / 2)
		bytes = limit / 2;
	while (!(code = used_bytes(store, &used, &size)) && deleted && used + bytes > limit) {
		code = delete_oldest(store, INT64_MAX, used + bytes - limit, &deleted);
		if (code)
			return code;
	}
	if (!code && size > limit)
		code = sqlite_log_check(store);
	if (!code && size > limit)
		code = sqlite_run(store->db, "PRAGMA incremental_vacuum(2048)");
	return code;
}

/* By age and by size. SQLite's code. */
static int drop_old(struct sqlite_store *store, int64_t now_ns)
{
	int64_t cutoff;
	int code = SQLITE_OK;

	if (store->max_age_ns) {
		pthread_mutex_lock(&store->lock);
		cutoff = sonde_retention_cutoff(&store->retention, now_ns, sonde_clock_boot_ns(), store->max_age_ns);
		pthread_mutex_unlock(&store->lock);
		if (store->db)
			code = expire_age(store, cutoff);
	}
	return code || !store->db ? code : sqlite_make_room(store, 0);
}

int sqlite_expire(struct sonde_store *base, int64_t now_ns)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	int code, r;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	if (store->db && !sqlite_file_is(store->path, store->lock_fd)) {
		r = sqlite_lost(store);
		return r ? sqlite_failed_now(store, r) : sqlite_commit(base, NULL, 0);
	}
	if (store->db && !sqlite_file_log_is(store->path, &store->log)) {
		r = sqlite_log_lost(store);
		if (r || !store->db)
			return r ? sqlite_failed_now(store, r) : sqlite_commit(base, NULL, 0);
	}
	code = drop_old(store, now_ns);
	if (code)
		return sqlite_failed(store, code, "cannot drop old events");
	sqlite_compactor_ask(store);
	return sqlite_meta_due(store) && !store->intake.n ? sqlite_commit(base, NULL, 0) : 0;
}
