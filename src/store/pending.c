/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events are borrowed during append, so what must survive until the commit is copied here: one buffer, a header and the
 * values of each row one after the other, a tag and a varint or the bytes for each value.
 */
#include <store/pending.h>

#include <store/backend.h>

#include <sonde/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES (4u << 20)
#define SOURCES_MAX 4096

enum { TAG_TRUE = SONDE_ADDRESS + 1 };

static size_t varint_write(uint8_t *out, uint64_t number)
{
	size_t n = 0;

	for (; number >= 0x80; number >>= 7)
		out[n++] = (uint8_t)(number | 0x80);
	out[n++] = (uint8_t)number;
	return n;
}

static uint64_t varint_read(const uint8_t **in)
{
	uint64_t number = 0;
	unsigned shift = 0;

	while (**in & 0x80) {
		number |= (uint64_t)(*(*in)++ & 0x7f) << shift;
		shift += 7;
	}
	return number | (uint64_t)*(*in)++ << shift;
}

void sonde_row_add(struct sonde_buffer *out, const struct sonde_value *values, uint32_t n)
{
	uint8_t head[12];

	for (uint32_t i = 0; i < n; i++) {
		const struct sonde_value *value = &values[i];
		const void *bytes = NULL;
		size_t length = 1, more = 0;

		if (i == SONDE_COLUMN_TIME || i == SONDE_COLUMN_TYPE)
			continue;
		head[0] = (uint8_t)value->type;
		switch (value->type) {
		case SONDE_NULL:
			break;
		case SONDE_INT: /* zigzag: small numbers of either sign are short */
			length += varint_write(head + 1, (uint64_t)value->i << 1 ^ (uint64_t)(value->i >> 63));
			break;
		case SONDE_UINT:
			length += varint_write(head + 1, value->u);
			break;
		case SONDE_BOOL:
			if (value->b)
				head[0] = TAG_TRUE;
			break;
		case SONDE_TEXT:
			length += varint_write(head + 1, value->length);
			bytes = value->text;
			more = value->length;
			break;
		case SONDE_ADDRESS:
			bytes = value->address;
			more = 16;
			break;
		}
		sonde_buffer_add(out, head, length);
		sonde_buffer_add(out, bytes, more);
	}
}

void sonde_row_values(const char *row, struct sonde_value *values, uint32_t n)
{
	const uint8_t *in = (const uint8_t *)row;
	uint64_t number;

	for (uint32_t i = 0; i < n; i++) {
		struct sonde_value *value = &values[i];
		uint8_t tag;

		*value = (struct sonde_value){.type = SONDE_NULL};
		if (i == SONDE_COLUMN_TIME || i == SONDE_COLUMN_TYPE)
			continue;
		tag = *in++;
		value->type = tag == TAG_TRUE ? SONDE_BOOL : (enum sonde_value_type)tag;
		switch (value->type) {
		case SONDE_NULL:
			break;
		case SONDE_INT:
			number = varint_read(&in);
			value->i = (int64_t)(number >> 1 ^ -(number & 1));
			break;
		case SONDE_UINT:
			value->u = varint_read(&in);
			break;
		case SONDE_BOOL:
			value->b = tag == TAG_TRUE;
			break;
		case SONDE_TEXT:
			value->length = (uint32_t)varint_read(&in);
			value->text = (const char *)in;
			in += value->length;
			break;
		case SONDE_ADDRESS:
			value->address = in;
			in += 16;
			break;
		}
	}
}

void sonde_pending_free(struct sonde_pending *pending)
{
	sonde_buffer_free(&pending->rows);
	free(pending->sources);
	pending->sources = NULL;
	pending->n_sources = 0;
}

static int source_find(struct sonde_pending *pending, const struct sonde_type *type)
{
	if (pending->last_source < pending->n_sources && pending->sources[pending->last_source].type == type)
		return (int)pending->last_source;
	for (size_t i = pending->n_sources; i-- > 0;)
		if (pending->sources[i].type == type) {
			pending->last_source = i;
			return (int)i;
		}
	return -EINVAL;
}

int sonde_pending_add_source(struct sonde_pending *pending, const struct sonde_type *type, size_t slot)
{
	struct sonde_pending_source *sources;

	if (source_find(pending, type) >= 0)
		return 0;
	if (pending->n_sources == SOURCES_MAX)
		return sonde_store_fail(-ENOSPC, "more than %d versions of types", SOURCES_MAX);
	sources = reallocarray(pending->sources, pending->n_sources + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	pending->sources = sources;
	sources[pending->n_sources++] = (struct sonde_pending_source){.type = type, .slot = slot};
	return 0;
}

int sonde_pending_append(struct sonde_pending *pending, const struct sonde_event *events, size_t n)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];
	struct sonde_buffer *rows = &pending->rows;
	size_t before = rows->length;
	int source = 0;

	if (before >= pending->max_bytes && before)
		return sonde_store_fail(-ENOBUFS, "%zu bytes of events wait for a commit that fails", before);
	for (size_t i = 0; i < n && !rows->failed; i++) {
		struct sonde_pending_row row = {.time_ns = events[i].time_ns};
		size_t at = rows->length;

		source = source_find(pending, events[i].type);
		if (source < 0)
			break;
		row.source = (uint32_t)source;
		row.sequence = (int64_t)events[i].record->sequence;
		sonde_event_values(&events[i], pending->names, values);
		sonde_buffer_add(rows, &row, sizeof(row));
		sonde_row_add(rows, values, events[i].type->n_columns);
		if (rows->failed)
			break;
		row.length = (uint32_t)(rows->length - at - sizeof(row));
		memcpy(rows->data + at, &row, sizeof(row));
	}
	if (source >= 0 && !rows->failed) {
		pending->n += n;
		return 0;
	}
	rows->length = before;
	if (source < 0)
		return sonde_store_fail(-EINVAL, "an event of a type that was not added");
	rows->failed = false;
	return -ENOMEM;
}

bool sonde_pending_next(const struct sonde_pending *pending, size_t *offset, struct sonde_pending_row *ret_row,
			const char **ret_values)
{
	if (*offset >= pending->rows.length)
		return false;
	memcpy(ret_row, pending->rows.data + *offset, sizeof(*ret_row));
	*ret_values = pending->rows.data + *offset + sizeof(*ret_row);
	*offset += sizeof(*ret_row) + ret_row->length;
	return true;
}

void sonde_pending_clear(struct sonde_pending *pending)
{
	pending->n = 0;
	if (pending->rows.capacity > KEEP_BYTES)
		sonde_buffer_free(&pending->rows);
	sonde_buffer_clear(&pending->rows);
}
