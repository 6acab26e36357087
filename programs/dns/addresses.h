/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file addresses.h The addresses that an answer gives to the name that was asked for. */

#include "parse.h"

#define DNS_ADDRESSES_MAX 16 /* of one answer; those after them get no name */

struct dns_named_address {
	sonde_address address;
	__u32 ttl_seconds; /* the shortest on the way from the name to it */
};

/**
 * @brief Addresses of the name, also by way of CNAMEs (RFC 1034, 3.6.2). A record of any other name is not believed, nor
 * is anything in an answer that says of an error.
 * @return How many; 0 too when the message is broken before the first.
 */
size_t dns_addresses(const struct dns_bytes *message, struct dns_named_address ret_addresses[DNS_ADDRESSES_MAX]);
