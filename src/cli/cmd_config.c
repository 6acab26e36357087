/* SPDX-License-Identifier: Apache-2.0 */
/* sonde config: checks a configuration, and writes the reference page. */
#include <cli/command.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <bpf/object_file.h>
#include <cli/say.h>
#include <config/config.h>

static int print_markdown(void)
{
	struct sonde_buffer page CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	sonde_config_markdown(&page);
	if (sonde_buffer_error(&page) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory left");
	fwrite(page.data, 1, page.length, stdout);
	return SONDE_EXIT_DONE;
}

/* What keeps no other program from running is no fault of the file, but worth a word. */
static void note_objects(const struct sonde_config *config)
{
	for (unsigned i = 0; i < config->n_programs; i++) {
		const struct sonde_config_program *program = &config->programs[i];
		void *bytes CLEANUP_FREE = NULL;
		char error[512];
		size_t size;

		if (program->refused[0])
			sonde_say_note("program %s will not run: %s", program->name, program->refused);
		else if (program->object[0] &&
			 sonde_object_file_read(program->object, program->from_directory, &bytes, &size, error, sizeof(error)) < 0)
			sonde_say_note("program %s will not run: %s", program->name, error);
	}
}

static int run(const struct sonde_options *options)
{
	struct sonde_config *config CLEANUP_FREE = malloc(sizeof(*config));
	char error[1024];

	if (options->markdown)
		return print_markdown();
	if (!config)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory left");
	if (sonde_config_load(config, options->config, error, sizeof(error)) < 0)
		return sonde_say_error(SONDE_EXIT_USAGE, "%s", error);
	note_objects(config);
	if (config->file[0])
		printf("%s is right\n", config->file);
	else
		puts("there is no " SONDE_CONFIG_DEFAULT_FILE ": the defaults hold");
	return SONDE_EXIT_DONE;
}

const struct sonde_command sonde_command_config = {
	.name = "config",
	.summary = "check a configuration file",
	.help = "Reads the configuration as 'sonde run' would, and says whether it is right, or in\n"
		"which line and column it is wrong and what is allowed there. Changes nothing.",
	.examples = "sonde config -c ./sonde.yaml    # exit code 0: right, 2: wrong",
	.options = SONDE_TAKES(CONFIG) | SONDE_TAKES(MARKDOWN),
	.run = run,
};
