/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of any columns to standard output, by the same encoders as events. */
#include <cli/json.h>
#include <cli/result.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/command.h>
#include <cli/output.h>
#include <cli/say.h>
#include <schema/encode.h>

static int no_memory(void)
{
	return sonde_say_error(SONDE_EXIT_FAILED, "no memory left");
}

int sonde_result_text(const struct sonde_buffer *text)
{
	if (sonde_buffer_error(text) < 0)
		return no_memory();
	fwrite(text->data ? text->data : "", 1, text->length, stdout);
	return SONDE_EXIT_DONE;
}

int sonde_result_json(const json_t *json)
{
	char *text CLEANUP_FREE = json_dumps(json, JSON_COMPACT);

	if (!text)
		return no_memory();
	puts(text);
	return SONDE_EXIT_DONE;
}

int sonde_result_grid(const struct sonde_options *options, const struct sonde_grid *grid)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	if (sonde_grid_write(grid, sonde_output_width(), sonde_output_wants_color(options->color), &out) < 0)
		return no_memory();
	return sonde_result_text(&out);
}

static void value_of(const json_t *json, struct sonde_value *value)
{
	*value = (struct sonde_value){.type = SONDE_NULL};
	if (json_is_string(json)) {
		*value = (struct sonde_value){.type = SONDE_TEXT, .length = (uint32_t)json_string_length(json),
					      .text = json_string_value(json)};
	} else if (json_is_integer(json)) {
		*value = (struct sonde_value){.type = SONDE_INT, .i = json_integer_value(json)};
	} else if (json_is_boolean(json)) {
		*value = (struct sonde_value){.type = SONDE_BOOL, .b = json_is_true(json)};
	} else if (json_is_real(json)) {
		*value = (struct sonde_value){.type = SONDE_REAL, .real = json_real_value(json)};
	} else if (sonde_json_large(json, &value->u)) {
		value->type = SONDE_UINT;
	}
}

static void row_json(const json_t *columns, const json_t *row, struct sonde_buffer *out)
{
	static const struct sonde_column told = {.name = "", .semantic = SONDE_SEMANTIC_ESCAPED};
	const char *name;
	size_t i;
	const json_t *column;

	sonde_buffer_add_char(out, '{');
	json_array_foreach(columns, i, column) {
		struct sonde_value value;

		name = json_string_value(column);
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_encode_json_text(name, strlen(name), out);
		sonde_buffer_add_char(out, ':');
		value_of(json_array_get(row, i), &value);
		sonde_encode_json_value(&told, &value, out);
	}
	sonde_buffer_add_text(out, "}\n");
}

static int rows_json(const json_t *columns, const json_t *rows, struct sonde_buffer *out)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		row_json(columns, row, out);
	return sonde_buffer_error(out);
}

static int rows_csv(const json_t *columns, const json_t *rows, struct sonde_buffer *out)
{
	struct sonde_column list[SONDE_GRID_COLUMNS_MAX] = {0};
	struct sonde_type type = {.name = "", .columns = list, .n_columns = (uint32_t)json_array_size(columns)};
	struct sonde_value values[SONDE_GRID_COLUMNS_MAX];
	const json_t *row;
	size_t i;

	for (uint32_t c = 0; c < type.n_columns; c++)
		list[c] = (struct sonde_column){.name = json_string_value(json_array_get(columns, c)), .semantic = SONDE_SEMANTIC_ESCAPED};
	sonde_encode_csv_header(&type, out);
	json_array_foreach(rows, i, row) {
		for (uint32_t c = 0; c < type.n_columns; c++)
			value_of(json_array_get(row, c), &values[c]);
		sonde_encode_csv(&type, values, out);
	}
	return sonde_buffer_error(out);
}

/* Columns that hold numbers wherever they hold anything stand on the right. */
static uint64_t number_columns(const json_t *columns, const json_t *rows)
{
	uint64_t right = 0, large;
	const json_t *row, *cell;
	size_t i;

	for (size_t c = 0; c < json_array_size(columns); c++)
		right |= 1ull << c;
	json_array_foreach(rows, i, row)
		for (size_t c = 0; c < json_array_size(columns); c++) {
			cell = json_array_get(row, c);
			if (!json_is_number(cell) && !json_is_null(cell) && !sonde_json_large(cell, &large))
				right &= ~(1ull << c);
		}
	return right;
}

static int rows_table(const struct sonde_options *options, const json_t *columns, const json_t *rows)
{
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const char *headings[SONDE_GRID_COLUMNS_MAX + 1] = {0};
	const struct sonde_column column = {.name = ""};
	struct sonde_value value;
	const json_t *row;
	size_t i;

	for (size_t c = 0; c < json_array_size(columns); c++)
		headings[c] = json_string_value(json_array_get(columns, c));
	sonde_grid_begin(&grid, headings, number_columns(columns, rows));
	json_array_foreach(rows, i, row)
		for (size_t c = 0; c < json_array_size(columns); c++) {
			struct sonde_buffer cell CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

			value_of(json_array_get(row, c), &value);
			/* The grid makes texts safe; anything else is safe already. */
			if (value.type == SONDE_TEXT)
				sonde_buffer_add(&cell, value.text, value.length);
			else
				sonde_encode_human(&column, &value, &cell);
			sonde_grid_add(&grid, cell.data ? cell.data : "");
		}
	return sonde_result_grid(options, &grid);
}

int sonde_result_rows(const struct sonde_options *options, const json_t *columns, const json_t *rows)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const json_t *column;
	size_t i;

	if (!json_is_array(columns) || !json_is_array(rows) || json_array_size(columns) > SONDE_GRID_COLUMNS_MAX)
		return sonde_say_error(SONDE_EXIT_FAILED, "the answer cannot be read: at most %d columns are shown",
				       SONDE_GRID_COLUMNS_MAX);
	json_array_foreach(columns, i, column)
		if (!json_is_string(column))
			return sonde_say_error(SONDE_EXIT_FAILED, "the answer cannot be read: a column has no name");
	if (options->format == SONDE_FORMAT_TABLE)
		return rows_table(options, columns, rows);
	if (options->format == SONDE_FORMAT_JSON)
		rows_json(columns, rows, &out);
	else
		rows_csv(columns, rows, &out);
	return sonde_result_text(&out);
}

void sonde_result_hooks(struct sonde_grid *grid, const json_t *program)
{
	size_t i, attached = 0, wanted = 0;
	const json_t *hook;

	json_array_foreach(json_object_get(program, "hooks"), i, hook) {
		attached += json_is_true(json_object_get(hook, "attached"));
		wanted += !json_is_false(json_object_get(hook, "wanted"));
	}
	sonde_grid_addf(grid, "%zu of %zu", attached, wanted);
}
