/* SPDX-License-Identifier: Apache-2.0 */
/* sonde count: how many events, also by the values of columns. */
#include <cli/command.h>

#include <inttypes.h>
#include <base/cleanup.h>
#include <cli/counting.h>
#include <cli/say.h>

#define GROUPS_DEFAULT 1000

static int run(const struct sonde_options *options)
{
	struct sonde_counting counting CLEANUP(sonde_counting_free) = {0};
	int64_t limit = options->limit ? options->limit : GROUPS_DEFAULT;
	int code;

	if (limit > SONDE_COUNTING_GROUPS_MAX || (options->limit && !options->by))
		return sonde_say_error(SONDE_EXIT_USAGE, "-n limits the groups of --by: allowed is 1 to %d", SONDE_COUNTING_GROUPS_MAX);
	code = sonde_counting_ask(options, options->n_arguments ? options->arguments[0] : NULL, limit, &counting);
	if (code)
		return code;
	code = sonde_counting_print(options, &counting);
	if (counting.more_groups && !options->limit)
		sonde_say_note("%" PRId64 " more values of '%s' are not shown: use -n N", counting.more_groups, options->by);
	return code;
}

const struct sonde_command sonde_command_count = {
	.name = "count",
	.arguments = "[TYPE]",
	.summary = "count events, also by the values of columns",
	.help = "The number of events that match, of one TYPE or of all; with --by one number for\n"
		"each value of a column, or of up to three columns together, largest first. With\n"
		"--sum also what the values of a column add up to, and the largest sum is first.\n"
		"Sampled events count with their weight. However many different values there are,\n"
		"the numbers are exact; millions of them take seconds.",
	.examples = "sonde count packet_drop --since 1h --by reason\n"
		    "sonde count connection --by command -w 'error != null'\n"
		    "sonde count connection --by remote_address,remote_port --sum received_bytes -n 5",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(BY) | SONDE_TAKES(SUM) | SONDE_TAKES(LIMIT) |
		   SONDE_TAKES(STORE) | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
