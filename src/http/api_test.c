/* SPDX-License-Identifier: Apache-2.0 */
/* Every route, method and parameter by table, and what the answers hold. */
#include <http/http_test.h>

#include <http/router.h>

static struct test_agent *agent;

#define OLD_S 400

static int setup(void **state)
{
	struct sonde_batch_full *batch = sonde_batch_new();
	int64_t now_ns = sonde_clock_wall_ns(), old_ns = now_ns - OLD_S * SONDE_NS_PER_S;
	struct test_connection c;
	struct test_drop d;

	agent = test_agent_new();
	c = test_connection_of(100, "curl", "connect", 0);
	test_event_add(batch, &test_types[0], &c, old_ns);
	for (int i = 0; i < 10; i++) {
		c = test_connection_of(100, "curl", "connect", 0);
		test_event_add(batch, &test_types[0], &c, now_ns - 20 * SONDE_NS_PER_S + i);
	}
	c = test_connection_of(200, "nc", "fail", ECONNREFUSED);
	test_event_add(batch, &test_types[0], &c, now_ns - 10 * SONDE_NS_PER_S);
	c = test_connection_of(100, "curl", "close", 0);
	test_event_add(batch, &test_types[0], &c, now_ns - 9 * SONDE_NS_PER_S);
	d = test_drop_of(0, "NO_SOCKET", "network");
	test_event_add(batch, &test_types[1], &d, now_ns - 8 * SONDE_NS_PER_S);
	d = test_drop_of(300, "QUEUE_PURGE", "benign");
	test_event_add(batch, &test_types[1], &d, now_ns - 7 * SONDE_NS_PER_S);
	test_store(agent, batch);
	sonde_batch_unref(&batch->batch);
	test_agent_serve(agent, 0);
	return 0;
}

static int teardown(void **state)
{
	test_agent_free(agent);
	return 0;
}

struct route_case {
	const char *method, *path, *body; /* body NULL: none */
	unsigned tcp, socket;		  /* expected status */
	const char *parameter;		  /* that the error names */
};

