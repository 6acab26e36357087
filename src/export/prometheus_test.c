/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics page: promtool takes it, hostile labels cannot break it, and it stays small whatever is counted. */
#include <http/http_test.h>

#include <export/prometheus.h>
#include <sys/wait.h>

static struct test_agent *agent;

struct key {
	__u32 number;
	char name[160];
};

static const struct sonde_column labels[] = {
	FIELD(key, number, UINT, NONE, .is_plain = true),
	FIELD(key, name, TEXT, NONE, .is_chars = true),
};

static const struct sonde_metric packets = {.name = "packets_total", .doc = "Packets by \"reason\"\nand \\ class", .map = "packets",
					    .is_counter = true, .key_size = sizeof(struct key), .n_labels = 2, .labels = labels},
				 depth = {.name = "queue_depth", .doc = "Depth", .map = "depth", .key_size = sizeof(struct key),
					  .n_labels = 2, .labels = labels},
				 plain = {.name = "resets", .doc = "Resets", .map = "resets", .is_counter = true, .key_size = 4};

static int setup(void **state)
{
	agent = test_agent_new();
	test_agent_serve(agent, 0);
	return 0;
}

static int teardown(void **state)
{
	test_agent_free(agent);
	return 0;
}

static struct sonde_buffer page(struct sonde_prometheus *prometheus, enum sonde_prometheus_format format)
{
	struct sonde_buffer out = SONDE_BUFFER_INIT;

	sonde_prometheus_begin(prometheus);
	sonde_prometheus_collect(prometheus, &agent->view);
	assert_int_equal(sonde_prometheus_write(prometheus, format, &out), 0);
	return out;
}

static void promtool(const char *text, size_t length)
{
	char path[] = "/tmp/sonde-promtool-XXXXXX", command[128], said[512] = "";
	int fd, status;
	FILE *pipe;

	if (system("command -v promtool >/dev/null 2>&1")) {
		print_message("promtool is not installed: not checked with it\n");
		return;
	}
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
	snprintf(command, sizeof(command), "promtool check metrics <%s 2>&1", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	(void)!fread(said, 1, sizeof(said) - 1, pipe);
	status = pclose(pipe);
	unlink(path);
	if (!WIFEXITED(status) || WEXITSTATUS(status) || *said)
		fail_msg("promtool: %s", said);
}

static void hostile(sonde_metric_fn fn, void *to)
{
	static const char *const names[] = {
		"plain", "quo\"te", "back\\slash", "new\nline", "tab\t", "\x1b[31m", "\xff\xfe", "\xc3", "\xc3\xa4", "\xf0\x9f\x90\x9f",
		"\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "a\"} 1\nfake_metric 1\n#", "{}", "", "\x7f\xc2\x9b", "# EOF",
	};
	struct key key;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		memset(&key, 0, sizeof(key));
		key.number = i;
		snprintf(key.name, sizeof(key.name), "%s", names[i]);
		fn(&packets, &key, i + 1, to);
		memset(key.name, 'x', sizeof(key.name) - 1); /* longer than a label may be */
		fn(&depth, &key, i, to);
	}
	fn(&plain, &key, 3, to);
	for (unsigned c = 1; c < 256; c++) {
		memset(&key, 0, sizeof(key));
		key.number = 1000 + c;
		key.name[0] = (char)c;
		key.name[1] = (char)(c * 7);
		key.name[2] = (char)(c * 31);
		fn(&packets, &key, 1, to);
	}
}

/* Strict UTF-8 and no control byte but the newline. */
static void page_is_clean(const struct sonde_buffer *text)
{
	json_t *json = json_stringn(text->data, text->length); /* refuses what is not UTF-8 */

	assert_non_null(json);
	json_decref(json);
	for (size_t i = 0; i < text->length; i++)
		if ((unsigned char)text->data[i] < 0x20 && text->data[i] != '\n')
			fail_msg("control byte %02x", (unsigned char)text->data[i]);
}

