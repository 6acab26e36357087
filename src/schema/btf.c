/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw BTF: a header, the types one behind the other, and their strings. The one invariant: a pointer to a type is only
 * handed out after the type with all its members was seen to lie inside the type section.
 */
#include <schema/btf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Longer chains of typedefs and qualifiers do not occur; a cycle must end somewhere. */
#define DEPTH_MAX 32

/* Of the whole type with its members; 0 for a kind that is not known, whose size is not known either. */
static size_t type_bytes(const struct btf_type *type)
{
	size_t members = BTF_INFO_VLEN(type->info);

	switch (sonde_btf_kind(type)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return sizeof(*type);
	case BTF_KIND_INT:
		return sizeof(*type) + sizeof(uint32_t);
	case BTF_KIND_VAR:
		return sizeof(*type) + sizeof(struct btf_var);
	case BTF_KIND_DECL_TAG:
		return sizeof(*type) + sizeof(struct btf_decl_tag);
	case BTF_KIND_ARRAY:
		return sizeof(*type) + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return sizeof(*type) + members * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return sizeof(*type) + members * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return sizeof(*type) + members * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return sizeof(*type) + members * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return sizeof(*type) + members * sizeof(struct btf_var_secinfo);
	default:
		return 0;
	}
}

int sonde_btf_open(const void *data, size_t size, struct sonde_btf *ret_btf)
{
	const struct btf_header *header = data;
	const uint8_t *body;
	size_t left;

	if (size < sizeof(*header) || header->magic != BTF_MAGIC || header->version != BTF_VERSION ||
	    header->hdr_len < sizeof(*header) || header->hdr_len > size)
		return -EINVAL;
	body = (const uint8_t *)data + header->hdr_len;
	left = size - header->hdr_len;
	if (header->hdr_len % 4 || header->type_off % 4 || header->type_off > left ||
	    header->type_len > left - header->type_off || header->str_off > left || !header->str_len ||
	    header->str_len > left - header->str_off || body[header->str_off + header->str_len - 1] != '\0')
		return -EINVAL;
	*ret_btf = (struct sonde_btf){
		.types = body + header->type_off,
		.types_end = body + header->type_off + header->type_len,
		.strings = (const char *)body + header->str_off,
		.strings_size = header->str_len,
	};
	return 0;
}

const struct btf_type *sonde_btf_next(const struct sonde_btf *btf, const struct btf_type *previous)
{
	const uint8_t *at = previous ? (const uint8_t *)previous + type_bytes(previous) : btf->types;
	size_t left = (size_t)(btf->types_end - at), bytes;

	if (left < sizeof(struct btf_type))
		return NULL;
	bytes = type_bytes((const struct btf_type *)at);
	return bytes && bytes <= left ? (const struct btf_type *)at : NULL;
}

int sonde_btf_index(struct sonde_btf *btf)
{
	const struct btf_type **index, *type = NULL;
	const uint8_t *end = btf->types;
	uint32_t n = 1;

	while ((type = sonde_btf_next(btf, type))) {
		end = (const uint8_t *)type + type_bytes(type);
		n++;
	}
	if (end != btf->types_end)
		return -EINVAL;
	index = calloc(n, sizeof(const struct btf_type *));
	if (!index)
		return -ENOMEM;
	for (uint32_t id = 1; id < n; id++)
		index[id] = type = sonde_btf_next(btf, type);
	btf->index = index;
	btf->n_types = n;
	return 0;
}

void sonde_btf_close(struct sonde_btf *btf)
{
	free(btf->index);
	*btf = (struct sonde_btf){0};
}

const struct btf_type *sonde_btf_type(const struct sonde_btf *btf, uint32_t id)
{
	return id < btf->n_types ? btf->index[id] : NULL;
}

const struct btf_type *sonde_btf_plain(const struct sonde_btf *btf, uint32_t id)
{
	const struct btf_type *type = sonde_btf_type(btf, id);

	for (unsigned depth = 0; type && depth < DEPTH_MAX; depth++)
		switch (sonde_btf_kind(type)) {
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_CONST:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			type = sonde_btf_type(btf, type->type);
			break;
		default:
			return type;
		}
	return NULL;
}

const char *sonde_btf_text(const struct sonde_btf *btf, uint32_t offset)
{
	return offset < btf->strings_size ? btf->strings + offset : "";
}

bool sonde_btf_size(const struct sonde_btf *btf, uint32_t id, uint32_t *ret_size)
{
	uint64_t elements = 1;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		const struct btf_type *type = sonde_btf_plain(btf, id);
		const struct btf_array *array;

		if (!type)
			return false;
		switch (sonde_btf_kind(type)) {
		case BTF_KIND_ARRAY:
			array = (const struct btf_array *)(type + 1);
			elements *= array->nelems;
			id = array->type;
			break;
		case BTF_KIND_INT:
		case BTF_KIND_FLOAT:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			elements *= type->size;
			*ret_size = (uint32_t)elements;
			return elements <= UINT32_MAX;
		case BTF_KIND_PTR:
			elements *= sizeof(uint64_t);
			*ret_size = (uint32_t)elements;
			return elements <= UINT32_MAX;
		default:
			return false;
		}
		if (elements > UINT32_MAX)
			return false;
	}
	return false;
}

void sonde_btf_enumerator(const struct btf_type *type, uint32_t i, uint32_t *ret_name, int64_t *ret_number)
{
	bool is_signed = BTF_INFO_KFLAG(type->info);

	if (sonde_btf_kind(type) == BTF_KIND_ENUM) {
		const struct btf_enum *e = (const struct btf_enum *)(type + 1) + i;

		*ret_name = e->name_off;
		*ret_number = is_signed ? (int64_t)e->val : (int64_t)(uint32_t)e->val;
	} else {
		const struct btf_enum64 *e = (const struct btf_enum64 *)(type + 1) + i;

		*ret_name = e->name_off;
		*ret_number = (int64_t)((uint64_t)e->val_hi32 << 32 | e->val_lo32);
	}
}
