/* SPDX-License-Identifier: Apache-2.0 */
/* Registry of shared maps. It holds its own descriptor of each, so a map lives as long as the registry. */
#include <bpf/shared.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/tags.h>

#define SHARED_MAX 32

struct sonde_shared_maps {
	size_t n;
	struct {
		char name[64];
		int fd;
	} maps[SHARED_MAX];
};

int sonde_shared_maps_new(struct sonde_shared_maps **ret_maps)
{
	*ret_maps = calloc(1, sizeof(**ret_maps));
	return *ret_maps ? 0 : -ENOMEM;
}

void sonde_shared_maps_free(struct sonde_shared_maps **pointer)
{
	struct sonde_shared_maps *maps = TAKE_PTR(*pointer);

	for (size_t i = 0; maps && i < maps->n; i++)
		close(maps->maps[i].fd);
	free(maps);
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

int sonde_shared_maps_reuse(struct sonde_shared_maps *maps, struct bpf_object *object, char *error, size_t error_size)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		struct bpf_map_info info = {};
		__u32 length = sizeof(info);
		int fd = shared_find(maps, bpf_map__name(map));

		if (fd < 0 || !map_is_shared(btf, bpf_map__name(map)))
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &length))
			return -errno;
		if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		    info.value_size != bpf_map__value_size(map)) {
			snprintf(error, error_size, "the shared map '%s' is declared differently than by the program that made it",
				 bpf_map__name(map));
			return -EINVAL;
		}
		if (bpf_map__reuse_fd(map, fd))
			return -errno;
	}
	return 0;
}

int sonde_shared_maps_add(struct sonde_shared_maps *maps, struct bpf_object *object)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map);
		int fd;

		if (!map_is_shared(btf, name) || shared_find(maps, name) >= 0)
			continue;
		if (maps->n == SHARED_MAX || strlen(name) >= sizeof(maps->maps[0].name))
			return -E2BIG;
		fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return -errno;
		strcpy(maps->maps[maps->n].name, name);
		maps->maps[maps->n++].fd = fd;
	}
	return 0;
}
