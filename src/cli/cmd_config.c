/* SPDX-License-Identifier: Apache-2.0 */
/* sonde config: checks a configuration, and writes the reference page. */
#include <cli/command.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <cli/configuration.h>
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
	if (sonde_configuration_check(config))
		return SONDE_EXIT_USAGE;
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
