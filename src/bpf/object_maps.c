/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of an object's maps before the kernel makes them. */
#include <bpf/object_private.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <sonde/types.h>

#define MAPS_BYTES_MAX (256ull << 20)
#define ENTRY_BYTES 64 /* of the kernel's own, for an entry of a hash */

/* Those of <sonde/sonde.bpf.h>, which this program writes into and reads out of memory of its own size. */
static const struct {
	const char *name;
	enum bpf_map_type type;
	uint32_t key_size, value_size, max_entries;
} framework[] = {
	{"sonde_ring", BPF_MAP_TYPE_RINGBUF, 0, 0, 0},
	{"sonde_counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct sonde_counters), 1},
	{".data.sonde", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct sonde_control), 1},
};

static struct bpf_map *map_find(const struct bpf_object *object, const char *name)
{
	return *name == '.' ? object_section(object, name) : bpf_object__find_map_by_name(object, name);
}

static int framework_check(const struct bpf_object *object, char *error, size_t error_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(framework); i++) {
		const struct bpf_map *map = map_find(object, framework[i].name);

		if (!map) {
			snprintf(error, error_size, "it does not include <sonde/sonde.bpf.h>: %s is missing", framework[i].name);
			return -EINVAL;
		}
		if (bpf_map__type(map) == framework[i].type && bpf_map__key_size(map) == framework[i].key_size &&
		    bpf_map__value_size(map) == framework[i].value_size &&
		    (!framework[i].max_entries || bpf_map__max_entries(map) == framework[i].max_entries))
			continue;
		snprintf(error, error_size, "its %s is not that of this version of <sonde/sonde.bpf.h>: build it anew", framework[i].name);
		return -EINVAL;
	}
	return 0;
}

bool sonde_map_is_percpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static bool type_is_array(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* What the kernel takes for a full map, about. */
static double map_bytes(const struct bpf_map *map, int n_cpus)
{
	enum bpf_map_type type = bpf_map__type(map);
	double entries = bpf_map__max_entries(map), value = bpf_map__value_size(map);

	if (type == BPF_MAP_TYPE_RINGBUF)
		return entries;
	if (sonde_map_is_percpu(type))
		value *= n_cpus;
	return entries * (value + (type_is_array(type) ? 0 : bpf_map__key_size(map) + ENTRY_BYTES));
}

int object_check_maps(const struct bpf_object *object, char *error, size_t error_size)
{
	int n_cpus = libbpf_num_possible_cpus(), r = framework_check(object, error, error_size);
	const struct bpf_map *map, *largest = NULL;
	double bytes, most = 0, all = 0;

	bpf_object__for_each_map(map, object) {
		bytes = map_bytes(map, n_cpus);
		all += bytes;
		if (!largest || bytes > most) {
			largest = map;
			most = bytes;
		}
	}
	if (r || all <= MAPS_BYTES_MAX)
		return r;
	snprintf(error, error_size, "its maps would take %.0f MiB, most of them '%.64s': %llu MiB is the most; make max_entries smaller",
		 all / (1 << 20), bpf_map__name(largest), MAPS_BYTES_MAX >> 20);
	return -E2BIG;
}
