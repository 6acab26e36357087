/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted tables of enumerators: most enums have no holes, so the first guess of a look-up is right. */
#include <schema/enum.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The compiler keeps the order of declaration; of two names for one number the first declared one stays. */
static int entry_compare(const void *left, const void *right)
{
	const struct sonde_enum_entry *a = left, *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static char *enum_shorten(char *name, const char *strip)
{
	size_t length = strlen(strip);

	if (!strncasecmp(name, strip, length) && name[length])
		name += length;
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}

const struct sonde_enum *sonde_enum_new(struct sonde_arena *arena, const struct sonde_btf *btf,
					const struct btf_type *type, const char *strip)
{
	uint32_t n = BTF_INFO_VLEN(type->info), kept = 0;
	struct sonde_enum *names = sonde_arena_alloc(arena, sizeof(*names) + n * sizeof(names->entries[0]));
	size_t bytes = 0;
	char *texts;

	if (!names)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t name;

		sonde_btf_enumerator(type, i, &name, &names->entries[i].number);
		bytes += strlen(sonde_btf_text(btf, name)) + 1;
	}
	/* One piece for all texts: their addresses then have the order of declaration, which entry_compare() uses. */
	texts = sonde_arena_alloc(arena, bytes);
	if (!texts)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t name;
		int64_t number;

		sonde_btf_enumerator(type, i, &name, &number);
		names->entries[i].name = texts;
		texts = stpcpy(texts, sonde_btf_text(btf, name)) + 1;
		if (strip)
			names->entries[i].name = enum_shorten((char *)names->entries[i].name, strip);
	}
	qsort(names->entries, n, sizeof(names->entries[0]), entry_compare);
	for (uint32_t i = 0; i < n; i++)
		if (!kept || names->entries[i].number != names->entries[kept - 1].number)
			names->entries[kept++] = names->entries[i];
	names->n = kept;
	return names;
}

const char *sonde_enum_name(const struct sonde_enum *names, int64_t number)
{
	uint64_t guess;
	uint32_t low = 0, high;

	if (!names || !names->n)
		return NULL;
	guess = (uint64_t)number - (uint64_t)names->entries[0].number;
	if (guess < names->n && names->entries[guess].number == number)
		return names->entries[guess].name;
	high = names->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (names->entries[middle].number == number)
			return names->entries[middle].name;
		if (names->entries[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
