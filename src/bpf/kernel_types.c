/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes every type of the kernel whose name an object's types have (as CO-RE compares: without what follows "___"), and what these
 * consist of. What they only point to is left out: void. Invariant: a type has the number that it has in the kernel, as programs are
 * given numbers too; between the types that are taken stand nameless ones, which nothing finds.
 */
#include <bpf/kernel_types.h>

#include <errno.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <schema/btf.h>
#include <schema/btf_file.h>
#include <schema/object.h>

#define NAMES_MAX (1u << 14) /* a power of 2 */
#define DEPTH_MAX 64

/* ---- names that are asked for ---- */

struct names {
	size_t n;
	struct {
		char *text;
		size_t length;
	} slots[NAMES_MAX];
};

static void names_free(struct names **names)
{
	for (size_t i = 0; *names && i < NAMES_MAX; i++)
		free((*names)->slots[i].text);
	free(*names);
}

/* Without its flavour, as libbpf tells it: the last "___" between two other characters. */
static size_t name_length(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = length > 4 ? length - 4 : 0; i-- > 0;)
		if (name[i] != '_' && !memcmp(name + i + 1, "___", 3) && name[i + 4] != '_')
			return i + 1;
	return length;
}

/* Where it is, or would be. */
static size_t names_slot(const struct names *names, const char *name, size_t length)
{
	uint32_t hash = 2166136261u;
	size_t slot;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	for (slot = hash % NAMES_MAX; names->slots[slot].text; slot = (slot + 1) % NAMES_MAX)
		if (names->slots[slot].length == length && !memcmp(names->slots[slot].text, name, length))
			break;
	return slot;
}

static bool kind_has_name(uint32_t kind)
{
	return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
	       kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_INT || kind == BTF_KIND_FLOAT;
}

static int names_add(struct names *names, const char *name)
{
	size_t length = name_length(name), slot = names_slot(names, name, length);

	if (!length || names->slots[slot].text)
		return 0;
	if (names->n == NAMES_MAX / 2)
		return -E2BIG;
	names->slots[slot].text = strndup(name, length);
	if (!names->slots[slot].text)
		return -ENOMEM;
	names->slots[slot].length = length;
	names->n++;
	return 0;
}

static int names_add_all(struct names *names, const struct sonde_image *image)
{
	CLEANUP(sonde_object_close) struct sonde_object object = {0};
	const struct btf_type *type = NULL;
	struct sonde_btf btf;
	const char *why;
	int r;

	r = sonde_object_open(image->object, image->size, &why, &object);
	if (!r)
		r = sonde_btf_open(object.btf, object.btf_size, &btf);
	while (!r && (type = sonde_btf_next(&btf, type)))
		if (kind_has_name(sonde_btf_kind(type)))
			r = names_add(names, sonde_btf_text(&btf, type->name_off));
	return r;
}

/* ---- types that are taken ---- */

struct taking {
	struct sonde_btf kernel;
	uint8_t *taken; /* by id */
	uint32_t last;
	struct sonde_buffer types, strings;
};

static void taking_free(struct taking *taking)
{
	sonde_btf_close(&taking->kernel);
	free(taking->taken);
	sonde_buffer_free(&taking->types);
	sonde_buffer_free(&taking->strings);
}

/* The pointer alone, or with what a function takes: types are compared that far. */
static bool pointer_goes_on(const struct taking *taking, const struct btf_type *type)
{
	const struct btf_type *to = sonde_btf_plain(&taking->kernel, type->type);

	return to && sonde_btf_kind(to) == BTF_KIND_FUNC_PROTO;
}

/* The nth type that this one consists of. @return false: there are no more. */
static bool type_part(const struct taking *taking, const struct btf_type *type, uint32_t n, uint32_t *ret_id)
{
	const struct btf_array *array = (const struct btf_array *)(type + 1);
	uint32_t members = BTF_INFO_VLEN(type->info);

	switch (sonde_btf_kind(type)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		*ret_id = n < members ? ((const struct btf_member *)(type + 1))[n].type : 0;
		return n < members;
	case BTF_KIND_FUNC_PROTO:
		*ret_id = n ? ((const struct btf_param *)(type + 1))[n - 1].type : type->type;
		return n <= members;
	case BTF_KIND_ARRAY:
		*ret_id = n ? array->index_type : array->type;
		return n < 2;
	case BTF_KIND_PTR:
		*ret_id = type->type;
		return !n && pointer_goes_on(taking, type);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		*ret_id = type->type;
		return !n;
	default:
		return false;
	}
}

static int type_take(struct taking *taking, uint32_t id, unsigned depth)
{
	const struct btf_type *type = sonde_btf_type(&taking->kernel, id);
	uint32_t part;
	int r = 0;

	if (!type || taking->taken[id])
		return 0;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	taking->taken[id] = 1;
	if (id > taking->last)
		taking->last = id;
	for (uint32_t n = 0; !r && type_part(taking, type, n, &part); n++)
		r = type_take(taking, part, depth + 1);
	return r;
}

