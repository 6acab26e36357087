/* SPDX-License-Identifier: Apache-2.0 */
/* Open columns to a block. Invariant: what the facts and filters say covers every row of it. */
#include <store/block.h>

#include <store/columns.h>

#include <base/cleanup.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define ZSTD_LEVEL 1
/* Less than this a frame's head would make longer. */
#define COMPRESS_LEAST 48
/* A block of few rows is soon part of a larger one: setting zstd up for each of its columns would cost more than all the rest. */
#define FEW_ROWS 4096
#define COMPRESS_LEAST_OF_FEW 16384

struct bytes {
	uint8_t *data;
	size_t length, capacity;
};

struct sonde_block_encoder {
	ZSTD_CCtx *zstd;
	struct bytes raw, packed, numbers, head;
	struct sonde_block_set sets[SONDE_BLOCK_FILTERS];
};

int sonde_block_encoder_new(struct sonde_block_encoder **ret_encoder)
{
	struct sonde_block_encoder *encoder = calloc(1, sizeof(*encoder));

	if (encoder)
		encoder->zstd = ZSTD_createCCtx();
	if (!encoder || !encoder->zstd) {
		free(encoder);
		return -ENOMEM;
	}
	*ret_encoder = encoder;
	return 0;
}

void sonde_block_encoder_free(struct sonde_block_encoder **encoder)
{
	if (!*encoder)
		return;
	ZSTD_freeCCtx((*encoder)->zstd);
	free((*encoder)->raw.data);
	free((*encoder)->packed.data);
	free((*encoder)->numbers.data);
	free((*encoder)->head.data);
	free(*encoder);
	*encoder = NULL;
}

/* Room for `more` bytes behind what is there. */
static int room(struct bytes *bytes, size_t more)
{
	size_t need = bytes->length + more;
	uint8_t *data;

	if (need <= bytes->capacity)
		return 0;
	data = realloc(bytes->data, need + need / 4);
	if (!data)
		return -ENOMEM;
	bytes->data = data;
	bytes->capacity = need + need / 4;
	return 0;
}

static void put32(struct bytes *out, uint32_t number)
{
	number = htole32(number);
	memcpy(out->data + out->length, &number, sizeof(number));
	out->length += sizeof(number);
}

/* ---- columns ---- */

static int constant_add(struct sonde_block_encoder *encoder, uint64_t number)
{
	if (room(&encoder->raw, 16))
		return -ENOMEM;
	encoder->raw.length += sonde_block_constant_write(number, encoder->raw.data + encoder->raw.length);
	return 0;
}

static int numbers_add(struct sonde_block_encoder *encoder, const uint64_t *numbers, uint32_t n)
{
	int r;

	encoder->numbers.length = 0;
	r = room(&encoder->numbers, 2 * n * sizeof(uint64_t));
	if (!r)
		r = room(&encoder->raw, SONDE_BLOCK_NUMBERS_BYTES(n) + 2048);
	if (r)
		return r;
	encoder->raw.length += sonde_block_numbers_write(numbers, n, (uint64_t *)encoder->numbers.data + n,
							 encoder->raw.data + encoder->raw.length);
	return 0;
}

static int ids_add(struct sonde_block_encoder *encoder, const uint32_t *ids, uint32_t n)
{
	uint64_t *scratch;

	encoder->numbers.length = 0;
	if (room(&encoder->numbers, 2 * n * sizeof(uint64_t)) || room(&encoder->raw, SONDE_BLOCK_NUMBERS_BYTES(n) + 2048))
		return -ENOMEM;
	scratch = (uint64_t *)encoder->numbers.data;
	encoder->raw.length += sonde_block_ids_write(ids, n, scratch, encoder->raw.data + encoder->raw.length);
	return 0;
}

static int lengths_add(struct sonde_block_encoder *encoder, const struct sonde_dictionary *dictionary)
{
	uint64_t *lengths;

	encoder->numbers.length = 0;
	if (room(&encoder->numbers, 2 * dictionary->n * sizeof(uint64_t)))
		return -ENOMEM;
	lengths = (uint64_t *)encoder->numbers.data;
	for (uint32_t i = 0; i < dictionary->n; i++)
		lengths[i] = dictionary->offsets[i + 1] - dictionary->offsets[i];
	return numbers_add(encoder, lengths, dictionary->n);
}

