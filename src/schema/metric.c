/* SPDX-License-Identifier: Apache-2.0 */
/* Maps tagged as metrics. Their key's fields become labels by the same rules as an event's become columns. */
#include <schema/builder.h>

#include <base/cleanup.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sonde/types.h>
#include <stdio.h>
#include <string.h>

/* A map is declared as a struct whose members are pointers: __type(key, T) to T, __uint(type, N) to an array of N. */
static const struct btf_type *map_member(const struct sonde_btf *btf, const struct btf_type *map, const char *name)
{
	const struct btf_member *members = (const struct btf_member *)(map + 1);

	for (uint32_t i = 0; i < BTF_INFO_VLEN(map->info); i++) {
		const struct btf_type *pointer = sonde_btf_plain(btf, members[i].type);

		if (!strcmp(sonde_btf_text(btf, members[i].name_off), name))
			return pointer && sonde_btf_kind(pointer) == BTF_KIND_PTR ? pointer : NULL;
	}
	return NULL;
}

static bool map_type_counts(const struct sonde_btf *btf, const struct btf_type *map)
{
	const struct btf_type *pointer = map_member(btf, map, "type");
	const struct btf_type *array = pointer ? sonde_btf_plain(btf, pointer->type) : NULL;

	if (!array || sonde_btf_kind(array) != BTF_KIND_ARRAY)
		return false;
	switch (((const struct btf_array *)(array + 1))->nelems) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return true;
	default:
		return false;
	}
}

static bool map_value_is_u64(const struct sonde_btf *btf, const struct btf_type *map)
{
	const struct btf_type *pointer = map_member(btf, map, "value");
	const struct btf_type *value = pointer ? sonde_btf_plain(btf, pointer->type) : NULL;

	return value && sonde_btf_kind(value) == BTF_KIND_INT && value->size == sizeof(uint64_t) &&
	       !(BTF_INT_ENCODING(*(const uint32_t *)(value + 1)) & BTF_INT_SIGNED);
}

static int labels_build(struct sonde_builder *builder, const struct btf_type *map, const char *what,
			struct sonde_metric *metric)
{
	const struct btf_type *pointer = map_member(&builder->btf, map, "key");
	const struct btf_type *key = pointer ? sonde_btf_plain(&builder->btf, pointer->type) : NULL;
	struct sonde_columns columns = {.what = what};
	uint32_t id, n = 0;
	int r;

	if (!key || sonde_btf_kind(key) != BTF_KIND_STRUCT || key->size > SONDE_RECORD_MAX)
		return sonde_builder_fail("%s: the key of its map must be a struct: __type(key, struct NAME)", what);
	for (id = pointer->type; sonde_btf_type(&builder->btf, id) != key;)
		id = sonde_btf_type(&builder->btf, id)->type;
	r = sonde_columns_walk(builder, &columns, id, 0, 0);
	for (uint32_t i = 0; i < columns.n; i++) /* an error's name is its label; its number would only repeat it */
		if (columns.columns[i].semantic != SONDE_SEMANTIC_ERRNO)
			columns.columns[n++] = columns.columns[i];
	columns.n = n;
	r = r ?: sonde_columns_take(builder, &columns, &metric->labels);
	metric->n_labels = columns.n;
	metric->key_size = key->size;
	return r;
}

/* The last field of the key is the bucket. */
static int bucket_build(const char *what, struct sonde_metric *metric)
{
	const struct sonde_column *last = metric->n_labels ? &metric->labels[metric->n_labels - 1] : NULL;

	if (!last || strcmp(last->name, "le") || last->type != SONDE_UINT || last->size != 1)
		return sonde_builder_fail("%s: the last field of a histogram's key is `__u8 le`", what);
	metric->bucket_offset = last->offset;
	metric->n_labels--;
	return 0;
}

