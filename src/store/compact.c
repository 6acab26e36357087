/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blocks, one for each commit, become large ones. A merge is one short transaction that takes the old blocks away and puts
 * the new one in their place, so that a reader sees either; the events keep their sequences. Totals do not change.
 */
#include <store/block_merge.h>
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct merge {
	struct sonde_block_source source;
	struct sonde_block_index *index;
	size_t at, n;
	struct sonde_block *block;
	struct sonde_indexed_block indexed;
	struct sonde_block_merge *rows;
};

static int take_facts(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct sonde_block_ref *ref = userdata;

	if (facts)
		sonde_block_ref_set(ref, facts);
	return 0;
}

static int gather(struct sqlite_store *store, struct merge *merge, const struct sonde_type *stored)
{
	size_t taken = 0;
	int r = 0;

	while (taken < merge->n && !r) {
		struct sonde_indexed_block *block = &merge->index->items[merge->at + taken];
		struct sonde_block_ref ref = {};
		int code = sonde_block_facts_of(store->db, block->id, take_facts, &ref);

		if (code) {
			merge->source.code = code;
			return -EIO;
		}
		r = ref.id == block->id && ref.first == block->first && ref.count == block->count ?
		    sonde_block_merge_take(merge->rows, &merge->source, stored, &ref) : -EBADMSG;
		if (r == -EBADMSG)
			block->stays = true; /* what was before it may be merged */
		if (r != 1)
			break;
		r = 0;
		taken++;
		if (sonde_block_merge_bytes(merge->rows) >= store->intake.block_bytes)
			break;
	}
	merge->n = taken;
	return r == -EBADMSG ? 0 : r;
}

static int replace(struct sqlite_store *store, void *userdata)
{
	struct merge *merge = userdata;
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < merge->n; i++)
		code = sqlite_block_delete(store, merge->index->items[merge->at + i].id);
	return code ? code : sqlite_block_insert(store, merge->block, &merge->indexed);
}

static int merge_run(struct sqlite_store *store, struct merge *merge, const struct sonde_type *stored)
{
	int code, r = gather(store, merge, stored);

	sonde_block_source_close(&merge->source);
	if (r == -EIO)
		return merge->source.code;
	if (r || merge->n < 2) {
		/* Nothing to gain here, now and later: the first one is passed over. */
		merge->index->items[merge->at].stays = true;
		return r == -ENOMEM ? SQLITE_NOMEM : SQLITE_OK;
	}
	if (sonde_block_merge_end(merge->rows, store->intake.encoder, &merge->block))
		return SQLITE_NOMEM;
	code = sqlite_transaction(store, replace, merge);
	if (code)
		return code;
	sonde_block_index_remove(merge->index, merge->at, merge->n);
	(void)sonde_block_index_add(merge->index, &merge->indexed);
	return SQLITE_OK;
}

static int compact_one(struct sqlite_store *store, size_t slot, size_t at, size_t n)
{
	struct merge *merge CLEANUP_FREE = calloc(1, sizeof(*merge));
	int code;

	if (!merge)
		return SQLITE_NOMEM;
	merge->source.db = store->db;
	merge->index = &store->slots[slot].index;
	merge->at = at;
	merge->n = n;
	code = sonde_block_merge_new(&merge->rows) ? SQLITE_NOMEM :
						     merge_run(store, merge, &sonde_types_get(&store->types, slot)->type);
	sonde_block_merge_free(&merge->rows);
	free(merge->block);
	return code;
}

int sqlite_compact(struct sqlite_store *store, int64_t budget_ns)
{
	int64_t until_ns = sonde_clock_boot_ns() + budget_ns;
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < store->types.n; i++) {
		size_t at, n;

		while (!code && sonde_clock_boot_ns() < until_ns &&
		       (n = sonde_block_index_run(&store->slots[i].index, store->intake.max_span_ns, &at)))
			code = compact_one(store, i, at, n);
	}
	return code;
}
