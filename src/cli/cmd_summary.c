/* SPDX-License-Identifier: Apache-2.0 */
/* sonde summary: what happened in a span, by type and by the most frequent values. */
#include <cli/command.h>

#include <inttypes.h>
#include <stdio.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/moment.h>
#include <cli/output.h>
#include <cli/result.h>
#include <cli/say.h>

/* Rows of type, column, value, count; the type's own total has neither column nor value. */
static json_t *summary_rows(const json_t *types)
{
	json_t *rows = json_array();
	const json_t *type, *list, *group;
	const char *column;
	size_t i, j;

	json_array_foreach(types, i, type) {
		const char *name = sonde_json_text_of(type, "type");

		json_array_append_new(rows, json_pack("[s,n,n,I]", name, (json_int_t)sonde_json_number_of(type, "count")));
		json_object_foreach((json_t *)json_object_get(type, "top"), column, list)
			json_array_foreach(list, j, group)
				json_array_append_new(rows, json_pack("[s,s,O,I]", name, column, json_object_get(group, "value"),
								      (json_int_t)sonde_json_number_of(group, "count")));
	}
	return rows;
}

static void type_text(const json_t *type, bool color, struct sonde_buffer *out)
{
	const json_t *list, *group, *value;
	const char *column;
	size_t j;

	sonde_buffer_printf(out, "\n%s%s%s  %" PRId64 "\n", color ? "\033[1m" : "", sonde_json_text_of(type, "type"),
			    color ? "\033[0m" : "", sonde_json_number_of(type, "count"));
	json_object_foreach((json_t *)json_object_get(type, "top"), column, list) {
		struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
		const char *const headings[] = {"", column, "count", NULL};

		if (!json_array_size(list))
			continue;
		sonde_grid_begin(&grid, headings, 1 << 2);
		json_array_foreach(list, j, group) {
			value = json_object_get(group, "value");
			sonde_grid_add(&grid, "");
			if (json_is_integer(value))
				sonde_grid_addf(&grid, "%" PRId64, (int64_t)json_integer_value(value));
			else
				sonde_grid_add(&grid, json_is_string(value) ? json_string_value(value) : "-");
			sonde_grid_addf(&grid, "%" PRId64, sonde_json_number_of(group, "count"));
		}
		sonde_grid_write(&grid, sonde_output_width(), color, out);
	}
}

static int summary_table(const struct sonde_options *options, const json_t *json)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	char since[SONDE_MOMENT_TEXT_MAX], until[SONDE_MOMENT_TEXT_MAX];
	bool color = sonde_output_wants_color(options->color);
	const json_t *type;
	size_t i;

	sonde_moment_text(sonde_json_number_of(json, "since_ns"), since);
	sonde_moment_text(sonde_json_number_of(json, "until_ns"), until);
	sonde_buffer_printf(&out, "from %.19sZ to %.19sZ\n", since, until);
	json_array_foreach(json_object_get(json, "types"), i, type)
		type_text(type, color, &out);
	return sonde_result_text(&out);
}

static int run(const struct sonde_options *options)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *json CLEANUP(json_decrefp) = NULL;
	int r, code = SONDE_EXIT_DONE;
	const json_t *type;
	size_t i;

	sonde_client_path(&path, "/api/v1/summary");
	sonde_ask_query(&path, options, options->n_arguments ? options->arguments[0] : NULL);
	r = sonde_ask(options, path.data, &json);
	if (r < 0)
		return sonde_ask_exit(r);
	if (options->format == SONDE_FORMAT_TABLE) {
		code = summary_table(options, json);
	} else if (options->format == SONDE_FORMAT_CSV) {
		json_t *columns CLEANUP(json_decrefp) = json_pack("[s,s,s,s]", "type", "column", "value", "count");
		json_t *rows CLEANUP(json_decrefp) = summary_rows(json_object_get(json, "types"));

		code = sonde_result_rows(options, columns, rows);
	} else {
		json_array_foreach(json_object_get(json, "types"), i, type)
			code |= sonde_result_json(type);
	}
	sonde_note_json(json);
	return code;
}

const struct sonde_command sonde_command_summary = {
	.name = "summary",
	.arguments = "[TYPE]",
	.summary = "what happened, by type and by the most frequent values",
	.help = "For each type of event (or for TYPE) their number in the span, and the ten most\n"
		"frequent commands, containers, reasons, errors and the like. Without --since: the\n"
		"last 5 minutes.",
	.examples = "sonde summary\n"
		    "sonde summary packet_drop --since 1h\n"
		    "sonde summary -s 12:00 -u 12:15 --container web",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
