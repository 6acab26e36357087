/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup table: known ids on one LRU list, ids that could not be found on another.
 *
 * Invariant: the container of an id never changes once known (kernfs does not use an id again), so an answer may be
 * kept by a thread without asking. Two locks: `walking` is held through a walk, `lock` only for a moment, so that
 * a walk delays nobody but those who miss too. `walking` comes first. */
#include <enrich/cgroups.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/hash.h>
#include <enrich/enrich.h>
#include <enrich/hierarchy.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Whatever asks for unknown ids: at most one walk a second, and no more than a fiftieth of the time is spent walking. */
#define WALK_EVERY_NS SONDE_NS_PER_S
#define WALK_SHARE 50
#define RECENT 64 /* per thread; a power of two */

struct entry {
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) order;
	uint64_t id;
	int64_t unknown_until_ns; /* 0: known */
	const char *container;
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(order, entry);

struct sonde_cgroups {
	uint64_t instance; /* tells this table from one that stood at the same address before */
	struct sonde_intern *names;
	pthread_mutex_t walking;
	struct sonde_hierarchy hierarchies[2]; /* v2, v1 */
	int64_t next_walk_ns[2];
	pthread_mutex_t lock;
	struct entry *entries;
	struct chain *chains, unused;
	struct order known, unknown;
	uint32_t max_known, max_unknown, n_touched, n_chains;
	struct sonde_cgroups_status status;
};

/* Consecutive events mostly come from few cgroups: most look-ups end here, without a lock. */
struct recent {
	uint64_t instance, id;
	const char *container;
};
static _Thread_local struct recent recents[RECENT];

int sonde_cgroups_new(uint32_t max, struct sonde_intern *names, struct sonde_cgroups **ret_cgroups)
{
	static atomic_uint_least64_t instances;
	CLEANUP(sonde_cgroups_free) struct sonde_cgroups *cgroups = calloc(1, sizeof(*cgroups));

	if (!cgroups)
		return -ENOMEM;
	pthread_mutex_init(&cgroups->walking, NULL);
	pthread_mutex_init(&cgroups->lock, NULL);
	TAILQ_INIT(&cgroups->known);
	TAILQ_INIT(&cgroups->unknown);
	LIST_INIT(&cgroups->unused);
	cgroups->instance = atomic_fetch_add(&instances, 1) + 1;
	cgroups->names = names;
	cgroups->max_known = max;
	cgroups->max_unknown = max / 4 + 1;
	for (int i = 0; i < 2; i++)
		cgroups->hierarchies[i] = (struct sonde_hierarchy)SONDE_HIERARCHY_INIT;
	for (cgroups->n_chains = 16; cgroups->n_chains < max; cgroups->n_chains *= 2)
		;
	cgroups->entries = calloc(cgroups->max_known + cgroups->max_unknown, sizeof(*cgroups->entries));
	cgroups->chains = calloc(cgroups->n_chains, sizeof(*cgroups->chains));
	if (!cgroups->entries || !cgroups->chains)
		return -ENOMEM;
	*ret_cgroups = TAKE_PTR(cgroups);
	return 0;
}

void sonde_cgroups_free(struct sonde_cgroups **cgroups)
{
	if (!*cgroups)
		return;
	for (int i = 0; i < 2; i++)
		sonde_hierarchy_close(&(*cgroups)->hierarchies[i]);
	free((*cgroups)->entries);
	free((*cgroups)->chains);
	pthread_mutex_destroy(&(*cgroups)->walking);
	pthread_mutex_destroy(&(*cgroups)->lock);
	free(TAKE_PTR(*cgroups));
}

static struct chain *chain_of(struct sonde_cgroups *cgroups, uint64_t id)
{
	return &cgroups->chains[sonde_hash_u64(id) & (cgroups->n_chains - 1)];
}

static struct entry *entry_find(struct sonde_cgroups *cgroups, uint64_t id)
{
	struct entry *entry;

