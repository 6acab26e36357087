/* SPDX-License-Identifier: Apache-2.0 */
/* Processes are looked at only when there is a forecast to explain, so watching costs nothing per process. */
#include <stdlib.h>

#include "suspects.h"

struct sonde_memory_suspects {
	uint32_t pids[SONDE_MEMORY_SUSPECTS_MAX]; /* 0: gone */
	uint64_t bytes[SONDE_MEMORY_SUSPECTS_MAX];
	size_t n;
	const struct sonde_memory_hierarchy *hierarchy;
};

static void add_from(struct sonde_memory_suspects *s, const char *path)
{
	s->n += sonde_memory_read_pids(s->hierarchy, path, &s->pids[s->n], SONDE_MEMORY_SUSPECTS_MAX - s->n);
}

static void add_below(void *userdata, const char *path, uint64_t inode)
{
	(void)inode;
	add_from(userdata, path);
}

struct sonde_memory_suspects *sonde_memory_suspects_new(const struct sonde_memory_hierarchy *hierarchy, const char *path)
{
	struct sonde_memory_suspects *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hierarchy = hierarchy;
	add_from(s, path);
	if (hierarchy)
		sonde_memory_walk(hierarchy, path, SONDE_MEMORY_SUSPECTS_MAX, add_below, s);
	for (size_t i = 0; i < s->n; i++)
		if (sonde_memory_read_resident(s->pids[i], &s->bytes[i]) < 0)
			s->pids[i] = 0;
	return s;
}

void sonde_memory_suspects_free(struct sonde_memory_suspects **suspects)
{
	free(*suspects);
	*suspects = NULL;
}

uint32_t sonde_memory_suspects_worst(const struct sonde_memory_suspects *s)
{
	uint64_t bytes, growth, most_growth = 0, most_bytes = 0;
	uint32_t worst = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (!s->pids[i] || sonde_memory_read_resident(s->pids[i], &bytes) < 0)
			continue;
		growth = bytes > s->bytes[i] ? bytes - s->bytes[i] : 0;
		if (worst && (growth < most_growth || (growth == most_growth && bytes <= most_bytes)))
			continue;
		worst = s->pids[i];
		most_growth = growth;
		most_bytes = bytes;
	}
	return worst;
}
