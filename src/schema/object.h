/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file object.h What the schema needs of a BPF object file: its BTF and where its variables stand. Threads: one. */

#include <stddef.h>
#include <stdint.h>

#define SONDE_OBJECT_MAX (16u << 20)

struct sonde_object {
	struct Elf *elf;
	void *btf; /* copy of section .BTF: a section may stand at any address, BTF needs 4-byte alignment */
	size_t btf_size;
};

/**
 * @param data The file, borrowed until the object is closed.
 * @param ret_why On failure what is wrong and what to do (static).
 */
int sonde_object_open(const void *data, size_t size, const char **ret_why, struct sonde_object *ret_object);
void sonde_object_close(struct sonde_object *object);
/**
 * @brief Where a global variable stands.
 * By the symbol, not by BTF: a compiler leaves the offsets in BTF 0, and only some linkers fill them in.
 * @return 0, -ENOENT: no such symbol, or not inside `section`.
 */
int sonde_object_symbol(const struct sonde_object *object, const char *section, const char *name, uint32_t size,
			uint32_t *ret_offset);
/** @return 0, -ENOENT: no such section, or it has no such bytes. */
int sonde_object_bytes(const struct sonde_object *object, const char *section, uint32_t offset, uint32_t size, void *ret);