	LIST_FOREACH(entry, chain_of(cgroups, id), chain)
		if (entry->id == id)
			return entry;
	return NULL;
}

static void entry_remove(struct sonde_cgroups *cgroups, struct entry *entry)
{
	LIST_REMOVE(entry, chain);
	if (entry->unknown_until_ns) {
		TAILQ_REMOVE(&cgroups->unknown, entry, order);
		cgroups->status.unknown--;
	} else {
		TAILQ_REMOVE(&cgroups->known, entry, order);
		cgroups->status.cgroups--;
	}
	LIST_INSERT_HEAD(&cgroups->unused, entry, chain);
}

/* The id must not be in the table. */
static void entry_add(struct sonde_cgroups *cgroups, uint64_t id, const char *container, int64_t unknown_until_ns)
{
	struct entry *entry;

	if (unknown_until_ns && cgroups->status.unknown >= cgroups->max_unknown) {
		entry_remove(cgroups, TAILQ_FIRST(&cgroups->unknown));
	} else if (!unknown_until_ns && cgroups->status.cgroups >= cgroups->max_known) {
		entry_remove(cgroups, TAILQ_FIRST(&cgroups->known));
		cgroups->status.evicted++;
	}
	entry = LIST_FIRST(&cgroups->unused);
	if (entry)
		LIST_REMOVE(entry, chain);
	else
		entry = &cgroups->entries[cgroups->n_touched++];
	*entry = (struct entry){.id = id, .container = container, .unknown_until_ns = unknown_until_ns};
	LIST_INSERT_HEAD(chain_of(cgroups, id), entry, chain);
	if (unknown_until_ns) {
		TAILQ_INSERT_TAIL(&cgroups->unknown, entry, order);
		cgroups->status.unknown++;
	} else {
		TAILQ_INSERT_TAIL(&cgroups->known, entry, order);
		cgroups->status.cgroups++;
	}
}

void sonde_cgroups_set(struct sonde_cgroups *cgroups, uint64_t id, const char *path)
{
	const char *container = NULL;
	char name[NAME_MAX + 1];
	struct entry *entry;
	size_t length;

	length = sonde_container_of_path(path, name, sizeof(name));
	if (length)
		container = sonde_intern_get(cgroups->names, name, length);
	pthread_mutex_lock(&cgroups->lock);
	entry = entry_find(cgroups, id);
	if (entry && entry->unknown_until_ns) {
		entry_remove(cgroups, entry);
		entry = NULL;
	}
	if (!entry)
		entry_add(cgroups, id, container, 0);
	pthread_mutex_unlock(&cgroups->lock);
}

/* 1: found, 0: known to be unknown, -ENOENT: a walk may tell. */
static int find(struct sonde_cgroups *cgroups, uint64_t id, const char **ret_container)
{
	struct entry *entry;
	int r = -ENOENT;

	pthread_mutex_lock(&cgroups->lock);
	entry = entry_find(cgroups, id);
	if (entry && !entry->unknown_until_ns) {
		TAILQ_REMOVE(&cgroups->known, entry, order);
		TAILQ_INSERT_TAIL(&cgroups->known, entry, order);
		*ret_container = entry->container;
		r = 1;
	} else if (entry && sonde_clock_boot_ns() < entry->unknown_until_ns) {
		r = 0;
	}
	pthread_mutex_unlock(&cgroups->lock);
	return r;
}

struct learn {
	struct sonde_cgroups *cgroups;
	uint64_t flag;
	uint64_t wanted; /* the id that is looked for */
	char *path;	 /* of it, if it was found */
};

static void learn(uint64_t id, const char *path, void *userdata)
{
	struct learn *l = userdata;
	struct entry *entry;
	bool known;

	id |= l->flag;
	if (id == l->wanted && !l->path)
		l->path = strdup(path);
	pthread_mutex_lock(&l->cgroups->lock);
	entry = entry_find(l->cgroups, id);
	known = entry && !entry->unknown_until_ns;
	pthread_mutex_unlock(&l->cgroups->lock);
	if (!known)
		sonde_cgroups_set(l->cgroups, id, path);
}