/* NAME|DOC, as SONDE_COUNTER(), SONDE_GAUGE() and SONDE_HISTOGRAM() write it. */
static int metric_build(struct sonde_builder *builder, const struct btf_type *variable, const char *text,
			struct sonde_metric *metric)
{
	const struct btf_type *map = sonde_btf_plain(&builder->btf, variable->type);
	const char *map_name = sonde_btf_text(&builder->btf, variable->name_off), *doc = strchr(text, '|');
	char what[SCHEMA_NAME_MAX + sizeof("metric ")];
	size_t length;
	uint32_t offset;
	int r;

	if (!doc)
		return sonde_builder_fail("map '%.80s': the tag of a metric is NAME|DOC: use SONDE_COUNTER(name, doc)", map_name);
	length = (size_t)(doc - text);
	metric->name = sonde_arena_text(&builder->arena, text, length);
	metric->doc = sonde_arena_text(&builder->arena, doc + 1, strlen(doc + 1));
	metric->map = sonde_arena_text(&builder->arena, map_name, strlen(map_name));
	if (!metric->name || !metric->doc || !metric->map)
		return -ENOMEM;
	r = sonde_builder_check_name("metric", metric->name);
	r = r ?: sonde_builder_check_doc("metric", metric->name, metric->doc);
	if (r)
		return r;
	snprintf(what, sizeof(what), "metric %s", metric->name);
	if (!strncmp(metric->name, "sonde_", 6))
		return sonde_builder_fail("%s: leave out the leading sonde_: it is added", what);
	if (metric->is_counter != (length > 6 && !strcmp(metric->name + length - 6, "_total")))
		return sonde_builder_fail("%s: the name of a counter ends in _total, that of a gauge does not", what);
	if (metric->is_histogram && (length <= 8 || strcmp(metric->name + length - 8, "_seconds")))
		return sonde_builder_fail("%s: the name of a histogram ends in _seconds", what);
	if (!map || sonde_btf_kind(map) != BTF_KIND_STRUCT ||
	    sonde_object_symbol(&builder->object, ".maps", map_name, 0, &offset))
		return sonde_builder_fail("%s: '%.80s' is not a map: declare it in SEC(\".maps\")", what, map_name);
	if (!map_type_counts(&builder->btf, map))
		return sonde_builder_fail("%s: its map must be a HASH, PERCPU_HASH or PERCPU_ARRAY", what);
	if (!map_value_is_u64(&builder->btf, map))
		return sonde_builder_fail("%s: the value of its map must be __u64: __type(value, __u64)", what);
	r = labels_build(builder, map, what, metric);
	if (!r && metric->is_histogram)
		r = bucket_build(what, metric);
	return r;
}

int sonde_metrics_build(struct sonde_builder *builder, struct sonde_schema *schema)
{
	struct sonde_metric *metrics = sonde_arena_alloc(&builder->arena, SCHEMA_METRICS_MAX * sizeof(*metrics));
	const struct btf_type *variable;
	uint32_t n = 0, id = 0;

	if (!metrics)
		return -ENOMEM;
	while ((variable = sonde_builder_next_variable(builder, &id))) {
		const char *counter = sonde_builder_variable_tag(builder, id, "counter="),
			   *gauge = sonde_builder_variable_tag(builder, id, "gauge="),
			   *histogram = sonde_builder_variable_tag(builder, id, "histogram=");
		int r;

		if (!counter && !gauge && !histogram)
			continue;
		if (n == SCHEMA_METRICS_MAX)
			return sonde_builder_fail("too many metrics: %d is the most", SCHEMA_METRICS_MAX);
		metrics[n].is_counter = counter;
		metrics[n].is_histogram = !counter && histogram;
		r = metric_build(builder, variable, counter ?: histogram ?: gauge, &metrics[n]);
		if (r)
			return r;
		for (uint32_t i = 0; i < n; i++)
			if (!strcmp(metrics[i].name, metrics[n].name))
				return sonde_builder_fail("metric %s: is declared twice", metrics[n].name);
		n++;
	}
	schema->metrics = metrics;
	schema->n_metrics = n;
	return 0;
}
