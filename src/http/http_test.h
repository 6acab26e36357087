/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tests of the HTTP faces share: an agent made of a real store and a real bus with two types of events, and a
 * client that speaks HTTP over plain sockets and can misbehave.
 */

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/clock.h>
#include <http/http.h>
#include <runtime/batch.h>
#include <runtime/publish.h>
#include <sonde/types.h>

#define COLUMN(name_, type_, semantic_) \
	{.name = name_, .doc = "a column", .type = SONDE_##type_, .semantic = SONDE_SEMANTIC_##semantic_, .length_offset = -1}
#define FIELD(struct_, name_, type_, semantic_, ...)                                                      \
	{.name = #name_, .doc = "a column", .type = SONDE_##type_, .semantic = SONDE_SEMANTIC_##semantic_, \
	 .length_offset = -1, .offset = offsetof(struct struct_, name_), .size = sizeof(((struct struct_ *)0)->name_), __VA_ARGS__}
#define COMMON_COLUMNS                                                                                              \
	COLUMN("time", INT, TIME), COLUMN("type", TEXT, NONE), COLUMN("pid", UINT, PID), COLUMN("tid", UINT, PID), \
		COLUMN("uid", UINT, UID), COLUMN("command", TEXT, NONE), COLUMN("container", TEXT, NONE),         \
		COLUMN("source", TEXT, NONE), COLUMN("weight", UINT, COUNT)

struct test_connection {
	struct sonde_header header;
	char kind[8];
	__u8 remote_address[16];
	__u16 remote_port;
	__u8 protocol;
	__u8 padding;
	__s32 error;
};

static const struct sonde_column connection_columns[] = {
	COMMON_COLUMNS,
	FIELD(test_connection, kind, TEXT, ENUM, .is_chars = true),
	FIELD(test_connection, remote_address, ADDRESS, ADDRESS),
	FIELD(test_connection, remote_port, UINT, PORT, .is_plain = true),
	FIELD(test_connection, protocol, TEXT, PROTOCOL),
	FIELD(test_connection, error, TEXT, ERRNO_NAME, .is_signed = true),
	{.name = "errno", .doc = "a column", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_ERRNO, .length_offset = -1,
	 .offset = offsetof(struct test_connection, error), .size = 4, .is_signed = true},
};

struct test_drop {
	struct sonde_header header;
	char reason[16], class[16];
	__u32 length_bytes;
};

static const struct sonde_column drop_columns[] = {
	COMMON_COLUMNS,
	FIELD(test_drop, reason, TEXT, KERNEL_ENUM, .is_chars = true),
	FIELD(test_drop, class, TEXT, ENUM, .is_chars = true),
	FIELD(test_drop, length_bytes, UINT, BYTES, .is_plain = true),
};

static const struct sonde_type test_types[] = {
	{.name = "connection", .doc = "Connections", .number = 0, .size = sizeof(struct test_connection),
	 .n_columns = sizeof(connection_columns) / sizeof(connection_columns[0]), .columns = connection_columns},
	{.name = "packet_drop", .doc = "Drops", .number = 0, .size = sizeof(struct test_drop),
	 .n_columns = sizeof(drop_columns) / sizeof(drop_columns[0]), .columns = drop_columns},
};

static const struct sonde_schema test_schemas[] = {
	{.program = "connection", .n_types = 1, .types = &test_types[0]},
	{.program = "packet_drop", .n_types = 1, .types = &test_types[1]},
};

struct test_agent {
	struct sonde_view view;
	struct sonde_health health; /* while it serves: test_health_set() */
	pthread_mutex_t health_lock;
	struct sonde_http *http;
	char directory[64], socket[96];
	char control[128]; /* last request */
	int control_result;
	void (*metrics)(sonde_metric_fn fn, void *userdata);
};

static inline size_t test_programs(void *userdata, struct sonde_program_status *ret, size_t max)
{
	memset(ret, 0, 2 * sizeof(*ret));
	snprintf(ret[0].name, sizeof(ret[0].name), "connection");
	snprintf(ret[0].source, sizeof(ret[0].source), "ebpf");
	ret[0].state = SONDE_PROGRAM_RUNNING;
	ret[0].required = true;
	ret[0].n_hooks = 1;
	snprintf(ret[0].hooks[0].name, sizeof(ret[0].hooks[0].name), "tp_btf/inet_sock_set_state");
	ret[0].hooks[0].attached = true;
	ret[0].hooks[0].runs = 3;
	snprintf(ret[1].name, sizeof(ret[1].name), "packet_drop");
	snprintf(ret[1].reason, sizeof(ret[1].reason), "the \"verifier\" refused it");
	ret[1].state = SONDE_PROGRAM_FAILED;
	return 2;
}

static inline void test_settings(void *userdata, const char *program, sonde_setting_fn fn, void *fn_userdata)
{
	static const struct sonde_setting interval = {.name = "update_interval_ns", .doc = "how often", .size = 8, .value = 10000000000};

	if (!strcmp(program, "connection"))
		fn(&interval, 5000000000, fn_userdata);
}

static inline size_t test_ledger(void *userdata, struct sonde_ledger *ret, size_t max)
{
	ret[0] = (struct sonde_ledger){.program = "connection", .entered = 10, .submitted = 8, .ring_full = 2, .consumed = 8,
				       .stored = 8, .readable = 8, .settled = true};
	return 1;
}

static inline void test_health(void *userdata, struct sonde_health *ret_health)
{
	struct test_agent *agent = userdata;

	pthread_mutex_lock(&agent->health_lock);
	*ret_health = agent->health;
	pthread_mutex_unlock(&agent->health_lock);
}

static inline void test_health_set(struct test_agent *agent, bool alive, const char *reason)
{
	pthread_mutex_lock(&agent->health_lock);
	agent->health.alive = alive;
	snprintf(agent->health.reason, sizeof(agent->health.reason), "%s", reason);
	pthread_mutex_unlock(&agent->health_lock);
}

static inline const struct sonde_schema *test_schema(void *userdata, const char *program)
{
	for (size_t i = 0; i < 2; i++)
		if (!strcmp(test_schemas[i].program, program))
			return &test_schemas[i];
	return NULL;
}

static inline int test_control(void *userdata, const char *verb, const char *program, char *ret_error, size_t error_size)
{
	struct test_agent *agent = userdata;

	snprintf(agent->control, sizeof(agent->control), "%s %s", verb, program ? program : "(configuration)");
	if (program && strcmp(program, "connection")) {
		snprintf(ret_error, error_size, "there is no program '%s'", program);
		return -ENOENT;
	}
	return agent->control_result;
}

static inline void test_metrics(void *userdata, sonde_metric_fn fn, void *to)
{
	struct test_agent *agent = userdata;

	if (agent->metrics)
		agent->metrics(fn, to);
}

static inline void test_numbers(void *userdata, sonde_number_fn fn, void *to)
{
	fn("process_resident_memory_bytes", "Memory of the process.", false, "", 12345678, to);
	fn("known_processes", "Processes in the table.", false, "", 7, to);
	fn("process_cpu_seconds_total", "CPU time of the process.", true, "", 1.25, to);
}

/* An agent without listeners. `store`: "memory", or the name of a file in its directory. */
static inline struct test_agent *test_agent_with(const char *store)
{
	struct sonde_store_opts opts = {.path = "memory", .max_bytes = 64 << 20};
	struct test_agent *agent = calloc(1, sizeof(*agent));
	char path[96];

	assert_non_null(agent);
	strcpy(agent->directory, "/tmp/sonde-http-XXXXXX");
	assert_non_null(mkdtemp(agent->directory));
	snprintf(agent->socket, sizeof(agent->socket), "%s/sonde.sock", agent->directory);
	pthread_mutex_init(&agent->health_lock, NULL);
	agent->health = (struct sonde_health){.ready = true, .alive = true};
	agent->view = (struct sonde_view){
		.userdata = agent, .version = "9.9", .programs = test_programs, .ledger = test_ledger, .health = test_health,
		.schema = test_schema, .settings = test_settings, .control = test_control, .metrics = test_metrics, .numbers = test_numbers,
	};
	snprintf(path, sizeof(path), "%s/%s", agent->directory, store);
	if (strcmp(store, "memory"))
		opts.path = path;
	assert_int_equal(sonde_bus_new(&agent->view.bus), 0);
	assert_int_equal(sonde_window_new(sonde_clock_boot_ns(), &agent->view.window), 0);
	assert_int_equal(sonde_store_open(&opts, &agent->view.store), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(sonde_store_add_type(agent->view.store, &test_types[i]), 0);
	return agent;
}

static inline struct test_agent *test_agent_new(void)
{
	return test_agent_with("memory");
}

static inline void test_agent_serve(struct test_agent *agent, unsigned max_connections)
{
	const struct sonde_http_opts opts = {.metrics = "127.0.0.1:0", .health = "127.0.0.1:0", .api = "127.0.0.1:0",
					     .socket = agent->socket, .max_connections = max_connections};

	assert_int_equal(sonde_http_new(&agent->view, &opts, &agent->http), 0);
}

static inline void test_agent_free(struct test_agent *agent)
{
	sonde_http_free(&agent->http, 5 * SONDE_NS_PER_S);
	sonde_store_close(&agent->view.store);
	sonde_bus_free(&agent->view.bus);
	sonde_window_free(&agent->view.window);
	rmdir(agent->directory);
	free(agent);
}

/* One event into a batch. `data` begins with the header. */
static inline void test_event_add(struct sonde_batch_full *batch, const struct sonde_type *type, const void *data, int64_t time_ns)
{
	char *record = batch->records + batch->bytes;

	assert_true(batch->bytes + type->size <= sizeof(batch->records) && batch->batch.n < SONDE_BATCH_EVENTS);
	memcpy(record, data, type->size);
	batch->events[batch->batch.n++] = (struct sonde_event){
		.type = type, .record = (struct sonde_header *)(void *)record, .length = type->size, .time_ns = time_ns,
		.source = "ebpf"};
	batch->bytes += (type->size + 7) & ~7u;
}

static inline void test_store(struct test_agent *agent, const struct sonde_batch_full *batch)
{
	assert_int_equal(sonde_store_append(agent->view.store, batch->events, batch->batch.n), 0);
	assert_int_equal(sonde_store_commit(agent->view.store, NULL, 0), 0);
}

static inline struct test_connection test_connection_of(uint32_t pid, const char *command, const char *kind, int error)
{
	struct test_connection c = {.header = {.pid = pid, .tid = pid, .weight = 1}, .remote_address = {[10] = 0xff, [11] = 0xff,
				    [12] = 10, [15] = 1}, .remote_port = 443, .protocol = 6, .error = -error};

	snprintf(c.header.command, sizeof(c.header.command), "%s", command);
	snprintf(c.kind, sizeof(c.kind), "%s", kind);
	return c;
}

static inline struct test_drop test_drop_of(uint32_t pid, const char *reason, const char *class)
{
	struct test_drop d = {.header = {.pid = pid, .tid = pid, .weight = 1, .flags = pid ? 0 : SONDE_PROCESS_UNKNOWN},
			      .length_bytes = 60};

	snprintf(d.reason, sizeof(d.reason), "%s", reason);
	snprintf(d.class, sizeof(d.class), "%s", class);
	return d;
}

/* The client. */

static inline int test_connect(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(port > 0 && fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline int test_connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void test_send(int fd, const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* it answered and closed before it took all */
		text += n;
		length -= (size_t)n;
	}
}

struct test_answer {
	unsigned status;
	char *header; /* whole text, header cut off from body */
	char *body;
	size_t body_length;
};

static inline void test_answer_free(struct test_answer *answer)
{
	free(answer->header);
}

/* Read to the end of the connection (the requests say Connection: close). */
static inline struct test_answer test_receive(int fd)
{
	struct test_answer answer = {0};
	size_t length = 0, capacity = 0;
	ssize_t n;

	do {
		if (length + 65536 > capacity) {
			capacity = capacity * 2 + 131072;
			answer.header = realloc(answer.header, capacity);
			assert_non_null(answer.header);
		}
		n = recv(fd, answer.header + length, capacity - length - 1, 0);
		length += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	close(fd);
	answer.header[length] = '\0';
	answer.body = strstr(answer.header, "\r\n\r\n");
	if (answer.body) {
		answer.body += 4;
		answer.body[-1] = '\0';
		answer.body_length = length - (size_t)(answer.body - answer.header);
	}
	sscanf(answer.header, "HTTP/1.%*c %u", &answer.status);
	return answer;
}

/* HTTP/1.0, so that a long answer is not chunked. `extra`: header lines, each with its end. */
static inline struct test_answer test_ask_fd(int fd, const char *method, const char *path, const char *extra, const char *body)
{
	char *request = NULL;
	int length = body ? asprintf(&request, "%s %s HTTP/1.0\r\n%sContent-Length: %zu\r\n\r\n%s", method, path, extra,
				     strlen(body), body) :
			    asprintf(&request, "%s %s HTTP/1.0\r\n%s\r\n", method, path, extra);

	assert_true(length > 0);
	test_send(fd, request);
	free(request);
	return test_receive(fd);
}

static inline struct test_answer test_ask(struct test_agent *agent, const char *listener, const char *method, const char *path,
				   const char *body)
{
	int fd = !strcmp(listener, "socket") ? test_connect_unix(agent->socket) :
					       test_connect(sonde_http_port(agent->http, listener));

	return test_ask_fd(fd, method, path, "Host: localhost\r\n", body);
}

static inline json_t *test_json(const struct test_answer *answer)
{
	json_error_t error;
	json_t *json = json_loadb(answer->body, answer->body_length, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("not JSON: %s: %s", error.text, answer->body);
	return json;
}

/* GET on the API, which must be 200. */
static inline json_t *test_get(struct test_agent *agent, const char *path)
{
	struct test_answer answer = test_ask(agent, "api", "GET", path, NULL);
	json_t *json;

	if (answer.status != 200)
		fail_msg("%s: %u %s", path, answer.status, answer.body);
	json = test_json(&answer);
	test_answer_free(&answer);
	return json;
}

static inline json_int_t test_int(const json_t *json, const char *name)
{
	const json_t *value = json_object_get(json, name);

	if (!json_is_integer(value))
		fail_msg("no number '%s'", name);
	return json_integer_value(value);
}
