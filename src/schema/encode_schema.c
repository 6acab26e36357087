/* SPDX-License-Identifier: Apache-2.0 */
/* A type described: for machines as JSON, for the program's page as Markdown. */
#include <schema/encode.h>
#include <schema/enum.h>

#include <string.h>

/* What a reader of the JSON meets in the column. */
static const char *type_word(const struct sonde_column *column)
{
	switch (column->type) {
	case SONDE_INT:
		return column->semantic == SONDE_SEMANTIC_TIME ? "time" : "integer";
	case SONDE_UINT:
		return "integer";
	case SONDE_BOOL:
		return "boolean";
	case SONDE_ADDRESS:
		return "address";
	case SONDE_TEXT:
	case SONDE_NULL:
	case SONDE_REAL:
		break;
	}
	return "text";
}

/* The words that the program's own enum can give; those of the kernel's are too many and differ between kernels. */
static const struct sonde_enum *column_words(const struct sonde_column *column)
{
	return column->semantic == SONDE_SEMANTIC_ENUM ? column->names : NULL;
}

static void add_json_member(struct sonde_buffer *out, const char *name, const char *text)
{
	sonde_buffer_printf(out, "\"%s\":", name);
	if (text)
		sonde_encode_json_text(text, strlen(text), out);
	else
		sonde_buffer_add_text(out, "null");
}

static void add_json_column(struct sonde_buffer *out, const struct sonde_type *type, uint32_t i)
{
	const struct sonde_column *column = &type->columns[i];
	const struct sonde_enum *words = column_words(column);

	sonde_buffer_add_char(out, '{');
	add_json_member(out, "name", column->name);
	sonde_buffer_add_char(out, ',');
	add_json_member(out, "type", type_word(column));
	sonde_buffer_add_char(out, ',');
	add_json_member(out, "semantic", sonde_semantic_word(column->semantic));
	sonde_buffer_add_char(out, ',');
	add_json_member(out, "unit", column->unit);
	sonde_buffer_add_char(out, ',');
	add_json_member(out, "doc", column->doc);
	if (sonde_type_has_top(type, i))
		sonde_buffer_add_text(out, ",\"top\":true");
	if (column->is_measure)
		sonde_buffer_add_text(out, ",\"measure\":true");
	if (column->is_main)
		sonde_buffer_add_text(out, ",\"main\":true");
	if (words) {
		sonde_buffer_add_text(out, ",\"values\":[");
		for (uint32_t w = 0; w < words->n; w++) {
			if (w)
				sonde_buffer_add_char(out, ',');
			sonde_encode_json_text(words->entries[w].name, strlen(words->entries[w].name), out);
		}
		sonde_buffer_add_char(out, ']');
	}
	sonde_buffer_add_char(out, '}');
}

int sonde_encode_schema_json(const struct sonde_type *type, struct sonde_buffer *out)
{
	sonde_buffer_add_char(out, '{');
	add_json_member(out, "name", type->name);
	sonde_buffer_add_char(out, ',');
	add_json_member(out, "doc", type->doc);
	sonde_buffer_add_text(out, ",\"columns\":[");
	for (uint32_t i = 0; i < type->n_columns; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		add_json_column(out, type, i);
	}
	sonde_buffer_add_text(out, "]}");
	return sonde_buffer_error(out);
}

static void add_markdown(struct sonde_buffer *out, const char *text)
{
	for (; text && *text; text++) {
		if (strchr("\\`*_<>[]|#", *text))
			sonde_buffer_add_char(out, '\\');
		sonde_buffer_add_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
	}
}

int sonde_encode_schema_markdown(const struct sonde_type *type, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "## ");
	add_markdown(out, type->name);
	sonde_buffer_add_text(out, "\n\n");
	add_markdown(out, type->doc);
	sonde_buffer_add_text(out, "\n\n| Field | Type | Unit | Meaning |\n|---|---|---|---|\n");
	for (uint32_t i = 0; i < type->n_columns; i++) {
		const struct sonde_column *column = &type->columns[i];
		const struct sonde_enum *words = column_words(column);

		sonde_buffer_add_text(out, "| ");
		add_markdown(out, column->name);
		sonde_buffer_printf(out, " | %s | ", type_word(column));
		add_markdown(out, column->unit);
		sonde_buffer_add_text(out, column->unit ? " | " : "| ");
		add_markdown(out, column->doc);
		for (uint32_t w = 0; words && w < words->n; w++) {
			sonde_buffer_add_text(out, w ? ", " : ". One of: ");
			add_markdown(out, words->entries[w].name);
		}
		sonde_buffer_add_text(out, " |\n");
	}
	return sonde_buffer_error(out);
}

static void add_markdown_settings(struct sonde_buffer *out, const struct sonde_schema *schema)
{
	sonde_buffer_printf(out, "\n## Settings of %s\n\nUnder `programs.%s.settings` in the configuration.\n\n"
				 "| Setting | Default | Meaning |\n|---|---|---|\n",
			    schema->program, schema->program);
	for (uint32_t i = 0; i < schema->n_settings; i++) {
		const struct sonde_setting *setting = &schema->settings[i];
		char text[SONDE_SETTING_TEXT_MAX];

		sonde_buffer_add_text(out, "| ");
		add_markdown(out, setting->name);
		sonde_buffer_add_text(out, " | ");
		sonde_buffer_add_text(out, sonde_setting_text(setting, setting->value, text));
		sonde_buffer_add_text(out, " | ");
		add_markdown(out, setting->doc);
		if (setting->is_bounded) {
			sonde_buffer_printf(out, "; %s to ", sonde_setting_text(setting, setting->least, text));
			sonde_buffer_add_text(out, sonde_setting_text(setting, setting->most, text));
		}
		sonde_buffer_add_text(out, " |\n");
	}
}

static void add_markdown_metrics(struct sonde_buffer *out, const struct sonde_schema *schema)
{
	sonde_buffer_add_text(out, "\n## Metrics of the program\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
	for (uint32_t i = 0; i < schema->n_metrics; i++) {
		const struct sonde_metric *metric = &schema->metrics[i];

		sonde_buffer_add_text(out, "| sonde\\_");
		add_markdown(out, metric->name);
		sonde_buffer_add_text(out, metric->is_counter ? " | counter | " : metric->is_histogram ? " | histogram | " : " | gauge | ");
		for (uint32_t k = 0; k < metric->n_labels; k++) {
			sonde_buffer_add_text(out, k ? ", " : "");
			add_markdown(out, metric->labels[k].name);
		}
		sonde_buffer_add_text(out, " | ");
		add_markdown(out, metric->doc);
		sonde_buffer_add_text(out, " |\n");
	}
}

int sonde_encode_program_markdown(const struct sonde_schema *schema, struct sonde_buffer *out)
{
	for (uint32_t i = 0; i < schema->n_types; i++) {
		if (i)
			sonde_buffer_add_char(out, '\n');
		sonde_encode_schema_markdown(&schema->types[i], out);
	}
	if (schema->n_settings)
		add_markdown_settings(out, schema);
	if (schema->n_metrics)
		add_markdown_metrics(out, schema);
	return sonde_buffer_error(out);
}
