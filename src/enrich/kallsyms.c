/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's functions: sorted 32-bit offsets and packed names, some 35 bytes a function.
 *
 * kallsyms gives no sizes. A function reaches to the next one of its module; the last of a module reaches to the end of its
 * page, where an entry without a name ends it: beyond that nothing is known, and a wrong name would be worse than none.
 * Invariant: offsets are sorted and each is there once. */
#include <enrich/kallsyms.h>

#include <base/cleanup.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PAGE 4096
#define END_OF_MODULE 0 /* name of the closing entries: names[0] is "" */

struct symbol {
	uint32_t offset;
	uint32_t name; /* in names; grows with the order in the file */
};

struct sonde_kallsyms {
	uint64_t base;
	struct symbol *symbols;
	char *names;
	uint32_t n, max, n_functions;
	uint32_t names_used, names_size;
};

struct reader {
	struct sonde_kallsyms *table;
	char module[64];
	uint64_t last; /* highest function of the module */
	bool skip;     /* this module's functions come and go: programs of BPF */
};

/* Kernel and modules lie within 2 GiB of each other (branch range) on all architectures that we build for. */
static bool address_offset(const struct sonde_kallsyms *table, uint64_t address, uint32_t *ret_offset)
{
	uint64_t offset = address - table->base;

	*ret_offset = (uint32_t)offset;
	/* The window may reach past the top, to where user space begins. */
	return offset <= UINT32_MAX && address >> 63;
}

static int add_name(struct sonde_kallsyms *table, const char *name, size_t length, uint32_t *ret_name)
{
	uint32_t size = table->names_size ? table->names_size : 64 * 1024;
	char *names;

	while (size - table->names_used <= length)
		size *= 2;
	if (size > SONDE_KALLSYMS_NAME_BYTES_MAX)
		return -E2BIG;
	if (size != table->names_size) {
		names = realloc(table->names, size);
		if (!names)
			return -ENOMEM;
		table->names = names;
		table->names_size = size;
	}
	*ret_name = table->names_used;
	memcpy(table->names + table->names_used, name, length);
	table->names[table->names_used + length] = '\0';
	table->names_used += (uint32_t)length + 1;
	return 0;
}

static int add_symbol(struct sonde_kallsyms *table, uint64_t address, uint32_t name)
{
	uint32_t max = table->max ? table->max * 2 : 8192;
	struct symbol *symbols;
	uint32_t offset;

	if (!address_offset(table, address, &offset))
		return 0;
	if (table->n == table->max) {
		if (max > 2 * SONDE_KALLSYMS_MAX)
			return -E2BIG;
		symbols = reallocarray(table->symbols, max, sizeof(*symbols));
		if (!symbols)
			return -ENOMEM;
		table->symbols = symbols;
		table->max = max;
	}
	table->symbols[table->n++] = (struct symbol){.offset = offset, .name = name};
	return 0;
}

static int end_module(struct reader *reader)
{
	uint64_t end = reader->last / PAGE * PAGE + PAGE;

	if (!reader->last)
		return 0;
	reader->last = 0;
	return add_symbol(reader->table, end, END_OF_MODULE);
}

/* ADDRESS TYPE NAME[\t[MODULE]] */
static int read_line(struct reader *reader, const char *line)
{
	struct sonde_kallsyms *table = reader->table;
	const char *name, *module;
	uint64_t address;
	uint32_t kept;
	size_t length;
	char *end;
	int r;

	address = strtoull(line, &end, 16);
	if (!address || end[0] != ' ' || !end[1] || !strchr("tTwW", end[1]) || end[2] != ' ')
		return 0;
	name = end + 3;
	length = strcspn(name, "\t ");
	module = name + length + strspn(name + length, "\t ");
	if (strncmp(module, reader->module, sizeof(reader->module) - 1)) {
		r = end_module(reader);
		if (r < 0)
			return r;
		snprintf(reader->module, sizeof(reader->module), "%s", module);
		reader->skip = !strcmp(module, "[bpf]");
	}
	/* Padding in front of a function, no code that runs. */
	if (reader->skip || !length || !strncmp(name, "__pfx_", 6) || !strncmp(name, "__cfi_", 6))
		return 0;
	if (!table->base)
		table->base = address - (1ull << 31);
	r = add_name(table, name, length, &kept);
	if (r < 0)
		return r;
	if (address > reader->last)
		reader->last = address;
	return add_symbol(table, address, kept);
}

static int read_all(struct reader *reader, int fd)
{
	CLEANUP_FREE char *buffer = malloc(64 * 1024 + 1);
	size_t used = 0;
	off_t offset = 0;
	ssize_t n;
	int r;

	if (!buffer)
		return -ENOMEM;
	/* The position of the descriptor may be shared with other processes: pread. */
	while ((n = pread(fd, buffer + used, 64 * 1024 - used, offset)) > 0) {
		char *line = buffer, *end;

		offset += n;
		used += (size_t)n;
		buffer[used] = '\0';
		while ((end = memchr(line, '\n', used - (size_t)(line - buffer)))) {
			*end = '\0';
			r = read_line(reader, line);
			if (r < 0)
				return r;
			line = end + 1;
		}
		used -= (size_t)(line - buffer);
		memmove(buffer, line, used);
		if (used == 64 * 1024)
			return -EINVAL; /* no kallsyms */
	}
	return n < 0 ? -errno : end_module(reader);
}

static int compare(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	/* A function that begins where a module ends counts; of several names the first, as the kernel itself does. */
	if (!a->name != !b->name)
		return a->name ? -1 : 1;
	return (a->name > b->name) - (a->name < b->name);
}

static void finish(struct sonde_kallsyms *table)
{
	uint32_t n = 0;
	void *smaller;

	qsort(table->symbols, table->n, sizeof(*table->symbols), compare);
	for (uint32_t i = 0; i < table->n; i++) {
		if (n && table->symbols[n - 1].offset == table->symbols[i].offset)
			continue;
		table->n_functions += table->symbols[i].name != END_OF_MODULE;
		table->symbols[n++] = table->symbols[i];
	}
	table->n = n;
	smaller = reallocarray(table->symbols, n, sizeof(*table->symbols));
	if (smaller)
		table->symbols = smaller;
	smaller = realloc(table->names, table->names_used);
	if (smaller)
		table->names = smaller;
}

int sonde_kallsyms_read(int fd, struct sonde_kallsyms **ret_table)
{
	CLEANUP(sonde_kallsyms_free) struct sonde_kallsyms *table = calloc(1, sizeof(*table));
	struct reader reader = {.table = table};
	uint32_t empty;
	int r;

	if (!table)
		return -ENOMEM;
	r = add_name(table, "", 0, &empty);
	if (!r)
		r = read_all(&reader, fd);
	if (r < 0)
		return r;
	if (!table->n)
		return -ENODATA;
	finish(table);
	*ret_table = TAKE_PTR(table);
	return 0;
}

void sonde_kallsyms_free(struct sonde_kallsyms **table)
{
	if (!*table)
		return;
	free((*table)->symbols);
	free((*table)->names);
	free(TAKE_PTR(*table));
}

const char *sonde_kallsyms_find(const struct sonde_kallsyms *table, uint64_t address)
{
	uint32_t low = 0, high = table->n, offset;

	if (!address_offset(table, address, &offset) || offset < table->symbols[0].offset)
		return NULL;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (table->symbols[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return table->symbols[low].name == END_OF_MODULE ? NULL : table->names + table->symbols[low].name;
}

uint32_t sonde_kallsyms_count(const struct sonde_kallsyms *table)
{
	return table->n_functions;
}
