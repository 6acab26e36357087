/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <errno.h>

#include "name.h"

#define RECORD_BYTES 10 /* without its name and data */

__u16 dns_get16(const __u8 *at)
{
	return (__u16)(at[0] << 8 | at[1]);
}

static __u32 get32(const __u8 *at)
{
	return (__u32)dns_get16(at) << 16 | dns_get16(at + 2);
}

int dns_question_read(const struct dns_bytes *message, char *ret_name)
{
	int end;

	if (message->captured < DNS_HEADER_BYTES || dns_get16(message->bytes + 4) != 1)
		return -EINVAL;
	end = dns_name_read(message->bytes, message->captured, DNS_HEADER_BYTES, ret_name);
	return end < 0 || (size_t)end + 4 > message->captured ? -EINVAL : end + 4;
}

int dns_record_read(const struct dns_bytes *message, size_t offset, struct dns_record *ret_record)
{
	int end = dns_name_read(message->bytes, message->captured, offset, NULL);
	const __u8 *fixed;

	if (end < 0)
		return end;
	fixed = message->bytes + end;
	if ((size_t)end + RECORD_BYTES > message->captured)
		return -ENODATA;
	ret_record->type = dns_get16(fixed);
	ret_record->class = dns_get16(fixed + 2);
	ret_record->ttl = get32(fixed + 4);
	ret_record->length = dns_get16(fixed + 8);
	ret_record->data = (size_t)end + RECORD_BYTES;
	if (ret_record->data + ret_record->length > message->captured)
		return -ENODATA;
	return (int)(ret_record->data + ret_record->length);
}
