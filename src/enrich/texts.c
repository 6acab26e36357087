/* SPDX-License-Identifier: Apache-2.0 */
/* Shared texts: a chained hash table of counted blocks.
 *
 * Invariant: a text is in the table exactly as long as it has an owner. The number of chains is fixed: who owns the texts
 * also bounds them (see processes.c). */
#include <enrich/texts.h>

#include <base/cleanup.h>
#include <base/hash.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N_CHAINS 16384
#define ALLOCATOR_BYTES 16 /* header and rounding of malloc */

struct sonde_texts {
	uint64_t seed;
	size_t bytes;
	struct sonde_text *chains[N_CHAINS];
};

static size_t text_bytes(const struct sonde_text *text)
{
	return sizeof(*text) + text->length + 1 + ALLOCATOR_BYTES;
}

int sonde_texts_new(struct sonde_texts **ret_texts)
{
	struct sonde_texts *texts = calloc(1, sizeof(*texts));

	if (!texts)
		return -ENOMEM;
	texts->seed = sonde_hash_seed();
	*ret_texts = texts;
	return 0;
}

void sonde_texts_free(struct sonde_texts **texts)
{
	struct sonde_text *next;

	if (!*texts)
		return;
	for (size_t i = 0; i < N_CHAINS; i++)
		for (struct sonde_text *text = (*texts)->chains[i]; text; text = next) {
			next = text->next;
			free(text);
		}
	free(TAKE_PTR(*texts));
}

struct sonde_text *sonde_text_ref(struct sonde_texts *texts, const char *bytes, size_t length)
{
	uint32_t hash = (uint32_t)sonde_hash_bytes(texts->seed, bytes, length);
	struct sonde_text **chain = &texts->chains[hash % N_CHAINS];
	struct sonde_text *text;

	for (text = *chain; text; text = text->next)
		if (text->hash == hash && text->length == length && !memcmp(text->bytes, bytes, length)) {
			text->owners++;
			return text;
		}
	text = malloc(sizeof(*text) + length + 1);
	if (!text)
		return NULL;
	text->hash = hash;
	text->owners = 1;
	text->length = (uint32_t)length;
	memcpy(text->bytes, bytes, length);
	text->bytes[length] = '\0';
	text->next = *chain;
	*chain = text;
	texts->bytes += text_bytes(text);
	return text;
}

struct sonde_text *sonde_text_share(struct sonde_text *text)
{
	text->owners++;
	return text;
}

void sonde_text_unref(struct sonde_texts *texts, struct sonde_text *text)
{
	struct sonde_text **link;

	if (!text || --text->owners)
		return;
	for (link = &texts->chains[text->hash % N_CHAINS]; *link != text; link = &(*link)->next)
		;
	*link = text->next;
	texts->bytes -= text_bytes(text);
	free(text);
}

size_t sonde_texts_bytes(const struct sonde_texts *texts)
{
	return texts->bytes;
}