static const struct route_case cases[] = {
	{"GET", "/", NULL, 200, 200},
	{"HEAD", "/", NULL, 200, 200},
	{"POST", "/", "{}", 405, 405},
	{"GET", "/nothing", NULL, 404, 404},
	{"GET", "//", NULL, 404, 404},
	{"GET", "/api/v1/", NULL, 404, 404},
	{"GET", "/api/v1/eventsx", NULL, 404, 404},
	{"GET", "/api/v2/events", NULL, 404, 404},
	{"GET", "/api/v1/events", NULL, 200, 200},
	{"HEAD", "/api/v1/events", NULL, 200, 200},
	{"POST", "/api/v1/events", "{}", 405, 405},
	{"PUT", "/api/v1/events", "{}", 405, 405},
	{"DELETE", "/api/v1/events", NULL, 405, 405},
	{"OPTIONS", "/api/v1/events", NULL, 405, 405},
	{"GET", "/api/v1/events?limit=abc", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=0", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=10001", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=-1", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=+1", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=99999999999999999999", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=1&limit=2", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/events?limit=10000", NULL, 200, 200},
	{"GET", "/api/v1/events?unknown=1", NULL, 400, 400, "unknown"},
	{"GET", "/api/v1/events?Limit=1", NULL, 400, 400, "Limit"},
	{"GET", "/api/v1/events?=1", NULL, 400, 400, ""},
	{"GET", "/api/v1/events?pid=1%00", NULL, 400, 400, "pid"},
	{"GET", "/api/v1/events?pid=-1", NULL, 400, 400, "pid"},
	{"GET", "/api/v1/events?pid=4294967296", NULL, 400, 400, "pid"},
	{"GET", "/api/v1/events?pid=100", NULL, 200, 200},
	{"GET", "/api/v1/events?type=nothing", NULL, 400, 400, "type"},
	{"GET", "/api/v1/events?type=connection", NULL, 200, 200},
	{"GET", "/api/v1/events?since=never", NULL, 400, 400, "since"},
	{"GET", "/api/v1/events?until=5x", NULL, 400, 400, "until"},
	{"GET", "/api/v1/events?since=1m&until=5m", NULL, 400, 400, "until"},
	{"GET", "/api/v1/events?since=5m&until=1m", NULL, 200, 200},
	{"GET", "/api/v1/events?where=((", NULL, 400, 400, "where"},
	{"GET", "/api/v1/events?type=connection&where=nothing+%3D+1", NULL, 400, 400, "where"},
	{"GET", "/api/v1/events?where=nothing+%3D+1", NULL, 400, 400, "where"},
	{"GET", "/api/v1/events?where=pid+%3D+x", NULL, 400, 400, "where"},
	{"GET", "/api/v1/events?where=remote_port+%3D+443+or+pid+%3D+1", NULL, 200, 200},
	{"GET", "/api/v1/events?type=connection&where=remote_port+%3D+443", NULL, 200, 200},
	{"GET", "/api/v1/events?order=up", NULL, 400, 400, "order"},
	{"GET", "/api/v1/events?order=oldest&format=ndjson", NULL, 200, 200},
	{"GET", "/api/v1/events?format=xml", NULL, 400, 400, "format"},
	{"GET", "/api/v1/events?cursor=nonsense", NULL, 400, 400, "cursor"},
	{"GET", "/api/v1/events?cursor=", NULL, 400, 400, "cursor"},
	{"GET", "/api/v1/events?group_by=pid", NULL, 400, 400, "group_by"},
	{"GET", "/api/v1/count", NULL, 200, 200},
	{"GET", "/api/v1/count?group_by=command", NULL, 200, 200},
	{"GET", "/api/v1/count?group_by=nothing", NULL, 400, 400, "group_by"},
	{"GET", "/api/v1/count?type=packet_drop&group_by=remote_port", NULL, 400, 400, "group_by"},
	{"GET", "/api/v1/count?limit=5", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/count?order=oldest", NULL, 400, 400, "order"},
	{"GET", "/api/v1/summary", NULL, 200, 200},
	{"GET", "/api/v1/summary?since=600s&type=connection", NULL, 200, 200},
	{"GET", "/api/v1/summary?limit=5", NULL, 400, 400, "limit"},
	{"GET", "/api/v1/stream?format=xml", NULL, 400, 400, "format"},
	{"GET", "/api/v1/stream?type=nothing", NULL, 400, 400, "type"},
	{"GET", "/api/v1/stream?since=5m", NULL, 400, 400, "since"},
	{"POST", "/api/v1/stream", "{}", 405, 405},
	{"GET", "/api/v1/programs", NULL, 200, 200},
	{"GET", "/api/v1/programs?x=1", NULL, 400, 400, "x"},
	{"GET", "/api/v1/programs/connection", NULL, 200, 200},
	{"GET", "/api/v1/programs/nothing", NULL, 404, 404},
	{"GET", "/api/v1/programs/", NULL, 404, 404},
	{"POST", "/api/v1/programs/connection/start", "", 403, 200},
	{"POST", "/api/v1/programs/connection/stop", "", 403, 200},
	{"POST", "/api/v1/programs/connection/reload", "", 403, 200},
	{"POST", "/api/v1/programs/nothing/start", "", 403, 404},
	{"POST", "/api/v1/programs/connection/explode", "", 404, 404},
	{"GET", "/api/v1/programs/connection/start", NULL, 405, 405},
	{"POST", "/api/v1/programs/connection/start", "{\"x\":1}", 403, 400, "x"},
	{"POST", "/api/v1/reload", "", 403, 200},
	{"GET", "/api/v1/reload", NULL, 405, 405},
	{"GET", "/api/v1/schema", NULL, 200, 200},
	{"GET", "/api/v1/schema/connection", NULL, 200, 200},
	{"GET", "/api/v1/schema/nothing", NULL, 404, 404},
	{"GET", "/api/v1/ledger", NULL, 200, 200},
	{"GET", "/api/v1/status", NULL, 200, 200},
	{"GET", "/api/v1/status", "{}", 400, 400, "body"},
	{"POST", "/api/v1/sql", "", 400, 400, "sql"},
	{"POST", "/api/v1/sql", "SELECT 1", 501, 501}, /* the memory store has none */
	{"POST", "/api/v1/sql", "{\"sql\":\"SELECT 1\",\"limit\":0}", 400, 400, "limit"},
	{"POST", "/api/v1/sql", "{\"sql\":\"SELECT 1\",\"timeout_ms\":9001}", 400, 400, "timeout_ms"},
	{"POST", "/api/v1/sql", "{\"sql\":\"SELECT 1\",\"x\":0}", 400, 400, "x"},
	{"POST", "/api/v1/sql", "{\"sql\":true}", 400, 400, "sql"},
	{"POST", "/api/v1/sql", "{\"sql\":\"a\",\"sql\":\"b\"}", 400, 400, "body"},
	{"POST", "/api/v1/sql", "{\"sql\"", 400, 400, "body"},
	{"GET", "/api/v1/sql", NULL, 405, 405},
	{"POST", "/api/connection-summary", "{\"pid\":100,\"duration\":300}", 200, 200},
	{"POST", "/api/connection-summary", "{\"command\":\"curl\",\"duration\":3600}", 200, 200},
	{"POST", "/api/connection-summary", "{\"process_name\":\"curl\"}", 200, 200},
	{"POST", "/api/connection-summary", "{\"pid\":0,\"command\":\"curl\",\"duration_seconds\":1}", 200, 200},
	{"POST", "/api/connection-summary", "{\"pid\":100,\"command\":\"curl\",\"duration\":60}", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "{\"duration\":60}", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "{}", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "[]", 400, 400, "body"},
	{"POST", "/api/connection-summary", "{\"pid\":100,\"duration\":0}", 400, 400, "duration"},
	{"POST", "/api/connection-summary", "{\"pid\":100,\"duration\":3601}", 400, 400, "duration"},
	{"POST", "/api/connection-summary", "{\"pid\":\"abc\"}", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "{\"pid\":1.5}", 400, 400, "pid"},
	{"POST", "/api/connection-summary", "{\"pid\":1,\"other\":1}", 400, 400, "other"},
	{"GET", "/api/connection-summary", NULL, 405, 405},
	{"POST", "/api/packet-drop-summary", "{\"pid\":300}", 200, 200},
	{"POST", "/api/packet-drop-summary", "{}", 400, 400, "pid"},
	{"GET", "/api/packet-drop-summary", NULL, 405, 405},
	{"GET", "/api/list-connections", NULL, 200, 200},
	{"GET", "/api/list-connections?pid=100&limit=5", NULL, 200, 200},
	{"POST", "/api/list-connections", "{\"pid\":100,\"limit\":5}", 200, 200},
	{"POST", "/api/list-connections", "", 200, 200},
	{"GET", "/api/list-connections?limit=1001", NULL, 400, 400, "limit"},
	{"PUT", "/api/list-connections", "{}", 405, 405},
	{"GET", "/api/list-packet-drops", NULL, 200, 200},
	{"POST", "/api/list-packet-drops", "{\"limit\":\"x\"}", 400, 400, "limit"},
	{"GET", "/api/events", NULL, 200, 200},
	{"GET", "/api/events?type=connection&pid=100&command=curl&limit=3", NULL, 200, 200},
	{"GET", "/api/events?since=2026-01-01T00:00:00Z", NULL, 200, 200},
	{"GET", "/api/events?since=x", NULL, 400, 400, "since"},
	{"GET", "/api/events?limit=abc", NULL, 400, 400, "limit"},
	{"GET", "/api/events?where=pid=1", NULL, 400, 400, "where"},
	{"GET", "/api/programs", NULL, 200, 200},
	{"GET", "/health", NULL, 200, 200},
	{"POST", "/health", "{}", 405, 405},
};

static void check(const struct route_case *c, const char *listener, unsigned expected)
{
	struct test_answer answer = test_ask(agent, listener, c->method, c->path, c->body);
	const json_t *parameter;
	json_t *json;

	if (answer.status != expected)
		fail_msg("%s %s %s %s: %u, not %u: %s", listener, c->method, c->path, c->body ? c->body : "", answer.status,
			 expected, answer.body);
	assert_non_null(strstr(answer.header, "Content-Type: "));
	if (expected == 405)
		assert_non_null(strstr(answer.header, "Allow: "));
	if (!strcmp(c->method, "HEAD"))
		assert_int_equal(answer.body_length, 0);
	else if (expected >= 400) {
		json = test_json(&answer);
		assert_true(json_is_string(json_object_get(json, "error")));
		assert_true(json_string_length(json_object_get(json, "message")) > 0);
		parameter = json_object_get(json, "parameter");
		if (expected == 400 && (!parameter || !c->parameter || strcmp(json_string_value(parameter), c->parameter)))
			fail_msg("%s %s: the error names %s", c->method, c->path, json_string_value(parameter));
		json_decref(json);
	}
	test_answer_free(&answer);
}

static void every_route_method_and_parameter(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(&cases[i], "api", cases[i].tcp);
		check(&cases[i], "socket", cases[i].socket);
	}
}

/* A route that no case asks for is a hole in the table above. */
static void every_route_is_in_the_table(void **state)
{
	unsigned methods;
	char name[64];

	for (const struct sonde_route *route = sonde_routes; route->path; route++) {
		bool found = false;

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && !found; i++) {
			char path[128];

			snprintf(path, sizeof(path), "%.*s", (int)strcspn(cases[i].path, "?"), cases[i].path);
			found = sonde_route_find(path, route->methods & 1 ? 1 : 2, name, sizeof(name), &methods) == route;
		}
		if (!found)
			fail_msg("no case for %s", route->path);
	}
}

