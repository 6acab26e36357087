/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The groups of a pass: a hash table with open addressing, at most half full, over items that stand one after the other. The best of
 * all passes: a heap, the worst of them first. Invariant: each group with a hash below `until` that was added since the pass began
 * and whose hash is at least `from` is in the table with all that was added to it.
 */
#include <store/groups.h>

#include <store/backend.h>
#include <store/group_key.h>

#include <base/hash.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 8 /* items begin at multiples of it */
#define BUCKETS_LEAST 256
#define ITEMS_LEAST 8192
#define HASH_END (1ull << 32)
#define NARROWER 8 /* by this part of its width */

struct item {
	uint32_t hash, key_length;
	uint64_t count;
	int64_t sum;
	char key[];
};

struct sonde_groups {
	struct sonde_groups_opts opts;
	uint64_t from, until; /* hashes of this pass */
	char *items;
	size_t used, capacity, n;
	uint32_t *buckets; /* 1 + place of the item in units; 0: free */
	size_t n_buckets;  /* power of two */
	struct item *key; /* what is looked for: as a new item */
	size_t key_capacity;
	struct item **top;
	size_t n_top, top_capacity;
	uint64_t number;
};

int sonde_groups_new(const struct sonde_groups_opts *opts, struct sonde_groups **ret_groups)
{
	struct sonde_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	groups->opts = *opts;
	groups->until = HASH_END;
	*ret_groups = groups;
	return 0;
}

static void table_free(struct sonde_groups *groups)
{
	free(groups->items);
	free(groups->buckets);
	groups->items = NULL;
	groups->buckets = NULL;
	groups->n = groups->used = groups->capacity = groups->n_buckets = 0;
}

void sonde_groups_free(struct sonde_groups **groups)
{
	if (!*groups)
		return;
	table_free(*groups);
	for (size_t i = 0; i < (*groups)->n_top; i++)
		free((*groups)->top[i]);
	free((*groups)->top);
	free((*groups)->key);
	free(*groups);
	*groups = NULL;
}

/* ---- the table of a pass ---- */

static size_t item_bytes(const struct item *item)
{
	return (sizeof(*item) + item->key_length + UNIT - 1) / UNIT * UNIT;
}

static struct item *item_at(const struct sonde_groups *groups, size_t offset)
{
	return (struct item *)(void *)(groups->items + offset);
}

static void bucket_set(struct sonde_groups *groups, size_t offset)
{
	size_t at = item_at(groups, offset)->hash & (groups->n_buckets - 1);

	while (groups->buckets[at])
		at = (at + 1) & (groups->n_buckets - 1);
	groups->buckets[at] = (uint32_t)(offset / UNIT) + 1;
}

static void buckets_fill(struct sonde_groups *groups)
{
	if (!groups->n_buckets)
		return;
	memset(groups->buckets, 0, groups->n_buckets * sizeof(*groups->buckets));
	for (size_t at = 0; at < groups->used; at += item_bytes(item_at(groups, at)))
		bucket_set(groups, at);
}

static int buckets_grow(struct sonde_groups *groups)
{
	size_t n = groups->n_buckets ? groups->n_buckets * 2 : BUCKETS_LEAST;
	uint32_t *buckets = malloc(n * sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	free(groups->buckets);
	groups->buckets = buckets;
	groups->n_buckets = n;
	buckets_fill(groups);
	return 0;
}

static int items_grow(struct sonde_groups *groups, size_t need)
{
	size_t capacity = groups->capacity ?: ITEMS_LEAST;
	char *items;

	while (capacity < need)
		capacity *= 2;
	if (capacity > groups->opts.bytes)
		capacity = groups->opts.bytes;
	items = realloc(groups->items, capacity);
	if (!items)
		return -ENOMEM;
	groups->items = items;
	groups->capacity = capacity;
	return 0;
}

/* The memory is full: what no longer belongs to this pass is counted in a later one, from the first row on. */
static int narrow(struct sonde_groups *groups)
{
	size_t kept = 0, bytes;

	if (groups->until - groups->from == 1)
		return -E2BIG;
	groups->until -= (groups->until - groups->from + NARROWER - 1) / NARROWER;
	groups->n = 0;
	for (size_t at = 0; at < groups->used; at += bytes) {
		struct item *item = item_at(groups, at);

		bytes = item_bytes(item);
		if (item->hash >= groups->until)
			continue;
		memmove(groups->items + kept, item, bytes);
		kept += bytes;
		groups->n++;
	}
	groups->used = kept;
	buckets_fill(groups);
	return 0;
}

/* The key that is looked for, as a new item without numbers. */
static int key_make(struct sonde_groups *groups, const struct sonde_value *values)
{
	size_t length = sonde_group_key_length(values, groups->opts.n_values), need = sizeof(struct item) + length;

	if (need > groups->key_capacity) {
		struct item *key = realloc(groups->key, need * 2);

		if (!key)
			return -ENOMEM;
		groups->key = key;
		groups->key_capacity = need * 2;
	}
	sonde_group_key_write(values, groups->opts.n_values, groups->key->key);
	groups->key->key_length = (uint32_t)length;
	groups->key->hash = (uint32_t)(sonde_hash_bytes(sonde_hash_seed(), groups->key->key, length) >> 32);
	groups->key->count = 0;
	groups->key->sum = 0;
	return 0;
}

static struct item *item_find(const struct sonde_groups *groups)
{
	const struct item *key = groups->key;
	size_t mask = groups->n_buckets - 1;

	if (!groups->n_buckets)
		return NULL;
	for (size_t at = key->hash & mask; groups->buckets[at]; at = (at + 1) & mask) {
		struct item *item = item_at(groups, (groups->buckets[at] - 1ul) * UNIT);

		if (item->hash == key->hash && item->key_length == key->key_length && !memcmp(item->key, key->key, key->key_length))
			return item;
	}
	return NULL;
}

/* @param ret_item NULL: it belongs to a later pass now. */
static int item_new(struct sonde_groups *groups, struct item **ret_item)
{
	size_t bytes = item_bytes(groups->key);
	int r = 0;

	*ret_item = NULL;
	if (bytes > groups->opts.bytes)
		r = -E2BIG;
	while (!r && groups->used + bytes > groups->opts.bytes && groups->key->hash < groups->until)
		r = narrow(groups);
	if (r == -E2BIG)
		return sonde_store_fail(r, "the values are too long to count by");
	if (r || groups->key->hash >= groups->until)
		return r;
	if (groups->used + bytes > groups->capacity)
		r = items_grow(groups, groups->used + bytes);
	if (!r && (groups->n + 1) * 2 > groups->n_buckets)
		r = buckets_grow(groups);
	if (r)
		return r;
	*ret_item = item_at(groups, groups->used);
	memcpy(*ret_item, groups->key, sizeof(**ret_item) + groups->key->key_length);
	bucket_set(groups, groups->used);
	groups->used += bytes;
	groups->n++;
	return 0;
}

int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *values, uint64_t count, int64_t sum)
{
	struct item *item;
	int r = key_make(groups, values);

	if (r || groups->key->hash < groups->from || groups->key->hash >= groups->until)
		return r;
	item = item_find(groups);
	if (!item)
		r = item_new(groups, &item);
	if (!item)
		return r;
	item->count += count;
	item->sum = sonde_sum(item->sum, sum);
	return 0;
}

