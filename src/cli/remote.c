/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of the agent back to types and values. The agent may be of another version: what is not known is left out, never guessed. */
#include <cli/remote.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/json.h>
#include <cli/moment.h>

#define TYPES_MAX 256

struct sonde_remote_schema {
	json_t *json; /* all names and docs are borrowed from here */
	size_t n_types;
	struct sonde_type *types;
};

/* The words of the schema's JSON. An integer may be of either sign; what the line holds decides. */
static const struct {
	const char *name;
	enum sonde_value_type type;
} kinds[] = {
	{"integer", SONDE_INT}, {"boolean", SONDE_BOOL}, {"text", SONDE_TEXT}, {"address", SONDE_ADDRESS}, {"time", SONDE_INT},
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int column_read(const json_t *json, struct sonde_column *column)
{
	const char *kind = text_of(json, "type"), *unit = json_string_value(json_object_get(json, "unit"));

	*column = (struct sonde_column){
		.name = text_of(json, "name"), .doc = text_of(json, "doc"), .unit = unit,
		.semantic = sonde_semantic_from_word(text_of(json, "semantic")), .length_offset = -1, .type = SONDE_NULL,
		.is_top = json_is_true(json_object_get(json, "top")),
		.is_measure = json_is_true(json_object_get(json, "measure")),
		.is_main = json_is_true(json_object_get(json, "main")),
	};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].name))
			column->type = kinds[i].type;
	return *column->name && column->type != SONDE_NULL ? 0 : -EBADMSG;
}

static int type_read(const json_t *json, struct sonde_type *type)
{
	const json_t *list = json_object_get(json, "columns"), *item;
	struct sonde_column *columns;
	size_t i;
	int r;

	*type = (struct sonde_type){0};
	if (!*text_of(json, "name") || json_array_size(list) < SONDE_COLUMN_COMMON_MAX || json_array_size(list) > SONDE_COLUMNS_MAX)
		return -EBADMSG;
	columns = calloc(json_array_size(list), sizeof(*columns));
	if (!columns)
		return -ENOMEM;
	*type = (struct sonde_type){
		.name = text_of(json, "name"), .doc = text_of(json, "doc"), .columns = columns,
		.n_columns = (uint32_t)json_array_size(list),
	};
	json_array_foreach(list, i, item) {
		r = column_read(item, &columns[i]);
		if (r < 0)
			return r;
		if (columns[i].semantic == SONDE_SEMANTIC_ARGUMENTS) {
			columns[i].semantic = SONDE_SEMANTIC_ESCAPED; /* the encoder must not quote it again */
		}
	}
	return 0;
}

int sonde_remote_schema_new(const json_t *json, struct sonde_remote_schema **ret_schema)
{
	struct sonde_remote_schema *schema CLEANUP(sonde_remote_schema_free) = calloc(1, sizeof(*schema));
	const json_t *list = json_object_get(json, "types"), *item;
	size_t i;
	int r;

	if (!schema)
		return -ENOMEM;
	if (!json_is_array(list) || json_array_size(list) > TYPES_MAX)
		return -EBADMSG;
	schema->json = json_incref((json_t *)json);
	schema->types = calloc(json_array_size(list) + 1, sizeof(*schema->types));
	if (!schema->types)
		return -ENOMEM;
	json_array_foreach(list, i, item) {
		r = type_read(item, &schema->types[i]);
		schema->n_types++;
		if (r < 0)
			return r;
	}
	*ret_schema = TAKE_PTR(schema);
	return 0;
}

void sonde_remote_schema_free(struct sonde_remote_schema **schema)
{
	if (!*schema)
		return;
	for (size_t i = 0; i < (*schema)->n_types; i++)
		free((struct sonde_column *)(*schema)->types[i].columns);
	free((*schema)->types);
	json_decref((*schema)->json);
	free(*schema);
	*schema = NULL;
}

const struct sonde_type *sonde_remote_schema_type(const struct sonde_remote_schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->n_types; i++)
		if (!strcmp(schema->types[i].name, name))
			return &schema->types[i];
	return NULL;
}

static bool address_value(const char *text, uint8_t address[16], struct sonde_value *value)
{
	memset(address, 0, 16);
	address[10] = address[11] = 0xff;
	if (inet_pton(AF_INET, text, address + 12) != 1 && inet_pton(AF_INET6, text, address) != 1)
		return false;
	*value = (struct sonde_value){.type = SONDE_ADDRESS, .address = address};
	return true;
}

static struct sonde_value number_value(int64_t number)
{
	if (number < 0)
		return (struct sonde_value){.type = SONDE_INT, .i = number};
	return (struct sonde_value){.type = SONDE_UINT, .u = (uint64_t)number};
}

static int string_value(struct sonde_remote_row *row, uint32_t i, json_t *json)
{
	const struct sonde_column *column = &row->type->columns[i];
	struct sonde_value *value = &row->values[i];
	const char *text = json_string_value(json);
	int64_t ns;

	if (column->semantic == SONDE_SEMANTIC_TIME && sonde_moment_rfc3339_parse(text, &ns) == 0) {
		*value = (struct sonde_value){.type = SONDE_INT, .i = ns};
		return 0;
	}
	if (column->type == SONDE_ADDRESS && address_value(text, row->addresses[i], value))
		return 0;
	if (column->semantic != SONDE_SEMANTIC_ESCAPED && sonde_json_unescape(json) < 0)
		return -ENOMEM;
	*value = (struct sonde_value){.type = SONDE_TEXT, .length = (uint32_t)json_string_length(json), .text = json_string_value(json)};
	return 0;
}

/* As it came, whatever the column is now: an event may be older than its type. */
static int value_read(struct sonde_remote_row *row, uint32_t i, json_t *json)
{
	struct sonde_value *value = &row->values[i];
	uint64_t large;

	*value = (struct sonde_value){.type = SONDE_NULL};
	if (json_is_string(json))
		return string_value(row, i, json);
	if (json_is_boolean(json))
		*value = (struct sonde_value){.type = SONDE_BOOL, .b = json_is_true(json)};
	else if (json_is_integer(json))
		*value = number_value(json_integer_value(json));
	else if (sonde_json_large(json, &large))
		*value = (struct sonde_value){.type = SONDE_UINT, .u = large};
	return 0;
}

int sonde_remote_row_read(struct sonde_remote_row *row, const struct sonde_remote_schema *schema, const char *line, size_t length)
{
	int r = 0;

	if (length > UINT32_MAX)
		return -EBADMSG;
	json_decref(row->json);
	row->json = sonde_json_read(line, length, NULL);
	if (!json_is_object(row->json))
		return -EBADMSG;
	row->type = sonde_remote_schema_type(schema, text_of(row->json, "type"));
	if (!row->type)
		return -ENOENT;
	for (uint32_t i = 0; !r && i < row->type->n_columns; i++)
		r = value_read(row, i, json_object_get(row->json, row->type->columns[i].name));
	return r;
}

void sonde_remote_row_free(struct sonde_remote_row *row)
{
	json_decref(row->json);
	*row = (struct sonde_remote_row){0};
}
