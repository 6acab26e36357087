/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of a program out of its object's BTF: events (settings stand in setting.c, metrics in metric.c, columns in columns.c).
 * Everything a schema points to lies in its arena: it borrows nothing of the object.
 */
#include <schema/builder.h>

#include <base/cleanup.h>
#include <errno.h>
#include <sonde/types.h>
#include <stdio.h>
#include <string.h>

struct schema {
	struct sonde_schema schema; /* first: the schema that users see is this one */
	struct sonde_arena arena;
};

#define EVENT_PREFIX "sonde_event_"

/* struct NAME, as the pointer sonde_anchor_NAME points to it; 0: there is none. */
static uint32_t event_struct(const struct sonde_builder *builder, const char *name)
{
	const struct sonde_btf *btf = &builder->btf;
	char anchor[SCHEMA_NAME_MAX + sizeof("sonde_anchor_")];

	snprintf(anchor, sizeof(anchor), "sonde_anchor_%s", name);
	for (uint32_t id = 1; id < btf->n_types; id++) {
		const struct btf_type *variable = sonde_btf_type(btf, id), *type;

		if (sonde_btf_kind(variable) != BTF_KIND_VAR || strcmp(sonde_btf_text(btf, variable->name_off), anchor))
			continue;
		type = sonde_btf_plain(btf, variable->type);
		if (!type || sonde_btf_kind(type) != BTF_KIND_PTR)
			return 0;
		id = type->type;
		type = sonde_btf_type(btf, id);
		return type && sonde_btf_kind(type) == BTF_KIND_STRUCT && !strcmp(sonde_btf_text(btf, type->name_off), name)
			       ? id
			       : 0;
	}
	return 0;
}

/* A ranking can be by one number only. */
static int measure_check(const struct sonde_columns *columns)
{
	const char *first = NULL;

	for (uint32_t i = 0; i < columns->n; i++) {
		if (!columns->columns[i].is_measure)
			continue;
		if (first)
			return sonde_builder_fail("%s: '%s' and '%s' are both its SONDE_MEASURE: keep one", columns->what, first,
						  columns->columns[i].name);
		first = columns->columns[i].name;
	}
	return 0;
}

static int event_build(struct sonde_builder *builder, const struct btf_type *variable, const char *doc,
		       struct sonde_type *type)
{
	const char *variable_name = sonde_btf_text(&builder->btf, variable->name_off), *name;
	struct sonde_columns columns = {0};
	const struct btf_type *structure;
	char what[SCHEMA_NAME_MAX + sizeof("event ")];
	uint32_t size, id, offset;
	int r;

	if (strncmp(variable_name, EVENT_PREFIX, strlen(EVENT_PREFIX)) ||
	    !sonde_btf_size(&builder->btf, variable->type, &size) || size != sizeof(uint16_t))
		return sonde_builder_fail("variable '%.80s' is tagged as an event: declare events with SONDE_EVENT(name, doc)",
					  variable_name);
	name = variable_name + strlen(EVENT_PREFIX);
	r = sonde_builder_check_name("event", name);
	r = r ?: sonde_builder_check_doc("event", name, doc);
	if (r)
		return r;
	snprintf(what, sizeof(what), "event %s", name);
	id = event_struct(builder, name);
	if (!id || sonde_object_symbol(&builder->object, ".rodata", variable_name, size, &offset))
		return sonde_builder_fail("%s: the object has no struct %s or no number for it: declare the struct, then "
					  "SONDE_EVENT(%s, doc)",
					  what, name, name);
	structure = sonde_btf_type(&builder->btf, id);
	if (structure->size > SONDE_RECORD_MAX)
		return sonde_builder_fail("%s: its struct has %u bytes, %d is the most: shorten its arrays", what,
					  structure->size, SONDE_RECORD_MAX);
	columns.what = what;
	sonde_common_columns(&columns);
	r = sonde_common_check(builder, what, structure);
	r = r ?: sonde_columns_walk(builder, &columns, id, 1, sizeof(struct sonde_header));
	r = r ?: measure_check(&columns);
	r = r ?: sonde_columns_take(builder, &columns, &type->columns);
	if (r)
		return r;
	type->name = sonde_arena_text(&builder->arena, name, strlen(name));
	type->doc = sonde_arena_text(&builder->arena, doc, strlen(doc));
	type->size = structure->size;
	type->n_columns = columns.n;
	return type->name && type->doc ? 0 : -ENOMEM;
}

