/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator: a schema is hundreds of names and docs that live and die together. */
#include <schema/arena.h>

#include <stdarg.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096

struct sonde_arena_block {
	struct sonde_arena_block *next;
	size_t size;
	alignas(max_align_t) uint8_t bytes[];
};

void *sonde_arena_alloc(struct sonde_arena *arena, size_t size)
{
	struct sonde_arena_block *block;
	size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	size_t block_size = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;

	if (rounded < size || block_size > SIZE_MAX - sizeof(*block))
		return NULL;
	if (!arena->blocks || arena->left < rounded) {
		block = calloc(1, sizeof(*block) + block_size);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		block->size = block_size;
		arena->blocks = block;
		arena->left = block_size;
	}
	arena->left -= rounded;
	return arena->blocks->bytes + (arena->blocks->size - arena->left - rounded);
}

char *sonde_arena_text(struct sonde_arena *arena, const char *bytes, size_t length)
{
	char *text = length < SIZE_MAX ? sonde_arena_alloc(arena, length + 1) : NULL;

	if (text)
		memcpy(text, bytes, length);
	return text;
}

char *sonde_arena_printf(struct sonde_arena *arena, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length >= 0)
		text = sonde_arena_alloc(arena, (size_t)length + 1);
	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)length + 1, format, args);
	va_end(args);
	return text;
}

void sonde_arena_free(struct sonde_arena *arena)
{
	struct sonde_arena_block *block = arena->blocks, *next;

	for (; block; block = next) {
		next = block->next;
		free(block);
	}
	*arena = (struct sonde_arena){0};
}
