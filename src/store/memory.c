/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's side of the store that writes nothing to disk. */
#include <store/memory.h>

#include <store/block_merge.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_BYTES (64ull << 20)
#define PENDING_MAX (16u << 20)
#define BLOCK_BYTES (4u << 20) /* of open columns */
/* Blocks of one max_age: what is dropped by age is dropped at most this part of it late. */
#define BLOCKS_OF_AGE 8
#define MERGE_NS (20 * SONDE_NS_PER_MS) /* at once */

static void limits_set(struct memory_store *store, const struct sonde_store_opts *opts)
{
	struct sonde_intake *intake = &store->intake;

	store->max_bytes = opts->max_bytes ?: DEFAULT_BYTES;
	store->max_age_ns = opts->max_age_ns;
	intake->names = opts->names;
	intake->max_bytes = PENDING_MAX;
	intake->max_span_ns = opts->max_age_ns / BLOCKS_OF_AGE;
	/* A block that is dropped is a small part of what is kept. */
	intake->block_bytes = store->max_bytes / 2 < BLOCK_BYTES ? store->max_bytes / 2 : BLOCK_BYTES;
}

static int memory_open(const struct sonde_store_opts *opts, struct sonde_store **ret_store)
{
	struct memory_store *store;

	if (opts->read_only)
		return sonde_store_fail(-EINVAL, "a store in memory can only be read by the agent that has it");
	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	if (sonde_intake_init(&store->intake)) {
		free(store);
		return -ENOMEM;
	}
	sonde_store_init(&store->base, &sonde_store_memory);
	limits_set(store, opts);
	store->started_ns = sonde_clock_wall_ns();
	sonde_types_init(&store->types);
	sonde_checkpoints_attach(&store->shared, opts->checkpoints, opts->checkpoints_size);
	sonde_retention_init(&store->retention, INT64_MIN);
	pthread_mutex_init(&store->lock, NULL);
	for (size_t i = 0; i < SONDE_TYPES_MAX; i++)
		store->slots[i].dropped_until_ns = INT64_MIN;
	*ret_store = &store->base;
	return 0;
}

static void memory_close(struct sonde_store *base)
{
	struct memory_store *store = (struct memory_store *)base;

	for (size_t i = 0; i < store->types.n; i++) {
		for (size_t j = 0; j < store->slots[i].blocks.n; j++)
			memory_block_unref(memory_block_of(&store->slots[i].blocks.items[j]));
		sonde_block_index_free(&store->slots[i].blocks);
	}
	sonde_intake_free(&store->intake);
	sonde_types_free(&store->types);
	pthread_mutex_destroy(&store->lock);
	sonde_store_done(base);
	free(store);
}

static int memory_add_type(struct sonde_store *base, const struct sonde_type *type, const char *program)
{
	struct memory_store *store = (struct memory_store *)base;
	size_t slot;
	int r = sonde_types_add(&store->types, type, program, &slot);

	return r < 0 ? r : sonde_intake_add_source(&store->intake, type, slot);
}

static size_t memory_types(struct sonde_store *base, const struct sonde_type **types, size_t max)
{
	return sonde_types_list(&((struct memory_store *)base)->types, types, max);
}

static int memory_append(struct sonde_store *base, const struct sonde_event *events, size_t n)
{
	return sonde_intake_append(&((struct memory_store *)base)->intake, events, n);
}

/* ---- limits ---- */

static uint64_t block_bytes(const struct sonde_block *block)
{
	return sizeof(*block) + block->length;
}

/* Out of the list; what it was is no longer there. */
static void memory_remove(struct memory_store *store, struct memory_type *slot, size_t at, size_t n)
{
	for (size_t i = at; i < at + n; i++) {
		store->bytes -= block_bytes(memory_block_of(&slot->blocks.items[i]));
		memory_block_unref(memory_block_of(&slot->blocks.items[i]));
	}
	sonde_block_index_remove(&slot->blocks, at, n);
}

static void memory_drop(struct memory_store *store, struct memory_type *slot)
{
	const struct sonde_indexed_block *oldest = &slot->blocks.items[0];

	if (oldest->newest_ns > slot->dropped_until_ns)
		slot->dropped_until_ns = oldest->newest_ns;
	slot->expired += oldest->count;
	memory_remove(store, slot, 0, 1);
}

/* @return false: there is nothing to drop. */
static bool memory_drop_oldest(struct memory_store *store)
{
	struct memory_type *oldest = NULL;

	for (size_t i = 0; i < store->types.n; i++) {
		struct memory_type *slot = &store->slots[i];

		if (slot->blocks.n && (!oldest || slot->blocks.items[0].newest_ns < oldest->blocks.items[0].newest_ns))
			oldest = slot;
	}
	if (oldest)
		memory_drop(store, oldest);
	return oldest;
}

