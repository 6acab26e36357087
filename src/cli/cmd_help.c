/* SPDX-License-Identifier: Apache-2.0 */
/* sonde help [COMMAND] */
#include <cli/command.h>
#include <cli/help.h>
#include <cli/say.h>

static int run(const struct sonde_options *options)
{
	const struct sonde_command *command;

	if (options->man) {
		sonde_help_man(stdout);
		return SONDE_EXIT_DONE;
	}
	if (!options->n_arguments) {
		sonde_help_overview(stdout);
		return SONDE_EXIT_DONE;
	}
	command = sonde_command_find(options->arguments[0]);
	if (!command)
		return sonde_say_error(SONDE_EXIT_USAGE, "there is no command '%s': 'sonde help' lists them",
				       options->arguments[0]);
	sonde_help_command(command, stdout);
	return SONDE_EXIT_DONE;
}

const struct sonde_command sonde_command_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "explain a command",
	.help = "Without COMMAND: the overview. With it: what the command does, and its options.",
	.options = SONDE_TAKES(MAN),
	.max_arguments = 1,
	.run = run,
};
