/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF side of an object, through libelf (which checks offsets against the size of the file). */
#include <schema/object.h>

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifndef EM_BPF
#define EM_BPF 247
#endif

static int object_fail(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/** The section's name and contents; NULL: not readable. */
static Elf_Data *section_data(Elf *elf, Elf_Scn *section, GElf_Shdr *header, const char **ret_name)
{
	size_t names;

	if (!gelf_getshdr(section, header) || elf_getshdrstrndx(elf, &names))
		return NULL;
	*ret_name = elf_strptr(elf, names, header->sh_name);
	return *ret_name ? elf_rawdata(section, NULL) : NULL;
}

static int object_copy_btf(struct sonde_object *object, const char **ret_why)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(object->elf, section))) {
		const char *name;
		GElf_Shdr header;
		Elf_Data *data = section_data(object->elf, section, &header, &name);

		if (!data || strcmp(name, ".BTF") || !data->d_buf || !data->d_size)
			continue;
		object->btf = malloc(data->d_size);
		if (!object->btf)
			return -ENOMEM;
		memcpy(object->btf, data->d_buf, data->d_size);
		object->btf_size = data->d_size;
		return 0;
	}
	return object_fail(ret_why, "it has no section .BTF: compile it with clang -g and do not strip .BTF");
}

int sonde_object_open(const void *data, size_t size, const char **ret_why, struct sonde_object *ret_object)
{
	struct sonde_object object = {0};
	GElf_Ehdr header;
	int r;

	if (size > SONDE_OBJECT_MAX)
		return object_fail(ret_why, "it is larger than 16 MiB: drop its debug information (llvm-strip -g)");
	elf_version(EV_CURRENT);
	/* libelf takes a pointer to non-const but only writes to an image when asked to update it. */
	object.elf = elf_memory((char *)data, size);
	if (!object.elf || elf_kind(object.elf) != ELF_K_ELF || !gelf_getehdr(object.elf, &header) ||
	    header.e_machine != EM_BPF || header.e_ident[EI_CLASS] != ELFCLASS64)
		r = object_fail(ret_why, "it is not an ELF file of BPF code: compile it with clang -target bpf");
	else
		r = object_copy_btf(&object, ret_why);
	if (r) {
		sonde_object_close(&object);
		return r;
	}
	*ret_object = object;
	return 0;
}

void sonde_object_close(struct sonde_object *object)
{
	elf_end(object->elf);
	free(object->btf);
	*object = (struct sonde_object){0};
}

/* Does a symbol stand as a whole in the section of that name? */
static bool symbol_in(Elf *elf, const GElf_Sym *symbol, const char *section_name, uint32_t size)
{
	Elf_Scn *section = elf_getscn(elf, symbol->st_shndx);
	const char *name;
	GElf_Shdr header;

	return section && section_data(elf, section, &header, &name) && !strcmp(name, section_name) &&
	       symbol->st_value <= header.sh_size && size <= header.sh_size - symbol->st_value &&
	       symbol->st_value <= UINT32_MAX;
}

int sonde_object_symbol(const struct sonde_object *object, const char *section, const char *name, uint32_t size,
			uint32_t *ret_offset)
{
	Elf_Scn *table = NULL;

	while ((table = elf_nextscn(object->elf, table))) {
		GElf_Shdr header;
		Elf_Data *data;
		GElf_Sym symbol;

		if (!gelf_getshdr(table, &header) || header.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(table, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
			const char *text = elf_strptr(object->elf, header.sh_link, symbol.st_name);

			if (!text || strcmp(text, name) || !symbol_in(object->elf, &symbol, section, size))
				continue;
			*ret_offset = (uint32_t)symbol.st_value;
			return 0;
		}
	}
	return -ENOENT;
}

int sonde_object_bytes(const struct sonde_object *object, const char *section, uint32_t offset, uint32_t size, void *ret)
{
	Elf_Scn *at = NULL;

	while ((at = elf_nextscn(object->elf, at))) {
		const char *name;
		GElf_Shdr header;
		Elf_Data *data = section_data(object->elf, at, &header, &name);

		if (!data || strcmp(name, section) || !data->d_buf || offset > data->d_size || size > data->d_size - offset)
			continue;
		memcpy(ret, (const char *)data->d_buf + offset, size);
		return 0;
	}
	return -ENOENT;
}
