/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind the metrics page. First come, first kept: a series that was shown stays shown, since moving it into
 * "other" would make one counter vanish and another jump. Limits count what is kept, so they hold at any moment.
 */
#include <export/series.h>

#include <export/prometheus.h>

#include <base/hash.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 48 /* braces, spaces, the value */
#define RESERVE_SERIES 1000 /* for the "other" series and the agent's own, which are few and always let in */
#define RESERVE_BYTES (128 * 1024)

static uint64_t text_hash(const char *text)
{
	return sonde_hash_bytes(sonde_hash_seed(), text, strlen(text));
}

static size_t series_bytes(const struct sonde_family *family, const struct sonde_series *series)
{
	return strlen(family->name) + strlen(series->labels) + LINE_BYTES;
}

static void family_free(struct sonde_family *family)
{
	for (size_t i = 0; i < family->n; i++)
		free(family->series[i].labels);
	free(family->series);
	free(family->index);
	free(family->name);
	free(family->doc);
}

void sonde_families_free(struct sonde_families *families)
{
	for (size_t i = 0; i < families->n; i++)
		family_free(&families->list[i]);
	free(families->list);
	*families = (struct sonde_families){0};
}

static void index_insert(struct sonde_family *family, size_t number)
{
	size_t at = text_hash(family->series[number].labels) & (family->n_index - 1);

	while (family->index[at])
		at = (at + 1) & (family->n_index - 1);
	family->index[at] = (uint32_t)number + 1;
}

static bool index_grow(struct sonde_family *family)
{
	size_t n_index = family->n_index ? family->n_index : 16;
	uint32_t *index;

	while (n_index < (family->n + 1) * 2)
		n_index *= 2;
	if (n_index == family->n_index)
		return true;
	index = calloc(n_index, sizeof(*index));
	if (!index)
		return false;
	free(family->index);
	family->index = index;
	family->n_index = n_index;
	for (size_t i = 0; i < family->n; i++)
		index_insert(family, i);
	return true;
}

void sonde_families_begin(struct sonde_families *families)
{
	for (size_t i = 0; i < families->n; i++) {
		struct sonde_family *family = &families->list[i];
		size_t kept = 0;

		family->folded = 0;
		for (size_t j = 0; j < family->n; j++) {
			struct sonde_series *series = &family->series[j];

			if (series->page == families->page) {
				family->series[kept++] = *series;
				continue;
			}
			families->n_series--;
			families->bytes -= series_bytes(family, series);
			free(series->labels);
		}
		if (kept == family->n)
			continue;
		family->n = kept;
		memset(family->index, 0, family->n_index * sizeof(*family->index));
		for (size_t j = 0; j < family->n; j++)
			index_insert(family, j);
	}
	families->page++;
}

static bool name_valid(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

struct sonde_family *sonde_family_get(struct sonde_families *families, const char *name, const char *doc, bool is_counter)
{
	size_t length = strlen(name), bytes;
	const char *suffix = is_counter && (length < 6 || strcmp(name + length - 6, "_total")) ? "_total" : "";
	struct sonde_family family = {.is_counter = is_counter}, *list;

	for (size_t i = 0; i < families->n; i++) {
		list = &families->list[i];
		if (!strncmp(list->name, name, length) && !strcmp(list->name + length, suffix))
			return list;
	}
	bytes = length * 4 + strlen(doc) * 2 + 64;
	if (!name_valid(name) || families->bytes + bytes > SONDE_PAGE_MAX)
		return NULL;
	if (families->n == families->capacity) {
		list = reallocarray(families->list, families->capacity * 2 + 32, sizeof(*list));
		if (!list)
			return NULL;
		families->list = list;
		families->capacity = families->capacity * 2 + 32;
	}
	family.doc = strdup(doc);
	family.name = malloc(length + strlen(suffix) + 1);
	if (!family.doc || !family.name) {
		family_free(&family);
		return NULL;
	}
	memcpy(family.name, name, length);
	strcpy(family.name + length, suffix);
	families->bytes += bytes;
	families->list[families->n] = family;
	return &families->list[families->n++];
}

static struct sonde_series *series_find(const struct sonde_family *family, const char *labels)
{
	struct sonde_series *series;

	if (!family->n_index)
		return NULL;
	for (size_t at = text_hash(labels) & (family->n_index - 1); family->index[at]; at = (at + 1) & (family->n_index - 1)) {
		series = &family->series[family->index[at] - 1];
		if (!strcmp(series->labels, labels))
			return series;
	}
	return NULL;
}

static bool series_room(const struct sonde_families *families, const struct sonde_family *family, size_t bytes, bool forced)
{
	if (forced)
		return families->n_series < SONDE_SERIES_MAX && families->bytes + bytes <= SONDE_PAGE_MAX;
	return family->n < SONDE_SERIES_PER_METRIC - 1 && families->n_series < SONDE_SERIES_MAX - RESERVE_SERIES &&
	       families->bytes + bytes <= SONDE_PAGE_MAX - RESERVE_BYTES;
}

static struct sonde_series *series_add(struct sonde_families *families, struct sonde_family *family, const char *labels,
				       bool forced)
{
	struct sonde_series *list, series = {0};

	if (!series_room(families, family, strlen(family->name) + strlen(labels) + LINE_BYTES, forced))
		return NULL;
	if (family->n == family->capacity) {
		list = reallocarray(family->series, family->capacity * 2 + 4, sizeof(*list));
		if (!list)
			return NULL;
		family->series = list;
		family->capacity = family->capacity * 2 + 4;
	}
	if (!index_grow(family))
		return NULL;
	series.labels = strdup(labels);
	if (!series.labels)
		return NULL;
	family->series[family->n] = series;
	index_insert(family, family->n++);
	families->n_series++;
	families->bytes += series_bytes(family, &series);
	return &family->series[family->n - 1];
}

struct sonde_series *sonde_series_get(struct sonde_families *families, struct sonde_family *family, const char *labels,
				      bool forced, bool *ret_is_new)
{
	struct sonde_series *series = series_find(family, labels);

	if (!series)
		series = series_add(families, family, labels, forced);
	if (!series)
		return NULL;
	*ret_is_new = series->page != families->page;
	series->page = families->page;
	return series;
}
