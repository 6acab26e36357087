/* SPDX-License-Identifier: Apache-2.0 */
/* Names of addresses: a fixed array of entries, hashed by owner and address, on one list in the order they were told.
 *
 * Invariant: an entry in use is in one chain, the last told first, and on `told`. An entry never used costs no memory (calloc of untouched pages);
 * equal names are kept once (texts.c). */
#include <enrich/addresses.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/hash.h>
#include <enrich/texts.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define TEXT_BYTES_PER_NAME 64 /* on average */
#define EXPIRE_AT_ONCE 8       /* entries removed in one call: no hook waits for a pile of them */
#define SETTLE_NS SONDE_NS_PER_S
#define SETTLE_LOOK_US 100
#define SIEVE_SLOTS 65536u
#define NAMES_PER_ADDRESS 4    /* of one owner: events of the time before the last answer may still be on their way */

/* Who was told: a process, or (pid 0) a cgroup. */
struct owner {
	uint64_t id; /* start time, or the cgroup */
	uint32_t pid;
};

struct entry {
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) order;
	struct owner owner;
	sonde_address address;
	uint64_t answered_ns, expires_ns;
	struct sonde_text *name;
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(order, entry);

struct sonde_addresses {
	pthread_mutex_t lock;
	struct entry *entries;
	struct chain *chains;
	struct order told; /* longest ago first */
	struct chain unused; /* given back; entries from n_touched on were never used */
	uint32_t max, n_touched, n_chains;
	size_t max_text_bytes;
	uint64_t seed;
	struct sonde_texts *texts;
	uint64_t n, evicted;
	/* Entries by a hash of their address: where none is, nobody needs to be asked. Most addresses have no name. */
	_Atomic uint32_t *sieve;
	_Atomic unsigned n_tellers;
	struct sonde_name_teller tellers[SONDE_NAME_TELLERS_MAX];
};

/* Copies, because another thread may evict the entry at any time. */
static _Thread_local char answers[256][SONDE_NAME_BYTES_MAX + 1];
static _Thread_local uint8_t next_answer;

int sonde_addresses_new(uint32_t max, struct sonde_addresses **ret_addresses)
{
	CLEANUP(sonde_addresses_free) struct sonde_addresses *addresses = calloc(1, sizeof(*addresses));
	int r;

	if (!addresses)
		return -ENOMEM;
	pthread_mutex_init(&addresses->lock, NULL);
	TAILQ_INIT(&addresses->told);
	LIST_INIT(&addresses->unused);
	addresses->max = max;
	addresses->max_text_bytes = (size_t)max * TEXT_BYTES_PER_NAME;
	addresses->seed = sonde_hash_seed();
	for (addresses->n_chains = 16; addresses->n_chains < max; addresses->n_chains *= 2)
		;
	addresses->entries = calloc(max, sizeof(*addresses->entries));
	addresses->chains = calloc(addresses->n_chains, sizeof(*addresses->chains));
	addresses->sieve = calloc(SIEVE_SLOTS, sizeof(*addresses->sieve));
	if (!addresses->entries || !addresses->chains || !addresses->sieve)
		return -ENOMEM;
	r = sonde_texts_new(&addresses->texts);
	if (r < 0)
		return r;
	*ret_addresses = TAKE_PTR(addresses);
	return 0;
}

void sonde_addresses_free(struct sonde_addresses **addresses)
{
	if (!*addresses)
		return;
	sonde_texts_free(&(*addresses)->texts);
	free((*addresses)->entries);
	free((*addresses)->chains);
	free((*addresses)->sieve);
	pthread_mutex_destroy(&(*addresses)->lock);
	free(TAKE_PTR(*addresses));
}

static struct owner process_of(const struct sonde_header *header)
{
	if (header->flags & SONDE_PROCESS_UNKNOWN)
		return (struct owner){};
	return (struct owner){header->start_time_ns, header->pid};
}

static struct owner cgroup_of(const struct sonde_header *header)
{
	return (struct owner){header->cgroup_id, 0};
}

static uint64_t hash_of(const struct sonde_addresses *addresses, const uint8_t *address)
{
	uint64_t halves[2];

	memcpy(halves, address, sizeof(halves));
	return sonde_hash_u64(sonde_hash_u64(addresses->seed ^ halves[0]) ^ halves[1]);
}

static _Atomic uint32_t *sieve_of(struct sonde_addresses *addresses, uint64_t hash)
{
	return &addresses->sieve[hash % SIEVE_SLOTS];
}

/* @param hash Of the address. */
static struct chain *chain_of(struct sonde_addresses *addresses, struct owner owner, uint64_t hash)
{
	hash = sonde_hash_u64(hash ^ owner.id ^ (uint64_t)owner.pid << 32);
	return &addresses->chains[hash & (addresses->n_chains - 1)];
}

static bool is_of(const struct entry *entry, struct owner owner, const uint8_t *address)
{
	return entry->owner.id == owner.id && entry->owner.pid == owner.pid &&
	       !memcmp(&entry->address, address, sizeof(entry->address));
}

