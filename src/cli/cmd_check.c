/* SPDX-License-Identifier: Apache-2.0 */
/* sonde check: what this node can do. Finds out by loading and attaching each program for a moment, and detaching it again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/buffer.h>
#include <bpf/embedded.h>
#include <bpf/features.h>
#include <config/config.h>
#include <cli/command.h>
#include <cli/say.h>
#include <cli/user_object.h>
#include <runtime/manager.h>
#include <schema/encode.h>

#define FEATURES_MAX 16

static void json_text(struct sonde_buffer *out, const char *key, const char *text)
{
	sonde_buffer_printf(out, "\"%s\":", key);
	sonde_encode_json_text(text, strlen(text), out);
}

static void features_json(const struct sonde_feature *features, size_t n, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "{\"features\":[");
	for (size_t i = 0; i < n; i++) {
		sonde_buffer_add_text(out, i ? ",{" : "{");
		json_text(out, "name", features[i].name);
		sonde_buffer_printf(out, ",\"present\":%s,\"needed\":%s,", features[i].present ? "true" : "false",
				    features[i].needed ? "true" : "false");
		json_text(out, "detail", features[i].detail);
		sonde_buffer_add_char(out, ',');
		json_text(out, "remedy", features[i].remedy);
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_text(out, "],\"programs\":[");
}

static void features_text(const struct sonde_feature *features, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct sonde_feature *f = &features[i];

		if (f->present)
			printf("  %-14s %s\n", f->name, f->detail);
		else
			printf("  %-14s missing: without it no %s. Remedy: %s\n", f->name, f->detail, f->remedy);
	}
}

static void program_json(const struct sonde_program_status *status, bool works, bool first, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, first ? "{" : ",{");
	json_text(out, "name", status->name);
	sonde_buffer_printf(out, ",\"works\":%s,", works ? "true" : "false");
	json_text(out, "reason", works ? "" : status->reason);
	sonde_buffer_add_text(out, ",\"hooks\":[");
	for (uint32_t i = 0; i < status->n_hooks; i++) {
		sonde_buffer_add_text(out, i ? ",{" : "{");
		json_text(out, "name", status->hooks[i].name);
		sonde_buffer_printf(out, ",\"attached\":%s,", status->hooks[i].attached ? "true" : "false");
		json_text(out, "reason", status->hooks[i].reason);
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_text(out, "]}");
}

static void program_text(const struct sonde_program_status *status, bool works)
{
	if (!works) {
		printf("  %-14s no: %s\n", status->name, status->reason);
		return;
	}
	printf("  %-14s yes\n", status->name);
	for (uint32_t i = 0; i < status->n_hooks; i++)
		printf("    %s %s%s%s\n", status->hooks[i].attached ? "+" : "-", status->hooks[i].name,
		       status->hooks[i].attached ? "" : ": ", status->hooks[i].attached ? "" : status->hooks[i].reason);
}

static bool program_try(struct sonde_manager *manager, const char *name, const char *path)
{
	struct sonde_program_spec spec = {.name = name, .object_path = path, .enabled = true};

	return sonde_manager_register(manager, &spec) >= 0 && sonde_manager_load(manager, name) >= 0 &&
	       sonde_manager_attach(manager, name) >= 0;
}

/* `path` NULL: a built-in program. */
static bool program_check(struct sonde_manager *manager, const char *name, const char *path, bool first,
			  struct sonde_buffer *json)
{
	bool works = program_try(manager, name, path);
	const struct sonde_program_status *status = sonde_manager_status(manager, name);

	if (!status)
		return !sonde_say_error(SONDE_EXIT_FAILED, "no memory");
	if (json)
		program_json(status, works, first, json);
	else
		program_text(status, works);
	(void)sonde_manager_unload(manager, name);
	return works;
}

static int run(const struct sonde_options *options)
{
	struct sonde_buffer json = SONDE_BUFFER_INIT;
	struct sonde_feature features[FEATURES_MAX];
	size_t n = sonde_features(features, FEATURES_MAX);
	struct sonde_manager *manager;
	unsigned n_checked = 0;
	bool all = true;
	char name[SONDE_PROGRAM_NAME_MAX];

	if (sonde_manager_new(&manager) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory");
	if (options->json) {
		features_json(features, n, &json);
	} else {
		printf("This node\n");
		features_text(features, n);
		printf("Programs\n");
	}
	for (unsigned i = 0; i < options->n_arguments; i++) {
		if (sonde_user_object_name(options->arguments[i], name))
			all = false;
		else
			all &= program_check(manager, name, options->arguments[i], !n_checked++, options->json ? &json : NULL);
	}
	for (const struct sonde_embedded *e = sonde_embedded; !options->n_arguments && e->name; e++)
		all &= program_check(manager, e->name, NULL, !n_checked++, options->json ? &json : NULL);
	if (options->json) {
		sonde_buffer_add_text(&json, "]}\n");
		fwrite(json.data, 1, json.length, stdout);
	}
	sonde_buffer_free(&json);
	sonde_manager_free(&manager);
	return all ? SONDE_EXIT_DONE : SONDE_EXIT_FAILED;
}

const struct sonde_command sonde_command_check = {
	.name = "check",
	.arguments = "[OBJECT...]",
	.summary = "say what this node can do, and what is missing with its remedy",
	.help = "Looks at what sonde needs (BTF, mounts, capabilities) and then loads and attaches\n"
		"every program for a moment: the hooks it would use, and why not the others.\n"
		"With the paths of objects of your own (./mine.bpf.o): only these.\n"
		"Exit code 0: all programs work here; 1: some do not. Nothing stays attached.",
	.examples = "sonde check\n"
		    "sonde check ./mine.bpf.o\n"
		    "sonde check --json    # for a script",
	.options = SONDE_TAKES(JSON),
	.max_arguments = 8,
	.run = run,
};
