/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file texts.h
 * Texts that many owners share: equal bytes are kept once and counted. Unlike interned names they go away with their last owner.
 *
 * Threads: one at a time; the owner locks.
 */

#include <stddef.h>
#include <stdint.h>

struct sonde_texts;

struct sonde_text {
	struct sonde_text *next;
	uint32_t hash;
	uint32_t owners;
	uint32_t length;
	char bytes[]; /* NUL-terminated; may hold NULs */
};

int sonde_texts_new(struct sonde_texts **ret_texts);
void sonde_texts_free(struct sonde_texts **texts);
/** One more owner of these bytes. NULL: no memory. */
struct sonde_text *sonde_text_ref(struct sonde_texts *texts, const char *bytes, size_t length);
/** One more owner of a text that has some. */
struct sonde_text *sonde_text_share(struct sonde_text *text);
/** One owner less; NULL is fine. */
void sonde_text_unref(struct sonde_texts *texts, struct sonde_text *text);
/** Memory in use by the texts, the allocator's share included (estimated). */
size_t sonde_texts_bytes(const struct sonde_texts *texts);
