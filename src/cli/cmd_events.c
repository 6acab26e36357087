/* SPDX-License-Identifier: Apache-2.0 */
/* sonde events: what happened, from the agent, from a store's file, or live. */
#include <cli/command.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/local.h>
#include <cli/output.h>
#include <cli/say.h>

/* A table is read by a person: more than this only on request. JSON and CSV are read by programs and are whole. */
#define TABLE_LIMIT 1000
#define PAGE ((int64_t)10000) /* the most that the agent gives at once */

struct events {
	const struct sonde_options *options;
	struct sonde_remote_schema *schema;
	struct sonde_remote_row row;
	struct sonde_output output;
	int64_t left; /* rows that may still come; -1: no limit */
	uint64_t shown;
	char cursor[SONDE_CURSOR_MAX];
	bool more, noted;
};

static void say_write_error(int error)
{
	if (error != -EPIPE && error != -EINTR)
		sonde_say_error(0, "the answer could not be written: %s", strerror(-error));
}

/* What is in the stream that is no event: how the answer ended, or what it had to leave out. */
static void events_note(struct events *events, const json_t *json)
{
	const json_t *answer = json_object_get(json, "answer");
	int64_t skipped = sonde_json_number_of(json, "skipped");
	const char *stalled = sonde_json_text_of(json, "stalled");

	if (stalled[0])
		sonde_say_note("events may come late: %s", stalled);
	if (skipped)
		sonde_say_note("incomplete: %" PRId64 " events came faster than they were read", skipped);
	if (!answer)
		return;
	snprintf(events->cursor, sizeof(events->cursor), "%s", sonde_json_text_of(answer, "next"));
	events->more = events->cursor[0];
	if (!events->noted) /* every page tells of the whole span */
		sonde_note_json(answer);
	events->noted = true;
}

static int events_line(char *line, size_t length, void *userdata)
{
	struct events *events = userdata;
	int r;

	if (!length)
		return 0; /* a sign of life */
	r = sonde_remote_row_read(&events->row, events->schema, line, length);
	if (r == -ENOENT) {
		events_note(events, events->row.json);
		return 0;
	}
	if (r < 0)
		return sonde_say_error(r, "the agent's answer cannot be read");
	if (events->options->format == SONDE_FORMAT_JSON) {
		sonde_buffer_add(&events->output.buffer, line, length);
		sonde_buffer_add_char(&events->output.buffer, '\n');
		r = sonde_output_added(&events->output);
	} else {
		r = sonde_output_row(&events->output, events->row.type, events->row.values);
	}
	if (r < 0) {
		say_write_error(r);
		return r;
	}
	events->shown++;
	if (events->left > 0)
		events->left--;
	/* A stored answer ends by itself, and what it says of itself comes last. */
	return events->options->follow && events->left == 0;
}

static int events_idle(void *userdata)
{
	struct events *events = userdata;
	int r = sonde_output_flush(&events->output);

	if (r < 0)
		say_write_error(r);
	return r;
}

/* The agent gives an answer in pages: each request goes on where the one before stopped. */
static int events_stored(struct events *events, const char *type)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_client_request request = {
		.socket = events->options->socket, .method = "GET", .timeout_ms = SONDE_ASK_TIMEOUT_MS,
	};
	char number[24];
	int r;

	do {
		sonde_buffer_clear(&path);
		sonde_client_path(&path, "/api/v1/events");
		sonde_ask_query(&path, events->options, type);
		sonde_client_param(&path, "format", "ndjson");
		if (events->options->oldest_first)
			sonde_client_param(&path, "order", "oldest");
		snprintf(number, sizeof(number), "%" PRId64, events->left > 0 && events->left < PAGE ? events->left : PAGE);
		sonde_client_param(&path, "limit", number);
		sonde_client_param(&path, "cursor", events->cursor[0] ? events->cursor : NULL);
		r = sonde_buffer_error(&path);
		if (r < 0)
			return sonde_say_error(r, "no memory left");
		request.path = path.data;
		events->more = false;
		r = sonde_client_lines(&request, events_line, events_idle, events);
	} while (r == 0 && events->more && events->left != 0);
	return r;
}

static int events_followed(struct events *events, const char *type)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_client_request request = {.socket = events->options->socket, .method = "GET", .timeout_ms = -1};
	int r;

	sonde_client_path(&path, "/api/v1/stream");
	sonde_ask_query(&path, events->options, type);
	sonde_client_param(&path, "format", "ndjson");
	r = sonde_buffer_error(&path);
	if (r < 0)
		return sonde_say_error(r, "no memory left");
	request.path = path.data;
	sonde_client_catch_signals();
	r = sonde_client_lines(&request, events_line, events_idle, events);
	if (r == 0)
		return sonde_say_error(-ECONNRESET, "the agent has ended the stream: it stops or starts anew");
	return r;
}

