/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints in shared memory: see checkpoints.h. */
#include <store/checkpoints.h>

#include <errno.h>
#include <string.h>

static const struct sonde_checkpoint *place_valid(const struct sonde_checkpoint_slots *place)
{
	uint64_t generation = atomic_load_explicit(&place->generation, memory_order_acquire);

	return generation ? &place->slots[generation & 1] : NULL;
}

void sonde_checkpoints_attach(struct sonde_checkpoints *checkpoints, void *memory, size_t size)
{
	checkpoints->places = memory;
	checkpoints->n = memory ? size / sizeof(*checkpoints->places) : 0;
	for (size_t i = 0; i < checkpoints->n; i++) {
		const struct sonde_checkpoint *checkpoint = place_valid(&checkpoints->places[i]);

		if (checkpoint && !memchr(checkpoint->program, '\0', sizeof(checkpoint->program)))
			atomic_store(&checkpoints->places[i].generation, 0);
	}
}

bool sonde_checkpoints_find(const struct sonde_checkpoints *checkpoints, const char *program, uint64_t ring_id,
			    struct sonde_checkpoint *ret_checkpoint)
{
	for (size_t i = 0; i < checkpoints->n; i++) {
		const struct sonde_checkpoint *checkpoint = place_valid(&checkpoints->places[i]);

		if (checkpoint && checkpoint->ring_id == ring_id && !strcmp(checkpoint->program, program)) {
			*ret_checkpoint = *checkpoint;
			return true;
		}
	}
	return false;
}

/* The place of this ring, else a free one, else that of the program's ring that is not written any more. */
static struct sonde_checkpoint_slots *place_for(struct sonde_checkpoints *checkpoints,
						const struct sonde_checkpoint *wanted)
{
	struct sonde_checkpoint_slots *free_place = NULL, *older = NULL;

	for (size_t i = 0; i < checkpoints->n; i++) {
		struct sonde_checkpoint_slots *place = &checkpoints->places[i];
		const struct sonde_checkpoint *checkpoint = place_valid(place);

		if (!checkpoint) {
			if (!free_place)
				free_place = place;
			continue;
		}
		if (strcmp(checkpoint->program, wanted->program))
			continue;
		if (checkpoint->ring_id == wanted->ring_id)
			return place;
		if (!older)
			older = place;
	}
	return free_place ? free_place : older;
}

int sonde_checkpoints_save(struct sonde_checkpoints *checkpoints, const struct sonde_checkpoint *checkpoint)
{
	struct sonde_checkpoint_slots *place;
	uint64_t next;

	if (!checkpoints->n)
		return 0;
	place = place_for(checkpoints, checkpoint);
	if (!place)
		return -ENOSPC;
	next = atomic_load_explicit(&place->generation, memory_order_relaxed) + 1;
	place->slots[next & 1] = *checkpoint;
	atomic_store_explicit(&place->generation, next, memory_order_release);
	return 0;
}

uint64_t sonde_checkpoint_expired(uint64_t stored, int64_t base, uint64_t dropped)
{
	int64_t expired = (int64_t)dropped - base;

	if (expired < 0)
		return 0;
	return (uint64_t)expired < stored ? (uint64_t)expired : stored;
}