static void events_have_cursor_and_order(void **state)
{
	char path[256], cursor[128] = "";
	size_t n = 0;
	json_int_t pages = 0;

	do {
		snprintf(path, sizeof(path), "/api/v1/events?limit=4%s%s", *cursor ? "&cursor=" : "", cursor);
		json_t *json = test_get(agent, path);

		n += json_array_size(json_object_get(json, "events"));
		assert_int_equal(test_int(json, "count"), json_array_size(json_object_get(json, "events")));
		assert_true(json_is_boolean(json_object_get(json, "complete")));
		assert_true(json_is_string(json_object_get(json, "reason")));
		if (!pages++)
			assert_string_equal(json_string_value(json_object_get(
						    json_array_get(json_object_get(json, "events"), 0), "type")),
					    "packet_drop");
		snprintf(cursor, sizeof(cursor), "%s",
			 json_is_string(json_object_get(json, "next")) ? json_string_value(json_object_get(json, "next")) : "");
		json_decref(json);
	} while (*cursor && pages < 20);
	assert_int_equal(n, 15);
	json_t *json = test_get(agent, "/api/v1/events?order=oldest&limit=1");
	assert_int_equal(test_int(json_array_get(json_object_get(json, "events"), 0), "pid"), 100);
	json_decref(json);
}