/* `walking` is held. 0, -EAGAIN: it is too soon for another walk; others: nothing can be read. */
static int walk(struct sonde_cgroups *cgroups, uint64_t wanted)
{
	struct learn l = {.cgroups = cgroups, .flag = wanted & SONDE_CGROUP_V1, .wanted = wanted};
	bool v1 = l.flag;
	int64_t start = sonde_clock_boot_ns(), end;
	int r = 0;

	if (start < cgroups->next_walk_ns[v1])
		return -EAGAIN;
	if (cgroups->hierarchies[v1].fd < 0)
		r = sonde_hierarchy_open("/proc/self/mountinfo", v1, &cgroups->hierarchies[v1]);
	if (!r)
		r = sonde_hierarchy_walk(&cgroups->hierarchies[v1], learn, &l);
	/* Where there are more cgroups than room, the one that is needed must be among those that stay. */
	if (l.path)
		sonde_cgroups_set(cgroups, wanted, l.path);
	free(l.path);
	end = sonde_clock_boot_ns();
	cgroups->next_walk_ns[v1] =
		end + ((end - start) * WALK_SHARE > WALK_EVERY_NS ? (end - start) * WALK_SHARE : WALK_EVERY_NS);
	pthread_mutex_lock(&cgroups->lock);
	cgroups->status.walks++;
	pthread_mutex_unlock(&cgroups->lock);
	return r < 0 ? r : 0;
}

void sonde_cgroups_learn(struct sonde_cgroups *cgroups)
{
	pthread_mutex_lock(&cgroups->walking);
	/* A hierarchy that is not there has nothing to learn from. */
	(void)walk(cgroups, 0);
	(void)walk(cgroups, SONDE_CGROUP_V1);
	pthread_mutex_unlock(&cgroups->walking);
}

static int find_by_walk(struct sonde_cgroups *cgroups, uint64_t id, const char **ret_container)
{
	struct entry *entry;
	int r;

	pthread_mutex_lock(&cgroups->walking);
	r = find(cgroups, id, ret_container); /* another thread's walk may have ended just now */
	if (r != -ENOENT || walk(cgroups, id) == -EAGAIN) {
		pthread_mutex_unlock(&cgroups->walking);
		return r;
	}
	r = find(cgroups, id, ret_container);
	if (r == -ENOENT) {
		pthread_mutex_lock(&cgroups->lock);
		entry = entry_find(cgroups, id);
		if (entry && entry->unknown_until_ns) {
			entry_remove(cgroups, entry);
			entry = NULL;
		}
		if (!entry)
			entry_add(cgroups, id, NULL, sonde_clock_boot_ns() + SONDE_CGROUP_UNKNOWN_NS);
		pthread_mutex_unlock(&cgroups->lock);
	}
	pthread_mutex_unlock(&cgroups->walking);
	return r;
}

const char *sonde_cgroups_container(struct sonde_cgroups *cgroups, uint64_t id)
{
	struct recent *recent = &recents[sonde_hash_u64(id) & (RECENT - 1)];
	const char *container;
	int r;

	if (!id)
		return NULL;
	if (recent->id == id && recent->instance == cgroups->instance)
		return recent->container;
	r = find(cgroups, id, &container);
	if (r == -ENOENT)
		r = find_by_walk(cgroups, id, &container);
	if (r <= 0)
		return NULL;
	*recent = (struct recent){.instance = cgroups->instance, .id = id, .container = container};
	return container;
}

void sonde_cgroups_status(struct sonde_cgroups *cgroups, struct sonde_cgroups_status *ret_status)
{
	pthread_mutex_lock(&cgroups->lock);
	*ret_status = cgroups->status;
	pthread_mutex_unlock(&cgroups->lock);
}
