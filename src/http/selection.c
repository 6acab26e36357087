/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters that say which events are meant, the same on every route, for the store and for the stream. */
#include <http/params.h>

#include <http/request.h>

#include <base/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES_MAX 256

static size_t type_place(const struct sonde_type *const *types, size_t n, const char *name)
{
	size_t i = 0;

	while (i < n && strcmp(types[i]->name, name))
		i++;
	return i;
}

/* Of a program that has lost columns, the stored type has more than the running one: those stand behind. */
size_t sonde_types(const struct sonde_view *view, const struct sonde_type **types, size_t max)
{
	struct sonde_program_status *programs = calloc(SONDE_PROGRAMS_MAX, sizeof(*programs));
	const struct sonde_type *stored[TYPES_MAX];
	const struct sonde_schema *schema;
	size_t n = 0, n_programs = programs ? view->programs(view->userdata, programs, SONDE_PROGRAMS_MAX) : 0, n_stored, place;

	for (size_t i = 0; i < n_programs; i++) {
		schema = view->schema(view->userdata, programs[i].name);
		for (uint32_t j = 0; schema && j < schema->n_types; j++)
			if (n < max && type_place(types, n, schema->types[j].name) == n)
				types[n++] = &schema->types[j];
	}
	free(programs);
	n_stored = sonde_store_types(view->store, stored, TYPES_MAX);
	if (n_stored > TYPES_MAX)
		n_stored = TYPES_MAX;
	for (size_t i = 0; i < n_stored; i++) {
		place = type_place(types, n, stored[i]->name);
		if (place < n && stored[i]->n_columns > types[place]->n_columns)
			types[place] = stored[i];
		else if (place == n && n < max)
			types[n++] = stored[i];
	}
	return n;
}

const struct sonde_type *sonde_type_find(const struct sonde_view *view, const char *name)
{
	const struct sonde_type *types[TYPES_MAX];
	size_t n = sonde_types(view, types, TYPES_MAX);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(types[i]->name, name))
			return types[i];
	return NULL;
}

static int selection_type(struct sonde_request *request, struct sonde_selection *selection)
{
	const char *name = sonde_param(request, "type");
	const struct sonde_type *types[TYPES_MAX];
	char known[512] = "";
	size_t n;

	if (!name)
		return 0;
	selection->query.type = name;
	selection->type = sonde_type_find(request->view, name);
	if (selection->type)
		return 0;
	n = sonde_types(request->view, types, TYPES_MAX);
	for (size_t i = 0; i < n && strlen(known) < sizeof(known) - 64; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "", types[i]->name);
	return !sonde_request_bad(request, "type", "unknown type; known: %s", known);
}

static int selection_where(struct sonde_request *request, struct sonde_selection *selection)
{
	const char *text = sonde_param(request, "where"), *error = "";
	const struct sonde_type *types[TYPES_MAX] = {selection->type};
	size_t n = 1;

	if (!text)
		return 0;
	if (sonde_filter_new(text, &error, &selection->where))
		return !sonde_request_bad(request, "where", "%s", error);
	if (!selection->type)
		n = sonde_types(request->view, types, TYPES_MAX);
	if (n == 1 ? sonde_filter_check(selection->where, types[0], &error) :
		     sonde_filter_check_any(selection->where, types, n, &error))
		return !sonde_request_bad(request, "where", "%s", error);
	selection->query.where = selection->where;
	return 0;
}

static int selection_fill(struct sonde_request *request, int64_t default_since_ns, struct sonde_selection *selection)
{
	int64_t now_ns = sonde_clock_wall_ns();
	uint64_t pid;

	if (default_since_ns != INT64_MIN)
		default_since_ns = now_ns - default_since_ns;
	if (sonde_param_u64(request, "pid", 0, INT32_MAX, UINT64_MAX, &pid) || selection_type(request, selection) ||
	    sonde_param_time(request, "since", now_ns, default_since_ns, &selection->query.since_ns) ||
	    sonde_param_time(request, "until", now_ns, INT64_MAX, &selection->query.until_ns) ||
	    selection_where(request, selection))
		return 1;
	selection->query.pid = pid == UINT64_MAX ? -1 : (int64_t)pid;
	selection->query.command = sonde_param(request, "command");
	selection->query.container = sonde_param(request, "container");
	if (selection->query.since_ns > selection->query.until_ns)
		return !sonde_request_bad(request, "until", "is before since%s",
					  sonde_param(request, "since") ? "" : "; give since too");
	return 0;
}

int sonde_selection_read(struct sonde_request *request, int64_t default_since_ns, struct sonde_selection *ret_selection)
{
	struct sonde_selection selection = {.query.pid = -1};

	if (selection_fill(request, default_since_ns, &selection)) {
		sonde_selection_free(&selection);
		return 1;
	}
	*ret_selection = selection;
	return 0;
}

void sonde_selection_free(struct sonde_selection *selection)
{
	sonde_filter_free(&selection->where);
}

bool sonde_selection_match(const struct sonde_selection *selection, const struct sonde_type *type,
			   const struct sonde_value *values)
{
	const struct sonde_query *query = &selection->query;

	if ((query->type && strcmp(query->type, type->name)) || !sonde_query_match(query, values))
		return false;
	return !query->where || sonde_filter_match(query->where, type, values);
}
