/* SPDX-License-Identifier: Apache-2.0 */
/* sonde reload: the agent reads its configuration again. */
#include <cli/command.h>

#include <stdio.h>
#include <cli/ask.h>

static int run(const struct sonde_options *options)
{
	json_t *json = NULL;
	int r = sonde_ask_method(options, "POST", "/api/v1/reload", NULL, &json);

	json_decref(json);
	if (r < 0)
		return sonde_ask_exit(r);
	puts("the configuration is in force");
	return SONDE_EXIT_DONE;
}

const struct sonde_command sonde_command_reload = {
	.name = "reload",
	.summary = "let the agent read its configuration again, all or nothing",
	.help = "If the new configuration is wrong anywhere, nothing changes, and the message says\n"
		"where it is wrong. 'sonde config' checks it beforehand.",
	.options = SONDE_TAKES(SOCKET),
	.run = run,
};