static void count_and_groups(void **state)
{
	json_t *json = test_get(agent, "/api/v1/count?type=connection&since=300s"), *group;

	assert_int_equal(test_int(json, "count"), 12);
	json_decref(json);
	json = test_get(agent, "/api/v1/count?type=connection&group_by=command&limit=1");
	assert_int_equal(test_int(json, "count"), 13);
	assert_int_equal(test_int(json, "more_groups"), 1);
	group = json_array_get(json_object_get(json, "groups"), 0);
	assert_string_equal(json_string_value(json_object_get(group, "value")), "curl");
	assert_int_equal(test_int(group, "count"), 12);
	json_decref(json);
}

/* What is 400 s old is in a window of 600 s and not in one of 300 s. */
static void windows_are_true(void **state)
{
	static const struct {
		const char *path, *body, *field;
		json_int_t count;
	} windows[] = {
		{"/api/connection-summary", "{\"pid\":100,\"duration\":300}", "total_attempts", 10},
		{"/api/connection-summary", "{\"pid\":100,\"duration\":600}", "total_attempts", 11},
		{"/api/connection-summary", "{\"command\":\"nc\",\"duration_seconds\":600}", "total_attempts", 1},
		{"/api/connection-summary", "{\"pid\":100,\"duration\":15}", "total_attempts", 0},
		{"/api/packet-drop-summary", "{\"pid\":300,\"duration\":60}", "total_drops", 0}, /* benign is no drop */
	};

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		struct test_answer answer = test_ask(agent, "api", "POST", windows[i].path, windows[i].body);
		json_t *json = test_json(&answer);

		if (test_int(json, windows[i].field) != windows[i].count)
			fail_msg("%s %s: %s", windows[i].path, windows[i].body, answer.body);
		assert_true(json_is_string(json_object_get(json, "message")) && json_object_get(json, "pid") &&
			    json_object_get(json, "command") && json_object_get(json, "duration"));
		json_decref(json);
		test_answer_free(&answer);
	}
	json_t *json = test_get(agent, "/api/v1/summary"), *top;
	assert_int_equal(test_int(json_array_get(json_object_get(json, "types"), 0), "count"), 12);
	top = json_object_get(json_array_get(json_object_get(json, "types"), 0), "top");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(top, "command"), 0), "value")), "curl");
	assert_int_equal(json_array_size(json_object_get(top, "error")), 2); /* null and ECONNREFUSED */
	assert_null(json_object_get(top, "container"));			     /* null only */
	json_decref(json);
	json = test_get(agent, "/api/v1/summary?since=600s");
	assert_int_equal(test_int(json_array_get(json_object_get(json, "types"), 0), "count"), 13);
	json_decref(json);
}