/* ---- the best of all passes ---- */

/* Equal ones by value, so that two answers over the same rows are the same. */
static int item_order(const struct sonde_groups *groups, const struct item *a, const struct item *b)
{
	if (groups->opts.by_sum && a->sum != b->sum)
		return a->sum > b->sum ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return sonde_group_key_order(a->key, b->key, groups->opts.n_values);
}

static void top_rise(struct sonde_groups *groups, size_t i)
{
	struct item *item = groups->top[i];

	for (; i && item_order(groups, item, groups->top[(i - 1) / 2]) > 0; i = (i - 1) / 2)
		groups->top[i] = groups->top[(i - 1) / 2];
	groups->top[i] = item;
}

static void top_sink(struct sonde_groups *groups)
{
	struct item *item = groups->top[0];
	size_t i = 0, below;

	while ((below = 2 * i + 1) < groups->n_top) {
		if (below + 1 < groups->n_top && item_order(groups, groups->top[below + 1], groups->top[below]) > 0)
			below++;
		if (item_order(groups, groups->top[below], item) <= 0)
			break;
		groups->top[i] = groups->top[below];
		i = below;
	}
	groups->top[i] = item;
}

static int top_grow(struct sonde_groups *groups)
{
	size_t capacity = groups->top_capacity ? groups->top_capacity * 2 : 16;
	struct item **top = reallocarray(groups->top, capacity, sizeof(struct item *));

	if (!top)
		return -ENOMEM;
	groups->top = top;
	groups->top_capacity = capacity;
	return 0;
}

static int top_offer(struct sonde_groups *groups, const struct item *item)
{
	bool full = groups->n_top == groups->opts.limit;
	struct item *copy;

	if (full && (!groups->n_top || item_order(groups, item, groups->top[0]) >= 0))
		return 0;
	if (groups->n_top == groups->top_capacity && !full && top_grow(groups))
		return -ENOMEM;
	copy = malloc(item_bytes(item));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, item, sizeof(*item) + item->key_length);
	if (full) {
		free(groups->top[0]);
		groups->top[0] = copy;
		top_sink(groups);
	} else {
		groups->top[groups->n_top++] = copy;
		top_rise(groups, groups->n_top - 1);
	}
	return 0;
}

int sonde_groups_pass(struct sonde_groups *groups)
{
	uint64_t width = groups->until - groups->from;
	int r = 0;

	for (size_t at = 0; !r && at < groups->used; at += item_bytes(item_at(groups, at)))
		r = top_offer(groups, item_at(groups, at));
	groups->number += groups->n;
	groups->n = groups->used = 0;
	groups->from = groups->until;
	groups->until = groups->from + width < HASH_END ? groups->from + width : HASH_END;
	if (r || groups->from == HASH_END) {
		table_free(groups);
		return r;
	}
	buckets_fill(groups);
	return 1;
}

uint64_t sonde_groups_number(const struct sonde_groups *groups)
{
	return groups->number;
}

static int top_order(const void *a, const void *b, void *userdata)
{
	return item_order(userdata, *(struct item *const *)a, *(struct item *const *)b);
}

int sonde_groups_each(struct sonde_groups *groups, sonde_group_fn fn, void *userdata)
{
	struct sonde_value values[SONDE_COUNT_BY_MAX];
	int r = 0;

	if (groups->n_top)
		qsort_r(groups->top, groups->n_top, sizeof(struct item *), top_order, groups);
	for (size_t i = 0; i < groups->n_top && !r; i++) {
		const struct item *item = groups->top[i];

		sonde_group_key_read(item->key, groups->opts.n_values, values);
		r = fn(&(struct sonde_group){.values = values, .count = item->count, .sum = item->sum}, userdata);
	}
	return r < 0 ? r : 0;
}
