/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/pins.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <base/buffer.h>
#include <base/cleanup.h>

#define PREFIX "sonde_" /* of a map's name: the directory says that already */
#define PINS_MAX 32

struct sonde_pins {
	char directory[256];
	int fd; /* of the directory, locked */
	size_t n;
	char names[PINS_MAX][64]; /* of ours in it */
};

static const char *pin_name(const char *map_name)
{
	return strncmp(map_name, PREFIX, strlen(PREFIX)) ? map_name : map_name + strlen(PREFIX);
}

static int pin_path(const struct sonde_pins *pins, const char *map_name, char *ret_path, size_t size)
{
	return (size_t)snprintf(ret_path, size, "%s/%s", pins->directory, pin_name(map_name)) < size ? 0 : -ENAMETOOLONG;
}

/* ---- the directory ---- */

static int directory_check(const char *directory, int fd, char *error, size_t error_size)
{
	struct stat st, there;
	struct statfs fs;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return -errno;
	if (fs.f_type != BPF_FS_MAGIC) {
		snprintf(error, error_size, "'%s' lies in no bpf file system: mount -t bpf bpf /sys/fs/bpf", directory);
		return -ENOTSUP;
	}
	if (st.st_uid != geteuid() || st.st_mode & 022) {
		snprintf(error, error_size, "others could change what lies in '%s': remove it, or choose another shared_maps.path",
			 directory);
		return -EPERM;
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		snprintf(error, error_size, "another sonde has '%s': give each its own shared_maps.path", directory);
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	/* Who had it before may have removed it in this moment: then this is not what others find there. */
	if (stat(directory, &there) || there.st_ino != st.st_ino) {
		snprintf(error, error_size, "another sonde was just leaving '%s'", directory);
		return -EBUSY;
	}
	return 0;
}

int sonde_pins_open(const char *directory, struct sonde_pins **ret_pins, char *error, size_t error_size)
{
	struct sonde_pins *pins;
	bool made = !mkdir(directory, 0700);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		snprintf(error, error_size, "cannot open the directory '%s': %s", directory, strerror(-r));
		return r;
	}
	r = directory_check(directory, fd, error, error_size);
	pins = r < 0 ? NULL : calloc(1, sizeof(*pins));
	if (!pins) {
		if (made)
			rmdir(directory);
		close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	snprintf(pins->directory, sizeof(pins->directory), "%s", directory);
	pins->fd = fd;
	*ret_pins = pins;
	return 0;
}

/* Is it a map of one of sonde's own programs? The kernel keeps the name that it was made with. */
static bool is_own(const struct sonde_pins *pins, const char *name)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	char path[320];
	int fd, r;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", pins->directory, name) >= sizeof(path))
		return false;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	r = bpf_obj_get_info_by_fd(fd, &info, &length);
	close(fd);
	return !r && !strncmp(info.name, PREFIX, strlen(PREFIX));
}

/* What one that was killed left there, of programs that do not run now. */
static void remove_left_over(const struct sonde_pins *pins)
{
	DIR *directory = opendir(pins->directory);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && is_own(pins, entry->d_name))
			unlinkat(pins->fd, entry->d_name, 0);
	if (directory)
		closedir(directory);
}

void sonde_pins_close(struct sonde_pins **pointer, bool keep)
{
	struct sonde_pins *pins = TAKE_PTR(*pointer);

	if (!pins)
		return;
	for (size_t i = 0; i < pins->n && !keep; i++)
		unlinkat(pins->fd, pin_name(pins->names[i]), 0);
	if (!keep) {
		remove_left_over(pins);
		rmdir(pins->directory);
	}
	close(pins->fd);
	free(pins);
}

/* ---- maps ---- */

static void add_text(void *userdata, const char *format, va_list arguments)
{
	sonde_buffer_vprintf(userdata, format, arguments);
}

/* What keys and values look like, as C, with all they are made of. */
static int layout_text(const struct btf *btf, __u32 key, __u32 value, struct sonde_buffer *out)
{
	struct btf_dump *dump = btf_dump__new(btf, add_text, out, NULL);
	int r;

	if (!dump)
		return -errno;
	r = key ? btf_dump__dump_type(dump, key) : 0;
	if (!r)
		r = value ? btf_dump__dump_type(dump, value) : 0;
	btf_dump__free(dump);
	return r ?: sonde_buffer_error(out);
}

static int layout_is_equal(const struct bpf_object *object, const struct bpf_map *map, const struct bpf_map_info *info)
{
	struct sonde_buffer wanted CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_buffer there CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct btf *btf = info->btf_id ? btf__load_from_kernel_by_id(info->btf_id) : NULL;
	int r;

	if (!btf)
		return info->btf_id ? -errno : 0; /* sonde pins none without */
	r = layout_text(btf, info->btf_key_type_id, info->btf_value_type_id, &there);
	btf__free(btf);
	r = r ?: layout_text(bpf_object__btf(object), bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map), &wanted);
	if (r < 0)
		return r;
	return wanted.length == there.length && !memcmp(wanted.data, there.data, wanted.length);
}

/* What is different, or NULL. */
static const char *difference(const struct bpf_object *object, const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int r;

	if (bpf_obj_get_info_by_fd(fd, &info, &length))
		return "it is no map";
	if (info.type != bpf_map__type(map))
		return "it is of another type";
	if (info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map))
		return "its keys or values have another size";
	if (info.max_entries != bpf_map__max_entries(map) || info.map_flags != bpf_map__map_flags(map))
		return "it has another number of entries or other flags";
	r = layout_is_equal(object, map, &info);
	if (r < 0)
		return "its types cannot be read";
	return r ? NULL : "its keys or values are laid out differently";
}

int sonde_pins_get(struct sonde_pins *pins, const struct bpf_object *object, const struct bpf_map *map, char *error,
		   size_t error_size)
{
	const char *different;
	char path[320];
	int fd, r;

	if (pin_path(pins, bpf_map__name(map), path, sizeof(path)))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0) {
		r = -errno;
		snprintf(error, error_size, "cannot open '%s': %s", path, strerror(-r));
		return r;
	}
	different = difference(object, map, fd);
	if (!different) {
		if (pins->n < PINS_MAX)
			snprintf(pins->names[pins->n++], sizeof(pins->names[0]), "%s", bpf_map__name(map));
		return fd;
	}
	close(fd);
	snprintf(error, error_size, "'%s' is not the map that is wanted: %s. Another version left it: remove it (rm %s), or choose "
				    "another shared_maps.path", path, different, path);
	return -EINVAL;
}

int sonde_pins_put(struct sonde_pins *pins, const char *name, int map_fd)
{
	char path[320];

	if (pins->n == PINS_MAX || strlen(name) >= sizeof(pins->names[0]) || pin_path(pins, name, path, sizeof(path)))
		return -ENAMETOOLONG;
	if (bpf_obj_pin(map_fd, path))
		return -errno;
	strcpy(pins->names[pins->n++], name);
	return 0;
}
