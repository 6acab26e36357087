/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file ask.h What the commands that talk to the agent share. Errors have been said. */

#include <cli/client.h>
#include <cli/json.h>
#include <cli/options.h>
#include <cli/remote.h>
#include <schema/schema.h>

/** Of an ordinary answer, without progress: longer than a query may take, so that the agent can say what is too much. */
#define SONDE_ASK_TIMEOUT_MS 70000

/** GET `path` of the agent, as JSON; the caller owns it. */
int sonde_ask(const struct sonde_options *options, const char *path, json_t **ret_json);
/** The same with another method and a JSON body (or NULL). */
int sonde_ask_method(const struct sonde_options *options, const char *method, const char *path, const char *body,
		     json_t **ret_json);
int sonde_ask_schema(const struct sonde_options *options, struct sonde_remote_schema **ret_schema);
/** The parameters of --since, --until, --pid, --command, --container, --where, and the type (or NULL). */
void sonde_ask_query(struct sonde_buffer *path, const struct sonde_options *options, const char *type);
/** "note: incomplete: ..." if the answer says that something is missing. */
void sonde_note_incomplete(bool complete, uint64_t lost, const char *reason);
void sonde_note_json(const json_t *answer);
/** An error of asking or writing to an exit code: Ctrl-C and a reader that went away are no failure. */
int sonde_ask_exit(int error);
