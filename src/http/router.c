/* SPDX-License-Identifier: Apache-2.0 */
/* The API, one line a route. Nothing is reachable that does not stand here, and no parameter is taken that its line lacks. */
#include <http/router.h>

#include <http/request.h>

#include <stdio.h>
#include <string.h>

#define SELECT " type pid command container since until where "
#define GET SONDE_METHOD_GET
#define POST SONDE_METHOD_POST

const struct sonde_route sonde_routes[] = {
	{"/", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_index, .doc = "this index"},
	{"/api/v1/events", GET, SONDE_LANE_QUERY, .params = SELECT "limit cursor order format ",
	 .handler = sonde_api_events, .doc = "stored events, newest first"},
	{"/api/v1/count", GET, SONDE_LANE_QUERY, .params = SELECT "group_by sum limit ", .handler = sonde_api_count,
	 .doc = "number of matching events or sum of a column, also by the values of up to 3 columns"},
	{"/api/v1/summary", GET, SONDE_LANE_QUERY, .params = SELECT, .handler = sonde_api_summary,
	 .doc = "counts by type and their most frequent values, of the last 5 minutes unless since is given"},
	{"/api/v1/stream", GET, .stream = true, .params = " type pid command container where format ",
	 .doc = "events as they happen: server-sent events, or JSON lines with format=ndjson"},
	{"/api/v1/programs", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_programs,
	 .doc = "programs with their states and hooks"},
	{"/api/v1/programs/*", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_program, .doc = "one program"},
	{"/api/v1/programs/*/start", POST, SONDE_LANE_CONTROL, .admin = true, .params = " ",
	 .handler = sonde_api_program_start, .doc = "start a program"},
	{"/api/v1/programs/*/stop", POST, SONDE_LANE_CONTROL, .admin = true, .params = " ",
	 .handler = sonde_api_program_stop, .doc = "stop a program"},
	{"/api/v1/programs/*/reload", POST, SONDE_LANE_CONTROL, .admin = true, .params = " ",
	 .handler = sonde_api_program_reload, .doc = "load a program anew"},
	{"/api/v1/reload", POST, SONDE_LANE_CONTROL, .admin = true, .params = " ", .handler = sonde_api_reload,
	 .doc = "read the configuration again, all or nothing"},
	{"/api/v1/schema", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_schema, .doc = "all types of events"},
	{"/api/v1/schema/*", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_schema, .doc = "one type"},
	{"/api/v1/ledger", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_ledger,
	 .doc = "what became of every event"},
	{"/api/v1/status", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_api_status,
	 .doc = "health, store, programs, ledger"},
	{"/api/v1/sql", POST, SONDE_LANE_SQL, .raw_body = true, .params = " sql limit timeout_ms ",
	 .handler = sonde_api_sql, .doc = "a read-only SQL statement"},
	/* Routes of an older agent that existing clients use. */
	{"/api/connection-summary", POST, SONDE_LANE_QUERY, .params = " pid command process_name duration duration_seconds ",
	 .handler = sonde_legacy_connection_summary, .doc = "older route: connection attempts of a process"},
	{"/api/packet-drop-summary", POST, SONDE_LANE_QUERY, .params = " pid command process_name duration duration_seconds ",
	 .handler = sonde_legacy_drop_summary, .doc = "older route: dropped packets of a process"},
	{"/api/list-connections", GET | POST, SONDE_LANE_QUERY, .params = " pid limit ",
	 .handler = sonde_legacy_list_connections, .doc = "older route: connection attempts by process"},
	{"/api/list-packet-drops", GET | POST, SONDE_LANE_QUERY, .params = " pid limit ",
	 .handler = sonde_legacy_list_drops, .doc = "older route: dropped packets by process"},
	{"/api/events", GET, SONDE_LANE_QUERY, .params = " type pid command since until limit ",
	 .handler = sonde_legacy_events, .doc = "older route: stored events"},
	{"/api/programs", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_legacy_programs,
	 .doc = "older route: programs"},
	{"/health", GET, SONDE_LANE_QUICK, .params = " ", .handler = sonde_legacy_health, .doc = "older route: health"},
	{NULL},
};

static bool route_match(const char *pattern, const char *path, char *ret_name, size_t name_size)
{
	size_t length;

	while (*pattern) {
		if (*pattern != '*') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		length = strcspn(path, "/");
		if (!length || length >= name_size)
			return false;
		snprintf(ret_name, name_size, "%.*s", (int)length, path);
		path += length;
		pattern++;
	}
	return !*path;
}

const struct sonde_route *sonde_route_find(const char *path, unsigned method, char *ret_name, size_t name_size,
					   unsigned *ret_methods)
{
	unsigned methods = 0;

	ret_name[0] = '\0';
	for (const struct sonde_route *route = sonde_routes; route->path; route++) {
		if (!route_match(route->path, path, ret_name, name_size))
			continue;
		if (route->methods & method)
			return route;
		methods |= route->methods;
	}
	*ret_methods = methods;
	return NULL;
}

int sonde_api_index(struct sonde_request *request)
{
	struct sonde_buffer *out = &request->out;

	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "service", "sonde");
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "version", request->view->version);
	sonde_buffer_add_text(out, ",\"routes\":[");
	for (const struct sonde_route *route = sonde_routes; route->path; route++) {
		sonde_buffer_add_text(out, route == sonde_routes ? "{" : ",{");
		sonde_json_text(out, "path", route->path);
		sonde_buffer_printf(out, ",\"methods\":[%s%s%s],", route->methods & GET ? "\"GET\"" : "",
				    route->methods == (GET | POST) ? "," : "", route->methods & POST ? "\"POST\"" : "");
		sonde_json_text(out, "doc", route->doc);
		sonde_buffer_add_text(out, ",\"parameters\":\"");
		if (route->params[1])
			sonde_buffer_add(out, route->params + 1, strlen(route->params) - 2);
		sonde_buffer_add_text(out, "\"}");
	}
	sonde_buffer_add_text(out, "]}\n");
	return 0;
}
