/* SPDX-License-Identifier: Apache-2.0 */
/* A list: damaged blocks are few. A block is known by its type and first event, which stay when its neighbours are merged. */
#include <store/damage.h>

#include <errno.h>
#include <stdlib.h>

struct sonde_damaged_block {
	const struct sonde_type *type;
	uint64_t first;
};

int sonde_damage_add(struct sonde_damage *damage, const struct sonde_type *type, uint64_t first, uint32_t events)
{
	for (uint64_t i = 0; i < damage->blocks; i++)
		if (damage->met[i].type == type && damage->met[i].first == first)
			return 0;
	if (damage->blocks == damage->capacity) {
		size_t more = damage->capacity ? damage->capacity * 2 : 16;
		struct sonde_damaged_block *met = reallocarray(damage->met, more, sizeof(*met));

		if (!met)
			return -ENOMEM;
		damage->met = met;
		damage->capacity = more;
	}
	damage->met[damage->blocks++] = (struct sonde_damaged_block){.type = type, .first = first};
	damage->events += events;
	return 0;
}

void sonde_damage_free(struct sonde_damage *damage)
{
	free(damage->met);
	*damage = (struct sonde_damage){};
}
