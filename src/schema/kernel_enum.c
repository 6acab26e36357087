/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enums of the running kernel. Their numbers move between kernels, so the names must come from this kernel's own BTF.
 * The file is 5.5 MB: it is looked through once for each enum, and only the enum is kept.
 */
#include <schema/enum.h>

#include <base/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
#define FILE_MAX (256u << 20)
#define KEPT_MAX 256 /* enums; each column that is shown by a kernel enum needs one */

struct mapping {
	void *data;
	size_t size;
};

static void mapping_free(struct mapping *mapping)
{
	if (mapping->data)
		munmap(mapping->data, mapping->size);
}

/* Kernels before 6.16 cannot map this file, and give at most a page for each read. */
static int mapping_read(int fd, struct mapping *mapping)
{
	size_t done = 0;

	mapping->data = mmap(NULL, mapping->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping->data == MAP_FAILED) {
		mapping->data = NULL;
		return -errno;
	}
	while (done < mapping->size) {
		ssize_t n = read(fd, (char *)mapping->data + done, mapping->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int mapping_open(const char *path, struct mapping *mapping)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		return -errno;
	if (status.st_size <= 0 || status.st_size > FILE_MAX)
		return -EFBIG;
	mapping->size = (size_t)status.st_size;
	/* Only sysfs: any other file could be cut while it is mapped. */
	mapping->data = strncmp(path, "/sys/", 5) ? MAP_FAILED
						   : mmap(NULL, mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapping->data != MAP_FAILED)
		return 0;
	mapping->data = NULL;
	return mapping_read(fd, mapping);
}

int sonde_enum_read(const char *path, const char *name, struct sonde_arena *arena, const struct sonde_enum **ret_names)
{
	CLEANUP(mapping_free) struct mapping mapping = {0};
	const struct sonde_enum *names;
	const struct btf_type *type = NULL;
	struct sonde_btf btf;
	int r = mapping_open(path, &mapping);

	if (!r)
		r = sonde_btf_open(mapping.data, mapping.size, &btf);
	if (r)
		return r;
	while ((type = sonde_btf_next(&btf, type))) {
		uint32_t kind = sonde_btf_kind(type);

		/* Without enumerators it is a forward declaration. */
		if ((kind != BTF_KIND_ENUM && kind != BTF_KIND_ENUM64) || !BTF_INFO_VLEN(type->info) ||
		    strcmp(sonde_btf_text(&btf, type->name_off), name))
			continue;
		names = sonde_enum_new(arena, &btf, type, NULL);
		if (!names)
			return -ENOMEM;
		*ret_names = names;
		return 0;
	}
	return -ENOENT;
}

const struct sonde_enum *sonde_enum_of_kernel(const char *name)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct sonde_arena arena; /* lives as long as the process, as the names do */
	static struct {
		const char *name;
		const struct sonde_enum *names; /* NULL: this kernel has none; not looked for again */
	} kept[KEPT_MAX];
	static unsigned n_kept;
	const struct sonde_enum *names = NULL;
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (i < n_kept && strcmp(kept[i].name, name))
		i++;
	if (i < n_kept) {
		names = kept[i].names;
	} else if (n_kept < KEPT_MAX) {
		kept[i].name = sonde_arena_text(&arena, name, strlen(name));
		if (kept[i].name && sonde_enum_read(KERNEL_BTF, name, &arena, &names) != -ENOMEM) {
			kept[i].names = names;
			n_kept++;
		}
	}
	pthread_mutex_unlock(&lock);
	return names;
}
