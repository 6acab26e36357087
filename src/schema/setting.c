/* SPDX-License-Identifier: Apache-2.0 */
/* Variables tagged as settings. They are numbers of .rodata, and stay where the compiler put them. */
#include <schema/builder.h>

#include <base/units.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The number that stands in `bytes`, little endian, like every target of ours. */
static int64_t setting_number(const struct sonde_setting *setting, const void *bytes)
{
	unsigned shift = 64 - 8 * setting->size;
	int64_t value = 0;

	memcpy(&value, bytes, setting->size);
	return setting->is_signed ? (int64_t)((uint64_t)value << shift) >> shift : value;
}

/* "LEAST..MOST", as SONDE_SETTING_BETWEEN() writes it. */
static int between_read(const char *text, struct sonde_setting *setting)
{
	const char *most = strstr(text, "..");
	char least[32];

	if (!most || (size_t)(most - text) >= sizeof(least))
		return -EINVAL;
	memcpy(least, text, (size_t)(most - text));
	least[most - text] = '\0';
	setting->is_bounded = true;
	return sonde_integer_parse(least, &setting->least) ?: sonde_integer_parse(most + 2, &setting->most);
}

static int setting_build(struct sonde_builder *builder, uint32_t variable_id, const char *doc, struct sonde_setting *setting)
{
	const struct btf_type *variable = sonde_btf_type(&builder->btf, variable_id);
	const struct btf_type *type = sonde_btf_plain(&builder->btf, variable->type);
	const char *name = sonde_btf_text(&builder->btf, variable->name_off);
	const char *between = sonde_builder_variable_tag(builder, variable_id, "between=");
	uint32_t encoding;
	uint64_t bytes;
	int r;

	r = sonde_builder_check_name("setting", name);
	r = r ?: sonde_builder_check_doc("setting", name, doc);
	if (r)
		return r;
	if (!type || sonde_btf_kind(type) != BTF_KIND_INT ||
	    (type->size != 1 && type->size != 2 && type->size != 4 && type->size != 8))
		return sonde_builder_fail("setting %s: must be a number of 1, 2, 4 or 8 bytes, or bool", name);
	if (sonde_object_symbol(&builder->object, ".rodata", name, type->size, &setting->offset) ||
	    sonde_object_bytes(&builder->object, ".rodata", setting->offset, type->size, &bytes))
		return sonde_builder_fail("setting %s: is not in section .rodata: declare it with SONDE_SETTING()", name);
	encoding = BTF_INT_ENCODING(*(const uint32_t *)(type + 1));
	setting->size = type->size;
	setting->is_bool = encoding & BTF_INT_BOOL;
	setting->is_signed = encoding & BTF_INT_SIGNED;
	setting->value = setting_number(setting, &bytes);
	if (between && (between_read(between, setting) < 0 || setting->value < setting->least || setting->value > setting->most))
		return sonde_builder_fail("setting %s: SONDE_SETTING_BETWEEN() takes two plain numbers, and a default that is not "
					  "outside of them",
					  name);
	setting->name = sonde_arena_text(&builder->arena, name, strlen(name));
	setting->doc = sonde_arena_text(&builder->arena, doc, strlen(doc));
	return setting->name && setting->doc ? 0 : -ENOMEM;
}

int sonde_settings_build(struct sonde_builder *builder, struct sonde_schema *schema)
{
	struct sonde_setting *settings = sonde_arena_alloc(&builder->arena, SCHEMA_SETTINGS_MAX * sizeof(*settings));
	uint32_t n = 0, id = 0;

	if (!settings)
		return -ENOMEM;
	while (sonde_builder_next_variable(builder, &id)) {
		const char *doc = sonde_builder_variable_tag(builder, id, "setting=");
		int r;

		if (!doc)
			continue;
		if (n == SCHEMA_SETTINGS_MAX)
			return sonde_builder_fail("too many settings: %d is the most", SCHEMA_SETTINGS_MAX);
		r = setting_build(builder, id, doc, &settings[n++]);
		if (r)
			return r;
	}
	schema->settings = settings;
	schema->n_settings = n;
	return 0;
}

