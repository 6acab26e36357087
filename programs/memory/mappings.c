/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: what stands between two spaces of the text is one mapping, whatever its name is. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mappings.h"

#define NAME_MAX_LENGTH 160 /* escaped; so that MEMORY_MAPPINGS_MAX of them have room */

static bool is_plain(unsigned char c)
{
	return c > ' ' && c != 0x7f && c != '\\';
}

/* The last part of the name that has room, after "..." where that is not all. */
static void escape(const char *name, char ret_text[NAME_MAX_LENGTH + 1])
{
	size_t begin = strnlen(name, MEMORY_MAPPING_NAME_SIZE - 1), end = begin, length = 0, n = 0;

	for (; begin; begin--) {
		length += is_plain((unsigned char)name[begin - 1]) ? 1 : 4;
		if (length > NAME_MAX_LENGTH - 3)
			break;
	}
	if (begin)
		n = (size_t)sprintf(ret_text, "...");
	for (size_t i = begin; i < end; i++) {
		unsigned char c = (unsigned char)name[i];

		if (is_plain(c))
			ret_text[n++] = (char)c;
		else
			n += (size_t)sprintf(ret_text + n, "\\%03o", c);
	}
	ret_text[n] = '\0';
}

static int add_mapping(const struct memory_mapping *m, char *text, size_t size)
{
	char rights[] = "????", name[NAME_MAX_LENGTH + 1];
	const char *before = "", *after = "";

	if (m->rights) {
		rights[0] = m->rights & VM_READ ? 'r' : '-';
		rights[1] = m->rights & VM_WRITE ? 'w' : '-';
		rights[2] = m->rights & VM_EXEC ? 'x' : '-';
		rights[3] = m->rights & VM_SHARED ? 's' : 'p';
	}
	escape(m->name, name);
	if (m->kind == MEMORY_MAPPING_KIND_HEAP) {
		before = "[heap";
		after = "]";
	} else if (m->kind == MEMORY_MAPPING_KIND_STACK) {
		before = "[stack";
		after = "]";
	} else if (m->kind == MEMORY_MAPPING_KIND_ANONYMOUS) {
		before = *name ? "[anon:" : "[anon";
		after = "]";
	} else if (!*name) {
		before = "?";
	}
	return snprintf(text, size, "%.1f:%s:%s%s%s", (double)m->bytes / 1048576, rights, before, name, after);
}

static int compare_sizes(const void *a, const void *b)
{
	const struct memory_mapping *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

void sonde_memory_mappings_text(const struct memory_mappings *mappings, size_t max, char ret_text[MEMORY_MAPPINGS_SIZE])
{
	struct memory_mapping sorted[MEMORY_MAPPINGS_MAX];
	size_t length = 0;

	memcpy(sorted, mappings->biggest, sizeof(sorted));
	qsort(sorted, MEMORY_MAPPINGS_MAX, sizeof(*sorted), compare_sizes);
	ret_text[0] = '\0';
	for (size_t i = 0; i < MEMORY_MAPPINGS_MAX && i < max && sorted[i].kind != MEMORY_MAPPING_KIND_NONE; i++) {
		if (i)
			ret_text[length++] = ' ';
		length += (size_t)add_mapping(&sorted[i], ret_text + length, MEMORY_MAPPINGS_SIZE - length);
	}
}
