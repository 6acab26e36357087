/* SPDX-License-Identifier: Apache-2.0 */
#include <store/block_overlap.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Mostly the one of the block before. */
static int type_number(struct sonde_block_places *places, const char *name, uint32_t *ret)
{
	char(*types)[SONDE_BLOCK_NAME_MAX];
	uint32_t i = places->last_type;

	if (i >= places->n_types || strcmp(places->types[i], name))
		for (i = 0; i < places->n_types && strcmp(places->types[i], name);)
			i++;
	if (i == places->n_types) {
		types = reallocarray(places->types, places->n_types + 1ul, sizeof(*types));
		if (!types)
			return -ENOMEM;
		places->types = types;
		strcpy(types[places->n_types++], name);
	}
	*ret = places->last_type = i;
	return 0;
}

int sonde_block_places_add(struct sonde_block_places *places, const struct sonde_block_facts *facts, size_t length)
{
	uint32_t type;

	if (type_number(places, facts->type, &type))
		return -ENOMEM;
	if (places->n == places->capacity) {
		size_t more = places->capacity ? places->capacity * 2 : 256;
		struct sonde_block_place *items = reallocarray(places->items, more, sizeof(*items));

		if (!items)
			return -ENOMEM;
		places->items = items;
		places->capacity = more;
	}
	places->items[places->n++] = (struct sonde_block_place){
		.id = facts->id, .first = facts->first, .length = length, .count = facts->count, .type = type,
	};
	return 0;
}

static int place_order(const void *a, const void *b)
{
	const struct sonde_block_place *x = a, *y = b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* `kept` is the one that reaches furthest of those before; what lies behind it is compared with the next. */
int sonde_block_places_compare(struct sonde_block_places *places, sonde_block_drop_fn fn, void *userdata)
{
	const struct sonde_block_place *kept = NULL;
	int r = 0;

	if (places->n > 1)
		qsort(places->items, places->n, sizeof(*places->items), place_order);
	for (size_t i = 0; i < places->n && !r; i++) {
		const struct sonde_block_place *place = &places->items[i], *less = place;

		if (!kept || kept->type != place->type || place->first - kept->first >= kept->count) {
			kept = place;
			continue;
		}
		if (place->count > kept->count) {
			less = kept;
			kept = place;
		}
		r = fn(places->types[less->type], less, userdata);
	}
	return r;
}

void sonde_block_places_free(struct sonde_block_places *places)
{
	free(places->items);
	free(places->types);
	*places = (struct sonde_block_places){};
}
