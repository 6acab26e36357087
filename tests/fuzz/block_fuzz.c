/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a block of the store's file: they are refused, or every row of every column can be read. Checksums keep nearly all
 * inputs out, so they are made right first: whoever writes a file can do that too.
 */
#include <store/block.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void put32(uint8_t *out, uint32_t number)
{
	memcpy(out, &number, sizeof(number));
}

static uint32_t get32(const uint8_t *in)
{
	uint32_t number;

	memcpy(&number, in, sizeof(number));
	return number;
}

/* As the reader will go through it. */
static void checksums_mend(uint8_t *data, size_t size, size_t head)
{
	size_t at = SONDE_BLOCK_HEAD_LEAST, offset = head;

	for (uint32_t i = 0; i < get32(data + 12) && at + 15 <= head - 4; i++) {
		size_t name = data[at + 2];
		uint32_t stored;

		if (at + 15 + name > head - 4)
			break;
		stored = get32(data + at + 7 + name);
		if (stored > size - offset)
			break;
		put32(data + at + 11 + name, (uint32_t)crc32(0, data + offset, stored));
		offset += stored;
		at += 15 + name;
	}
	put32(data + head - 4, (uint32_t)crc32(0, data, (uInt)(head - 4)));
}

static void column_touch(const struct sonde_block_column *column)
{
	static volatile uint64_t sink;

	for (uint32_t row = 0; row < column->n; row++) {
		struct sonde_value value;

		sonde_block_column_value(column, row, &value);
		for (uint32_t i = 0; value.type == SONDE_TEXT && i < value.length; i++)
			sink += (uint8_t)value.text[i];
		for (uint32_t i = 0; value.type == SONDE_ADDRESS && i < 16; i++)
			sink += value.address[i];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct sonde_block_head head;
	uint8_t *data;
	int length;

	if (size < SONDE_BLOCK_HEAD_LEAST)
		return 0;
	length = sonde_block_head_length(bytes);
	if (length < 0 || (size_t)length > size)
		return 0;
	data = malloc(size);
	memcpy(data, bytes, size);
	checksums_mend(data, size, (size_t)length);
	if (!sonde_block_head_read(data, (size_t)length, size, &head))
		for (uint32_t i = 0; i < head.n_fields; i++) {
			struct sonde_block_column column = {};

			if (sonde_block_column_read(&head.fields[i], data + head.fields[i].offset, head.count, &column))
				continue;
			column_touch(&column);
			sonde_block_column_free(&column);
		}
	free(data);
	return 0;
}