static int dictionary_add(struct sonde_block_encoder *encoder, const struct sonde_open_column *column, uint32_t n)
{
	const struct sonde_dictionary *dictionary = &column->dictionary;
	int r = room(&encoder->raw, dictionary->length + 8);

	if (r)
		return r;
	put32(&encoder->raw, dictionary->n);
	put32(&encoder->raw, (uint32_t)dictionary->length);
	if (column->type == SONDE_TEXT)
		r = lengths_add(encoder, dictionary);
	if (r || room(&encoder->raw, dictionary->length))
		return -ENOMEM;
	if (dictionary->length)
		memcpy(encoder->raw.data + encoder->raw.length, dictionary->bytes, dictionary->length);
	encoder->raw.length += dictionary->length;
	return sonde_column_is_same(column, n) ? constant_add(encoder, column->ids[0]) : ids_add(encoder, column->ids, n);
}

static int nulls_add(struct sonde_block_encoder *encoder, const struct sonde_open_column *column, uint32_t n)
{
	if (room(&encoder->raw, (n + 7) / 8))
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i += 8)
		encoder->raw.data[encoder->raw.length++] = column->is_spread ? (uint8_t)(column->nulls[i >> 6] >> (i & 63)) : 0xff;
	if (n & 7)
		encoder->raw.data[encoder->raw.length - 1] &= (uint8_t)((1u << (n & 7)) - 1);
	return 0;
}

static void head_add(struct bytes *head, const char *name, enum sonde_value_type type, uint8_t flags, size_t bytes,
		     const uint8_t *stored, size_t stored_length)
{
	size_t length = strlen(name);

	head->data[head->length++] = (uint8_t)type;
	head->data[head->length++] = flags;
	head->data[head->length++] = (uint8_t)length;
	memcpy(head->data + head->length, name, length);
	head->length += length;
	put32(head, (uint32_t)bytes);
	put32(head, (uint32_t)stored_length);
	put32(head, (uint32_t)crc32(0, stored, (uInt)stored_length));
}

static int column_add(struct sonde_block_encoder *encoder, const struct sonde_columns *columns, uint32_t i)
{
	const struct sonde_open_column *column = &columns->columns[i];
	struct bytes *raw = &encoder->raw, *packed = &encoder->packed;
	uint8_t flags = 0;
	size_t length, least;
	int r = 0;

	raw->length = 0;
	if (column->type == SONDE_TEXT || column->type == SONDE_ADDRESS) {
		r = dictionary_add(encoder, column, columns->n);
	} else {
		if (column->n_nulls) {
			flags = SONDE_BLOCK_NULLS;
			r = nulls_add(encoder, column, columns->n);
		}
		if (!r)
			r = sonde_column_is_same(column, columns->n) ? constant_add(encoder, column->numbers[0]) :
								       numbers_add(encoder, column->numbers, columns->n);
	}
	if (r || room(packed, ZSTD_compressBound(raw->length) + raw->length))
		return -ENOMEM;
	least = columns->n < FEW_ROWS ? COMPRESS_LEAST_OF_FEW : COMPRESS_LEAST;
	length = raw->length < least ? raw->length :
		 ZSTD_compressCCtx(encoder->zstd, packed->data + packed->length, packed->capacity - packed->length, raw->data,
				   raw->length, ZSTD_LEVEL);
	if (ZSTD_isError(length))
		return -ENOMEM;
	if (length < raw->length) {
		flags |= SONDE_BLOCK_ZSTD;
	} else {
		length = raw->length;
		memcpy(packed->data + packed->length, raw->data, length);
	}
	head_add(&encoder->head, columns->type->columns[i].name, column->type, flags, raw->length,
		 packed->data + packed->length, length);
	packed->length += length;
	return 0;
}

/* ---- facts ---- */

static void pids_gather(struct sonde_block_set *set, const struct sonde_columns *columns, struct sonde_block_facts *facts)
{
	const struct sonde_open_column *column = &columns->columns[SONDE_COLUMN_PID];
	uint32_t n = sonde_column_is_same(column, columns->n) ? 1 : columns->n;

	facts->pid_min = INT64_MAX;
	facts->pid_max = INT64_MIN;
	for (uint32_t i = 0; i < n; i++) {
		int64_t pid = (int64_t)column->numbers[i];

		if (i && column->numbers[i] == column->numbers[i - 1] && !column->n_nulls)
			continue;
		if (column->nulls[i >> 6] >> (i & 63) & 1)
			continue;
		facts->pid_min = pid < facts->pid_min ? pid : facts->pid_min;
		facts->pid_max = pid > facts->pid_max ? pid : facts->pid_max;
		if (!set->any)
			sonde_block_set_add(set, sonde_block_hash_number((uint64_t)pid));
	}
}