const struct sonde_setting *sonde_schema_setting(const struct sonde_schema *schema, const char *name)
{
	for (uint32_t i = 0; i < schema->n_settings; i++)
		if (!strcmp(schema->settings[i].name, name))
			return &schema->settings[i];
	return NULL;
}

int64_t sonde_setting_value(const struct sonde_setting *setting, const void *rodata, size_t size)
{
	if (!rodata || setting->offset > size || setting->size > size - setting->offset)
		return setting->value;
	return setting_number(setting, (const char *)rodata + setting->offset);
}

static bool name_ends(const char *name, const char *end)
{
	size_t length = strlen(name), end_length = strlen(end);

	return length > end_length && !strcmp(name + length - end_length, end);
}

const char *sonde_setting_text(const struct sonde_setting *setting, int64_t value, char text[SONDE_SETTING_TEXT_MAX])
{
	if (setting->is_bool)
		return value ? "true" : "false";
	if (name_ends(setting->name, "_ns") && value >= 0)
		return sonde_duration_text(value, text);
	if (name_ends(setting->name, "_bytes") && value >= 0)
		return sonde_size_text((uint64_t)value, text);
	if (setting->is_signed)
		snprintf(text, SONDE_SETTING_TEXT_MAX, "%lld", (long long)value);
	else
		snprintf(text, SONDE_SETTING_TEXT_MAX, "%llu", (unsigned long long)value);
	return text;
}

static void setting_unknown(const struct sonde_schema *schema, const char *name, char *error, size_t size)
{
	int n = snprintf(error, size, "there is no setting '%s'; there %s: %s", name, schema->n_settings == 1 ? "is" : "are",
			 schema->n_settings ? schema->settings[0].name : "none");

	for (uint32_t i = 1; i < schema->n_settings && n >= 0 && (size_t)n < size; i++)
		n += snprintf(error + n, size - (size_t)n, ", %s", schema->settings[i].name);
}

/* What its type can hold, and of that what SONDE_SETTING_BETWEEN() allows. */
static void setting_range(const struct sonde_setting *setting, int64_t *ret_least, int64_t *ret_most)
{
	unsigned bits = setting->is_bool ? 1 : 8 * setting->size - setting->is_signed;

	*ret_most = bits >= 63 ? INT64_MAX : (int64_t)((1ull << bits) - 1);
	*ret_least = setting->is_signed ? -*ret_most - 1 : 0;
	if (!setting->is_bounded)
		return;
	*ret_least = setting->least > *ret_least ? setting->least : *ret_least;
	*ret_most = setting->most < *ret_most ? setting->most : *ret_most;
}

int sonde_setting_check(const struct sonde_schema *schema, const char *name, int64_t value, char *error, size_t error_size)
{
	char text[SONDE_SETTING_TEXT_MAX], least_text[SONDE_SETTING_TEXT_MAX], rest[SONDE_SETTING_TEXT_MAX + 16] = "or more is";
	const struct sonde_setting *setting = sonde_schema_setting(schema, name);
	int64_t least, most;

	if (!setting) {
		setting_unknown(schema, name, error, error_size);
		return -ENOENT;
	}
	setting_range(setting, &least, &most);
	if (value >= least && value <= most)
		return 0;
	if (most != INT64_MAX)
		snprintf(rest, sizeof(rest), "%s %s are", setting->is_bool ? "or" : "to", sonde_setting_text(setting, most, text));
	snprintf(text, sizeof(text), "%lld", (long long)value);
	snprintf(error, error_size, "the value %s of setting '%s' is out of range: %s %s possible",
		 setting->is_bool || value < 0 ? text : sonde_setting_text(setting, value, text), name,
		 sonde_setting_text(setting, least, least_text), rest);
	return -ERANGE;
}
