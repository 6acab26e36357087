/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of the command line to one command's run(). Wrong usage ends here, with exit code 2. */
#include <cli/command.h>

#include <cli/help.h>
#include <cli/say.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <base/units.h>

static int unknown_command(const char *name)
{
	struct sonde_nearest nearest = {0};

	for (size_t i = 0; sonde_commands[i]; i++)
		if (!sonde_commands[i]->hidden)
			sonde_nearest_try(&nearest, name, sonde_commands[i]->name);
	return sonde_say_error(SONDE_EXIT_USAGE, "there is no %s '%s'%s%s%s; 'sonde help' lists the commands",
			       name[0] == '-' ? "option" : "command", name, nearest.word ? " (did you mean 'sonde " : "",
			       nearest.word ? nearest.word : "", nearest.word ? "'?)" : "");
}

/* An answer that could not be written whole is a failure, e.g. on a full disk. A reader that went away is not: it had enough. */
static int finish(int code)
{
	errno = 0;
	if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
		return code;
	return sonde_say_error(SONDE_EXIT_FAILED, "the answer could not be written: %s", strerror(errno ? errno : EIO));
}

int sonde_command_line(int argc, char *argv[])
{
	const struct sonde_command *command;
	struct sonde_options options;
	char error[512];

	signal(SIGPIPE, SIG_IGN); /* a reader or an agent that goes away is an error to handle, not a death */
	if (argc < 2) {
		sonde_help_overview(stdout);
		return finish(SONDE_EXIT_DONE);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("sonde %s\n", SONDE_VERSION);
		return finish(SONDE_EXIT_DONE);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		argv[1] = "help";
	command = sonde_command_find(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	if (sonde_options_read(command, argc - 2, (const char **)argv + 2, &options, error, sizeof(error)) < 0)
		return sonde_say_error(SONDE_EXIT_USAGE, "%s", error);
	if (options.help) {
		sonde_help_command(command, stdout);
		return finish(SONDE_EXIT_DONE);
	}
	return finish(command->run(&options));
}
