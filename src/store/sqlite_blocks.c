/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file's blocks when it is opened for writing. What the totals say is there and is not, is lost: it becomes a gap, and counts as
 * expired. Invariant: afterwards stored = expired + readable, and readable is what the good blocks have.
 */
#include <store/sqlite.h>

#include <base/clock.h>
#include <base/log.h>

#include <errno.h>
#include <stdlib.h>

#define DAMAGED_MAX 256

void sqlite_span_add(struct sqlite_store *store, const struct sonde_indexed_block *block)
{
	if (!store->oldest_ns || block->oldest_ns < store->oldest_ns)
		store->oldest_ns = block->oldest_ns;
	if (!store->newest_ns || block->newest_ns > store->newest_ns)
		store->newest_ns = block->newest_ns;
}

void sqlite_span_make(struct sqlite_store *store)
{
	store->oldest_ns = store->newest_ns = 0;
	for (size_t i = 0; i < store->types.n; i++)
		for (size_t j = 0; j < store->slots[i].index.n; j++)
			sqlite_span_add(store, &store->slots[i].index.items[j]);
}

struct loading {
	struct sqlite_store *store;
	uint64_t rows[SONDE_TYPES_MAX], end[SONDE_TYPES_MAX];
	int64_t damaged[DAMAGED_MAX];
	size_t n_damaged;
	bool is_over;
};

/* The file lost the type with its name and columns. The block is removed, and its time is known. */
static void lose_unknown(struct sqlite_store *store, const struct sonde_block_facts *facts)
{
	struct sonde_gap gap = {.from_ns = facts->oldest_ns, .to_ns = facts->newest_ns, .count = facts->count};

	snprintf(gap.program, sizeof(gap.program), "%s", facts->type);
	snprintf(gap.cause, sizeof(gap.cause), "damaged");
	sonde_gaps_add(&store->gaps, &gap);
	store->gaps_changed = true;
	sonde_log_warning("the store '%s': %u events of %s are lost (damaged)", store->path, facts->count, facts->type);
}

static int load_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct loading *loading = userdata;
	int slot = facts ? sonde_types_find(&loading->store->types, facts->type) : -1;
	struct sonde_indexed_block block;

	if (slot < 0 || facts->first > (uint64_t)INT64_MAX - facts->count) {
		if (loading->n_damaged == DAMAGED_MAX)
			return 0; /* at the next start */
		loading->damaged[loading->n_damaged++] = id;
		if (facts && slot < 0)
			lose_unknown(loading->store, facts);
		return 0;
	}
	block = (struct sonde_indexed_block){.id = facts->id, .first = facts->first, .count = facts->count,
					     .oldest_ns = facts->oldest_ns, .newest_ns = facts->newest_ns, .bytes = length};
	loading->rows[slot] += facts->count;
	if (facts->first + facts->count > loading->end[slot])
		loading->end[slot] = facts->first + facts->count;
	return sonde_block_index_add(&loading->store->slots[slot].index, &block);
}

/* Whose rows SQLite's own pages list wrongly is not written to: its good blocks go into a new file. */
static int load_drop(const char *type, const struct sonde_block_place *place, void *userdata)
{
	struct loading *loading = userdata;

	sonde_log_warning("the store '%s': block %lld of %s was deleted and is back by damage", loading->store->path,
			  (long long)place->id, type);
	loading->is_over = true;
	return 0;
}

static int delete_damaged(struct sqlite_store *store, void *userdata)
{
	const struct loading *loading = userdata;
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < loading->n_damaged; i++)
		code = sqlite_block_delete(store, loading->damaged[i]);
	return code;
}

/* Nobody knows when the lost ones were, so the gap is as long as the file's memory. */
void sqlite_blocks_lose(struct sqlite_store *store, size_t slot, uint64_t lost, const char *cause)
{
	const struct sonde_stored_type *type = sonde_types_get(&store->types, slot);
	const struct sonde_block_index *index = &store->slots[slot].index;
	struct sonde_gap gap = {.to_ns = sonde_clock_wall_ns(), .count = lost};

	gap.from_ns = store->run.previous_id ? store->run.previous_started_ns : store->run.started_ns;
	if (index->n && index->items[0].oldest_ns < gap.from_ns)
		gap.from_ns = index->items[0].oldest_ns;
	if (gap.from_ns > gap.to_ns)
		gap.from_ns = gap.to_ns;
	snprintf(gap.program, sizeof(gap.program), "%s", type->program);
	snprintf(gap.cause, sizeof(gap.cause), "%s", cause);
	sonde_gaps_add(&store->gaps, &gap);
	store->gaps_changed = true;
	sonde_log_warning("the store '%s': %llu events of %s are lost (%s)", store->path, (unsigned long long)lost, type->type.name,
			  cause);
}

static void totals_check(struct sqlite_store *store, const struct loading *loading, size_t i)
{
	struct sqlite_slot *slot = &store->slots[i];

	if (slot->readable == loading->rows[i] && slot->stored == slot->readable + slot->expired &&
	    slot->stored >= loading->end[i] && slot->stored <= INT64_MAX / 2)
		return;
	if (slot->readable > loading->rows[i] && slot->readable <= slot->stored)
		sqlite_blocks_lose(store, i, slot->readable - loading->rows[i], "damaged");
	if (slot->stored > INT64_MAX / 2 || slot->stored < loading->end[i])
		slot->stored = loading->end[i];
	slot->readable = loading->rows[i];
	slot->expired = slot->stored > slot->readable ? slot->stored - slot->readable : 0;
	slot->stored = slot->readable + slot->expired;
	slot->changed = true;
}

int sqlite_blocks_load(struct sqlite_store *store)
{
	struct loading *loading CLEANUP_FREE = calloc(1, sizeof(*loading));
	int code;

	if (!loading)
		return SQLITE_NOMEM;
	loading->store = store;
	code = sonde_blocks_each(store->db, load_block, load_drop, loading);
	if (code)
		return code < 0 ? SQLITE_NOMEM : code;
	if (loading->is_over)
		return SQLITE_CORRUPT;
	for (size_t i = 0; i < store->types.n; i++)
		totals_check(store, loading, i);
	sqlite_span_make(store);
	if (!loading->n_damaged)
		return SQLITE_OK;
	code = sqlite_transaction(store, delete_damaged, loading);
	return sqlite_is_damage(code) ? code : SQLITE_OK; /* else they only take room until the next start */
}
