/* SPDX-License-Identifier: Apache-2.0 */
/* SQL over HTTP against the real SQLite store, and the other questions on it. */
#include <http/http_test.h>

static struct test_agent *agent;

static int setup(void **state)
{
	struct sonde_batch_full *batch = sonde_batch_new();
	struct test_connection c;

	agent = test_agent_with("events.db");
	for (unsigned i = 0; i < 1000; i++) {
		c = test_connection_of(i % 10 + 1, i % 2 ? "quote\"\xff" : "curl", "connect", 0);
		c.remote_port = (__u16)(i + 1);
		test_event_add(batch, &test_types[0], &c, sonde_clock_wall_ns());
	}
	test_store(agent, batch);
	sonde_batch_unref(&batch->batch);
	test_agent_serve(agent, 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	sonde_http_free(&agent->http, SONDE_NS_PER_S);
	sonde_store_close(&agent->view.store);
	snprintf(command, sizeof(command), "rm -f %s/events.db*", agent->directory);
	assert_int_equal(system(command), 0);
	test_agent_free(agent);
	return 0;
}

static json_t *sql(const char *body, unsigned status)
{
	struct test_answer answer = test_ask(agent, "api", "POST", "/api/v1/sql", body);
	json_t *json;

	if (answer.status != status)
		fail_msg("%s: %u: %s", body, answer.status, answer.body);
	json = test_json(&answer);
	test_answer_free(&answer);
	return json;
}

static void rows_and_columns(void **state)
{
	json_t *json = sql("SELECT pid, command, count(*) AS n FROM connection GROUP BY pid ORDER BY pid", 200), *row;

	assert_int_equal(json_array_size(json_object_get(json, "rows")), 10);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json, "columns"), 2)), "n");
	row = json_array_get(json_object_get(json, "rows"), 0);
	assert_int_equal(json_integer_value(json_array_get(row, 0)), 1);
	assert_int_equal(json_integer_value(json_array_get(row, 2)), 100);
	assert_true(json_is_false(json_object_get(json, "more")));
	json_decref(json);
	json = sql("{\"sql\":\"SELECT * FROM connection\",\"limit\":7}", 200);
	assert_int_equal(json_array_size(json_object_get(json, "rows")), 7);
	assert_true(json_is_true(json_object_get(json, "more")));
	json_decref(json);
	json = sql("SELECT pid FROM connection WHERE pid = 4711", 200);
	assert_int_equal(json_array_size(json_object_get(json, "rows")), 0);
	json_decref(json);
}

static void only_reading_and_bounded(void **state)
{
	static const struct {
		const char *body, *parameter;
	} bad[] = {
		{"DELETE FROM connection", "sql"},
		{"DROP TABLE connection", "sql"},
		{"ATTACH '/etc/passwd' AS x", "sql"},
		{"SELECT load_extension('x')", "sql"},
		{"PRAGMA journal_mode=DELETE", "sql"},
		{"SELECT 1; SELECT 2", "sql"},
		{"SELEC", "sql"},
		{"SELECT * FROM nothing", "sql"},
		/* Each of these would take seconds, or minutes, in one step that no limit of time ends. */
		{"SELECT printf('%.*c', 2000000000, 'x')", "sql"},
		{"SELECT instr(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || '1')", "sql"},
		{"SELECT trim(hex(zeroblob(100000)), hex(zeroblob(10000)))", "sql"},
		{"SELECT 'x' LIKE hex(zeroblob(400))", "sql"},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) SELECT hex(zeroblob(100000)) FROM n",
		 "sql"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char body[256];
		json_t *json;

		snprintf(body, sizeof(body), "{\"sql\":\"%s\",\"timeout_ms\":2000}", bad[i].body);
		json = sql(body, 400);
		if (strcmp(json_string_value(json_object_get(json, "parameter")), bad[i].parameter))
			fail_msg("%s: %s", bad[i].body, json_string_value(json_object_get(json, "message")));
		json_decref(json);
	}
	json_t *json = sql("{\"sql\":\"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n\","
			   "\"timeout_ms\":500}", 504);
	assert_string_equal(json_string_value(json_object_get(json, "error")), "timeout");
	json_decref(json);
	json = sql("SELECT pid AS p, command FROM connection WHERE pid = -1", 200);
	assert_int_equal(json_array_size(json_object_get(json, "columns")), 2);
	assert_int_equal(json_array_size(json_object_get(json, "rows")), 0);
	json_decref(json);
	json = sql("SELECT pid FROM connection", 200);
	assert_int_equal(json_array_size(json_object_get(json, "rows")), 1000);
	json_decref(json);
}

static void pages_and_groups(void **state)
{
	json_t *json = test_get(agent, "/api/v1/events?limit=600&type=connection"), *seen = json_object();
	char path[256];
	size_t i;
	json_t *event;

	for (unsigned page = 0; page < 2; page++) {
		json_array_foreach(json_object_get(json, "events"), i, event) {
			snprintf(path, sizeof(path), "%lld", (long long)test_int(event, "remote_port"));
			assert_null(json_object_get(seen, path));
			json_object_set_new(seen, path, json_true());
		}
		if (json_is_null(json_object_get(json, "next")))
			break;
		snprintf(path, sizeof(path), "/api/v1/events?limit=600&type=connection&cursor=%s",
			 json_string_value(json_object_get(json, "next")));
		json_decref(json);
		json = test_get(agent, path);
	}
	assert_int_equal(json_object_size(seen), 1000);
	assert_true(json_is_null(json_object_get(json, "next")));
	json_decref(seen);
	json_decref(json);
	json = test_get(agent, "/api/v1/count?group_by=command&type=connection");
	assert_int_equal(test_int(json, "count"), 1000);
	assert_int_equal(json_array_size(json_object_get(json, "groups")), 2);
	json_decref(json);
	json = test_get(agent, "/api/v1/count?group_by=remote_port&limit=10");
	assert_int_equal(test_int(json, "more_groups"), 990);
	json_decref(json);
}

/* A statement that takes its whole time holds up no other question. */
static void slow_statements_hold_up_nothing(void **state)
{
	static const char body[] = "{\"sql\":\"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n\","
				   "\"timeout_ms\":3000}";
	struct test_answer answer;
	struct pollfd fds[3];
	char request[512];

	for (unsigned i = 0; i < 3; i++) {
		fds[i] = (struct pollfd){.fd = test_connect(sonde_http_port(agent->http, "api")), .events = POLLIN};
		snprintf(request, sizeof(request), "POST /api/v1/sql HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(body), body);
		test_send(fds[i].fd, request);
	}
	answer = test_ask(agent, "api", "GET", "/api/v1/count", NULL);
	assert_int_equal(answer.status, 200);
	test_answer_free(&answer);
	answer = test_ask(agent, "api", "GET", "/api/v1/status", NULL);
	assert_int_equal(answer.status, 200);
	test_answer_free(&answer);
	/* The last of the statements, which run one after the other, cannot have been answered before. */
	assert_int_equal(poll(&fds[2], 1, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_and_columns),
		cmocka_unit_test(only_reading_and_bounded),
		cmocka_unit_test(pages_and_groups),
		cmocka_unit_test(slow_statements_hold_up_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
