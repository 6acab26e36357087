/* SPDX-License-Identifier: Apache-2.0 */
/* Hash table with open addressing, at most half full, that owns the values' bytes. */
#include <store/groups.h>

#include <store/backend.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS (SONDE_GROUPS_MAX * 2)

struct group {
	struct sonde_value value;
	uint64_t count;
};

struct sonde_groups {
	struct group *items;
	size_t n, capacity;
	uint32_t buckets[BUCKETS]; /* index + 1; 0: free */
};

int sonde_groups_new(struct sonde_groups **ret_groups)
{
	struct sonde_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	*ret_groups = groups;
	return 0;
}

void sonde_groups_free(struct sonde_groups **groups)
{
	if (!*groups)
		return;
	for (size_t i = 0; i < (*groups)->n; i++)
		if ((*groups)->items[i].value.type == SONDE_TEXT || (*groups)->items[i].value.type == SONDE_ADDRESS)
			free((char *)(*groups)->items[i].value.text);
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

static uint32_t value_hash(const struct sonde_value *value)
{
	uint64_t number, hash = 0xcbf29ce484222325u ^ value->type;
	size_t length;
	const uint8_t *bytes = value_bytes(value, &number, &length);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return (uint32_t)(hash ^ hash >> 32);
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

int sonde_groups_add(struct sonde_groups *groups, const struct sonde_value *value, uint64_t weight)
{
	uint32_t bucket = value_hash(value) % BUCKETS;
	int r;

	for (; groups->buckets[bucket]; bucket = (bucket + 1) % BUCKETS) {
		struct group *group = &groups->items[groups->buckets[bucket] - 1];

		if (value_equal(&group->value, value)) {
			group->count += weight;
			return 0;
		}
	}
	if (groups->n == SONDE_GROUPS_MAX)
		return sonde_store_fail(-E2BIG, "more than %d groups; narrow the query", SONDE_GROUPS_MAX);
	if (groups->n == groups->capacity) {
		size_t capacity = groups->capacity ? groups->capacity * 2 : 64;
		struct group *items = reallocarray(groups->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		groups->items = items;
		groups->capacity = capacity;
	}
	r = value_own(value, &groups->items[groups->n].value);
	if (r)
		return r;
	groups->items[groups->n].count = weight;
	groups->buckets[bucket] = (uint32_t)++groups->n;
	return 0;
}

/* Equal counts by value, so that two answers over the same rows are the same. */
static int group_order(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	uint64_t numbers[2];
	size_t lengths[2];
	const void *p, *q;
	int order;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	if (x->value.type != y->value.type)
		return x->value.type < y->value.type ? -1 : 1;
	p = value_bytes(&x->value, &numbers[0], &lengths[0]);
	q = value_bytes(&y->value, &numbers[1], &lengths[1]);
	if (p == &numbers[0])
		return numbers[0] < numbers[1] ? -1 : numbers[0] > numbers[1];
	order = memcmp(p, q, lengths[0] < lengths[1] ? lengths[0] : lengths[1]);
	return order ? order : (lengths[0] > lengths[1]) - (lengths[0] < lengths[1]);
}

int sonde_groups_each(struct sonde_groups *groups,
		      int (*fn)(const struct sonde_value *group, uint64_t count, void *userdata), void *userdata)
{
	int r = 0;

	if (groups->n)
		qsort(groups->items, groups->n, sizeof(*groups->items), group_order);
	memset(groups->buckets, 0, sizeof(groups->buckets)); /* the places are no longer right */
	for (size_t i = 0; i < groups->n && !r; i++)
		r = fn(&groups->items[i].value, groups->items[i].count, userdata);
	return r < 0 ? r : 0;
}
