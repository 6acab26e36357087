/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry of stored types. A type that grows gets a new version; the older ones stay until the store closes, because a
 * query in another thread may be reading rows with them. Versions come with a new program build only, so few are kept.
 */
#include <store/types.h>
#include <store/backend.h>

#include <base/cleanup.h>
#include <base/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void stored_free(struct sonde_stored_type *stored)
{
	if (!stored)
		return;
	for (uint32_t i = 0; i < stored->type.n_columns; i++) {
		free((char *)stored->type.columns[i].name);
		free((char *)stored->type.columns[i].doc);
		free((char *)stored->type.columns[i].unit);
	}
	free((struct sonde_column *)stored->type.columns);
	free((char *)stored->type.name);
	free((char *)stored->type.doc);
	free(stored);
}

static int text_copy(const char *text, const char **ret_text)
{
	*ret_text = text ? strdup(text) : NULL;
	return text && !*ret_text ? -ENOMEM : 0;
}

static int column_copy(const struct sonde_column *from, struct sonde_column *to)
{
	to->type = from->type;
	to->semantic = from->semantic;
	to->is_top = from->is_top;
	to->is_measure = from->is_measure;
	to->is_main = from->is_main;
	to->length_offset = -1;
	if (text_copy(from->name, &to->name) || text_copy(from->doc, &to->doc) || text_copy(from->unit, &to->unit))
		return -ENOMEM;
	return 0;
}

static const struct sonde_column *column_find(const struct sonde_type *type, const char *name)
{
	for (uint32_t i = 0; i < type->n_columns; i++)
		if (!strcasecmp(type->columns[i].name, name))
			return &type->columns[i];
	return NULL;
}

/* The columns of `type`, then those of `old` that it lacks, as far as there is room for their view. */
static struct sonde_stored_type *stored_new(const struct sonde_type *type, const char *program,
					    const struct sonde_type *old)
{
	struct sonde_stored_type *stored = calloc(1, sizeof(*stored));
	struct sonde_column *columns = calloc(SONDE_COLUMNS_MAX, sizeof(*columns));
	uint32_t n = 0;
	int r;

	if (!stored || !columns) {
		free(stored);
		free(columns);
		return NULL;
	}
	snprintf(stored->program, sizeof(stored->program), "%s", program ? program : type->name);
	stored->type.columns = columns;
	r = text_copy(type->name, &stored->type.name);
	if (!r)
		r = text_copy(type->doc, &stored->type.doc);
	for (; !r && n < type->n_columns; n++)
		r = column_copy(&type->columns[n], &columns[n]);
	for (uint32_t i = 0; !r && old && i < old->n_columns; i++) {
		if (column_find(type, old->columns[i].name))
			continue;
		if (n < SONDE_COLUMNS_MAX)
			r = column_copy(&old->columns[i], &columns[n++]);
		else
			sonde_log_warning("%s: more than %d columns in all versions of its program: '%s' of older events is not shown", type->name,
					  SONDE_COLUMNS_MAX, old->columns[i].name);
	}
	stored->type.n_columns = n;
	if (r) {
		stored_free(stored);
		return NULL;
	}
	return stored;
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool stored_equal(const struct sonde_stored_type *a, const struct sonde_stored_type *b)
{
	if (strcmp(a->program, b->program) || a->type.n_columns != b->type.n_columns ||
	    !text_equal(a->type.doc, b->type.doc))
		return false;
	for (uint32_t i = 0; i < a->type.n_columns; i++) {
		const struct sonde_column *x = &a->type.columns[i], *y = &b->type.columns[i];

		if (strcmp(x->name, y->name) || x->type != y->type || x->semantic != y->semantic ||
		    !text_equal(x->unit, y->unit) || !text_equal(x->doc, y->doc))
			return false;
	}
	return true;
}

void sonde_types_init(struct sonde_types *types)
{
	pthread_mutex_init(&types->lock, NULL);
	types->n = 0;
}

void sonde_types_free(struct sonde_types *types)
{
	for (size_t i = 0; i < types->n; i++)
		for (struct sonde_stored_type *stored = types->items[i], *older; stored; stored = older) {
			older = stored->older;
			stored_free(stored);
		}
	types->n = 0;
	pthread_mutex_destroy(&types->lock);
}

int sonde_types_find(struct sonde_types *types, const char *name)
{
	int slot = -ENOENT;

	pthread_mutex_lock(&types->lock);
	for (size_t i = 0; i < types->n && slot < 0; i++)
		if (!strcmp(types->items[i]->type.name, name))
			slot = (int)i;
	pthread_mutex_unlock(&types->lock);
	return slot;
}

int sonde_types_add(struct sonde_types *types, const struct sonde_type *type, const char *program, size_t *ret_slot)
{
	struct sonde_stored_type *stored, *old = NULL;
	size_t slot = types->n;
	char why[128];

	if (!sonde_type_check(type, why, sizeof(why)))
		return sonde_store_fail(-EINVAL, "%s", why);
	for (size_t i = 0; i < types->n; i++)
		if (!strcasecmp(types->items[i]->type.name, type->name))
			slot = i;
	if (slot < types->n)
		old = types->items[slot];
	if (old && strcmp(old->type.name, type->name))
		return sonde_store_fail(-EINVAL, "types '%s' and '%s' differ in case only", old->type.name, type->name);
	if (slot == SONDE_TYPES_MAX)
		return sonde_store_fail(-ENOSPC, "more than %d types", SONDE_TYPES_MAX);
	stored = stored_new(type, program, old ? &old->type : NULL);
	if (!stored)
		return -ENOMEM;
	*ret_slot = slot;
	if (old && stored_equal(old, stored)) {
		stored_free(stored);
		return 0;
	}
	stored->older = old;
	pthread_mutex_lock(&types->lock);
	types->items[slot] = stored;
	if (slot == types->n)
		types->n++;
	pthread_mutex_unlock(&types->lock);
	return 1;
}

const struct sonde_stored_type *sonde_types_get(struct sonde_types *types, size_t slot)
{
	const struct sonde_stored_type *stored;

	pthread_mutex_lock(&types->lock);
	stored = types->items[slot];
	pthread_mutex_unlock(&types->lock);
	return stored;
}

size_t sonde_types_count(struct sonde_types *types)
{
	size_t n;

	pthread_mutex_lock(&types->lock);
	n = types->n;
	pthread_mutex_unlock(&types->lock);
	return n;
}

size_t sonde_types_list(struct sonde_types *types, const struct sonde_type **ret, size_t max)
{
	size_t n;

	pthread_mutex_lock(&types->lock);
	n = types->n < max ? types->n : max;
	for (size_t i = 0; i < n; i++)
		ret[i] = &types->items[i]->type;
	pthread_mutex_unlock(&types->lock);
	return n;
}
