/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks into one. Invariant: the columns have the rows of the blocks taken, in their order. */
#include <store/block_merge.h>

#include <store/columns.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sonde_block_merge {
	/* The type as the first of the blocks has it. */
	struct sonde_type type;
	struct sonde_column columns[SONDE_COLUMNS_MAX];
	char names[SONDE_COLUMNS_MAX][SONDE_BLOCK_NAME_MAX];
	struct sonde_columns *rows;
	size_t taken;
	uint64_t first;
};

int sonde_block_merge_new(struct sonde_block_merge **ret_merge)
{
	*ret_merge = calloc(1, sizeof(**ret_merge));
	return *ret_merge ? 0 : -ENOMEM;
}

void sonde_block_merge_free(struct sonde_block_merge **merge)
{
	if (!*merge)
		return;
	sonde_columns_free(&(*merge)->rows);
	free(*merge);
	*merge = NULL;
}

static int type_take(struct sonde_block_merge *merge, const struct sonde_type *stored, const struct sonde_block_head *head)
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
static bool has_type(const struct sonde_block_merge *merge, const struct sonde_block_head *head)
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

static int rows_take(struct sonde_block_merge *merge, struct sonde_block_source *source,
		     struct sonde_block_part *part)
{
	int r = 0;

	for (uint32_t i = 0; i < merge->type.n_columns && !r; i++)
		r = sonde_block_part_load(source, part, i);
	return r ?: sonde_columns_merge(merge->rows, part->columns, part->n);
}

int sonde_block_merge_take(struct sonde_block_merge *merge, struct sonde_block_source *source, const struct sonde_type *stored,
			   const struct sonde_block_ref *ref)
{
	struct sonde_block_want want = {.type = stored, .unordered = true, .pid = -1,
					.span = {.since_ns = INT64_MIN, .until_ns = INT64_MAX}};
	struct sonde_block_part *part CLEANUP(sonde_block_part_free) = NULL;
	int r;

	if (merge->rows)
		want.type = &merge->type;
	r = sonde_block_part_open(source, &want, ref, &part);
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
		r = sonde_block_part_open(source, &want, ref, &part);
	}
	r = r ?: rows_take(merge, source, part);
	if (!r && !merge->taken++)
		merge->first = ref->first;
	return r ?: 1;
}

size_t sonde_block_merge_bytes(const struct sonde_block_merge *merge)
{
	return merge->rows ? sonde_columns_bytes(merge->rows) : 0;
}

int sonde_block_merge_end(const struct sonde_block_merge *merge, struct sonde_block_encoder *encoder,
			  struct sonde_block **ret_block)
{
	int r = sonde_block_encode(encoder, merge->rows, ret_block);

	if (!r)
		(*ret_block)->facts.first = merge->first;
	return r;
}
