/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blocks, one for each commit, become large ones. A merge is one short transaction that takes the old blocks away and puts
 * the new one in their place, so that a reader sees either; the events keep their sequences. Totals do not change.
 */
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
	/* The type as the first of the blocks has it. */
	struct sonde_type type;
	struct sonde_column columns[SONDE_COLUMNS_MAX];
	char names[SONDE_COLUMNS_MAX][SONDE_BLOCK_NAME_MAX];
	struct sonde_columns *rows;
};

static int type_take(struct merge *merge, const struct sonde_type *stored, const struct sonde_block_head *head)
{
	if (head->n_fields + 1 > SONDE_COLUMNS_MAX || head->n_fields + 1 < SONDE_COLUMN_COMMON_MAX)
		return -EBADMSG;
	merge->type = (struct sonde_type){.name = stored->name, .n_columns = head->n_fields + 1, .columns = merge->columns};
	for (uint32_t i = 0; i < merge->type.n_columns; i++) {
		const struct sonde_block_field *field = &head->fields[i ? i - 1 : 0];

		snprintf(merge->names[i], sizeof(merge->names[i]), "%s", i == SONDE_COLUMN_TYPE ? "type" : field->name);
		merge->columns[i] = (struct sonde_column){.name = merge->names[i], .length_offset = -1,
							  .type = i == SONDE_COLUMN_TYPE ? SONDE_TEXT : field->type};
		if (i < SONDE_COLUMN_COMMON_MAX && strcmp(merge->names[i], stored->columns[i].name))
			return -EBADMSG;
	}
	return sonde_columns_new(&merge->type, &merge->rows);
}

/* Blocks of another version of the type stay apart. */
static bool has_type(const struct merge *merge, const struct sonde_block_head *head)
{
	if (head->n_fields + 1 != merge->type.n_columns)
		return false;
	for (uint32_t i = 0; i < merge->type.n_columns; i++) {
		const struct sonde_block_field *field = &head->fields[i ? i - 1 : 0];

		if (i != SONDE_COLUMN_TYPE && (strcmp(field->name, merge->names[i]) || field->type != merge->columns[i].type))
			return false;
	}
	return true;
}

static int rows_take(struct merge *merge, struct sonde_block_part *part)
{
	int r = 0;

	for (uint32_t i = 0; i < merge->type.n_columns && !r; i++)
		r = sonde_block_part_load(&merge->source, part, i);
	return r ?: sonde_columns_merge(merge->rows, part->columns, part->n);
}

/* @return 1 taken, 0 of another version, or an error */
static int block_take(struct merge *merge, const struct sonde_type *stored, const struct sonde_indexed_block *block,
		      const struct sonde_block_ref *ref)
{
	struct sonde_block_want want = {.type = stored, .unordered = true, .pid = -1,
					.span = {.since_ns = INT64_MIN, .until_ns = INT64_MAX}};
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = NULL;
	int r;

	if (merge->rows)
		want.type = &merge->type;
	r = sonde_block_part_open(&merge->source, &want, ref, &part);
	if (r)
		return r;
	if (merge->rows && !has_type(merge, &part->head))
		return 0;
	if (!merge->rows) {
		r = type_take(merge, stored, &part->head);
		if (r)
			return r;
		/* again, with the columns in the order of the block's own type */
		sonde_block_part_free(&part);
		want.type = &merge->type;
		r = sonde_block_part_open(&merge->source, &want, ref, &part);
	}
	return r ?: rows_take(merge, part) ?: 1;
}

static int take_facts(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct sonde_block_ref *ref = userdata;

	if (facts)
		*ref = (struct sonde_block_ref){.id = id, .first = facts->first, .count = facts->count, .head = facts->head,
						.oldest_ns = facts->oldest_ns, .newest_ns = facts->newest_ns};
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
		    block_take(merge, stored, block, &ref) : -EBADMSG;
		if (r == -EBADMSG)
			block->stays = true; /* what was before it may be merged */
		if (r != 1)
			break;
		r = 0;
		taken++;
		if (sonde_columns_bytes(merge->rows) >= store->intake.block_bytes)
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
	if (sonde_block_encode(store->intake.encoder, merge->rows, &merge->block))
		return SQLITE_NOMEM;
	merge->block->facts.first = merge->index->items[merge->at].first;
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
	code = merge_run(store, merge, &sonde_types_get(&store->types, slot)->type);
	sonde_columns_free(&merge->rows);
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
