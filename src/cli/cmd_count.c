/* SPDX-License-Identifier: Apache-2.0 */
/* sonde count: how many events, also by the values of a column. */
#include <cli/command.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/local.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>

#define GROUPS_DEFAULT 1000
#define GROUPS_MAX 10000

struct count {
	const struct sonde_column *column; /* of a local answer */
	int64_t limit;
	int64_t total, more_groups;
	json_t *groups; /* rows of value and count */
};

static void group_add(struct count *count, json_t *value, int64_t n)
{
	json_t *row = json_array();

	json_array_append_new(row, value ? value : json_null());
	json_array_append_new(row, json_integer(n));
	json_array_append_new(count->groups, row);
}

static int local_group(const struct sonde_value *group, uint64_t n, void *userdata)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct count *count = userdata;

	count->total += (int64_t)n;
	if (!group)
		return 0;
	if ((int64_t)json_array_size(count->groups) >= count->limit) {
		count->more_groups++;
		return 0;
	}
	sonde_encode_json_value(count->column, group, &text);
	group_add(count, text.length ? json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL) : NULL, (int64_t)n);
	return 0;
}

static int count_local(const struct sonde_options *options, const char *type, struct count *count)
{
	struct sonde_local local CLEANUP(sonde_local_close) = {0};
	const struct sonde_type *types[256];
	struct sonde_answer answer = {.complete = true};
	size_t n;
	int r;

	r = sonde_local_open(options, type, &local);
	if (r > 0)
		return r;
	n = sonde_store_types(local.store, types, ARRAY_SIZE(types));
	for (size_t i = 0; options->by && i < n && i < ARRAY_SIZE(types) && !count->column; i++) {
		int column = sonde_type_find_column(types[i], options->by);

		if (column >= 0 && (!type || !strcmp(type, types[i]->name)))
			count->column = &types[i]->columns[column];
	}
	if (options->by && !count->column)
		return sonde_say_error(SONDE_EXIT_USAGE, "--by: there is no column '%s'%s%s; 'sonde schema' lists them", options->by,
				       type ? " in type " : "", type ? type : "");
	local.query.limit = 0;
	r = sonde_store_count(local.store, &local.query, options->by, local_group, count, &answer);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "the store could not be read: %s", sonde_store_error(local.store));
	sonde_note_incomplete(answer.complete, answer.lost, answer.reason);
	return 0;
}

static int count_agent(const struct sonde_options *options, const char *type, struct count *count)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *json CLEANUP(json_decrefp) = NULL;
	const json_t *group;
	char limit[24];
	size_t i;
	int r;

	sonde_client_path(&path, "/api/v1/count");
	sonde_ask_query(&path, options, type);
	sonde_client_param(&path, "group_by", options->by);
	snprintf(limit, sizeof(limit), "%" PRId64, count->limit);
	sonde_client_param(&path, "limit", options->by ? limit : NULL);
	r = sonde_ask(options, path.data, &json);
	if (r < 0)
		return sonde_ask_exit(r);
	count->total = sonde_json_number_of(json, "count");
	count->more_groups = sonde_json_number_of(json, "more_groups");
	json_array_foreach(json_object_get(json, "groups"), i, group)
		group_add(count, json_incref(json_object_get(group, "value")), sonde_json_number_of(group, "count"));
	sonde_note_json(json);
	return 0;
}

static int count_print(const struct sonde_options *options, const struct count *count)
{
	json_t *columns CLEANUP(json_decrefp) = options->by ? json_pack("[s,s]", options->by, "count") : json_pack("[s]", "count");
	json_t *total CLEANUP(json_decrefp) = json_pack("[[I]]", (json_int_t)count->total);

	if (options->by)
		return sonde_result_rows(options, columns, count->groups);
	if (options->format != SONDE_FORMAT_TABLE)
		return sonde_result_rows(options, columns, total);
	printf("%" PRId64 "\n", count->total);
	return SONDE_EXIT_DONE;
}

static void count_free(struct count *count)
{
	json_decref(count->groups);
}

static int run(const struct sonde_options *options)
{
	struct count count CLEANUP(count_free) = {
		.limit = options->limit ? options->limit : GROUPS_DEFAULT, .groups = json_array(),
	};
	const char *type = options->n_arguments ? options->arguments[0] : NULL;
	int code;

	if (count.limit > GROUPS_MAX || (options->limit && !options->by))
		return sonde_say_error(SONDE_EXIT_USAGE, "-n limits the groups of --by: allowed is 1 to %d", GROUPS_MAX);
	code = options->store ? count_local(options, type, &count) : count_agent(options, type, &count);
	if (code)
		return code;
	code = count_print(options, &count);
	if (count.more_groups && !options->limit)
		sonde_say_note("%" PRId64 " more values of '%s' are not shown: use -n N", count.more_groups, options->by);
	return code;
}

const struct sonde_command sonde_command_count = {
	.name = "count",
	.arguments = "[TYPE]",
	.summary = "count events, also by the values of a column",
	.help = "The number of events that match, of one TYPE or of all; with --by one number for\n"
		"each value of a column, largest first. Sampled events count with their weight.",
	.examples = "sonde count packet_drop --since 1h --by reason\n"
		    "sonde count connection --by command -w 'error != null'",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES_OUTPUT | SONDE_TAKES(BY) | SONDE_TAKES(LIMIT) | SONDE_TAKES(STORE) |
		   SONDE_TAKES(SOCKET),
	.max_arguments = 1,
	.run = run,
};
