/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a DNS message of which a part was seen: texts end, are plain and say when they are cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../programs/dns/addresses.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	if (length == size)
		abort();
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			abort();
}

/* Two bytes choose how much more there was, and whether it is an answer; the rest is the message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_named_address addresses[DNS_ADDRESSES_MAX];
	struct dns_bytes message;
	struct dns e;

	if (size < 2)
		return 0;
	message.bytes = data + 2;
	message.captured = size - 2;
	message.length = message.captured + data[0];
	if (dns_addresses(&message, addresses) > DNS_ADDRESSES_MAX)
		abort();
	if (dns_parse(&message, data[1] & 1, &e))
		return 0;
	check_text(e.name, sizeof(e.name));
	check_text(e.answers, sizeof(e.answers));
	check_text(e.qtype, sizeof(e.qtype));
	check_text(e.qclass, sizeof(e.qclass));
	check_text(e.rcode, sizeof(e.rcode));
	if (!e.name[0] || (e.malformed == 1 && !(data[1] & 1)))
		abort();
	return 0;
}
