/* SPDX-License-Identifier: Apache-2.0 */
/* sonde worker: what the loader executes (agent/worker.h). */
#include <sys/socket.h>

#include <agent/worker.h>
#include <cli/command.h>
#include <cli/say.h>

#define SOCKET 3 /* given by the loader */

static int run(const struct sonde_options *options)
{
	socklen_t length = sizeof(int);
	int type = 0;

	if (getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &length) || type != SOCK_SEQPACKET)
		return sonde_say_error(SONDE_EXIT_USAGE, "'worker' is for the agent itself: use 'sonde run'");
	return sonde_worker_run(SOCKET);
}

const struct sonde_command sonde_command_worker = {
	.name = "worker",
	.summary = "the agent's unprivileged process",
	.help = "Started by 'sonde run', not by people.",
	.hidden = true,
	.run = run,
};
