/* SPDX-License-Identifier: Apache-2.0 */
/* Hash table with open addressing, at most half full, that owns the values' bytes. */
#include <store/groups.h>

#include <store/backend.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS (SONDE_GROUPS_MAX * 2)

struct group {
	uint64_t count;
	int64_t sum;
	struct sonde_value values[];
};

struct sonde_groups {
	char *items; /* struct group, one after the other */
	size_t item_bytes, n, capacity, text_bytes;
	unsigned n_values;
	uint32_t buckets[BUCKETS]; /* index + 1; 0: free */
};

int sonde_groups_new(unsigned n_values, struct sonde_groups **ret_groups)
{
	struct sonde_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	groups->n_values = n_values;
	groups->item_bytes = sizeof(struct group) + n_values * sizeof(struct sonde_value);
	*ret_groups = groups;
	return 0;
}

static struct group *group_at(const struct sonde_groups *groups, size_t i)
{
	return (struct group *)(void *)(groups->items + i * groups->item_bytes);
}

static void values_free(struct sonde_value *values, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (values[i].type == SONDE_TEXT || values[i].type == SONDE_ADDRESS)
			free((char *)values[i].text);
}

void sonde_groups_free(struct sonde_groups **groups)
{
	if (!*groups)
		return;
	for (size_t i = 0; i < (*groups)->n; i++)
		values_free(group_at(*groups, i)->values, (*groups)->n_values);
	free((*groups)->items);
	free(*groups);
	*groups = NULL;
}

/* The bytes that tell two values of one type apart. */
static const void *value_bytes(const struct sonde_value *value, uint64_t *number, size_t *ret_length)
{
	*ret_length = sizeof(*number);
	switch (value->type) {
	case SONDE_TEXT:
		*ret_length = value->length;
		return value->text;
	case SONDE_ADDRESS:
		*ret_length = 16;
		return value->address;
	case SONDE_BOOL:
		*number = value->b;
		break;
	case SONDE_NULL:
		*number = 0;
		break;
	default:
		*number = value->u;
	}
	return number;
}

static bool value_equal(const struct sonde_value *a, const struct sonde_value *b)
{
	uint64_t numbers[2];
	size_t lengths[2];
	const void *x = value_bytes(a, &numbers[0], &lengths[0]), *y = value_bytes(b, &numbers[1], &lengths[1]);

	return a->type == b->type && lengths[0] == lengths[1] && (!lengths[0] || !memcmp(x, y, lengths[0]));
}

static uint32_t values_hash(const struct sonde_value *values, unsigned n)
{
	uint64_t number, hash = 0xcbf29ce484222325u;

	for (unsigned k = 0; k < n; k++) {
		size_t length;
		const uint8_t *bytes = value_bytes(&values[k], &number, &length);

		hash = (hash ^ values[k].type) * 0x100000001b3u;
		for (size_t i = 0; i < length; i++)
			hash = (hash ^ bytes[i]) * 0x100000001b3u;
	}
	return (uint32_t)(hash ^ hash >> 32);
}

static bool values_equal(const struct sonde_value *a, const struct sonde_value *b, unsigned n)
{
	unsigned i = 0;

	while (i < n && value_equal(&a[i], &b[i]))
		i++;
	return i == n;
}

static int value_own(const struct sonde_value *value, struct sonde_value *ret_value)
{
	size_t length = value->type == SONDE_ADDRESS ? 16 : value->length;
	char *bytes;

	*ret_value = *value;
	if (value->type != SONDE_TEXT && value->type != SONDE_ADDRESS)
		return 0;
	bytes = malloc(length + 1);
	if (!bytes)
		return -ENOMEM;
	if (length)
		memcpy(bytes, value->text, length);
	ret_value->text = bytes; /* shares its place with the address */
	return 0;
}

