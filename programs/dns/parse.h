/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file parse.h
 * DNS messages (RFC 1035), as bytes that anyone may have sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sonde/types.h>

#include "event.h"

/** A message as far as it was seen. */
struct dns_bytes {
	const __u8 *bytes;
	size_t captured; /* bytes there are */
	size_t length;	 /* bytes the whole message has; what is missing makes the event incomplete, not malformed */
};

/**
 * @brief What a message says, into the fields of an event.
 * @param answered False: only its question counts; what an answer would tell is absent.
 * @param ret_event id, name, qtype, qclass, rcode, answers, answer_count, ttl_seconds, truncated, malformed and incomplete are set.
 * @return 0; -EINVAL: it does not hold a question, and nothing is set.
 */
int dns_parse(const struct dns_bytes *message, bool answered, struct dns *ret_event);
