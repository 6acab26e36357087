/* SPDX-License-Identifier: Apache-2.0 */
/* sonde top: who and what causes most, by what the type's events stand for. The same question as `count --by`, with defaults. */
#include <cli/command.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <cli/ask.h>
#include <cli/counting.h>
#include <cli/output.h>
#include <cli/say.h>

#define LIMIT_DEFAULT 10
#define SPAN_DEFAULT_NS (300 * SONDE_NS_PER_S)
#define BY_DEFAULT "pid,command"
#define CLEAR "\033[H\033[2J"

/* What the events of the type stand for, if that is not given. The text belongs to the schema. */
static int find_sum(struct sonde_options *asked, const char *type_name, struct sonde_remote_schema **schema)
{
	const struct sonde_type *type;
	int r;

	if (!type_name || asked->sum)
		return 0;
	r = sonde_ask_schema(asked, schema);
	if (r < 0)
		return r;
	type = sonde_remote_schema_type(*schema, type_name);
	r = type ? sonde_type_measure(type) : -1; /* of a type that is not there the answer will say it */
	if (r >= 0)
		asked->sum = type->columns[r].name;
	return 0;
}

static int show(const struct sonde_options *asked, const char *type, bool clear)
{
	struct sonde_counting counting CLEANUP(sonde_counting_free) = {0};
	int code = sonde_counting_ask(asked, type, asked->limit, &counting);

	if (code)
		return code;
	if (clear)
		fputs(CLEAR, stdout);
	code = sonde_counting_print(asked, &counting);
	return fflush(stdout) ? SONDE_EXIT_FAILED : code;
}

/* Each time of the same span up to now, until Ctrl-C or the reader goes away. */
static int show_again(struct sonde_options *asked, const char *type, int64_t span_ns)
{
	struct timespec pause = {asked->interval_ns / SONDE_NS_PER_S, asked->interval_ns % SONDE_NS_PER_S};
	bool clear = asked->format == SONDE_FORMAT_TABLE && sonde_output_width();
	int code;

	do {
		asked->since_ns = sonde_clock_wall_ns() - span_ns;
		code = show(asked, type, clear);
	} while (!code && !ferror(stdout) && !nanosleep(&pause, NULL));
	return code;
}

static int run(const struct sonde_options *options)
{
	struct sonde_remote_schema *schema CLEANUP(sonde_remote_schema_free) = NULL;
	const char *type = options->n_arguments ? options->arguments[0] : NULL;
	int64_t now_ns = sonde_clock_wall_ns();
	struct sonde_options asked = *options;
	int r;

	asked.by = options->by ?: BY_DEFAULT;
	asked.limit = options->limit ?: LIMIT_DEFAULT;
	if (options->since_ns == INT64_MIN)
		asked.since_ns = (options->until_ns < now_ns ? options->until_ns : now_ns) - SPAN_DEFAULT_NS;
	if (asked.limit > SONDE_COUNTING_GROUPS_MAX)
		return sonde_say_error(SONDE_EXIT_USAGE, "-n: allowed is 1 to %d", SONDE_COUNTING_GROUPS_MAX);
	if (options->interval_ns && options->until_ns != INT64_MAX)
		return sonde_say_error(SONDE_EXIT_USAGE, "--interval looks at what happens now: leave --until out");
	r = find_sum(&asked, type, &schema);
	if (r < 0)
		return sonde_ask_exit(r);
	return options->interval_ns ? show_again(&asked, type, now_ns - asked.since_ns) : show(&asked, type, false);
}

const struct sonde_command sonde_command_top = {
	.name = "top",
	.arguments = "[TYPE]",
	.summary = "who and what causes most, once or again and again",
	.help = "The processes with the most events of TYPE, or of all types; with --by the most\n"
		"frequent values of other columns: container, path, remote_address. Events that stand\n"
		"for more than one thing (calls, bytes: 'measure' in the schema) are ranked by their\n"
		"sum, others by their number; --sum takes another column. Without --since: the last\n"
		"5 minutes.",
	.examples = "sonde top process\n"
		    "sonde top connection --by remote_address,remote_port\n"
		    "sonde top connection --by container --sum sent_bytes --since 1h -n 3\n"
		    "sonde top --interval 2s --since 1m   # of the last minute, every 2 s",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(BY) | SONDE_TAKES(SUM) | SONDE_TAKES(LIMIT) |
		   SONDE_TAKES(INTERVAL) | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