static int memory_expire(struct sonde_store *base, int64_t now_ns)
{
	struct memory_store *store = (struct memory_store *)base;
	int64_t cutoff;

	if (!store->max_age_ns)
		return 0;
	pthread_mutex_lock(&store->lock);
	cutoff = sonde_retention_cutoff(&store->retention, now_ns, sonde_clock_boot_ns(), store->max_age_ns);
	for (size_t i = 0; i < store->types.n; i++)
		while (store->slots[i].blocks.n && store->slots[i].blocks.items[0].newest_ns < cutoff)
			memory_drop(store, &store->slots[i]);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* ---- commit ---- */

/* @return 0 or -ENOMEM */
static int memory_add(struct memory_store *store, struct memory_type *slot, struct sonde_block *block)
{
	const struct sonde_block_facts *facts = &block->facts;
	struct sonde_indexed_block indexed = {.id = (int64_t)(intptr_t)block, .first = facts->first, .count = facts->count,
					      .oldest_ns = facts->oldest_ns, .newest_ns = facts->newest_ns, .bytes = block->length};

	block->references = 1;
	block->facts.id = indexed.id;
	if (sonde_block_index_add(&slot->blocks, &indexed))
		return -ENOMEM;
	store->bytes += block_bytes(block);
	return 0;
}

/* Cannot fail, so that a commit is whole: where there is no memory, older events make room, or these are dropped at once. */
static void memory_take(struct memory_store *store, struct sonde_block *block)
{
	struct memory_type *slot = &store->slots[block->slot];
	int r;

	block->facts.first = slot->stored;
	slot->stored += block->facts.count;
	do {
		r = memory_add(store, slot, block);
	} while (r && memory_drop_oldest(store));
	if (r) {
		slot->expired += block->facts.count;
		if (block->facts.newest_ns > slot->dropped_until_ns)
			slot->dropped_until_ns = block->facts.newest_ns;
		free(block);
	}
	while (store->bytes > store->max_bytes && memory_drop_oldest(store))
		;
}

/* ---- merge ---- */

/* From `at` on at most `n` blocks. @return how many were taken; they are one now unless it is less than two. */
static size_t merge_take(struct memory_store *store, size_t i, size_t at, size_t n, struct sonde_block_merge *merge)
{
	const struct sonde_type *type = &sonde_types_get(&store->types, i)->type;
	struct sonde_block_source source = {.in_memory = true};
	size_t taken = 0;

	while (taken < n && (!taken || sonde_block_merge_bytes(merge) < store->intake.block_bytes)) {
		struct sonde_block_ref ref;

		sonde_block_ref_set(&ref, &memory_block_of(&store->slots[i].blocks.items[at + taken])->facts);
		if (sonde_block_merge_take(merge, &source, type, &ref) != 1)
			break;
		taken++;
	}
	return taken;
}

static void merge_one(struct memory_store *store, size_t i, size_t at, size_t n)
{
	struct sonde_block_merge *merge CLEANUP(sonde_block_merge_free) = NULL;
	struct memory_type *slot = &store->slots[i];
	struct sonde_block *block;
	size_t taken = sonde_block_merge_new(&merge) ? 0 : merge_take(store, i, at, n, merge);

	if (taken < 2 || sonde_block_merge_end(merge, store->intake.encoder, &block)) {
		slot->blocks.items[at].stays = true; /* nothing to gain here, now and later */
		return;
	}
	block->slot = i;
	pthread_mutex_lock(&store->lock);
	memory_remove(store, slot, at, taken);
	(void)memory_add(store, slot, block); /* in the place of the others: there is room */
	pthread_mutex_unlock(&store->lock);
}

/* Each commit makes small blocks: large ones cost less, in memory and to ask. */
static void memory_merge(struct memory_store *store)
{
	int64_t until_ns = sonde_clock_boot_ns() + MERGE_NS;

	for (size_t i = 0; i < store->types.n; i++) {
		size_t at, n;

		while (sonde_clock_boot_ns() < until_ns &&
		       (n = sonde_block_index_run(&store->slots[i].blocks, store->intake.max_span_ns, &at)))
			merge_one(store, i, at, n);
	}
}

/* ---- checkpoints ---- */

static void program_totals(struct memory_store *store, const char *program, uint64_t *ret_stored,
			   uint64_t *ret_expired)
{
	*ret_stored = *ret_expired = 0;
	for (size_t i = 0; i < sonde_types_count(&store->types); i++)
		if (!strcmp(sonde_types_get(&store->types, i)->program, program)) {
			*ret_stored += store->slots[i].stored;
			*ret_expired += store->slots[i].expired;
		}
}

static struct memory_ring *ring_find(struct memory_store *store, const char *program, uint64_t ring_id)
{
	for (size_t i = 0; i < store->n_rings; i++)
		if (store->rings[i].checkpoint.ring_id == ring_id && !strcmp(store->rings[i].checkpoint.program, program))
			return &store->rings[i];
	return NULL;
}

static void memory_save(struct memory_store *store, const struct sonde_checkpoint *checkpoint)
{
	struct memory_ring *ring = ring_find(store, checkpoint->program, checkpoint->ring_id);
	uint64_t stored, expired;

	if (!ring) {
		if (store->n_rings == MEMORY_RINGS_MAX) /* rings come with a start of a program; the oldest is long gone */
			memmove(store->rings, store->rings + 1, --store->n_rings * sizeof(*ring));
		ring = &store->rings[store->n_rings++];
		program_totals(store, checkpoint->program, &stored, &expired);
		ring->base = (int64_t)(stored - checkpoint->stored);
	}
	ring->checkpoint = *checkpoint;
}

static int memory_commit(struct sonde_store *base, const struct sonde_checkpoint *checkpoints, size_t n)
{
	struct memory_store *store = (struct memory_store *)base;
	struct sonde_block *block, *next;
	int r = sonde_intake_seal(&store->intake);

	if (r)
		return sonde_store_fail(r, "no memory for the events that wait");
	block = store->intake.blocks;
	store->intake.blocks = NULL;
	sonde_intake_clear(&store->intake);
	pthread_mutex_lock(&store->lock);
	for (; block; block = next) {
		next = block->next;
		memory_take(store, block);
	}
	for (size_t i = 0; i < n; i++)
		memory_save(store, &checkpoints[i]);
	store->commits++;
	pthread_mutex_unlock(&store->lock);
	memory_merge(store);
	for (size_t i = 0; i < n && !r; i++)
		r = sonde_checkpoints_save(&store->shared, &checkpoints[i]);
	return r ? sonde_store_fail(r, "no room for the checkpoints of %zu programs", n) : 0;
}

/* Events of a ring that another process kept: they went with it. When the first of them was is not known: not before the boot. */
static void memory_forgotten(struct memory_store *store, const struct sonde_checkpoint *checkpoint)
{
	struct sonde_gap gap = {
		.cause = "the worker ended", .from_ns = sonde_clock_wall_offset_ns(), .to_ns = store->started_ns,
		.count = checkpoint->stored,
	};

	if (!checkpoint->stored)
		return;
	snprintf(gap.program, sizeof(gap.program), "%s", checkpoint->program);
	for (size_t i = 0; i < store->gaps.n; i++)
		if (!strcmp(store->gaps.items[i].program, gap.program) && !strcmp(store->gaps.items[i].cause, gap.cause))
			return;
	sonde_gaps_add(&store->gaps, &gap);
}

static int memory_checkpoint(struct sonde_store *base, const char *program, uint64_t ring_id,
			     struct sonde_checkpoint *ret_checkpoint)
{
	struct memory_store *store = (struct memory_store *)base;
	struct sonde_checkpoint checkpoint = {.ring_id = ring_id};
	const struct memory_ring *ring;
	uint64_t stored, expired;

	snprintf(checkpoint.program, sizeof(checkpoint.program), "%s", program);
	pthread_mutex_lock(&store->lock);
	ring = ring_find(store, program, ring_id);
	if (ring) {
		checkpoint = ring->checkpoint;
		program_totals(store, program, &stored, &expired);
		checkpoint.expired = sonde_checkpoint_expired(checkpoint.stored, ring->base, expired);
	} else if (sonde_checkpoints_find(&store->shared, program, ring_id, &checkpoint)) {
		checkpoint.expired = checkpoint.stored;
		memory_forgotten(store, &checkpoint);
	}
	pthread_mutex_unlock(&store->lock);
	*ret_checkpoint = checkpoint;
	return 0;
}

static void memory_seen_from(struct sonde_store *base, int64_t from_ns)
{
	struct memory_store *store = (struct memory_store *)base;

	pthread_mutex_lock(&store->lock);
	store->started_ns = from_ns;
	pthread_mutex_unlock(&store->lock);
}

static int memory_gap(struct sonde_store *base, const struct sonde_gap *gap)
{
	struct memory_store *store = (struct memory_store *)base;

	pthread_mutex_lock(&store->lock);
	sonde_gaps_add(&store->gaps, gap);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int memory_gap_end(struct sonde_store *base, const char *program, const char *cause, int64_t to_ns)
{
	struct memory_store *store = (struct memory_store *)base;

	pthread_mutex_lock(&store->lock);
	(void)sonde_gaps_end(&store->gaps, program, cause, to_ns);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int memory_sql(struct sonde_store *base, const char *sql, uint32_t limit, int64_t timeout_ns,
		      int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
		      void *userdata, struct sonde_answer *ret_answer)
{
	return sonde_store_fail(-ENOTSUP, "the store in memory has no SQL; use 'sonde events' or a store on disk");
}

const struct sonde_store_ops sonde_store_memory = {
	.name = "memory", .open = memory_open, .close = memory_close, .add_type = memory_add_type,
	.types = memory_types, .append = memory_append, .commit = memory_commit, .checkpoint = memory_checkpoint,
	.gap = memory_gap, .gap_end = memory_gap_end, .expire = memory_expire,
	.seen_from = memory_seen_from, .query = memory_query, .count = memory_count, .sql = memory_sql,
	.status = memory_status,
};