static void older_lists_have_their_fields(void **state)
{
	json_t *json = test_get(agent, "/api/list-connections?limit=3"), *list, *row;

	assert_int_equal(test_int(json, "total_pids"), 2);
	assert_true(json_is_true(json_object_get(json, "truncated")));
	list = json_object_get(json_object_get(json, "connections"), "100");
	assert_int_equal(json_array_size(list), 3);
	row = json_array_get(json_object_get(json_object_get(json, "connections"), "200"), 0);
	assert_int_equal(test_int(row, "return_code"), -ECONNREFUSED);
	assert_int_equal(test_int(row, "pid"), 200);
	assert_int_equal(test_int(row, "destination_port"), 443);
	assert_int_equal(test_int(row, "address_family"), AF_INET);
	assert_string_equal(json_string_value(json_object_get(row, "command")), "nc");
	assert_string_equal(json_string_value(json_object_get(row, "destination_ip")), "10.0.0.1");
	assert_string_equal(json_string_value(json_object_get(row, "destination")), "10.0.0.1:443");
	assert_string_equal(json_string_value(json_object_get(row, "protocol")), "TCP");
	assert_string_equal(json_string_value(json_object_get(row, "socket_type")), "STREAM");
	assert_true(test_int(row, "timestamp_ns") > 0 && json_is_string(json_object_get(row, "wall_time")));
	json_decref(json);
	json = test_get(agent, "/api/list-packet-drops");
	assert_int_equal(test_int(json, "total_pids"), 1);
	row = json_array_get(json_object_get(json_object_get(json, "drops"), "0"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "drop_reason")), "NO_SOCKET");
	assert_int_equal(test_int(row, "skb_length"), 60);
	assert_non_null(json_object_get(row, "drop_reason_code"));
	json_decref(json);
	json = test_get(agent, "/api/events?type=connection&limit=2");
	assert_int_equal(test_int(json, "count"), 2);
	assert_int_equal(test_int(json, "total_count"), 13);
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "filters"), "type")), "connection");
	json_decref(json);
}

static void status_has_the_ledger(void **state)
{
	json_t *json = test_get(agent, "/api/v1/status"),
	       *ledger = json_object_get(json_object_get(json, "ledger"), "connection");

	assert_true(json_is_true(json_object_get(json, "ready")) && json_is_true(json_object_get(json, "alive")));
	assert_int_equal(test_int(ledger, "entered"), 10);
	assert_int_equal(test_int(ledger, "ring_full"), 2);
	assert_int_equal(test_int(ledger, "residual"), 0);
	assert_int_equal(json_array_size(json_object_get(json, "programs")), 2);
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "store"), "backend")), "memory");
	json_decref(json);
}

static void control_reaches_the_agent(void **state)
{
	struct test_answer answer = test_ask(agent, "socket", "POST", "/api/v1/programs/connection/stop", "");

	assert_int_equal(answer.status, 200);
	assert_string_equal(agent->control, "stop connection");
	test_answer_free(&answer);
	agent->control_result = -EBUSY;
	answer = test_ask(agent, "socket", "POST", "/api/v1/reload", "");
	assert_int_equal(answer.status, 409);
	assert_string_equal(agent->control, "reload (configuration)");
	test_answer_free(&answer);
	agent->control_result = 0;
	agent->control[0] = '\0';
	answer = test_ask(agent, "api", "POST", "/api/v1/reload", "");
	assert_int_equal(answer.status, 403);
	assert_non_null(strstr(answer.body, "unix socket"));
	assert_string_equal(agent->control, "");
	test_answer_free(&answer);
}

