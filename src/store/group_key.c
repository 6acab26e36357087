/* SPDX-License-Identifier: Apache-2.0 */
/* Each value: u8 type, then nothing (null), u32 length and the bytes (text), 16 bytes (address) or u64. */
#include <store/group_key.h>

#include <string.h>

#define ADDRESS_BYTES 16

size_t sonde_group_key_length(const struct sonde_value *values, unsigned n)
{
	size_t length = n;

	for (unsigned i = 0; i < n; i++) {
		if (values[i].type == SONDE_TEXT)
			length += sizeof(uint32_t) + values[i].length;
		else if (values[i].type == SONDE_ADDRESS)
			length += ADDRESS_BYTES;
		else if (values[i].type != SONDE_NULL)
			length += sizeof(uint64_t);
	}
	return length;
}

static char *put(char *out, const void *bytes, size_t length)
{
	if (length)
		memcpy(out, bytes, length);
	return out + length;
}

void sonde_group_key_write(const struct sonde_value *values, unsigned n, char *out)
{
	for (unsigned i = 0; i < n; i++) {
		const struct sonde_value *value = &values[i];
		uint64_t number = value->type == SONDE_BOOL ? value->b : value->u;

		*out++ = (char)value->type;
		if (value->type == SONDE_TEXT)
			out = put(put(out, &value->length, sizeof(value->length)), value->text, value->length);
		else if (value->type == SONDE_ADDRESS)
			out = put(out, value->address, ADDRESS_BYTES);
		else if (value->type != SONDE_NULL)
			out = put(out, &number, sizeof(number));
	}
}

/* @return where the next one begins. */
static const char *value_read(const char *key, struct sonde_value *value)
{
	*value = (struct sonde_value){.type = (enum sonde_value_type)*key++};
	switch (value->type) {
	case SONDE_NULL:
		return key;
	case SONDE_TEXT:
		memcpy(&value->length, key, sizeof(value->length));
		value->text = key + sizeof(value->length);
		return value->text + value->length;
	case SONDE_ADDRESS:
		value->address = (const uint8_t *)key;
		return key + ADDRESS_BYTES;
	case SONDE_BOOL:
		value->b = *key;
		return key + sizeof(uint64_t);
	default:
		memcpy(&value->u, key, sizeof(value->u));
		return key + sizeof(value->u);
	}
}

void sonde_group_key_read(const char *key, unsigned n, struct sonde_value *ret_values)
{
	for (unsigned i = 0; i < n; i++)
		key = value_read(key, &ret_values[i]);
}

static int value_order(const struct sonde_value *a, const struct sonde_value *b)
{
	int order;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case SONDE_TEXT:
		order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
		return order ?: (a->length > b->length) - (a->length < b->length);
	case SONDE_ADDRESS:
		return memcmp(a->address, b->address, ADDRESS_BYTES);
	case SONDE_INT:
		return (a->i > b->i) - (a->i < b->i);
	default:
		return (a->u > b->u) - (a->u < b->u);
	}
}

int sonde_group_key_order(const char *a, const char *b, unsigned n)
{
	int order = 0;

	for (unsigned i = 0; !order && i < n; i++) {
		struct sonde_value x, y;

		a = value_read(a, &x);
		b = value_read(b, &y);
		order = value_order(&x, &y);
	}
	return order;
}
