/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in messages. Invariant: no byte at or beyond `size` is read, and each pointer leads to before the labels it ends, so
 * reading ends; after 127 of them and 255 bytes at the latest.
 */
#include "name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POINTERS_MAX 127 /* as many as a name may have labels: a chain of pointers costs no more than a name */

void dns_text_add(struct dns_text *text, const char *piece)
{
	static const char mark[] = "...";
	size_t length = strlen(piece);

	if (text->cut)
		return;
	if (text->length + length + sizeof(mark) > text->size) {
		text->cut = true;
		piece = mark;
		length = sizeof(mark) - 1;
	}
	memcpy(text->text + text->length, piece, length + 1);
	text->length += length;
}

bool dns_name_fit(const char *name, char *field, size_t size)
{
	size_t room = size - sizeof("..."), length = 0;

	if (strlen(name) < size) {
		strcpy(field, name);
		return true;
	}
	for (;;) {
		size_t step = name[length] != '\\' ? 1 : name[length + 1] >= '0' && name[length + 1] <= '9' ? 4 : 2;

		if (length + step > room)
			break;
		length += step;
	}
	memcpy(field, name, length);
	strcpy(field + length, "...");
	return false;
}

bool dns_name_is_whole(const char *field)
{
	size_t length = strlen(field);

	return length < 3 || strcmp(field + length - 3, "...") != 0;
}

static char *label_write(char *text, const __u8 *label, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (label[i] == '.' || label[i] == '\\') {
			*text++ = '\\';
			*text++ = (char)label[i];
		} else if (label[i] > ' ' && label[i] < 0x7f) {
			*text++ = (char)label[i];
		} else {
			*text++ = '\\';
			*text++ = (char)('0' + label[i] / 100);
			*text++ = (char)('0' + label[i] / 10 % 10);
			*text++ = (char)('0' + label[i] % 10);
		}
	}
	return text;
}

/* `start` is where the labels began that led here. Before it, but behind the header: there is no name in that. */
static int pointer_read(const __u8 *message, size_t size, size_t offset, size_t start)
{
	size_t target;

	if (offset + 2 > size)
		return -ENODATA;
	target = (size_t)(message[offset] & ~DNS_POINTER) << 8 | message[offset + 1];
	return target >= DNS_HEADER_BYTES && target < start ? (int)target : -EINVAL;
}

int dns_name_read(const __u8 *message, size_t size, size_t offset, char *ret_text)
{
	size_t start = offset, bytes = 1, pointers = 0;
	char *text = ret_text;
	int after = -1;

	for (;;) {
		size_t length;

		if (offset >= size)
			return -ENODATA;
		length = message[offset];
		if (!length)
			break;
		if ((length & DNS_POINTER) == DNS_POINTER) {
			int target = pointer_read(message, size, offset, start);

			if (target < 0)
				return target;
			if (++pointers > POINTERS_MAX)
				return -EINVAL;
			if (after < 0)
				after = (int)offset + 2;
			start = offset = (size_t)target;
			continue;
		}
		bytes += length + 1;
		if (length > 63 || bytes > DNS_NAME_BYTES_MAX)
			return -EINVAL;
		if (offset + 1 + length > size)
			return -ENODATA;
		if (text != ret_text)
			*text++ = '.';
		if (text)
			text = label_write(text, message + offset + 1, length);
		offset += length + 1;
	}
	if (ret_text && text == ret_text)
		*text++ = '.';
	if (ret_text)
		*text = '\0';
	return after < 0 ? (int)offset + 1 : after;
}