/* What a browser page of another site, or one that rebound its name to us, may not do. */
static void other_sites_are_refused(void **state)
{
	static const struct {
		const char *request;
		unsigned status;
	} requests[] = {
		{"GET /api/v1/programs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200},
		{"GET /api/v1/programs HTTP/1.1\r\nHost: 127.0.0.1:8090\r\nConnection: close\r\n\r\n", 200},
		{"GET /api/v1/programs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: evil.example\r\n\r\n", 403},
		{"GET /api/v1/programs HTTP/1.0\r\n\r\n", 403},
		{"GET /api/v1/programs HTTP/1.1\r\nConnection: close\r\n\r\n", 400},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: evil.example\r\nHost: localhost\r\n\r\n", 400},
		{"GET http://localhost/api/v1/programs HTTP/1.0\r\nHost: localhost\r\n\r\n", 400},
		{"OPTIONS * HTTP/1.0\r\nHost: localhost\r\n\r\n", 400},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", 200},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n\r\n", 403},
		{"POST /api/list-connections HTTP/1.0\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n", 403},
		{"POST /api/list-connections HTTP/1.0\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403},
		{"GET /api/v1/programs HTTP/1.0\r\nHost: localhost\r\nSec-Fetch-Site: none\r\n\r\n", 200},
	};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int fd = test_connect(sonde_http_port(agent->http, "api"));
		struct test_answer answer;

		test_send(fd, requests[i].request);
		answer = test_receive(fd);
		if (answer.status != requests[i].status)
			fail_msg("%u, not %u: %s", answer.status, requests[i].status, requests[i].request);
		assert_null(strstr(answer.header, "Access-Control"));
		test_answer_free(&answer);
	}
	/* Whoever may open the socket's file is no browser. */
	struct test_answer answer = test_ask_fd(test_connect_unix(agent->socket), "GET", "/api/v1/programs", "", NULL);
	assert_int_equal(answer.status, 200);
	test_answer_free(&answer);
}

static void probes(void **state)
{
	static const struct {
		const char *path;
		bool ready, alive;
		unsigned status;
		const char *body;
	} rows[] = {
		{"/liveness", true, true, 200, "OK"},	    {"/readiness", true, true, 200, "Ready"},
		{"/liveness", false, true, 200, "OK"},	    {"/readiness", false, true, 503, "because of the test\n"},
		{"/liveness", false, false, 503, "because of the test\n"},
		{"/other", true, true, 404, NULL},	    {"/metrics", true, true, 404, NULL},
		{"/", true, true, 404, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		agent->health = (struct sonde_health){rows[i].ready, rows[i].alive, "because of the test"};
		struct test_answer answer = test_ask(agent, "health", "GET", rows[i].path, NULL);

		assert_int_equal(answer.status, rows[i].status);
		if (rows[i].body)
			assert_string_equal(answer.body, rows[i].body);
		assert_non_null(strstr(answer.header, "Content-Type: text/plain"));
		test_answer_free(&answer);
		answer = test_ask(agent, "health", "HEAD", rows[i].path, NULL);
		assert_int_equal(answer.status, rows[i].status);
		assert_int_equal(answer.body_length, 0);
		test_answer_free(&answer);
		answer = test_ask(agent, "health", "POST", rows[i].path, "x");
		assert_int_equal(answer.status, 405);
		test_answer_free(&answer);
	}
	struct test_answer answer = test_ask(agent, "health", "GET", "/health", NULL);
	json_t *json = test_json(&answer);

	assert_int_equal(answer.status, 200);
	assert_non_null(strstr(answer.header, "Content-Type: application/json"));
	assert_string_equal(json_string_value(json_object_get(json, "status")), "degraded");
	assert_true(test_int(json, "timestamp") > 1700000000);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "programs"), 1), "reason")),
			    "the \"verifier\" refused it");
	json_decref(json);
	test_answer_free(&answer);
	agent->health = (struct sonde_health){.ready = true, .alive = true};
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_method_and_parameter), cmocka_unit_test(every_route_is_in_the_table),
		cmocka_unit_test(events_have_cursor_and_order),	    cmocka_unit_test(count_and_groups),
		cmocka_unit_test(windows_are_true),		    cmocka_unit_test(older_lists_have_their_fields),
		cmocka_unit_test(status_has_the_ledger),	    cmocka_unit_test(control_reaches_the_agent),
		cmocka_unit_test(other_sites_are_refused),	    cmocka_unit_test(probes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
