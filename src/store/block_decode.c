/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block's columns out of bytes that anybody may have written. Invariant: every length is checked before it is used, memory
 * is taken only in proportion to what is there (at most SONDE_BLOCK_COLUMN_BYTES_MAX unpacked), and a column that comes
 * back can be read at every row.
 */
#include <store/block.h>

#include <base/cleanup.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static uint32_t get32(const uint8_t *in)
{
	uint32_t number;

	memcpy(&number, in, sizeof(number));
	return le32toh(number);
}

int sonde_block_head_length(const uint8_t *data)
{
	uint32_t length = get32(data + 4);

	if (memcmp(data, "sbk1", 4) || length < SONDE_BLOCK_HEAD_LEAST + 4 || length > SONDE_BLOCK_HEAD_MAX)
		return -EBADMSG;
	return (int)length;
}

static bool field_is_right(const struct sonde_block_field *field)
{
	if (field->type == SONDE_NULL || field->type > SONDE_ADDRESS || field->flags & ~(SONDE_BLOCK_ZSTD | SONDE_BLOCK_NULLS))
		return false;
	return field->bytes <= SONDE_BLOCK_COLUMN_BYTES_MAX &&
	       (field->flags & SONDE_BLOCK_ZSTD ? field->stored < field->bytes : field->stored == field->bytes);
}

/* @return where the next field begins, NULL: damaged */
static const uint8_t *field_read(const uint8_t *at, const uint8_t *end, struct sonde_block_field *field)
{
	uint32_t length;

	if (end - at < 15)
		return NULL;
	length = at[2];
	if ((size_t)(end - at) < 15 + length || length >= sizeof(field->name) || memchr(at + 3, 0, length))
		return NULL;
	field->type = at[0];
	field->flags = at[1];
	memcpy(field->name, at + 3, length);
	field->name[length] = '\0';
	at += 3 + length;
	field->bytes = get32(at);
	field->stored = get32(at + 4);
	field->checksum = get32(at + 8);
	return field_is_right(field) ? at + 12 : NULL;
}

int sonde_block_head_read(const uint8_t *head, size_t length, size_t data_length, struct sonde_block_head *ret_head)
{
	const uint8_t *at = head + SONDE_BLOCK_HEAD_LEAST, *end = head + length - 4;
	size_t offset = length;

	if (length < SONDE_BLOCK_HEAD_LEAST + 4 || sonde_block_head_length(head) != (int)length || length > data_length)
		return -EBADMSG;
	ret_head->checksum = get32(end);
	if (crc32(0, head, (uInt)(length - 4)) != ret_head->checksum)
		return -EBADMSG;
	ret_head->length = length;
	ret_head->count = get32(head + 8);
	ret_head->n_fields = get32(head + 12);
	if (!ret_head->count || ret_head->count > SONDE_BLOCK_ROWS_MAX || ret_head->n_fields > SONDE_COLUMNS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < ret_head->n_fields; i++) {
		at = field_read(at, end, &ret_head->fields[i]);
		if (!at)
			return -EBADMSG;
		ret_head->fields[i].offset = offset;
		offset += ret_head->fields[i].stored;
	}
	/* All begin with the time: a block without one cannot be put in order. */
	if (at != end || offset != data_length || !ret_head->n_fields || strcmp(ret_head->fields[0].name, "time") ||
	    ret_head->fields[0].type != SONDE_INT)
		return -EBADMSG;
	return 0;
}

/* ---- columns ---- */

void sonde_block_column_free(struct sonde_block_column *column)
{
	free(column->numbers);
	free(column->nulls);
	free(column->ids);
	free(column->few);
	free(column->bytes);
	free(column->offsets);
	*column = (struct sonde_block_column){};
}

static int numbers_column_read(const uint8_t *in, size_t length, struct sonde_block_column *column)
{
	int64_t used;

	column->ids = malloc((column->n + 1) * sizeof(*column->ids));
	column->few = malloc(256 * sizeof(*column->few));
	if (!column->ids || !column->few)
		return -ENOMEM;
	used = sonde_block_few_read(in, length, column->n, column->few, &column->n_entries, column->ids);
	if (used > 0 && (size_t)used == length) {
		for (uint32_t i = 0; column->nulls && i < column->n; i++)
			if (column->nulls[i >> 3] & 1u << (i & 7))
				column->ids[i] = 0;
		return 0;
	}
	if (used)
		return -EBADMSG;
	free(column->ids);
	free(column->few);
	column->ids = NULL;
	column->few = NULL;
	column->numbers = malloc((column->n + 1) * sizeof(*column->numbers));
	if (!column->numbers)
		return -ENOMEM;
	used = sonde_block_numbers_read(in, length, column->n, column->numbers);
	return used == (int64_t)length ? 0 : -EBADMSG;
}

static int nulls_read(const uint8_t **in, size_t *length, struct sonde_block_column *column)
{
	size_t bytes = (column->n + 7) / 8;

	if (*length < bytes)
		return -EBADMSG;
	column->nulls = malloc(bytes + 1);
	if (!column->nulls)
		return -ENOMEM;
	memcpy(column->nulls, *in, bytes);
	*in += bytes;
	*length -= bytes;
	return 0;
}

