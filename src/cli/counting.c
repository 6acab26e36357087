/* SPDX-License-Identifier: Apache-2.0 */
#include <cli/counting.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/command.h>
#include <cli/local.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>
#include <store/count_asked.h>

#define NAMES_BYTES 256
#define TYPES_MAX 256

void sonde_counting_free(struct sonde_counting *counting)
{
	json_decref(counting->groups);
	counting->groups = NULL;
}

/* `values` is taken over. */
static void group_add(const struct sonde_options *options, struct sonde_counting *counting, json_t *values, int64_t count, int64_t sum)
{
	json_array_append_new(values, json_integer(count));
	if (options->sum)
		json_array_append_new(values, json_integer(sum));
	json_array_append_new(counting->groups, values);
}

/* ---- of a store's file ---- */

struct local {
	const struct sonde_options *options;
	struct sonde_counting *counting;
	struct sonde_count_asked asked;
};

static int local_group(const struct sonde_group *group, void *userdata)
{
	struct local *local = userdata;
	struct sonde_counting *counting = local->counting;
	json_t *values;

	if (!group->values)
		return 0;
	values = json_array();
	for (unsigned i = 0; i < local->asked.n_by; i++) {
		struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
		json_t *value;

		sonde_encode_json_value(local->asked.columns[i], &group->values[i], &text);
		value = text.length ? sonde_json_read(text.data, text.length, NULL) : NULL;
		json_array_append_new(values, value ?: json_null());
	}
	group_add(local->options, counting, values, (int64_t)group->count, group->sum);
	return 0;
}

static int local_columns(struct local *local, struct sonde_store *store, const char *type)
{
	const char *by = local->options->by, *sum = local->options->sum, *wrong;
	const struct sonde_type *types[TYPES_MAX];
	size_t n = sonde_store_types(store, types, TYPES_MAX), kept = 0;
	int r;

	for (size_t i = 0; i < n && i < TYPES_MAX; i++)
		if (!type || !strcmp(type, types[i]->name))
			types[kept++] = types[i];
	r = sonde_count_asked_read(&local->asked, types, kept, by, sum, &wrong);
	if (r == -E2BIG)
		return sonde_say_error(SONDE_EXIT_USAGE, "--by: at most %d columns", SONDE_COUNT_BY_MAX);
	if (r == -EINVAL)
		return sonde_say_error(SONDE_EXIT_USAGE, "--sum: the values of '%s' cannot be added up", wrong);
	return r < 0 ? sonde_say_error(SONDE_EXIT_USAGE, "--%s: there is no column '%s'%s%s; 'sonde schema' lists them",
				       wrong == sum ? "sum" : "by", wrong, type ? " in type " : "", type ? type : "") : 0;
}

static int ask_local(const struct sonde_options *options, const char *type, int64_t limit, struct sonde_counting *counting)
{
	struct sonde_local store CLEANUP(sonde_local_close) = {0};
	struct local local = {.options = options, .counting = counting};
	struct sonde_answer answer = {.complete = true};
	int r;

	r = sonde_local_open(options, type, &store);
	if (r <= 0)
		r = local_columns(&local, store.store, type);
	if (r)
		return r;
	store.query.limit = 0;
	local.asked.opts.limit = (uint32_t)limit;
	r = sonde_store_count(store.store, &store.query, &local.asked.opts, local_group, &local, &answer);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "the store could not be read: %s", sonde_store_error(store.store));
	counting->count = (int64_t)answer.count;
	counting->sum = answer.sum;
	counting->more_groups = (int64_t)(answer.groups - json_array_size(counting->groups));
	sonde_note_incomplete(answer.complete, answer.lost, answer.reason);
	return 0;
}

/* ---- of the agent ---- */

static int ask_agent(const struct sonde_options *options, const char *type, int64_t limit, struct sonde_counting *counting)
{
	struct sonde_buffer path CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	json_t *json CLEANUP(json_decrefp) = NULL;
	const json_t *group, *values;
	char text[24];
	size_t i;
	int r;

	sonde_client_path(&path, "/api/v1/count");
	sonde_ask_query(&path, options, type);
	sonde_client_param(&path, "group_by", options->by);
	sonde_client_param(&path, "sum", options->sum);
	snprintf(text, sizeof(text), "%" PRId64, limit);
	sonde_client_param(&path, "limit", options->by ? text : NULL);
	r = sonde_ask(options, path.data, &json);
	if (r < 0)
		return sonde_ask_exit(r);
	counting->count = sonde_json_number_of(json, "count");
	counting->sum = sonde_json_number_of(json, "sum");
	counting->more_groups = sonde_json_number_of(json, "more_groups");
	json_array_foreach(json_object_get(json, "groups"), i, group) {
		values = json_object_get(group, "values");
		group_add(options, counting, values ? json_copy((json_t *)values) : json_pack("[O]", json_object_get(group, "value")),
			  sonde_json_number_of(group, "count"), sonde_json_number_of(group, "sum"));
	}
	sonde_note_json(json);
	return 0;
}

int sonde_counting_ask(const struct sonde_options *options, const char *type, int64_t limit, struct sonde_counting *ret_counting)
{
	*ret_counting = (struct sonde_counting){.groups = json_array()};
	return options->store ? ask_local(options, type, limit, ret_counting) : ask_agent(options, type, limit, ret_counting);
}

/* The columns of --by, then count and sum. A terminal is told what was added up. */
static json_t *headings(const struct sonde_options *options)
{
	json_t *names = json_array();
	char by[NAMES_BYTES], *rest = by, *name;

	snprintf(by, sizeof(by), "%s", options->by ?: "");
	while (options->by && (name = strsep(&rest, ",")))
		json_array_append_new(names, json_string(name));
	json_array_append_new(names, json_string("count"));
	if (options->sum)
		json_array_append_new(names, options->format == SONDE_FORMAT_TABLE ? json_sprintf("sum of %s", options->sum) :
										      json_string("sum"));
	return names;
}

int sonde_counting_print(const struct sonde_options *options, const struct sonde_counting *counting)
{
	json_t *names CLEANUP(json_decrefp) = headings(options);
	json_t *rows CLEANUP(json_decrefp) = NULL;

	if (!options->by && !options->sum && options->format == SONDE_FORMAT_TABLE) {
		printf("%" PRId64 "\n", counting->count);
		return SONDE_EXIT_DONE;
	}
	if (options->by)
		return sonde_result_rows(options, names, counting->groups);
	rows = options->sum ? json_pack("[[I,I]]", (json_int_t)counting->count, (json_int_t)counting->sum) :
			      json_pack("[[I]]", (json_int_t)counting->count);
	return sonde_result_rows(options, names, rows);
}
