/* SPDX-License-Identifier: Apache-2.0 */
#include "addresses.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "name.h"
#include "record.h"
#include "word.h"

#define CLASS_IN 1
#define RCODE(message) ((message)->bytes[3] & 0xf)

/* Where the answer has come to: the name that was asked for, or the one that it leads to. */
struct way {
	size_t name; /* where it stands in the message */
	__u32 ttl_seconds;
};

/* Mostly the record's name is nothing but a pointer to it. */
static bool is_of_way(const struct dns_bytes *message, size_t offset, const struct way *way)
{
	char owner[DNS_NAME_TEXT_MAX], name[DNS_NAME_TEXT_MAX];

	if (dns_get16(message->bytes + offset) == (DNS_POINTER << 8 | way->name))
		return true;
	return dns_name_read(message->bytes, message->captured, offset, owner) >= 0 &&
	       dns_name_read(message->bytes, message->captured, way->name, name) >= 0 && !strcasecmp(owner, name);
}

static bool address_read(const struct dns_bytes *message, const struct dns_record *record, sonde_address *ret_address)
{
	const __u8 *data = message->bytes + record->data;

	if (record->type == DNS_TYPE_AAAA && record->length == 16) {
		memcpy(ret_address, data, 16);
		return true;
	}
	if (record->type != DNS_TYPE_A || record->length != 4)
		return false;
	*ret_address = (sonde_address){.bytes = {[10] = 0xff, [11] = 0xff}};
	memcpy(&ret_address->bytes[12], data, 4);
	return true;
}

/* Offset of the first answer; negative: there is none to believe. */
static int way_begin(const struct dns_bytes *message, struct way *ret_way)
{
	int end = dns_question_read(message, NULL);

	if (end < 0 || RCODE(message) || dns_get16(message->bytes + end - 2) != CLASS_IN)
		return -EINVAL;
	ret_way->name = DNS_HEADER_BYTES;
	ret_way->ttl_seconds = UINT32_MAX;
	return end;
}

size_t dns_addresses(const struct dns_bytes *message, struct dns_named_address ret_addresses[DNS_ADDRESSES_MAX])
{
	struct way way;
	int offset = way_begin(message, &way), end;
	size_t n = 0;

	for (__u16 left = offset < 0 ? 0 : dns_get16(message->bytes + 6); left && n < DNS_ADDRESSES_MAX; left--, offset = end) {
		struct dns_record record;

		end = dns_record_read(message, (size_t)offset, &record);
		if (end < 0)
			break;
		if (record.class == CLASS_IN && is_of_way(message, (size_t)offset, &way)) {
			__u32 ttl = record.ttl < way.ttl_seconds ? record.ttl : way.ttl_seconds;

			if (address_read(message, &record, &ret_addresses[n].address)) {
				ret_addresses[n++].ttl_seconds = ttl;
			} else if (record.type == DNS_TYPE_CNAME) {
				if (dns_name_read(message->bytes, record.data + record.length, record.data, NULL) < 0)
					break;
				way.name = record.data;
				way.ttl_seconds = ttl;
			}
		}
	}
	return n;
}