/* The name that was the last one at that time. */
static const struct entry *entry_at(const struct chain *chain, struct owner owner, const uint8_t *address, uint64_t time_ns)
{
	const struct entry *entry, *found = NULL;

	LIST_FOREACH(entry, chain, chain)
		if (is_of(entry, owner, address) && entry->answered_ns <= time_ns &&
		    (!found || entry->answered_ns > found->answered_ns))
			found = entry;
	return found && time_ns < found->expires_ns ? found : NULL;
}

static void entry_remove(struct sonde_addresses *addresses, struct entry *entry)
{
	LIST_REMOVE(entry, chain);
	TAILQ_REMOVE(&addresses->told, entry, order);
	sonde_text_unref(addresses->texts, entry->name);
	LIST_INSERT_HEAD(&addresses->unused, entry, chain);
	(*sieve_of(addresses, hash_of(addresses, (const uint8_t *)&entry->address)))--;
	addresses->n--;
}

/* For room that the entry `kept` needs, which stays. */
static bool evict_one(struct sonde_addresses *addresses, const struct entry *kept, uint64_t now_ns)
{
	struct entry *entry = TAILQ_FIRST(&addresses->told);

	if (entry && entry == kept)
		entry = TAILQ_NEXT(entry, order);
	if (!entry)
		return false;
	addresses->evicted += entry->expires_ns > now_ns;
	entry_remove(addresses, entry);
	return true;
}

static void expire(struct sonde_addresses *addresses, uint64_t now_ns)
{
	for (int i = 0; i < EXPIRE_AT_ONCE; i++) {
		struct entry *entry = TAILQ_FIRST(&addresses->told);

		if (!entry || entry->expires_ns > now_ns)
			return;
		entry_remove(addresses, entry);
	}
}

/* What was told, to all that it was told to. */
struct told {
	const struct sonde_known_name *name;
	size_t length;
	uint64_t hash; /* of the address */
	struct sonde_text *text; /* NULL: not needed so far */
};

static struct entry *entry_new(struct sonde_addresses *addresses, struct owner owner, const struct told *told)
{
	struct chain *chain = chain_of(addresses, owner, told->hash);
	struct entry *entry;

	if (addresses->n >= addresses->max)
		evict_one(addresses, NULL, told->name->answered_ns);
	entry = LIST_FIRST(&addresses->unused);
	if (entry)
		LIST_REMOVE(entry, chain);
	else
		entry = &addresses->entries[addresses->n_touched++];
	*entry = (struct entry){.owner = owner, .address = told->name->address, .answered_ns = told->name->answered_ns,
				.name = sonde_text_share(told->text)};
	LIST_INSERT_HEAD(chain, entry, chain);
	TAILQ_INSERT_TAIL(&addresses->told, entry, order);
	(*sieve_of(addresses, told->hash))++;
	addresses->n++;
	return entry;
}

static uint64_t ttl_of(const struct sonde_known_name *name)
{
	int64_t ttl_ns = (int64_t)name->ttl_seconds * 1000000000ll;

	if (ttl_ns < SONDE_NAME_TTL_MIN_NS)
		return SONDE_NAME_TTL_MIN_NS;
	return ttl_ns < SONDE_NAME_TTL_MAX_NS ? (uint64_t)ttl_ns : SONDE_NAME_TTL_MAX_NS;
}

/* The last name told to this owner, or NULL; of its others as many are kept as may be wanted. */
static struct entry *last_of(struct sonde_addresses *addresses, struct owner owner, const struct told *told)
{
	struct entry *entry, *next, *last = NULL;
	unsigned n = 0;

	for (entry = LIST_FIRST(chain_of(addresses, owner, told->hash)); entry; entry = next) {
		next = LIST_NEXT(entry, chain);
		if (!is_of(entry, owner, (const uint8_t *)&told->name->address))
			continue;
		if (!last)
			last = entry;
		if (++n >= NAMES_PER_ADDRESS)
			entry_remove(addresses, entry);
	}
	return last;
}

/* The same name holds on: most answers say what the one before said. */
static bool is_again(const struct entry *entry, const struct told *told)
{
	return entry->name->length == told->length && !memcmp(entry->name->bytes, told->name->name, told->length) &&
	       entry->answered_ns <= told->name->answered_ns && told->name->answered_ns <= entry->expires_ns;
}

static int set_for(struct sonde_addresses *addresses, struct owner owner, struct told *told)
{
	struct entry *entry = last_of(addresses, owner, told);

	if (entry && is_again(entry, told)) {
		TAILQ_REMOVE(&addresses->told, entry, order);
		TAILQ_INSERT_TAIL(&addresses->told, entry, order);
	} else {
		if (!told->text)
			told->text = sonde_text_ref(addresses->texts, told->name->name, told->length);
		if (!told->text)
			return -ENOMEM;
		entry = entry_new(addresses, owner, told);
	}
	entry->expires_ns = told->name->answered_ns + ttl_of(told->name);
	while (sonde_texts_bytes(addresses->texts) > addresses->max_text_bytes)
		if (!evict_one(addresses, entry, told->name->answered_ns))
			break;
	return 0;
}