struct events_local {
	struct events *events;
	struct sonde_local local;
	bool write_failed;
};

static int local_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct events_local *local = userdata;
	int r = sonde_output_row(&local->events->output, type, values);

	local->events->shown++;
	return r ?: local->events->output.buffer.length >= local->local.page_bytes;
}

static int local_write(void *userdata)
{
	struct events_local *local = userdata;
	int r = events_idle(local->events);

	local->write_failed = r < 0;
	return r;
}

static void local_close(struct events_local *local)
{
	sonde_local_close(&local->local);
}

static int events_stored_here(struct events *events, const char *type)
{
	struct events_local local CLEANUP(local_close) = {.events = events};
	struct sonde_answer answer = {.complete = true};
	int r = sonde_local_open(events->options, type, &local.local);

	if (r > 0)
		return r;
	local.local.query.limit = events->left > 0 ? (uint32_t)events->left : 0;
	events->output.held = true;
	r = sonde_local_pages(&local.local, local_row, local_write, &local, &answer);
	if (local.write_failed)
		return r == -EPIPE ? SONDE_EXIT_DONE : SONDE_EXIT_FAILED;
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "the store could not be read: %s", sonde_store_error(local.local.store));
	events->more = answer.more;
	sonde_note_incomplete(answer.complete, answer.lost, answer.reason);
	return 0;
}

static int usage_check(const struct sonde_options *options)
{
	if (options->format == SONDE_FORMAT_CSV && !options->n_arguments)
		return sonde_say_error(SONDE_EXIT_USAGE, "-o csv needs a TYPE, because each type has its own columns; "
							 "'sonde schema' lists them");
	if (options->follow && (options->given & (SONDE_TAKES(SINCE) | SONDE_TAKES(UNTIL) | SONDE_TAKES(OLDEST_FIRST))))
		return sonde_say_error(SONDE_EXIT_USAGE, "-f shows events as they happen: leave --since, --until and "
							 "--oldest-first out");
	if (options->follow && options->store)
		return sonde_say_error(SONDE_EXIT_USAGE, "-f asks the agent: leave --store out");
	return 0;
}

static void events_close(struct events *events)
{
	sonde_remote_row_free(&events->row);
	sonde_remote_schema_free(&events->schema);
	sonde_output_close(&events->output);
}

static int run(const struct sonde_options *options)
{
	struct events events CLEANUP(events_close) = {.options = options, .left = options->limit ? options->limit : -1};
	const char *type = options->n_arguments ? options->arguments[0] : NULL;
	bool cut = !options->limit && !options->follow && options->format == SONDE_FORMAT_TABLE;
	int r, code;

	r = usage_check(options);
	if (r > 0)
		return r;
	if (cut)
		events.left = TABLE_LIMIT;
	if (sonde_output_open(options, &events.output) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory left");
	if (!options->n_arguments)
		sonde_output_mix(&events.output);
	if (options->store) {
		code = events_stored_here(&events, type);
	} else {
		r = sonde_ask_schema(options, &events.schema);
		if (r == 0)
			r = options->follow ? events_followed(&events, type) : events_stored(&events, type);
		code = sonde_ask_exit(r);
	}
	if (events_idle(&events) < 0 || code)
		return code;
	if (!events.shown && !options->follow && options->format == SONDE_FORMAT_TABLE)
		sonde_say_note("no event matches");
	if (cut && events.more)
		sonde_say_note("there may be more than these %d events: narrow the question, use -n N, or -o json for all",
			       TABLE_LIMIT);
	return SONDE_EXIT_DONE;
}

const struct sonde_command sonde_command_events = {
	.name = "events",
	.arguments = "[TYPE]",
	.summary = "show what happened, or with -f what happens",
	.help = "Asks the agent, or with --store PATH reads a store's file, for events: the newest\n"
		"first, of one TYPE or of all ('sonde schema' lists the types). A table shows at\n"
		"most 1000 of them unless -n says otherwise; json and csv show all.\n"
		"\n"
		"If something is missing in the asked span, a note on standard error says what.",
	.examples = "sonde events -n 20                                   # the last 20 of all types\n"
		    "sonde events connection --since 5m --command nginx   # what nginx connected to\n"
		    "sonde events packet_drop -f                          # drops as they happen\n"
		    "sonde events connection -w 'error = ECONNREFUSED and remote_port = 5432'\n"
		    "sonde events process -s 12:30 -u 12:35 -o json | jq -r .path\n"
		    "sonde events --store /backup/events.db               # without an agent",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(FOLLOW) | SONDE_TAKES(LIMIT) |
		   SONDE_TAKES(OLDEST_FIRST) | SONDE_TAKES(STORE) | SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
