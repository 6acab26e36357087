/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * A part of a TCP stream that is still to be read, and how messages are cut out of it. Arithmetic only: the kernel and a test share it.
 * Sequence numbers wrap: which comes first is told by the sign of their difference.
 */

#include <sonde/types.h>

#include "event.h"

#define PREFIX_BYTES 2
#define HALF 0x100

struct stretch {
	__u32 sequence;	 /* of the next prefix, or of what is next of the message if its prefix was read */
	__u32 until;	 /* of a hole: where it ends */
	__u32 length;	 /* of that message; 0: the prefix comes first */
	__u16 before;	 /* how many of its first bytes were read, while they are not enough to look at it */
	__u16 half;	 /* half a prefix: HALF and its first byte; or 0 */
	__u32 searching; /* no message begins there, or not for sure */
};

/*
 * What of a segment is to be read there: from *ret_from to *ret_end, both from its beginning on. False: nothing. *ret_from is negative where
 * so many bytes are missing before it.
 */
static __always_inline bool stretch_meets(const struct stretch *next, bool is_hole, __u32 sequence, __u32 length,
								  __s32 *ret_from, __s32 *ret_end)
{
	__s32 until = (__s32)(next->until - sequence);

	*ret_from = (__s32)(next->sequence - sequence);
	*ret_end = (__s32)length;
	if (is_hole && until < *ret_end)
		*ret_end = until;
	return *ret_end > 0 && *ret_from < *ret_end;
}

/* Bytes of the prefix to be read next, where so many are there. */
static __always_inline __u32 stretch_prefix_size(const struct stretch *next, __u32 available)
{
	return next->half || available == 1 ? 1 : 2;
}

/* So many were read, as the last of `bytes`. False: half of it is still to come. */
static __always_inline bool stretch_prefix(struct stretch *next, __u32 size, const __u8 bytes[PREFIX_BYTES])
{
	if (size == 1 && !next->half) {
		next->half = HALF | bytes[1];
		return false;
	}
	next->length = (__u32)(size == 1 ? next->half & 0xff : bytes[0]) << 8 | bytes[1];
	next->half = 0;
	return true;
}

/*
 * Of the message whose prefix was read so many bytes are there, of which *ret_here are its own. Returns how far it is from here to what is
 * read next: what is not looked at of a message is passed over.
 */
static __always_inline __u32 stretch_message(struct stretch *next, __u32 available, __u32 *ret_here)
{
	__u32 rest = next->length - next->before;

	*ret_here = available < rest ? available : rest;
	if (*ret_here == rest || next->before + *ret_here >= DNS_SHORT_SIZE) {
		next->length = next->before = 0;
		return rest;
	}
	next->before = (__u16)(next->before + *ret_here);
	return *ret_here;
}

/* All of a hole was read. */
static __always_inline bool stretch_is_over(const struct stretch *next)
{
	return (__s32)(next->sequence - next->until) >= 0;
}