/* A new group, its numbers zero. */
static int group_new(struct sonde_groups *groups, const struct sonde_value *values, struct group **ret_group)
{
	struct group *group;

	if (groups->n == SONDE_GROUPS_MAX)
		return sonde_store_fail(-E2BIG, "more than %d groups; narrow the query", SONDE_GROUPS_MAX);
	for (unsigned i = 0; i < groups->n_values; i++)
		groups->text_bytes += values[i].type == SONDE_TEXT ? values[i].length : 0;
	if (groups->text_bytes > SONDE_GROUPS_BYTES_MAX)
		return sonde_store_fail(-E2BIG, "the groups' values take more than %u MiB; narrow the query", SONDE_GROUPS_BYTES_MAX >> 20);
	if (groups->n == groups->capacity) {
		size_t capacity = groups->capacity ? groups->capacity * 2 : 64;
		char *items = reallocarray(groups->items, capacity, groups->item_bytes);

		if (!items)
			return -ENOMEM;
		groups->items = items;
		groups->capacity = capacity;
	}
	group = group_at(groups, groups->n);
	group->count = 0;
	group->sum = 0;
	for (unsigned i = 0; i < groups->n_values; i++) {
		int r = value_own(&values[i], &group->values[i]);

		if (r) {
			values_free(group->values, i);
			return r;
		}
	}
	groups->n++;
	*ret_group = group;
	return 0;
}

int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *values, uint64_t count, int64_t sum)
{
	uint32_t bucket = values_hash(values, groups->n_values) % BUCKETS;
	struct group *group = NULL;
	int r;

	for (; groups->buckets[bucket] && !group; bucket = (bucket + 1) % BUCKETS) {
		group = group_at(groups, groups->buckets[bucket] - 1);
		if (!values_equal(group->values, values, groups->n_values))
			group = NULL;
	}
	if (!group) {
		r = group_new(groups, values, &group);
		if (r)
			return r;
		groups->buckets[bucket] = (uint32_t)groups->n;
	}
	group->count += count;
	group->sum = sonde_sum(group->sum, sum);
	return 0;
}

static int value_order(const struct sonde_value *x, const struct sonde_value *y)
{
	uint64_t numbers[2];
	size_t lengths[2];
	const void *p, *q;
	int order;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	p = value_bytes(x, &numbers[0], &lengths[0]);
	q = value_bytes(y, &numbers[1], &lengths[1]);
	if (p == &numbers[0])
		return numbers[0] < numbers[1] ? -1 : numbers[0] > numbers[1];
	order = memcmp(p, q, lengths[0] < lengths[1] ? lengths[0] : lengths[1]);
	return order ?: (lengths[0] > lengths[1]) - (lengths[0] < lengths[1]);
}

struct ranking {
	bool by_sum;
	unsigned n_values;
};

/* Equal ones by value, so that two answers over the same rows are the same. */
static int group_order(const void *a, const void *b, void *userdata)
{
	const struct ranking *ranking = userdata;
	const struct group *x = a, *y = b;
	int order = 0;

	if (ranking->by_sum && x->sum != y->sum)
		return x->sum < y->sum ? 1 : -1;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	for (unsigned i = 0; !order && i < ranking->n_values; i++)
		order = value_order(&x->values[i], &y->values[i]);
	return order;
}

struct sorting {
	int (*order)(const struct sonde_value *a, const struct sonde_value *b, void *userdata);
	void *userdata;
};

static int values_sorted(const void *a, const void *b, void *userdata)
{
	const struct sorting *sorting = userdata;
	const struct group *x = a, *y = b;

	return sorting->order(x->values, y->values, sorting->userdata);
}

static void sort(struct sonde_groups *groups, int (*order)(const void *a, const void *b, void *userdata), void *userdata)
{
	if (groups->n)
		qsort_r(groups->items, groups->n, groups->item_bytes, order, userdata);
	memset(groups->buckets, 0, sizeof(groups->buckets)); /* the places are no longer right */
}

void sonde_groups_sort(struct sonde_groups *groups,
		       int (*order)(const struct sonde_value *a, const struct sonde_value *b, void *userdata), void *userdata)
{
	sort(groups, values_sorted, &(struct sorting){order, userdata});
}

bool sonde_groups_get(const struct sonde_groups *groups, size_t i, struct sonde_group *ret_group)
{
	const struct group *group = group_at(groups, i);

	if (i >= groups->n)
		return false;
	*ret_group = (struct sonde_group){.values = group->values, .count = group->count, .sum = group->sum};
	return true;
}

int sonde_groups_each(struct sonde_groups *groups, bool by_sum, sonde_group_fn fn, void *userdata)
{
	struct ranking ranking = {by_sum, groups->n_values};
	struct sonde_group group;
	int r = 0;

	sort(groups, group_order, &ranking);
	for (size_t i = 0; !r && sonde_groups_get(groups, i, &group); i++)
		r = fn(&group, userdata);
	return r < 0 ? r : 0;
}
