/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file btf.h
 * Reads raw BTF in place: of an object file, which may come from anyone, and of the kernel (5.5 MB, of which one
 * enum is wanted). libbpf's parser trusts ids, offsets and the header's length more than that allows, and copies all.
 *
 * Every id, offset and count is checked where it is used: a damaged input gives NULL or an error.
 * Threads: does not change once opened and indexed.
 */

#include <linux/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sonde_btf {
	const uint8_t *types, *types_end;
	const char *strings; /* ends with a NUL */
	uint32_t strings_size;
	uint32_t n_types;		/* highest id + 1; 0 is void */
	const struct btf_type **index;	/* by id, after sonde_btf_index() */
};

/** @param data Aligned to 4; borrowed. @return 0, -EINVAL: no BTF of this byte order, or damaged. */
int sonde_btf_open(const void *data, size_t size, struct sonde_btf *ret_btf);
/** Make the types reachable by id. @return 0, -EINVAL: damaged or of an unknown kind, -ENOMEM. */
int sonde_btf_index(struct sonde_btf *btf);
/** Free the index. */
void sonde_btf_close(struct sonde_btf *btf);

/** The type after `previous` (NULL: the first) in the order of ids; NULL at the end or where the data is damaged. */
const struct btf_type *sonde_btf_next(const struct sonde_btf *btf, const struct btf_type *previous);
/** NULL: void or no such id. */
const struct btf_type *sonde_btf_type(const struct sonde_btf *btf, uint32_t id);
/** The type behind typedefs, const, volatile and tags; NULL: void, a cycle or no such id. */
const struct btf_type *sonde_btf_plain(const struct sonde_btf *btf, uint32_t id);
/** "" for an offset beyond the strings. */
const char *sonde_btf_text(const struct sonde_btf *btf, uint32_t offset);
/** Bytes of a value of this type. @return false: it has no size, or one beyond 4 GiB. */
bool sonde_btf_size(const struct sonde_btf *btf, uint32_t id, uint32_t *ret_size);

static inline uint32_t sonde_btf_kind(const struct btf_type *type)
{
	return BTF_INFO_KIND(type->info);
}

/** One enumerator of a BTF_KIND_ENUM or BTF_KIND_ENUM64. */
void sonde_btf_enumerator(const struct btf_type *type, uint32_t i, uint32_t *ret_name, int64_t *ret_number);