static void both_formats_are_well_formed(void **state)
{
	struct sonde_prometheus *prometheus = NULL;
	struct sonde_buffer text, open;

	assert_int_equal(sonde_prometheus_new(&prometheus), 0);
	agent->metrics = hostile;
	text = page(prometheus, SONDE_PROMETHEUS_TEXT);
	open = page(prometheus, SONDE_PROMETHEUS_OPENMETRICS);
	agent->metrics = NULL;
	page_is_clean(&text);
	page_is_clean(&open);
	promtool(text.data, text.length);
	assert_null(strstr(text.data, "\nfake_metric"));
	assert_non_null(strstr(text.data, "\nsonde_packets_total{number=\"3\",name=\"new\\nline\"} 4\n"));
	assert_non_null(strstr(text.data, "\nsonde_packets_total{number=\"1\",name=\"quo\\\"te\"} 2\n"));
	assert_non_null(strstr(text.data, "\nsonde_packets_total{number=\"2\",name=\"back\\\\slash\"} 3\n"));
	assert_non_null(strstr(text.data, "\nsonde_packets_total{number=\"6\",name=\"\\\\xff\\\\xfe\"} 7\n"));
	assert_non_null(strstr(text.data, "\nsonde_resets_total 3\n"));
	assert_non_null(strstr(text.data, "\nsonde_known_processes 7\n"));
	assert_non_null(strstr(text.data, "\nsonde_events_total{program=\"connection\",outcome=\"ring_full\"} 2\n"));
	assert_non_null(strstr(text.data, "\nsonde_ledger_residual{program=\"connection\"} 0\n"));
	assert_non_null(strstr(text.data, "\nsonde_program_state{program=\"packet_drop\",state=\"failed\"} 1\n"));
	assert_non_null(strstr(text.data, "\nsonde_build_info{version=\"9.9\"} 1\n"));
	assert_non_null(strstr(text.data, "# TYPE sonde_events_total counter\n"));
	assert_null(strstr(text.data, "# EOF\n#"));
	assert_non_null(strstr(open.data, "# TYPE sonde_events counter\n"));
	assert_non_null(strstr(open.data, "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n"));
	assert_non_null(strstr(open.data, "\nprocess_cpu_seconds_total 1.25\n"));
	assert_string_equal(open.data + open.length - 7, "\n# EOF\n");
	sonde_buffer_free(&text);
	sonde_buffer_free(&open);
	sonde_prometheus_free(&prometheus);
}

static unsigned keys_from, keys_to;

static void many(sonde_metric_fn fn, void *to)
{
	struct key key = {0};

	for (unsigned i = keys_from; i < keys_to; i++) {
		key.number = i;
		snprintf(key.name, sizeof(key.name), "process-with-a-long-name-%0100u", i);
		fn(&packets, &key, 1000, to);
	}
}

/* All series of the metric: their number, sum, and what of it is in "other". */
static void add_up(const char *text, const char *metric, unsigned *ret_series, uint64_t *ret_sum, uint64_t *ret_other)
{
	const char *line = text;
	size_t length = strlen(metric);

	*ret_series = 0;
	*ret_sum = *ret_other = 0;
	for (; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		const char *end = strchr(line, '\n'), *value = end;
		uint64_t number;

		if (strncmp(line, metric, length) || line[length] != '{')
			continue;
		while (value[-1] != ' ')
			value--;
		number = strtoull(value, NULL, 10);
		++*ret_series;
		*ret_sum += number;
		if (!strncmp(line + length, "{number=\"other\",name=\"other\"}", 29))
			*ret_other += number;
	}
}

