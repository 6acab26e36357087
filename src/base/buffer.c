/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text buffer: doubling, one sticky error instead of a check at every call. */
#include <base/buffer.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool buffer_room(struct sonde_buffer *buffer, size_t more)
{
	size_t need = buffer->length + more + 1, capacity = buffer->capacity ? buffer->capacity : 128;
	char *data;

	if (buffer->failed || need < more || (buffer->limit && need > buffer->limit + 1)) {
		buffer->failed = true;
		return false;
	}
	if (need <= buffer->capacity)
		return true;
	while (capacity < need)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void sonde_buffer_add(struct sonde_buffer *buffer, const void *bytes, size_t length)
{
	if (!length || !buffer_room(buffer, length))
		return;
	memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void sonde_buffer_add_char(struct sonde_buffer *buffer, char c)
{
	sonde_buffer_add(buffer, &c, 1);
}

void sonde_buffer_add_u64(struct sonde_buffer *buffer, uint64_t number)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	sonde_buffer_add(buffer, digits + i, sizeof(digits) - i);
}

void sonde_buffer_add_i64(struct sonde_buffer *buffer, int64_t number)
{
	if (number < 0)
		sonde_buffer_add_char(buffer, '-');
	sonde_buffer_add_u64(buffer, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void sonde_buffer_vprintf(struct sonde_buffer *buffer, const char *format, va_list args)
{
	va_list again;
	int length;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0 || !buffer_room(buffer, (size_t)length))
		return;
	vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, args);
	buffer->length += (size_t)length;
}

void sonde_buffer_printf(struct sonde_buffer *buffer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sonde_buffer_vprintf(buffer, format, args);
	va_end(args);
}

void sonde_buffer_clear(struct sonde_buffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
	if (buffer->data)
		buffer->data[0] = '\0';
}

void sonde_buffer_free(struct sonde_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct sonde_buffer)SONDE_BUFFER_INIT;
}

int sonde_buffer_error(const struct sonde_buffer *buffer)
{
	return buffer->failed ? -ENOMEM : 0;
}
