/* SPDX-License-Identifier: Apache-2.0 */
/* sonde summary: what happened in a span, by type and by the most frequent values. */
#include <cli/command.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <cli/ask.h>
#include <cli/moment.h>
#include <cli/output.h>
#include <cli/result.h>
#include <cli/say.h>

#define COLUMNS_MAX 3 /* of a list; the API ranks by no more together */

/* A value of a list, whichever its kind, as text for people. */
static void value_text(const json_t *value, struct sonde_buffer *out)
{
	if (json_is_integer(value))
		sonde_buffer_printf(out, "%" PRId64, (int64_t)json_integer_value(value));
	else if (json_is_boolean(value))
		sonde_buffer_add_text(out, json_is_true(value) ? "true" : "false");
	else
		sonde_buffer_add_text(out, json_is_string(value) ? json_string_value(value) : "-");
}

/* The i-th value of a group, of one column or of several together. */
static const json_t *group_value(const json_t *group, size_t i)
{
	const json_t *values = json_object_get(group, "values");

	return values ? json_array_get(values, i) : json_object_get(group, "value");
}

/* Of several columns together: their values with a comma between. */
static json_t *group_joined(const json_t *group)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const json_t *values = json_object_get(group, "values"), *value;
	size_t i;

	if (!values)
		return json_incref(json_object_get(group, "value"));
	json_array_foreach(values, i, value) {
		if (i)
			sonde_buffer_add_char(&text, ',');
		value_text(value, &text);
	}
	return json_stringn(text.data, text.length);
}

static json_t *sum_of(const json_t *of)
{
	json_t *sum = json_object_get(of, "sum");

	return sum ? json_incref(sum) : json_null();
}

/* Rows of type, column, value, count, sum; the type's own total has neither column nor value. */
static json_t *summary_rows(const json_t *types)
{
	json_t *rows = json_array();
	const json_t *type, *list, *group;
	const char *column;
	size_t i, j;

	json_array_foreach(types, i, type) {
		const char *name = sonde_json_text_of(type, "type");

		json_array_append_new(rows, json_pack("[s,n,n,I,o]", name, (json_int_t)sonde_json_number_of(type, "count"),
						      sum_of(type)));
		json_object_foreach((json_t *)json_object_get(type, "top"), column, list)
			json_array_foreach(list, j, group)
				json_array_append_new(rows, json_pack("[s,s,o,I,o]", name, column, group_joined(group),
								      (json_int_t)sonde_json_number_of(group, "count"),
								      sum_of(group)));
	}
	return rows;
}

/* One list: its columns, the number of events, and the sum of what they stand for, if that is more than themselves. */
static void list_text(const char *columns, const json_t *list, const char *measure, bool color, struct sonde_buffer *out)
{
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const char *headings[COLUMNS_MAX + 4] = {""};
	char names[256], *rest = names, *name;
	const json_t *group;
	size_t n = 1, j;

	snprintf(names, sizeof(names), "%s", columns);
	while (n <= COLUMNS_MAX && (name = strsep(&rest, ",")))
		headings[n++] = name;
	headings[n] = measure ?: "events";
	headings[n + 1] = measure ? "events" : NULL;
	sonde_grid_begin(&grid, headings, 3ull << n);
	json_array_foreach(list, j, group) {
		sonde_grid_add(&grid, "");
		for (size_t i = 0; i + 1 < n; i++) {
			struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

			value_text(group_value(group, i), &text);
			sonde_buffer_add_char(&text, '\0');
			sonde_grid_add(&grid, text.data ?: "");
		}
		if (measure)
			sonde_grid_addf(&grid, "%" PRId64, sonde_json_number_of(group, "sum"));
		sonde_grid_addf(&grid, "%" PRId64, sonde_json_number_of(group, "count"));
	}
	sonde_grid_write(&grid, sonde_output_width(), color, out);
}

/* `, 60 s 12 (count 480)`, from the window's NAME and SUM. */
static void window_number(const char *label, const json_t *window, const char *name, const char *measure, const char *sum,
			  struct sonde_buffer *out)
{
	sonde_buffer_printf(out, "%s %" PRId64, label, sonde_json_number_of(window, name));
	if (measure && json_object_get(window, sum)) /* an older agent has none */
		sonde_buffer_printf(out, " (%s %" PRId64 ")", measure, sonde_json_number_of(window, sum));
}

static void type_text(const json_t *type, bool color, struct sonde_buffer *out)
{
	const json_t *window = json_object_get(type, "window"), *list;
	const char *measure = json_string_value(json_object_get(type, "measure")), *columns;

	sonde_buffer_printf(out, "\n%s%s%s  %" PRId64 " events", color ? "\033[1m" : "", sonde_json_text_of(type, "type"),
			    color ? "\033[0m" : "", sonde_json_number_of(type, "count"));
	if (measure)
		sonde_buffer_printf(out, ", %s %" PRId64, measure, sonde_json_number_of(type, "sum"));
	if (window) {
		window_number("; last second", window, "last_second", measure, "sum_second", out);
		window_number(", 10 s", window, "last_10s", measure, "sum_10s", out);
		window_number(", 60 s", window, "last_60s", measure, "sum_60s", out);
	}
	sonde_buffer_add_char(out, '\n');
	json_object_foreach((json_t *)json_object_get(type, "top"), columns, list) {
		if (json_array_size(list))
			list_text(columns, list, measure, color, out);
	}
}

/* The window is as old as the agent: a young one says so. */
static void window_text(const json_t *json, struct sonde_buffer *out)
{
	int64_t since_ns = sonde_json_number_of(json, "window_since_ns");
	char since[SONDE_MOMENT_TEXT_MAX];

	if (sonde_clock_wall_ns() - since_ns >= 61 * SONDE_NS_PER_S)
		return;
	sonde_moment_text(since_ns, since);
	sonde_buffer_printf(out, "the agent started at %.19sZ: the numbers of the last 60 s begin there\n", since);
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
	window_text(json, &out);
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
		json_t *columns CLEANUP(json_decrefp) = json_pack("[s,s,s,s,s]", "type", "column", "value", "count", "sum");
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
	.help = "For each type of event (or for TYPE) their number in the span, how many there were in\n"
		"the last second, 10 s and 60 s, and the ten most frequent processes, containers,\n"
		"peers, paths, reasons, errors and the like. Of events that stand for more than one\n"
		"thing (calls, bytes) these are added up too, and ranked by. Without --since: the\n"
		"last 5 minutes.",
	.examples = "sonde summary\n"
		    "sonde summary packet_drop --since 1h\n"
		    "sonde summary -s 12:00 -u 12:15 --container web",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