static int types_take(struct taking *taking, const struct names *names)
{
	int r = 0;

	for (uint32_t id = 1; !r && id < taking->kernel.n_types; id++) {
		const struct btf_type *type = taking->kernel.index[id];
		const char *name = sonde_btf_text(&taking->kernel, type->name_off);

		if (name[0] && kind_has_name(sonde_btf_kind(type)) &&
		    names->slots[names_slot(names, name, name_length(name))].text)
			r = type_take(taking, id, 0);
	}
	return r < 0 ? r : taking->last ? 0 : -ENOENT;
}

/* ---- as a file ---- */

/* Offset of the text among the new strings. */
static uint32_t string_put(struct taking *taking, uint32_t offset)
{
	const char *text = sonde_btf_text(&taking->kernel, offset);
	uint32_t at = (uint32_t)taking->strings.length;

	if (!text[0])
		return 0;
	sonde_buffer_add(&taking->strings, text, strlen(text) + 1);
	return at;
}

/* Each of a struct's members, an enum's numbers and a function's arguments begins with a name. */
static size_t named_part_bytes(uint32_t kind)
{
	switch (kind) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return sizeof(struct btf_param);
	default:
		return 0;
	}
}

static void type_put(struct taking *taking, uint32_t id)
{
	const struct btf_type *type = taking->kernel.index[id], nothing = {.info = BTF_KIND_FWD << 24};
	const uint8_t *end = id + 1 < taking->kernel.n_types ? (const uint8_t *)taking->kernel.index[id + 1] : taking->kernel.types_end;
	size_t at = taking->types.length, part = named_part_bytes(sonde_btf_kind(type));
	struct btf_type *copy;

	if (!taking->taken[id]) {
		sonde_buffer_add(&taking->types, &nothing, sizeof(nothing));
		return;
	}
	sonde_buffer_add(&taking->types, type, (size_t)(end - (const uint8_t *)type));
	if (taking->types.failed)
		return;
	copy = (struct btf_type *)(taking->types.data + at);
	copy->name_off = string_put(taking, copy->name_off);
	if (sonde_btf_kind(type) == BTF_KIND_PTR && !(type->type < taking->kernel.n_types && taking->taken[type->type]))
		copy->type = 0;
	for (uint32_t i = 0; part && i < BTF_INFO_VLEN(type->info); i++) {
		uint32_t *name = (uint32_t *)(taking->types.data + at + sizeof(*type) + i * part);

		*name = string_put(taking, *name);
	}
}

static int types_write(struct taking *taking)
{
	struct btf_header header = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(header)};
	CLEANUP_CLOSE int fd = -1;

	sonde_buffer_add(&taking->strings, "", 1);
	for (uint32_t id = 1; id <= taking->last; id++)
		type_put(taking, id);
	if (taking->types.failed || taking->strings.failed)
		return -ENOMEM;
	header.type_len = header.str_off = (uint32_t)taking->types.length;
	header.str_len = (uint32_t)taking->strings.length;
	fd = memfd_create("sonde-kernel-types", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, &header, sizeof(header)) != sizeof(header) ||
	    write(fd, taking->types.data, taking->types.length) != (ssize_t)taking->types.length ||
	    write(fd, taking->strings.data, taking->strings.length) != (ssize_t)taking->strings.length)
		return -EIO;
	return TAKE_FD(fd);
}

int sonde_kernel_types_open(const struct sonde_image *images, size_t n, struct sonde_kernel_types *ret_types)
{
	CLEANUP(sonde_kernel_types_close) struct sonde_kernel_types types = SONDE_KERNEL_TYPES_NONE;
	CLEANUP(names_free) struct names *names = calloc(1, sizeof(*names));
	CLEANUP(sonde_btf_file_close) struct sonde_btf_file file = {0};
	CLEANUP(taking_free) struct taking taking = {0};
	int r = names ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++)
		r = names_add_all(names, &images[i]);
	r = r ?: sonde_btf_file_open(SONDE_KERNEL_BTF, &file);
	r = r ?: sonde_btf_open(file.data, file.size, &taking.kernel);
	r = r ?: sonde_btf_index(&taking.kernel);
	if (r < 0)
		return r;
	taking.taken = calloc(1, taking.kernel.n_types);
	r = taking.taken ? types_take(&taking, names) : -ENOMEM;
	r = r ?: types_write(&taking);
	if (r < 0)
		return r;
	types.fd = r;
	snprintf(types.path, sizeof(types.path), "/proc/self/fd/%d", types.fd);
	if (access(types.path, R_OK))
		return -errno;
	*ret_types = types;
	types.fd = -1;
	return 0;
}

void sonde_kernel_types_close(struct sonde_kernel_types *types)
{
	if (types->fd >= 0)
		close(types->fd);
	types->fd = -1;
}
