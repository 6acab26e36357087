/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry of shared maps. It holds its own descriptor of each, so a map lives as long as the registry, or longer where it is
 * pinned. The registry makes them, not the load of an object: two objects that are loaded at the same time get the same map.
 */
#include <bpf/shared.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <bpf/pins.h>
#include <bpf/tags.h>

#define SHARED_MAX 32

struct sonde_shared_maps {
	pthread_mutex_t lock;
	struct sonde_pins *pins; /* NULL: not pinned */
	bool keep;
	size_t n;
	struct {
		char name[64];
		int fd;
	} maps[SHARED_MAX];
};

int sonde_shared_maps_new(struct sonde_shared_maps **ret_maps)
{
	struct sonde_shared_maps *maps = calloc(1, sizeof(*maps));

	if (!maps)
		return -ENOMEM;
	pthread_mutex_init(&maps->lock, NULL);
	*ret_maps = maps;
	return 0;
}

void sonde_shared_maps_free(struct sonde_shared_maps **pointer)
{
	struct sonde_shared_maps *maps = TAKE_PTR(*pointer);

	for (size_t i = 0; maps && i < maps->n; i++)
		close(maps->maps[i].fd);
	if (maps)
		sonde_pins_close(&maps->pins, maps->keep);
	free(maps);
}

int sonde_shared_maps_pin(struct sonde_shared_maps *maps, const char *directory, bool keep, char *error, size_t error_size)
{
	maps->keep = keep;
	return sonde_pins_open(directory, &maps->pins, error, error_size);
}

static bool map_is_shared(const struct btf *btf, const char *name)
{
	return sonde_btf_tag(btf, name, "sonde:shared");
}

static int shared_find(const struct sonde_shared_maps *maps, const char *name)
{
	for (size_t i = 0; i < maps->n; i++)
		if (!strcmp(maps->maps[i].name, name))
			return maps->maps[i].fd;
	return -ENOENT;
}

/* @param btf The types of key and value, loaded; NULL: without. */
static int map_create_with(const struct bpf_map *map, const struct btf *btf)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = bpf_map__map_flags(map));
	int fd;

	if (btf) {
		opts.btf_fd = (__u32)btf__fd(btf);
		opts.btf_key_type_id = bpf_map__btf_key_type_id(map);
		opts.btf_value_type_id = bpf_map__btf_value_type_id(map);
	}
	fd = bpf_map_create(bpf_map__type(map), bpf_map__name(map), bpf_map__key_size(map), bpf_map__value_size(map),
			    bpf_map__max_entries(map), &opts);
	return fd < 0 ? -errno : fd;
}

/* As the object declares it, with its type information if the kernel takes that. */
static int map_create(const struct bpf_object *object, const struct bpf_map *map, bool *ret_typed)
{
	const struct btf *declared = bpf_object__btf(object);
	__u32 size = 0;
	const void *data = declared ? btf__raw_data(declared, &size) : NULL;
	struct btf *btf = data ? btf__new(data, size) : NULL; /* a copy: libbpf loads the object's own itself */
	int fd = btf && !btf__load_into_kernel(btf) ? map_create_with(map, btf) : -EINVAL;

	*ret_typed = fd >= 0;
	btf__free(btf);
	return fd < 0 ? map_create_with(map, NULL) : fd;
}

static int shared_add(struct sonde_shared_maps *maps, const char *name, int fd)
{
	if (maps->n == SHARED_MAX || strlen(name) >= sizeof(maps->maps[0].name)) {
		close(fd);
		return -E2BIG;
	}
	strcpy(maps->maps[maps->n].name, name);
	maps->maps[maps->n++].fd = fd;
	return fd;
}

/* The one that an earlier run left pinned, or a new one. */
static int shared_make(struct sonde_shared_maps *maps, const struct bpf_object *object, const struct bpf_map *map, char *error,
		       size_t error_size)
{
	const char *name = bpf_map__name(map);
	int fd = maps->pins ? sonde_pins_get(maps->pins, object, map, error, error_size) : -ENOENT, r;
	bool typed;

	if (fd != -ENOENT)
		return fd < 0 ? fd : shared_add(maps, name, fd);
	fd = map_create(object, map, &typed);
	if (fd < 0) {
		snprintf(error, error_size, "cannot make the shared map '%s': %s", name, strerror(-fd));
		return fd;
	}
	/* Without types the next one could not tell what it is. Not pinned, it works as well for this one. */
	r = maps->pins && typed ? sonde_pins_put(maps->pins, name, fd) : 0;
	if (r < 0)
		sonde_log_warning("the shared map '%s' is not pinned: %s", name, strerror(-r));
	return shared_add(maps, name, fd);
}

static int shared_use(struct sonde_shared_maps *maps, const struct bpf_object *object, struct bpf_map *map, char *error,
		      size_t error_size)
{
	const char *name = bpf_map__name(map);
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int fd = shared_find(maps, name);

	if (fd < 0)
		fd = shared_make(maps, object, map, error, error_size);
	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &length))
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map)) {
		snprintf(error, error_size, "the shared map '%s' is declared differently than by the program that made it", name);
		return -EINVAL;
	}
	return bpf_map__reuse_fd(map, fd) ? -errno : 0;
}

int sonde_shared_maps_use(struct sonde_shared_maps *maps, struct bpf_object *object, char *error, size_t error_size)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map;
	int r = 0;

	pthread_mutex_lock(&maps->lock);
	bpf_object__for_each_map(map, object)
		if (!r && map_is_shared(btf, bpf_map__name(map)))
			r = shared_use(maps, object, map, error, error_size);
	pthread_mutex_unlock(&maps->lock);
	return r;
}
