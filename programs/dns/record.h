/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file record.h Numbers and resource records of a message (RFC 1035, 4.1.3). */

#include "parse.h"

struct dns_record {
	__u16 type, class;
	__u32 ttl;
	size_t data, length; /* offset and bytes of its data */
};

__u16 dns_get16(const __u8 *at);
/**
 * @brief The name of the message's one question.
 * @param ret_name DNS_NAME_TEXT_MAX bytes.
 * @return Offset behind the question (its type and class are the last 4 bytes), or -EINVAL: there is no such question.
 */
int dns_question_read(const struct dns_bytes *message, char *ret_name);
/** The record at `offset`. @return Offset behind it, or an error as of dns_name_read(). */
int dns_record_read(const struct dns_bytes *message, size_t offset, struct dns_record *ret_record);
