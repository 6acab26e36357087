/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enums of the running kernel. Their numbers move between kernels, so the names must come from this kernel's own BTF.
 * The file is 5.5 MB: it is looked through once for each enum, and only the enum is kept.
 */
#include <schema/enum.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <base/cleanup.h>
#include <schema/btf_file.h>

#define KEPT_MAX 256 /* enums; each column that is shown by a kernel enum needs one */

int sonde_enum_read(const char *path, const char *name, struct sonde_arena *arena, const struct sonde_enum **ret_names)
{
	CLEANUP(sonde_btf_file_close) struct sonde_btf_file file = {0};
	const struct sonde_enum *names;
	const struct btf_type *type = NULL;
	struct sonde_btf btf;
	int r = sonde_btf_file_open(path, &file);

	if (!r)
		r = sonde_btf_open(file.data, file.size, &btf);
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
		if (kept[i].name && sonde_enum_read(SONDE_KERNEL_BTF, name, &arena, &names) != -ENOMEM) {
			kept[i].names = names;
			n_kept++;
		}
	}
	pthread_mutex_unlock(&lock);
	return names;
}
