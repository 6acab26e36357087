/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file name.h
 * Domain names in messages, and text that is built piece by piece in a field of fixed size.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sonde/types.h>

#define DNS_HEADER_BYTES 12
#define DNS_POINTER 0xc0 /* the two upper bits of a length: the name goes on elsewhere */
#define DNS_NAME_BYTES_MAX 255
/** The longest name as text: each byte of it may become four. */
#define DNS_NAME_TEXT_MAX (4 * DNS_NAME_BYTES_MAX + 1)

/** NUL-terminated text in a field. What finds no room is left out and `cut` is set. */
struct dns_text {
	char *text;
	size_t size, length;
	bool cut;
};

/** Adds the piece whole or, with "..." for it, not at all. */
void dns_text_add(struct dns_text *text, const char *piece);

/**
 * @brief A name at `offset`, as text: labels joined by dots, no dot at the end, "." for the root.
 *
 * A dot or backslash within a label is escaped by a backslash, what is not printable ASCII by \DDD. A pointer has to point to
 * before the labels it ends (RFC 1035, 4.1.4: a prior occurrence) and not into the header, so there are no loops.
 * @param size Bytes of the message that there are.
 * @param ret_text DNS_NAME_TEXT_MAX bytes; NULL: only whether it is a name, and where it ends.
 * @return Offset behind the name; -ENODATA: it goes on beyond `size`; -EINVAL: it is no name.
 */
int dns_name_read(const __u8 *message, size_t size, size_t offset, char *ret_text);
/** Copies a name into a field. A longer one ends in "...", cut between characters. @return Whether it is whole. */
bool dns_name_fit(const char *name, char *field, size_t size);
/** Of a field as dns_name_fit() left it. (A dot within a label is escaped, so no name ends in dots.) */
bool dns_name_is_whole(const char *field);