static void series_are_capped_and_the_sum_is_exact(void **state)
{
	struct sonde_prometheus *prometheus = NULL;
	struct sonde_buffer text;
	uint64_t sum, other;
	unsigned series;

	assert_int_equal(sonde_prometheus_new(&prometheus), 0);
	agent->metrics = many;
	keys_from = 0;
	keys_to = 20000;
	text = page(prometheus, SONDE_PROMETHEUS_TEXT);
	add_up(text.data, "sonde_packets_total", &series, &sum, &other);
	assert_int_equal(series, SONDE_SERIES_PER_METRIC);
	assert_int_equal(sum, 20000 * 1000);
	assert_int_equal(other, (20000 - SONDE_SERIES_PER_METRIC + 1) * 1000);
	assert_true(text.length <= SONDE_PAGE_MAX);
	assert_non_null(strstr(text.data, "\nsonde_metrics_folded_series 19001\n"));
	promtool(text.data, text.length);
	sonde_buffer_free(&text);
	/* A shown series stays shown when keys come in front of it, as a hash map hands them out. */
	assert_int_equal(keys_from, 0);
	keys_from = 500;
	keys_to = 900;
	text = page(prometheus, SONDE_PROMETHEUS_TEXT);
	add_up(text.data, "sonde_packets_total", &series, &sum, &other);
	assert_int_equal(series, 400);
	assert_int_equal(other, 0);
	sonde_buffer_free(&text);
	keys_from = 0;
	keys_to = 20000;
	text = page(prometheus, SONDE_PROMETHEUS_TEXT);
	assert_non_null(strstr(text.data, "number=\"899\""));
	add_up(text.data, "sonde_packets_total", &series, &sum, &other);
	assert_int_equal(sum, 20000 * 1000);
	sonde_buffer_free(&text);
	agent->metrics = NULL;
	sonde_prometheus_free(&prometheus);
}

/* As a hash map hands them out: in any order. 3 of 1 us, 2 of 17 s, 1 longer, of one name; one of 1 s of another. */
static void times(sonde_metric_fn fn, void *to)
{
	static const struct sonde_metric seconds = {.name = "wait_seconds", .doc = "Waits", .map = "waits", .is_histogram = true,
						    .key_size = sizeof(struct key), .bucket_offset = offsetof(struct key, name[159]),
						    .n_labels = 2, .labels = labels};
	static const struct {
		uint8_t number, le;
		uint64_t value;
	} numbers[] = {{1, 34, 2}, {1, SONDE_BUCKET_SUM, 60000000000}, {2, 30, 1}, {1, 10, 3}, {1, 35, 1}, {2, SONDE_BUCKET_SUM, 1000000000}};

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct key key = {.number = numbers[i].number, .name = "x"};

		key.name[159] = (char)numbers[i].le;
		fn(&seconds, &key, numbers[i].value, to);
	}
}

static void histograms(void **state)
{
	struct sonde_prometheus *prometheus = NULL;

	assert_int_equal(sonde_prometheus_new(&prometheus), 0);
	agent->metrics = times;
	for (int round = 0; round < 3; round++) { /* nothing adds up from page to page */
		struct sonde_buffer text = page(prometheus, round == 2 ? SONDE_PROMETHEUS_OPENMETRICS : SONDE_PROMETHEUS_TEXT);
		const char *first, *last;

		assert_non_null(strstr(text.data, "# TYPE sonde_wait_seconds histogram\n"));
		first = strstr(text.data, "\nsonde_wait_seconds_bucket{number=\"1\",name=\"x\",le=\"1.024e-06\"} 3\n");
		last = strstr(text.data, "\nsonde_wait_seconds_bucket{number=\"1\",name=\"x\",le=\"17.179869184\"} 5\n"
					 "sonde_wait_seconds_bucket{number=\"1\",name=\"x\",le=\"+Inf\"} 6\n");
		assert_non_null(first);
		assert_true(last > first);
		assert_non_null(strstr(text.data, "\nsonde_wait_seconds_bucket{number=\"2\",name=\"x\",le=\"0.536870912\"} 0\n"));
		assert_non_null(strstr(text.data, "\nsonde_wait_seconds_bucket{number=\"2\",name=\"x\",le=\"1.073741824\"} 1\n"));
		assert_non_null(strstr(text.data, "\nsonde_wait_seconds_sum{number=\"1\",name=\"x\"} 60\n"));
		assert_non_null(strstr(text.data, "\nsonde_wait_seconds_count{number=\"1\",name=\"x\"} 6\n"));
		assert_non_null(strstr(text.data, "\nsonde_wait_seconds_count{number=\"2\",name=\"x\"} 1\n"));
		assert_null(strstr(text.data, "TYPE sonde_wait_seconds_"));
		if (round < 2)
			promtool(text.data, text.length);
		sonde_buffer_free(&text);
	}
	agent->metrics = NULL;
	sonde_prometheus_free(&prometheus);
}

