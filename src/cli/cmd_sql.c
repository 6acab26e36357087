/* SPDX-License-Identifier: Apache-2.0 */
/* sonde sql: a read-only statement over the store. */
#include <cli/command.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <cli/ask.h>
#include <cli/local.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 10000
#define TIMEOUT_NS (60 * SONDE_NS_PER_S)
#define ASKED_TIMEOUT_MS 9000 /* the most that an agent allows */

/* The file's rows, gathered in the form that the agent sends. */
struct rows {
	json_t *columns, *rows;
	int64_t limit;
	bool more;
	struct sonde_answer worth;
};

static json_t *value_json(const struct sonde_value *value)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const struct sonde_column column = {.name = "", .type = value->type,
		.semantic = value->type == SONDE_ADDRESS ? SONDE_SEMANTIC_ADDRESS : SONDE_SEMANTIC_NONE};

	sonde_encode_json_value(&column, value, &text);
	return text.length ? sonde_json_read(text.data, text.length, NULL) : NULL;
}

static int local_row(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	struct rows *rows = userdata;
	json_t *row;

	if (!json_array_size(rows->columns))
		for (int i = 0; i < n; i++)
			json_array_append_new(rows->columns, json_string(names[i]));
	if (!values)
		return 0;
	if ((int64_t)json_array_size(rows->rows) == rows->limit) {
		rows->more = true;
		return 1;
	}
	row = json_array();
	for (int i = 0; i < n; i++)
		json_array_append_new(row, value_json(&values[i]) ?: json_null());
	return json_array_append_new(rows->rows, row);
}

static int ask_local(const struct sonde_options *options, const char *sql, struct rows *rows)
{
	struct sonde_local local CLEANUP(sonde_local_close) = {0};
	const char *error = NULL;
	int r;

	r = sonde_local_open(options, NULL, &local);
	if (r > 0)
		return r;
	rows->columns = json_array();
	rows->rows = json_array();
	r = sonde_store_sql(local.store, sql, (uint32_t)rows->limit + 1, TIMEOUT_NS, local_row, rows, &rows->worth,
			    &error);
	if (r < 0)
		return sonde_say_error(r == -EINVAL ? SONDE_EXIT_USAGE : SONDE_EXIT_FAILED, "sql: %s",
				       error && *error ? error : strerror(-r));
	return 0;
}

static int ask_agent(const struct sonde_options *options, const char *sql, struct rows *rows)
{
	json_t *question CLEANUP(json_decrefp) = json_pack("{s:s,s:I,s:i}", "sql", sql, "limit", (json_int_t)rows->limit,
							     "timeout_ms", ASKED_TIMEOUT_MS);
	json_t *answer CLEANUP(json_decrefp) = NULL;
	char *body CLEANUP_FREE = question ? json_dumps(question, JSON_COMPACT) : NULL;
	int r;

	if (!body)
		return sonde_say_error(SONDE_EXIT_USAGE, "the statement is not valid UTF-8");
	r = sonde_ask_method(options, "POST", "/api/v1/sql", body, &answer);
	if (r < 0)
		return sonde_ask_exit(r);
	rows->columns = json_incref(json_object_get(answer, "columns"));
	rows->rows = json_incref(json_object_get(answer, "rows"));
	rows->more = json_is_true(json_object_get(answer, "more"));
	sonde_note_json(answer);
	return 0;
}

static void rows_free(struct rows *rows)
{
	json_decref(rows->columns);
	json_decref(rows->rows);
}

static int run(const struct sonde_options *options)
{
	struct rows rows CLEANUP(rows_free) = {.limit = options->limit ? options->limit : LIMIT_DEFAULT,
							.worth.complete = true};
	int code;

	if (rows.limit > LIMIT_MAX)
		return sonde_say_error(SONDE_EXIT_USAGE, "bad value of option '--limit': allowed is 1 to %d rows", LIMIT_MAX);
	code = options->store ? ask_local(options, options->arguments[0], &rows) : ask_agent(options, options->arguments[0], &rows);
	if (code)
		return code;
	code = sonde_result_rows(options, rows.columns, rows.rows);
	sonde_note_incomplete(rows.worth.complete, rows.worth.lost, rows.worth.reason);
	if (rows.more)
		sonde_say_note("there are more than these %" PRId64 " rows: use -n N (at most %d) or a LIMIT", rows.limit, LIMIT_MAX);
	return code;
}

const struct sonde_command sonde_command_sql = {
	.name = "sql",
	.arguments = "'SELECT ...'",
	.summary = "ask the store in SQL, read only",
	.help = "Each type of event is a table ('sonde schema' lists them with their columns), in\n"
		"SQLite's language. The statement can only read, and ends after some seconds.\n"
		"At most 1000 rows unless -n says otherwise.",
	.examples = "sonde sql \"SELECT command, count(*) AS n FROM connection GROUP BY 1 ORDER BY 2 DESC\"\n"
		    "sonde sql -o csv 'SELECT * FROM packet_drop' > drops.csv\n"
		    "sonde sql --store /backup/events.db 'SELECT max(rtt_ns) FROM connection'",
	.options = SONDE_TAKES_OUTPUT | SONDE_TAKES(LIMIT) | SONDE_TAKES(STORE) | SONDE_TAKES(SOCKET),
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