int sonde_addresses_set(struct sonde_addresses *addresses, const struct sonde_header *asker, const struct sonde_known_name *name)
{
	struct owner process = process_of(asker), cgroup = cgroup_of(asker);
	struct told told = {.name = name, .length = strnlen(name->name, SONDE_NAME_BYTES_MAX),
			    .hash = hash_of(addresses, (const uint8_t *)&name->address)};
	int r = 0;

	pthread_mutex_lock(&addresses->lock);
	expire(addresses, name->answered_ns);
	if (process.pid)
		r = set_for(addresses, process, &told);
	if (!r && cgroup.id)
		r = set_for(addresses, cgroup, &told);
	sonde_text_unref(addresses->texts, told.text);
	pthread_mutex_unlock(&addresses->lock);
	return r;
}

bool sonde_addresses_has(struct sonde_addresses *addresses, const uint8_t address[16])
{
	return atomic_load_explicit(sieve_of(addresses, hash_of(addresses, address)), memory_order_relaxed);
}

const char *sonde_addresses_name(struct sonde_addresses *addresses, const struct sonde_header *event, const uint8_t address[16])
{
	struct owner process = process_of(event), cgroup = cgroup_of(event);
	uint64_t hash = hash_of(addresses, address);
	const struct entry *entry = NULL;
	char *answer = NULL;

	if (!atomic_load_explicit(sieve_of(addresses, hash), memory_order_relaxed))
		return NULL;
	pthread_mutex_lock(&addresses->lock);
	if (process.pid)
		entry = entry_at(chain_of(addresses, process, hash), process, address, event->time_ns);
	if (!entry && cgroup.id)
		entry = entry_at(chain_of(addresses, cgroup, hash), cgroup, address, event->time_ns);
	if (entry) {
		answer = answers[next_answer++];
		memcpy(answer, entry->name->bytes, entry->name->length);
		answer[entry->name->length] = '\0';
	}
	pthread_mutex_unlock(&addresses->lock);
	return answer;
}

/* ---- who tells ---- */

int sonde_addresses_add_teller(struct sonde_addresses *addresses, const struct sonde_name_teller *teller)
{
	int r = -ENOSPC;

	pthread_mutex_lock(&addresses->lock);
	if (addresses->n_tellers < SONDE_NAME_TELLERS_MAX) {
		addresses->tellers[addresses->n_tellers] = *teller;
		addresses->n_tellers++;
		r = 0;
	}
	pthread_mutex_unlock(&addresses->lock);
	return r;
}

void sonde_addresses_remove_teller(struct sonde_addresses *addresses, const void *userdata)
{
	pthread_mutex_lock(&addresses->lock);
	for (unsigned i = 0; i < addresses->n_tellers; i++)
		if (addresses->tellers[i].userdata == userdata) {
			addresses->tellers[i] = addresses->tellers[addresses->n_tellers - 1];
			addresses->n_tellers--;
			break;
		}
	pthread_mutex_unlock(&addresses->lock);
}

/* Has one of them not read up to its mark? The first time (`mark_now`) the mark is where it ends now. */
static bool is_behind(struct sonde_addresses *addresses, uint64_t *marks, const void **whose, bool mark_now)
{
	bool behind = false;

	/* Under the lock, so that nobody is removed while it is asked. */
	pthread_mutex_lock(&addresses->lock);
	for (unsigned i = 0; i < addresses->n_tellers; i++) {
		const struct sonde_name_teller *teller = &addresses->tellers[i];

		if (mark_now) {
			marks[i] = teller->end(teller->userdata);
			whose[i] = teller->userdata;
		}
		behind |= whose[i] == teller->userdata && teller->read(teller->userdata) < marks[i];
	}
	pthread_mutex_unlock(&addresses->lock);
	return behind;
}

bool sonde_addresses_settle(struct sonde_addresses *addresses, void (*touch)(void *userdata), void *userdata)
{
	uint64_t marks[SONDE_NAME_TELLERS_MAX];
	const void *whose[SONDE_NAME_TELLERS_MAX] = {};
	int64_t start;

	if (!addresses->n_tellers || !is_behind(addresses, marks, whose, true))
		return true;
	start = sonde_clock_boot_ns();
	do {
		usleep(SETTLE_LOOK_US);
		if (!is_behind(addresses, marks, whose, false))
			return true;
		touch(userdata);
	} while (sonde_clock_boot_ns() - start < SETTLE_NS);
	return false;
}

void sonde_addresses_status(struct sonde_addresses *addresses, struct sonde_addresses_status *ret_status)
{
	pthread_mutex_lock(&addresses->lock);
	*ret_status = (struct sonde_addresses_status){
		.names = addresses->n,
		.evicted = addresses->evicted,
		.text_bytes = sonde_texts_bytes(addresses->texts),
	};
	pthread_mutex_unlock(&addresses->lock);
}