static void many_metrics(sonde_metric_fn fn, void *to)
{
	static struct sonde_metric metrics[40];
	static char names[40][32];
	struct key key = {0};

	for (unsigned m = 0; m < 40; m++) {
		snprintf(names[m], sizeof(names[m]), "things_%u_total", m);
		metrics[m] = packets;
		metrics[m].name = names[m];
		for (unsigned i = 0; i < 1500; i++) {
			key.number = i;
			snprintf(key.name, sizeof(key.name), "%0150u", i);
			fn(&metrics[m], &key, 1, to);
		}
	}
}

static void the_page_is_capped(void **state)
{
	struct sonde_prometheus *prometheus = NULL;
	struct sonde_buffer text;
	unsigned series, lines = 0;
	uint64_t sum, other;
	char name[64];

	assert_int_equal(sonde_prometheus_new(&prometheus), 0);
	agent->metrics = many_metrics;
	text = page(prometheus, SONDE_PROMETHEUS_TEXT);
	agent->metrics = NULL;
	for (const char *line = text.data; line && *line; line = strchr(line, '\n'), line += line != NULL)
		lines += *line != '#';
	assert_true(lines <= SONDE_SERIES_MAX && lines > SONDE_SERIES_MAX / 2);
	assert_true(text.length <= SONDE_PAGE_MAX);
	for (unsigned m = 0; m < 40; m++) {
		snprintf(name, sizeof(name), "sonde_things_%u_total", m);
		add_up(text.data, name, &series, &sum, &other);
		assert_int_equal(sum, 1500);
	}
	promtool(text.data, text.length);
	sonde_buffer_free(&text);
	sonde_prometheus_free(&prometheus);
}

static void served_by_accept(void **state)
{
	static const struct {
		const char *header, *type;
	} cases[] = {
		{"", "Content-Type: text/plain; version=0.0.4; charset=utf-8"},
		{"Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
		 "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"},
	};

	for (size_t i = 0; i < 2; i++) {
		struct test_answer answer = test_ask_fd(test_connect(sonde_http_port(agent->http, "metrics")), "GET", "/metrics",
							cases[i].header, NULL);

		assert_int_equal(answer.status, 200);
		assert_non_null(strstr(answer.header, cases[i].type));
		assert_non_null(strstr(answer.body, "sonde_http_connections{listener=\"metrics\"} 1\n"));
		if (!i)
			promtool(answer.body, answer.body_length);
		else
			assert_string_equal(answer.body + answer.body_length - 6, "# EOF\n");
		test_answer_free(&answer);
	}
	for (size_t i = 0; i < 3; i++) {
		struct test_answer answer = test_ask(agent, "metrics", "GET", i == 0 ? "/" : i == 1 ? "/health" : "/metrics/", NULL);

		assert_int_equal(answer.status, 404);
		test_answer_free(&answer);
	}
	struct test_answer answer = test_ask(agent, "metrics", "POST", "/metrics", "x");
	assert_int_equal(answer.status, 405);
	test_answer_free(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_formats_are_well_formed),
		cmocka_unit_test(series_are_capped_and_the_sum_is_exact),
		cmocka_unit_test(the_page_is_capped),
		cmocka_unit_test(histograms),
		cmocka_unit_test(served_by_accept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
