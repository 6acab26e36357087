/* SPDX-License-Identifier: Apache-2.0 */
/* sonde programs: list them, show one with its hooks, start, stop and reload one. */
#include <cli/command.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>

static int list(const struct sonde_options *options)
{
	static const char *const headings[] = {"PROGRAM", "STATE", "HOOKS", "WHAT IT SEES, OR WHY NOT", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	json_t *json CLEANUP(json_decrefp) = NULL;
	const json_t *program, *programs;
	size_t i;
	int r;

	r = sonde_ask(options, "/api/v1/programs", &json);
	if (r < 0)
		return sonde_ask_exit(r);
	if (options->json)
		return sonde_result_json(json);
	programs = json_object_get(json, "programs");
	sonde_grid_begin(&grid, headings, 0);
	json_array_foreach(programs, i, program) {
		const char *reason = sonde_json_text_of(program, "reason");

		sonde_grid_add(&grid, sonde_json_text_of(program, "name"));
		sonde_grid_add(&grid, sonde_json_text_of(program, "state"));
		sonde_result_hooks(&grid, program);
		sonde_grid_add(&grid, *reason ? reason : sonde_json_text_of(program, "doc"));
	}
	return sonde_result_grid(options, &grid);
}

static int show_settings(const struct sonde_options *options, const json_t *settings)
{
	static const char *const headings[] = {"SETTING", "IS", "DEFAULT", "WHAT IT IS", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const json_t *setting;
	size_t i;

	if (!json_array_size(settings))
		return SONDE_EXIT_DONE;
	putchar('\n');
	sonde_grid_begin(&grid, headings, 0);
	json_array_foreach(settings, i, setting) {
		sonde_grid_add(&grid, sonde_json_text_of(setting, "name"));
		sonde_grid_add(&grid, sonde_json_text_of(setting, "text"));
		sonde_grid_add(&grid, sonde_json_text_of(setting, "default"));
		sonde_grid_add(&grid, sonde_json_text_of(setting, "doc"));
	}
	return sonde_result_grid(options, &grid);
}

static int show_hooks(const struct sonde_options *options, const json_t *hooks)
{
	static const char *const headings[] = {"HOOK", "ATTACHED", "RUNS", "NS A RUN", "HOW, OR WHY NOT", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const json_t *hook;
	size_t i;

	if (!json_array_size(hooks))
		return SONDE_EXIT_DONE;
	putchar('\n');
	sonde_grid_begin(&grid, headings, 1 << 2 | 1 << 3);
	json_array_foreach(hooks, i, hook) {
		int64_t runs = (int64_t)sonde_json_number_of(hook, "runs");

		sonde_grid_add(&grid, sonde_json_text_of(hook, "name"));
		sonde_grid_add(&grid, json_is_true(json_object_get(hook, "attached")) ? "yes" :
				      json_is_false(json_object_get(hook, "wanted")) ? "off" : "no");
		sonde_grid_addf(&grid, "%lld", (long long)runs);
		sonde_grid_addf(&grid, "%lld", runs ? (long long)(sonde_json_number_of(hook, "run_time_ns") / runs) : 0);
		sonde_grid_add(&grid, sonde_json_text_of(hook, "reason"));
	}
	return sonde_result_grid(options, &grid);
}

/* A text of the program behind `before`, safe for a terminal; nothing of an empty one. */
static void add_text(struct sonde_buffer *out, const char *before, const json_t *program, const char *key)
{
	const char *text = sonde_json_text_of(program, key);

	if (*text)
		sonde_buffer_add_text(out, before);
	sonde_encode_terminal_text(text, strlen(text), out);
}

static int show(const struct sonde_options *options, const char *name)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT, text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *json CLEANUP(json_decrefp) = NULL;
	int r;

	sonde_client_path(&path, "/api/v1/programs");
	sonde_client_segment(&path, name);
	r = sonde_ask(options, path.data, &json);
	if (r < 0)
		return sonde_ask_exit(r);
	if (options->json)
		return sonde_result_json(json);
	add_text(&text, "", json, "name");
	add_text(&text, ": ", json, "doc");
	add_text(&text, "\nstate: ", json, "state");
	sonde_buffer_add_text(&text, json_is_true(json_object_get(json, "required")) ? ", required" : "");
	add_text(&text, ": ", json, "reason");
	puts(sonde_buffer_error(&text) ? "" : text.data);
	r = show_hooks(options, json_object_get(json, "hooks"));
	return r ? r : show_settings(options, json_object_get(json, "settings"));
}

static int control(const struct sonde_options *options, const char *verb, const char *name)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *json CLEANUP(json_decrefp) = NULL;
	int r;

	sonde_client_path(&path, "/api/v1/programs");
	sonde_client_segment(&path, name);
	sonde_client_segment(&path, verb);
	r = sonde_ask_method(options, "POST", path.data, NULL, &json);
	if (r < 0)
		return sonde_ask_exit(r);
	printf("%s: %s done\n", name, verb);
	return SONDE_EXIT_DONE;
}

static int run(const struct sonde_options *options)
{
	const char *verb = options->n_arguments ? options->arguments[0] : "list";
	const char *name = options->n_arguments > 1 ? options->arguments[1] : NULL;

	if (!strcmp(verb, "list") && !name)
		return list(options);
	if (strcmp(verb, "list") && strcmp(verb, "show") && strcmp(verb, "start") && strcmp(verb, "stop") && strcmp(verb, "reload"))
		return sonde_say_error(SONDE_EXIT_USAGE, "'sonde programs %s' does not exist: allowed is list, show NAME, start NAME, "
							 "stop NAME or reload NAME", verb);
	if (!strcmp(verb, "list"))
		return sonde_say_error(SONDE_EXIT_USAGE, "'list' takes no name: 'sonde programs show %s' shows one", name);
	if (!name)
		return sonde_say_error(SONDE_EXIT_USAGE, "the name of the program is missing: 'sonde programs %s NAME'", verb);
	return !strcmp(verb, "show") ? show(options, name) : control(options, verb, name);
}

const struct sonde_command sonde_command_programs = {
	.name = "programs",
	.arguments = "[list | show NAME | start NAME | stop NAME | reload NAME]",
	.summary = "list the agent's programs; show, start, stop or reload one",
	.help = "A program is one set of eBPF hooks with its events. Every program stands alone: one\n"
		"that fails says why, and the others run on. 'stop' detaches its hooks, 'start'\n"
		"attaches them again, 'reload' loads the program anew. 'show' tells what its settings\n"
		"are, how often each hook ran, and what a run took while the kernel counts it:\n"
		"sysctl kernel.bpf_stats_enabled=1.",
	.examples = "sonde programs\n"
		    "sonde programs show packet_drop    # its hooks, and why some are not attached\n"
		    "sonde programs stop connection",
	.options = SONDE_TAKES(JSON) | SONDE_TAKES(COLOR) | SONDE_TAKES(SOCKET),
	.max_arguments = 2,
	.run = run,
};