static void texts_gather(struct sonde_block_set *set, const struct sonde_open_column *column, bool container)
{
	const struct sonde_dictionary *dictionary = &column->dictionary;

	for (uint32_t i = 0; i < dictionary->n && !set->any; i++) {
		const char *text = dictionary->bytes + dictionary->offsets[i];
		uint32_t length = dictionary->offsets[i + 1] - dictionary->offsets[i];

		sonde_block_set_add(set, container ? sonde_block_hash_container(text, length) : sonde_block_hash(text, length));
	}
}

static uint64_t weights_sum(const struct sonde_columns *columns)
{
	const struct sonde_open_column *column = &columns->columns[SONDE_COLUMN_WEIGHT];
	uint64_t sum = 0;

	if (sonde_column_is_same(column, columns->n))
		return columns->n * (column->n_nulls ? 1 : column->numbers[0]);
	for (uint32_t i = 0; i < columns->n; i++)
		sum += column->numbers[i];
	for (uint32_t i = 0; column->n_nulls && i < columns->n; i++)
		sum += column->nulls[i >> 6] >> (i & 63) & 1 ? 1 - column->numbers[i] : 0;
	return sum;
}

static void facts_gather(struct sonde_block_encoder *encoder, const struct sonde_columns *columns,
			 struct sonde_block_facts *facts)
{
	memset(encoder->sets, 0, sizeof(encoder->sets));
	snprintf(facts->type, sizeof(facts->type), "%s", columns->type->name);
	facts->count = columns->n;
	facts->weight = weights_sum(columns);
	facts->oldest_ns = columns->oldest_ns;
	facts->newest_ns = columns->newest_ns;
	pids_gather(&encoder->sets[SONDE_BLOCK_PID], columns, facts);
	texts_gather(&encoder->sets[SONDE_BLOCK_COMMAND], &columns->columns[SONDE_COLUMN_COMMAND], false);
	texts_gather(&encoder->sets[SONDE_BLOCK_CONTAINER], &columns->columns[SONDE_COLUMN_CONTAINER], true);
	facts->n_filter = 0;
	for (size_t i = 0; i < SONDE_BLOCK_FILTERS; i++)
		facts->n_filter += sonde_block_filter_write(&encoder->sets[i], facts->filter + facts->n_filter);
}

static void head_end(struct bytes *head)
{
	uint32_t length = htole32((uint32_t)head->length + 4);

	memcpy(head->data + 4, &length, sizeof(length));
	put32(head, (uint32_t)crc32(0, head->data, (uInt)head->length));
}

int sonde_block_encode(struct sonde_block_encoder *encoder, const struct sonde_columns *columns,
		       struct sonde_block **ret_block)
{
	struct sonde_block *block;
	uint32_t checksum;
	int r;

	encoder->head.length = encoder->packed.length = 0;
	r = room(&encoder->head, SONDE_BLOCK_HEAD_MAX);
	if (r)
		return r;
	memcpy(encoder->head.data, "sbk1", 4);
	encoder->head.length = 8;
	put32(&encoder->head, columns->n);
	put32(&encoder->head, columns->type->n_columns - 1); /* without the type */
	for (uint32_t i = 0; i < columns->type->n_columns && !r; i++)
		if (i != SONDE_COLUMN_TYPE)
			r = column_add(encoder, columns, i);
	if (r)
		return r;
	head_end(&encoder->head);
	block = malloc(sizeof(*block) + encoder->head.length + encoder->packed.length);
	if (!block)
		return -ENOMEM;
	memset(block, 0, sizeof(*block));
	block->length = encoder->head.length + encoder->packed.length;
	memcpy(block->data, encoder->head.data, encoder->head.length);
	memcpy(block->data + encoder->head.length, encoder->packed.data, encoder->packed.length);
	facts_gather(encoder, columns, &block->facts);
	memcpy(&checksum, encoder->head.data + encoder->head.length - 4, sizeof(checksum));
	block->facts.head = le32toh(checksum);
	*ret_block = block;
	return 0;
}
