/* SPDX-License-Identifier: Apache-2.0 */
/* Names of kernel addresses.
 *
 * Packets are dropped at few places: their names are kept by address, so that the table is seldom searched. Names that go
 * out are interned, because the table is replaced when a module comes. */
#include <enrich/symbols.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/hash.h>
#include <enrich/kallsyms.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define RECENT 256 /* a power of two */

struct recent {
	uint64_t address;
	const char *name;
};

struct sonde_symbols {
	pthread_mutex_t lock;
	int fd;
	struct sonde_intern *names;
	struct sonde_kallsyms *table;
	int64_t read_ns; /* when it was read or tried */
	struct recent recents[RECENT];
};

int sonde_symbols_new(int kallsyms_fd, struct sonde_intern *names, struct sonde_symbols **ret_symbols)
{
	struct sonde_symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return -ENOMEM;
	pthread_mutex_init(&symbols->lock, NULL);
	symbols->fd = kallsyms_fd;
	symbols->names = names;
	symbols->read_ns = -SONDE_SYMBOLS_RELOAD_NS;
	*ret_symbols = symbols;
	return 0;
}

void sonde_symbols_free(struct sonde_symbols **symbols)
{
	if (!*symbols)
		return;
	sonde_kallsyms_free(&(*symbols)->table);
	pthread_mutex_destroy(&(*symbols)->lock);
	free(TAKE_PTR(*symbols));
}

/* The old table goes first: two at a time would be the agent's largest allocation. */
static void reload(struct sonde_symbols *symbols)
{
	int64_t now = sonde_clock_boot_ns();

	if (symbols->fd < 0 || now - symbols->read_ns < SONDE_SYMBOLS_RELOAD_NS)
		return;
	symbols->read_ns = now;
	sonde_kallsyms_free(&symbols->table);
	memset(symbols->recents, 0, sizeof(symbols->recents));
	/* Without a table the addresses stay numbers. */
	(void)sonde_kallsyms_read(symbols->fd, &symbols->table);
}

static const char *name_locked(struct sonde_symbols *symbols, uint64_t address)
{
	struct recent *recent = &symbols->recents[sonde_hash_u64(address) & (RECENT - 1)];
	const char *name = NULL;

	if (recent->address == address)
		return recent->name;
	if (symbols->table)
		name = sonde_kallsyms_find(symbols->table, address);
	if (!name) {
		reload(symbols);
		if (symbols->table)
			name = sonde_kallsyms_find(symbols->table, address);
	}
	if (!name)
		return NULL;
	recent->address = address;
	recent->name = sonde_intern_get(symbols->names, name, strlen(name));
	return recent->name;
}

const char *sonde_symbols_name(struct sonde_symbols *symbols, uint64_t address)
{
	const char *name;

	if (!address)
		return NULL;
	pthread_mutex_lock(&symbols->lock);
	name = name_locked(symbols, address);
	pthread_mutex_unlock(&symbols->lock);
	return name;
}

uint64_t sonde_symbols_count(struct sonde_symbols *symbols)
{
	uint64_t n;

	pthread_mutex_lock(&symbols->lock);
	n = symbols->table ? sonde_kallsyms_count(symbols->table) : 0;
	pthread_mutex_unlock(&symbols->lock);
	return n;
}
