/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the agent, from the options of a command. */
#include <cli/ask.h>

#include <cli/command.h>
#include <cli/moment.h>
#include <cli/say.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>

int sonde_ask_method(const struct sonde_options *options, const char *method, const char *path, const char *body,
		     json_t **ret_json)
{
	const struct sonde_client_request request = {
		.socket = options->socket, .method = method, .path = path, .body = body,
		.body_type = body ? "application/json" : NULL, .timeout_ms = SONDE_ASK_TIMEOUT_MS,
	};

	return sonde_client_json(&request, ret_json);
}

int sonde_ask(const struct sonde_options *options, const char *path, json_t **ret_json)
{
	return sonde_ask_method(options, "GET", path, NULL, ret_json);
}

int sonde_ask_schema(const struct sonde_options *options, struct sonde_remote_schema **ret_schema)
{
	json_t *json CLEANUP(json_decrefp) = NULL;
	int r;

	r = sonde_ask(options, "/api/v1/schema", &json);
	if (r < 0)
		return r;
	r = sonde_remote_schema_new(json, ret_schema);
	return r < 0 ? sonde_say_error(r, "the agent's schema cannot be read: is it of another version than this sonde (%s)?",
				       SONDE_VERSION) : 0;
}

void sonde_ask_query(struct sonde_buffer *path, const struct sonde_options *options, const char *type)
{
	char time[SONDE_MOMENT_TEXT_MAX], pid[24];

	sonde_client_param(path, "type", type);
	if (options->since_ns != INT64_MIN)
		sonde_client_param(path, "since", sonde_moment_text(options->since_ns, time));
	if (options->until_ns != INT64_MAX)
		sonde_client_param(path, "until", sonde_moment_text(options->until_ns, time));
	snprintf(pid, sizeof(pid), "%" PRId64, options->pid);
	sonde_client_param(path, "pid", options->pid >= 0 ? pid : NULL);
	sonde_client_param(path, "command", options->command);
	sonde_client_param(path, "container", options->container);
	sonde_client_param(path, "where", options->where);
}

void sonde_note_incomplete(bool complete, uint64_t lost, const char *reason)
{
	if (complete)
		return;
	if (lost)
		sonde_say_note("incomplete: %" PRIu64 " events are missing in this span: %s", lost, reason);
	else
		sonde_say_note("incomplete: %s", reason);
}

void sonde_note_json(const json_t *answer)
{
	const json_t *complete = json_object_get(answer, "complete");

	sonde_note_incomplete(!json_is_false(complete), (uint64_t)sonde_json_number_of(answer, "lost"),
			      sonde_json_text_of(answer, "reason"));
}

int sonde_ask_exit(int error)
{
	if (error >= 0 || error == -EPIPE || error == -EINTR)
		return SONDE_EXIT_DONE;
	return error == -EINVAL ? SONDE_EXIT_USAGE : SONDE_EXIT_FAILED;
}
