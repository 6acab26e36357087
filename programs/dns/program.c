/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user side of `dns`: turns what the kernel tells of a question, and the bytes of a message, into an event.
 * Invariant: a record of the wrong size or without a question is invalid, never an event.
 */
#include <errno.h>
#include <string.h>

#include <sonde/program.h>

#include "addresses.h"
#include "event.h"
#include "name.h"
#include "parse.h"

#define DNS_TYPE 0 /* sonde_header.type of the only event */

/* The asker connects to what it was told: its events can then show the name. One that is cut would be another's. */
static void tell_names(struct sonde_hook_context *context, const struct dns_message *inner, const struct dns_bytes *bytes,
		       const struct dns *e)
{
	struct dns_named_address addresses[DNS_ADDRESSES_MAX];
	struct sonde_known_name name = {.name = e->name, .answered_ns = inner->header.time_ns};
	size_t n = 0;

	if (!inner->timed_out && dns_name_is_whole(e->name))
		n = dns_addresses(bytes, addresses);
	for (size_t i = 0; i < n; i++) {
		name.address = addresses[i].address;
		name.ttl_seconds = addresses[i].ttl_seconds;
		sonde_known_name_set(context, &inner->header, &name);
	}
}

/* The event is built where the record stands; of that, a copy is read. */
static int record(struct sonde_hook_context *context, struct sonde_header *header, size_t *length)
{
	struct dns_long copy;
	const struct dns_message *inner = &copy.head;
	struct dns *e = (struct dns *)header;
	struct dns_bytes bytes;
	int r;

	if (header->type < SONDE_INNER_TYPE || *length < sizeof(*inner) || *length > sizeof(copy))
		return -EINVAL;
	memcpy(&copy, header, *length);
	if (inner->captured > *length - sizeof(*inner))
		return -EINVAL;
	bytes = (struct dns_bytes){copy.bytes, inner->captured, inner->length};
	r = dns_parse(&bytes, !inner->timed_out, e);
	if (r < 0)
		return r;
	tell_names(context, inner, &bytes, e);
	e->header.type = DNS_TYPE;
	e->latency_ns = inner->latency_ns;
	e->cookie = inner->cookie;
	e->server_address = inner->server_address;
	e->server_port = inner->server_port;
	e->transport = inner->transport;
	e->timed_out = inner->timed_out;
	e->role = inner->role;
	e->tries = inner->tries;
	e->padding = 0;
	memset(e->end_padding, 0, sizeof(e->end_padding));
	*length = sizeof(*e);
	return 1;
}

const struct sonde_program_hooks sonde_program_dns_hooks = {.record = record, .tells_names = true};