static int events_build(struct sonde_builder *builder, struct sonde_schema *schema)
{
	struct sonde_type *types = sonde_arena_alloc(&builder->arena, SCHEMA_TYPES_MAX * sizeof(*types));
	const struct btf_type *variable;
	uint32_t n = 0, id = 0;

	if (!types)
		return -ENOMEM;
	while ((variable = sonde_builder_next_variable(builder, &id))) {
		const char *doc = sonde_builder_variable_tag(builder, id, "event=");
		int r;

		if (!doc)
			continue;
		if (n == SCHEMA_TYPES_MAX)
			return sonde_builder_fail("too many events: %d is the most", SCHEMA_TYPES_MAX);
		r = event_build(builder, variable, doc, &types[n]);
		if (r)
			return r;
		for (uint32_t i = 0; i < n; i++)
			if (!strcmp(types[i].name, types[n].name))
				return sonde_builder_fail("event %s: is declared twice", types[n].name);
		types[n].number = (uint16_t)n;
		n++;
	}
	schema->types = types;
	schema->n_types = n;
	return 0;
}

static void builder_close(struct sonde_builder *builder)
{
	sonde_object_close(&builder->object);
	sonde_btf_close(&builder->btf);
	free(builder->tags);
	sonde_arena_free(&builder->arena);
}

static int builder_open(struct sonde_builder *builder, const void *object, size_t size)
{
	const char *why = "";
	int r = sonde_object_open(object, size, &why, &builder->object);

	if (r)
		return r == -EINVAL ? sonde_builder_fail("the object cannot be read: %s", why) : r;
	r = sonde_btf_open(builder->object.btf, builder->object.btf_size, &builder->btf);
	r = r ?: sonde_btf_index(&builder->btf);
	if (r == -EINVAL)
		return sonde_builder_fail("the object's BTF cannot be read: it is damaged, of the other byte order, or of a "
					  "newer compiler");
	return r ?: sonde_builder_find_tags(builder);
}

int sonde_schema_new(const char *program, const void *object, size_t size, const struct sonde_names *names,
		     const char **ret_error, struct sonde_schema **ret_schema)
{
	CLEANUP(builder_close) struct sonde_builder builder = {.names = names};
	struct schema *schema;
	int r = builder_open(&builder, object, size);

	schema = r ? NULL : sonde_arena_alloc(&builder.arena, sizeof(*schema));
	if (!r && !schema)
		r = -ENOMEM;
	if (!r) {
		schema->schema.program = sonde_arena_text(&builder.arena, program, strlen(program));
		r = schema->schema.program ? 0 : -ENOMEM;
	}
	r = r ?: events_build(&builder, &schema->schema);
	r = r ?: sonde_settings_build(&builder, &schema->schema);
	r = r ?: sonde_metrics_build(&builder, &schema->schema);
	if (!r && !schema->schema.n_types) {
		sonde_builder_fail("the object has no event: declare one with SONDE_EVENT(name, doc)");
		r = -ENOENT;
	}
	if (r == -ENOMEM)
		sonde_builder_fail("out of memory");
	if (r) {
		*ret_error = sonde_builder_error();
		return r;
	}
	schema->arena = builder.arena;
	builder.arena = (struct sonde_arena){0};
	*ret_schema = &schema->schema;
	return 0;
}

void sonde_schema_free(struct sonde_schema **schema)
{
	struct sonde_arena arena;

	if (!*schema)
		return;
	arena = ((struct schema *)*schema)->arena;
	sonde_arena_free(&arena);
	*schema = NULL;
}

const struct sonde_type *sonde_schema_type(const struct sonde_schema *schema, uint16_t number)
{
	return number < schema->n_types ? &schema->types[number] : NULL;
}

bool sonde_column_is_quantity(const struct sonde_column *column)
{
	return (column->type == SONDE_UINT || column->type == SONDE_INT) &&
	       (column->semantic == SONDE_SEMANTIC_NONE || column->semantic == SONDE_SEMANTIC_BYTES ||
		column->semantic == SONDE_SEMANTIC_COUNT || column->semantic == SONDE_SEMANTIC_DURATION_NS);
}

bool sonde_type_has_top(const struct sonde_type *type, uint32_t column)
{
	enum sonde_semantic semantic = type->columns[column].semantic;

	if (column < SONDE_COLUMN_COMMON_MAX)
		return column == SONDE_COLUMN_COMMAND || column == SONDE_COLUMN_CONTAINER;
	return type->columns[column].is_top || semantic == SONDE_SEMANTIC_ENUM || semantic == SONDE_SEMANTIC_KERNEL_ENUM ||
	       semantic == SONDE_SEMANTIC_ERRNO_NAME || semantic == SONDE_SEMANTIC_PROTOCOL;
}

int sonde_type_measure(const struct sonde_type *type)
{
	for (uint32_t i = 0; i < type->n_columns; i++)
		if (type->columns[i].is_measure)
			return (int)i;
	return -ENOENT;
}

int sonde_type_find_column(const struct sonde_type *type, const char *name)
{
	for (uint32_t i = 0; i < type->n_columns; i++)
		if (!strcmp(type->columns[i].name, name))
			return (int)i;
	return -ENOENT;
}
