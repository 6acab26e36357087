/* SPDX-License-Identifier: Apache-2.0 */
/* sonde run: the agent in the foreground. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <agent/loader.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <cli/command.h>
#include <cli/say.h>
#include <cli/user_object.h>
#include <config/config.h>

static int add_object(struct sonde_config *config, const char *path)
{
	struct sonde_config_program *program = &config->programs[config->n_programs];
	char name[SONDE_PROGRAM_NAME_MAX];

	if (sonde_user_object_name(path, name))
		return SONDE_EXIT_USAGE;
	if (sonde_config_program(config, name) || sonde_embedded_find(name))
		return sonde_say_error(SONDE_EXIT_USAGE, "--program %s: there is already a program '%s'; call the file differently, or "
				       "give that one's section this 'object'", path, name);
	if (config->n_programs == ARRAY_SIZE(config->programs))
		return sonde_say_error(SONDE_EXIT_USAGE, "more than %zu programs", ARRAY_SIZE(config->programs));
	sonde_config_program_default(program, name);
	if (snprintf(program->object, sizeof(program->object), "%s", path) >= (int)sizeof(program->object))
		return sonde_say_error(SONDE_EXIT_USAGE, "the path '%s' is too long", path);
	program->enabled = program->enabled_given = true;
	config->n_programs++;
	return SONDE_EXIT_DONE;
}

static int configure(const struct sonde_options *options, struct sonde_config *config)
{
	char error[512];
	int r;

	r = sonde_config_load(config, options->config, error, sizeof(error));
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_USAGE, "%s", error);
	if (options->store && snprintf(config->store.path, sizeof(config->store.path), "%s", options->store) >=
				      (int)sizeof(config->store.path))
		return sonde_say_error(SONDE_EXIT_USAGE, "--store: the path is too long");
	if (options->given & SONDE_TAKES(SOCKET) &&
	    snprintf(config->listen.socket, sizeof(config->listen.socket), "%s", options->socket) >=
		    (int)sizeof(config->listen.socket))
		return sonde_say_error(SONDE_EXIT_USAGE, "--socket: the path is too long (107 characters at most)");
	if (options->log_level)
		(void)sonde_log_parse_level(options->log_level, &config->log_level);
	r = SONDE_EXIT_DONE;
	for (unsigned i = 0; i < options->n_objects && !r; i++)
		r = add_object(config, options->objects[i]);
	return r;
}

static int run(const struct sonde_options *options)
{
	CLEANUP_FREE struct sonde_config *config = calloc(1, sizeof(*config));
	struct sonde_loader_opts opts = {
		.config = config, .follow = options->follow,
		.given = {.store = options->store, .socket = options->given & SONDE_TAKES(SOCKET),
			  .log_level = options->log_level, .n_programs = options->n_objects},
	};
	int r;

	if (!config)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory");
	r = configure(options, config);
	return r ? r : sonde_loader_run(&opts);
}

const struct sonde_command sonde_command_run = {
	.name = "run",
	.summary = "run the agent in the foreground",
	.help = "Loads and attaches the programs, keeps their events, and answers over HTTP and\n"
		"the other commands. Two processes: a small loader with the rights, and a worker\n"
		"without any, which reads, stores and serves. SIGTERM or Ctrl-C ends it in order:\n"
		"hooks off, what is in the rings stored, exit code 0. SIGHUP or 'sonde reload'\n"
		"reads the configuration file again and restarts the programs whose section\n"
		"changed, all or nothing.\n"
		"\n"
		"Without --config, /etc/sonde/sonde.yaml is used if it is there. Needs root, or\n"
		"CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.",
	.examples = "sonde run                              # with /etc/sonde/sonde.yaml or defaults\n"
		    "sonde run --follow                     # and show the events as they happen\n"
		    "sonde run --store memory               # nothing is written to disk\n"
		    "sonde run --program ./mine.bpf.o       # with a program of your own",
	.options = SONDE_TAKES(CONFIG) | SONDE_TAKES(STORE) | SONDE_TAKES(SOCKET) | SONDE_TAKES(PROGRAM) |
		   SONDE_TAKES(FOLLOW) | SONDE_TAKES(LOG_LEVEL),
	.run = run,
};
