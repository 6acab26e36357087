/* SPDX-License-Identifier: Apache-2.0 */
/* sonde schema: the types of events and their columns; from the agent, or without one from the built-in programs. */
#include <cli/command.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <cli/ask.h>
#include <cli/output.h>
#include <cli/result.h>
#include <cli/say.h>
#include <cli/user_object.h>
#include <schema/encode.h>

static void add_types(const struct sonde_schema *schema, struct sonde_buffer *out)
{
	for (uint32_t i = 0; i < schema->n_types; i++) {
		sonde_buffer_add_text(out, out->length ? "," : "{\"types\":[");
		sonde_encode_schema_json(&schema->types[i], out);
	}
}

static int types_parse(struct sonde_buffer *text, json_t **ret_json)
{
	sonde_buffer_add_text(text, text->length ? "]}" : "{\"types\":[]}");
	*ret_json = sonde_buffer_error(text) < 0 ? NULL : json_loadb(text->data, text->length, 0, NULL);
	return *ret_json ? 0 : sonde_say_error(-ENOMEM, "no memory left");
}

/* The same form as the agent's answer. */
static int builtin_schema(json_t **ret_json)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++) {
		struct sonde_schema *schema CLEANUP(sonde_schema_free) = NULL;
		const char *error = "";

		if (sonde_embedded_schema(e, NULL, &error, &schema) < 0)
			return sonde_say_error(-EINVAL, "program %s: %s", e->name, error);
		add_types(schema, &text);
	}
	return types_parse(&text, ret_json);
}

static void type_table(const json_t *type, bool color, struct sonde_buffer *out)
{
	static const char *const headings[] = {"COLUMN", "TYPE", "UNIT", "WHAT IT IS", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const json_t *column;
	size_t i;

	sonde_grid_begin(&grid, headings, 0);
	json_array_foreach(json_object_get(type, "columns"), i, column) {
		sonde_grid_add(&grid, sonde_json_text_of(column, "name"));
		sonde_grid_add(&grid, sonde_json_text_of(column, "type"));
		sonde_grid_add(&grid, sonde_json_text_of(column, "unit"));
		sonde_grid_add(&grid, sonde_json_text_of(column, "doc"));
	}
	if (sonde_grid_write(&grid, sonde_output_width(), color, out) < 0)
		out->failed = true;
}

static int print_table(const struct sonde_options *options, const json_t *types)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	bool color = sonde_output_wants_color(options->color);
	const json_t *type;
	size_t i;

	json_array_foreach(types, i, type) {
		const char *name = sonde_json_text_of(type, "name"), *doc = sonde_json_text_of(type, "doc");

		if (i)
			sonde_buffer_add_char(&out, '\n');
		sonde_encode_terminal_text(name, strlen(name), &out);
		sonde_buffer_add_text(&out, ": ");
		sonde_encode_terminal_text(doc, strlen(doc), &out);
		sonde_buffer_add_text(&out, "\n\n");
		type_table(type, color, &out);
	}
	return sonde_result_text(&out);
}

static int print_markdown(const json_t *json, const json_t *types)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_remote_schema *schema CLEANUP(sonde_remote_schema_free) = NULL;
	const json_t *type;
	size_t i;

	if (sonde_remote_schema_new(json, &schema) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "the schema cannot be read");
	json_array_foreach(types, i, type) {
		if (i)
			sonde_buffer_add_char(&out, '\n');
		sonde_encode_schema_markdown(sonde_remote_schema_type(schema, sonde_json_text_of(type, "name")), &out);
	}
	return sonde_result_text(&out);
}

/* Only the type of this name. */
static int choose(const char *name, json_t **types)
{
	struct sonde_buffer known CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *type;
	size_t i;

	json_array_foreach(*types, i, type) {
		if (!strcmp(sonde_json_text_of(type, "name"), name)) {
			*types = json_pack("[O]", type);
			return *types ? 0 : -ENOMEM;
		}
		sonde_buffer_printf(&known, "%s%s", i ? ", " : "", sonde_json_text_of(type, "name"));
	}
	*types = NULL;
	return sonde_say_error(-ENOENT, "there is no type '%s'; there are: %s", name, known.length ? known.data : "none");
}

static int print_types(const struct sonde_options *options, const json_t *json, const json_t *types)
{
	int code = SONDE_EXIT_DONE;
	const json_t *type;
	size_t i;

	if (!strcmp(options->schema_format, "table"))
		return print_table(options, types);
	if (!strcmp(options->schema_format, "markdown"))
		return print_markdown(json, types);
	json_array_foreach(types, i, type)
		code |= sonde_result_json(type);
	return code;
}

/* An object has settings and metrics too, which the Markdown tells: it is the program's page. */
static int print_object(const struct sonde_options *options, const char *path)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_schema *schema CLEANUP(sonde_schema_free) = NULL;
	json_t *json CLEANUP(json_decrefp) = NULL;
	int r = sonde_user_object_schema(path, &schema);

	if (r)
		return r;
	if (!strcmp(options->schema_format, "markdown")) {
		sonde_encode_program_markdown(schema, &text);
		return sonde_result_text(&text);
	}
	add_types(schema, &text);
	if (types_parse(&text, &json) < 0)
		return SONDE_EXIT_FAILED;
	return print_types(options, json, json_object_get(json, "types"));
}

static int run(const struct sonde_options *options)
{
	json_t *json CLEANUP(json_decrefp) = NULL, *chosen CLEANUP(json_decrefp) = NULL;
	int r;

	if (options->n_arguments && sonde_user_object_is_path(options->arguments[0]))
		return print_object(options, options->arguments[0]);
	/* An agent may know more: programs of the user. Without one, the built-in programs are what there is. */
	if ((options->given & SONDE_TAKES(SOCKET)) || access(options->socket, F_OK) == 0)
		r = sonde_ask(options, "/api/v1/schema", &json);
	else
		r = builtin_schema(&json);
	if (r < 0)
		return sonde_ask_exit(r);
	chosen = json_object_get(json, "types");
	if (options->n_arguments) {
		r = choose(options->arguments[0], &chosen);
		if (r < 0)
			return SONDE_EXIT_USAGE;
	} else {
		json_incref(chosen);
	}
	return print_types(options, json, chosen);
}

const struct sonde_command sonde_command_schema = {
	.name = "schema",
	.arguments = "[TYPE | OBJECT]",
	.summary = "the types of events, and the columns of each",
	.help = "What a column means, its type and its unit. These are the names in JSON, in CSV, in\n"
		"--where, in --by and in SQL. They come from the agent, or, where none runs, from\n"
		"the programs in this binary. OBJECT is the path of a program of your own; as\n"
		"markdown it comes with its settings and metrics.",
	.examples = "sonde schema connection\n"
		    "sonde schema ./mine.bpf.o\n"
		    "sonde schema -o json | jq -r .name",
	.options = SONDE_TAKES(SCHEMA_OUTPUT) | SONDE_TAKES(COLOR) | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