static int lengths_read(const uint8_t **in, size_t *length, uint32_t bytes, struct sonde_block_column *column)
{
	uint64_t sum = 0;
	int64_t used;

	column->offsets = malloc((column->n_entries + 1ul) * sizeof(*column->offsets));
	if (!column->offsets)
		return -ENOMEM;
	if (column->type == SONDE_ADDRESS) {
		for (uint32_t i = 0; i <= column->n_entries; i++)
			column->offsets[i] = i * 16;
		return bytes == column->n_entries * 16ull ? 0 : -EBADMSG;
	}
	used = sonde_block_ids_read(*in, *length, column->n_entries, bytes, column->offsets);
	if (used < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < column->n_entries; i++) {
		uint32_t one = column->offsets[i];

		column->offsets[i] = (uint32_t)sum;
		sum += one;
		if (sum > bytes)
			return -EBADMSG;
	}
	column->offsets[column->n_entries] = (uint32_t)sum;
	*in += used;
	*length -= (size_t)used;
	return sum == bytes ? 0 : -EBADMSG;
}

static int entries_column_read(const uint8_t *in, size_t length, struct sonde_block_column *column)
{
	uint32_t bytes;
	int r;

	if (length < 8)
		return -EBADMSG;
	column->n_entries = get32(in);
	bytes = get32(in + 4);
	in += 8;
	length -= 8;
	/* The texts of a batch that was taken back may still stand there, so a few more than rows. */
	if (column->n_entries > 2 * SONDE_BLOCK_ROWS_MAX || bytes > length)
		return -EBADMSG;
	r = lengths_read(&in, &length, bytes, column);
	if (r)
		return r;
	if (length < bytes)
		return -EBADMSG;
	column->bytes = malloc(bytes + 1ul);
	column->ids = malloc((column->n + 1) * sizeof(*column->ids));
	if (!column->bytes || !column->ids)
		return -ENOMEM;
	memcpy(column->bytes, in, bytes);
	return sonde_block_ids_read(in + bytes, length - bytes, column->n, column->n_entries, column->ids) ==
	       (int64_t)(length - bytes) ? 0 : -EBADMSG;
}

static int unpack(const struct sonde_block_field *field, const uint8_t *stored, uint8_t **ret_bytes)
{
	uint8_t *bytes;
	size_t length;

	/* A frame that says another size than the head would only be found out after it was unpacked. */
	if (ZSTD_getFrameContentSize(stored, field->stored) != field->bytes)
		return -EBADMSG;
	bytes = malloc(field->bytes + 1ul);
	if (!bytes)
		return -ENOMEM;
	length = ZSTD_decompress(bytes, field->bytes, stored, field->stored);
	if (ZSTD_isError(length) || length != field->bytes) {
		free(bytes);
		return -EBADMSG;
	}
	*ret_bytes = bytes;
	return 0;
}

bool sonde_block_column_check(const struct sonde_block_field *field, const uint8_t *stored)
{
	return crc32(0, stored, field->stored) == field->checksum;
}

int sonde_block_column_read(const struct sonde_block_field *field, const uint8_t *stored, uint32_t count,
			    struct sonde_block_column *ret_column)
{
	struct sonde_block_column column CLEANUP(sonde_block_column_free) = {.type = field->type, .n = count};
	uint8_t *unpacked CLEANUP_FREE = NULL;
	size_t length = field->bytes;
	int r = 0;

	if (!sonde_block_column_check(field, stored))
		return -EBADMSG;
	if (field->flags & SONDE_BLOCK_ZSTD) {
		r = unpack(field, stored, &unpacked);
		stored = unpacked;
	}
	if (r)
		return r;
	if (field->type == SONDE_TEXT || field->type == SONDE_ADDRESS) {
		r = entries_column_read(stored, length, &column);
	} else {
		if (field->flags & SONDE_BLOCK_NULLS)
			r = nulls_read(&stored, &length, &column);
		r = r ?: numbers_column_read(stored, length, &column);
	}
	if (r)
		return r;
	*ret_column = column;
	column = (struct sonde_block_column){};
	return 0;
}

static void number_value(enum sonde_value_type type, uint64_t number, struct sonde_value *ret_value)
{
	*ret_value = (struct sonde_value){.type = type};
	if (type == SONDE_BOOL)
		ret_value->b = number != 0;
	else
		ret_value->u = number;
}

void sonde_block_column_entry(const struct sonde_block_column *column, uint32_t entry, struct sonde_value *ret_value)
{
	uint32_t offset;

	if (column->few) {
		number_value(column->type, column->few[entry], ret_value);
		return;
	}
	offset = column->offsets[entry];
	*ret_value = (struct sonde_value){.type = column->type, .text = column->bytes + offset};
	if (column->type == SONDE_TEXT)
		ret_value->length = column->offsets[entry + 1] - offset;
}

void sonde_block_column_value(const struct sonde_block_column *column, uint32_t row, struct sonde_value *ret_value)
{
	if (sonde_block_column_is_null(column, row))
		*ret_value = (struct sonde_value){.type = SONDE_NULL};
	else if (column->ids)
		sonde_block_column_entry(column, column->ids[row] - 1, ret_value);
	else
		number_value(column->type, column->numbers[row], ret_value);
}
