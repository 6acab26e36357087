/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random events, random questions: every answer of each back end is what a naive walk over all events gives. The walk shares
 * nothing with the back ends but the filter's match; small blocks are merged and old ones dropped in between.
 */
#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>

#include <inttypes.h>
#include <stdio.h>

#define ROUNDS 3
#define QUESTIONS 250
#define EVENTS_MAX 6000

struct naive_event {
	struct test_record record;
	const struct sonde_type *type;
	int64_t time_ns;
	uint64_t arrival; /* among the events of its type */
};

static unsigned n_by; /* columns of the question at hand */

struct naive {
	struct sonde_store *store;
	struct naive_event events[EVENTS_MAX];
	size_t n;
	uint64_t arrivals[2];
	int64_t start_ns;
	unsigned seed;
};

static unsigned pick(struct naive *naive, unsigned n)
{
	return (unsigned)rand_r(&naive->seed) % n;
}

static const char *const containers[] = {NULL, "0123456789abcdef0123456789abcdef", "0123456789abzzzz0123456789abcdef", "short"};

static struct sonde_event naive_event(const struct naive_event *event)
{
	struct sonde_event out = test_event(event->type, &event->record, event->time_ns);

	out.container = containers[event->record.number % 4];
	return out;
}

/* Wide and narrow numbers, few and many texts, nulls, jumps of the clock. */
static void make_event(struct naive *naive, struct naive_event *event)
{
	uint64_t number = pick(naive, 3) ? pick(naive, 50) : (uint64_t)pick(naive, 1u << 31) << pick(naive, 33);

	event->record = test_record(number);
	event->type = pick(naive, 4) ? &test_type : &other_type;
	event->arrival = naive->arrivals[event->type == &other_type]++;
	event->time_ns = naive->start_ns + (int64_t)naive->n * 1000 + (int64_t)pick(naive, 40000);
	if (!pick(naive, 50))
		event->time_ns = naive->start_ns + 500000; /* many at one moment */
	event->record.header.pid = pick(naive, 3) ? 100 + pick(naive, 5) : pick(naive, 1u << 22);
	event->record.header.weight = naive->n / 700 % 2 ? 1 : 1 + pick(naive, 4);
	if (!pick(naive, 20))
		event->record.header.flags = SONDE_PROCESS_UNKNOWN;
	if (pick(naive, 2))
		event->record.name_length = (uint16_t)snprintf(event->record.name, sizeof(event->record.name), "n%u",
							       pick(naive, 100000));
	if (!pick(naive, 30))
		event->record.name_length = 0;
}

static void append_all(struct naive *naive, size_t n)
{
	while (naive->n < n) {
		size_t batch = 1 + pick(naive, 120);

		for (; batch && naive->n < n; batch--, naive->n++) {
			struct sonde_event event;

			make_event(naive, &naive->events[naive->n]);
			event = naive_event(&naive->events[naive->n]);
			assert_int_equal(sonde_store_append(naive->store, &event, 1), 0);
		}
		assert_int_equal(sonde_store_commit(naive->store, NULL, 0), 0);
		if (!pick(naive, 10))
			assert_int_equal(sonde_store_expire(naive->store, sonde_clock_wall_ns()), 0);
	}
}

/* ---- questions ---- */

static void make_where(struct naive *naive, char *out, size_t size)
{
	static const char *const commands[] = {"nginx", "curl", "redis-server", "nobody"};
	char parts[3][96];
	unsigned n = 1 + pick(naive, 3);

	for (unsigned i = 0; i < n; i++)
		switch (pick(naive, 9)) {
		case 0:
			snprintf(parts[i], sizeof(parts[i]), "command = \"%s\"", commands[pick(naive, 4)]);
			break;
		case 1:
			snprintf(parts[i], sizeof(parts[i]), "number < %u", pick(naive, 60));
			break;
		case 2:
			snprintf(parts[i], sizeof(parts[i]), "name ~ \"%u\"", pick(naive, 30));
			break;
		case 3:
			snprintf(parts[i], sizeof(parts[i]), "port = null");
			break;
		case 4:
			snprintf(parts[i], sizeof(parts[i]), "address = 10.0.0.0/%u", 24 + pick(naive, 8));
			break;
		case 5:
			snprintf(parts[i], sizeof(parts[i]), "flag = true");
			break;
		case 6:
			snprintf(parts[i], sizeof(parts[i]), "offset >= -%u", pick(naive, 2000));
			break;
		case 7:
			snprintf(parts[i], sizeof(parts[i]), "pid in (100, 102, %u)", pick(naive, 1u << 22));
			break;
		default:
			snprintf(parts[i], sizeof(parts[i]), "not weight = %u", 1 + pick(naive, 4));
		}
	snprintf(out, size, "%s%s%s%s%s", parts[0], n > 1 ? pick(naive, 2) ? " and " : " or " : "", n > 1 ? parts[1] : "",
		 n > 2 ? " and " : "", n > 2 ? parts[2] : "");
}

static void make_question(struct naive *naive, struct sonde_query *query, struct sonde_filter **where, char *text, size_t size)
{
	static const char *const commands[] = {"nginx", "curl", "sh", "nobody"};
	static const char *const asked[] = {"0123456789abcdef0123456789abcdef", "0123456789ab", "0123456789abz", "short", "shor"};
	static const char *const types[] = {NULL, TEST_PROGRAM, "other"};
	const char *error;

	*query = test_query(types[pick(naive, 3)]);
	query->oldest_first = pick(naive, 2);
	if (pick(naive, 2))
		query->since_ns = naive->start_ns + (int64_t)pick(naive, (unsigned)naive->n * 1000);
	if (pick(naive, 2))
		query->until_ns = naive->start_ns + (int64_t)pick(naive, (unsigned)naive->n * 1000 + 40000);
	if (!pick(naive, 3))
		query->pid = pick(naive, 2) ? 100 + pick(naive, 6) : naive->events[pick(naive, (unsigned)naive->n)].record.header.pid;
	if (!pick(naive, 4))
		query->command = commands[pick(naive, 4)];
	if (!pick(naive, 4))
		query->container = asked[pick(naive, 5)];
	text[0] = '\0';
	if (pick(naive, 2)) {
		make_where(naive, text, size);
		if (sonde_filter_new(text, &error, where))
			fail_msg("%s: %s", text, error);
		query->where = *where;
	}
}

/* ---- the naive walk ---- */

static const struct naive *sorted;
static bool sorted_oldest_first;

static int naive_order(const void *a, const void *b)
{
	const struct naive_event *x = &sorted->events[*(const uint32_t *)a], *y = &sorted->events[*(const uint32_t *)b];
	int order = x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;

	if (!order)
		order = x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
	if (!order)
		order = strcmp(x->type->name, y->type->name);
	return sorted_oldest_first ? order : -order;
}

static bool container_fits(const struct sonde_query *query, const char *container)
{
	size_t length = strlen(query->container);

	return container && (!strcmp(container, query->container) || (length >= 12 && !strncmp(container, query->container, length)));
}

static bool naive_fits(const struct sonde_query *query, const struct naive_event *event, struct sonde_value *values)
{
	struct sonde_event out = naive_event(event);

	sonde_event_values(&out, NULL, values);
	if ((query->type && strcmp(query->type, event->type->name)) || event->time_ns < query->since_ns ||
	    event->time_ns >= query->until_ns)
		return false;
	if (query->pid >= 0 && (event->record.header.flags || event->record.header.pid != query->pid))
		return false;
	if (query->command && (event->record.header.flags || strcmp(event->record.header.command, query->command)))
		return false;
	if (query->container && !container_fits(query, out.container))
		return false;
	return !query->where || sonde_filter_match(query->where, event->type, values);
}

/* The rows as text, in order; of a memory store only the set matters at one moment, so times stand first. */
static char *naive_rows(const struct naive *naive, const struct sonde_query *query, uint64_t *ret_rows, uint64_t *ret_weight)
{
	uint32_t *order CLEANUP_FREE = calloc(naive->n, sizeof(*order));
	struct sonde_value values[SONDE_COLUMNS_MAX];
	struct sonde_buffer out = SONDE_BUFFER_INIT;

	for (uint32_t i = 0; i < naive->n; i++)
		order[i] = i;
	sorted = naive;
	sorted_oldest_first = query->oldest_first;
	qsort(order, naive->n, sizeof(*order), naive_order);
	*ret_rows = *ret_weight = 0;
	for (size_t i = 0; i < naive->n; i++) {
		const struct naive_event *event = &naive->events[order[i]];

		if (!naive_fits(query, event, values))
			continue;
		test_row_text(event->type, values, &out);
		(*ret_rows)++;
		*ret_weight += event->record.header.weight;
	}
	return out.data ?: strdup("");
}

/* ---- compare ---- */

static void check_rows(struct naive *naive, const struct sonde_query *query, const char *text, const char *expected)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_query page = *query;
	struct sonde_answer answer = {.more = true};
	char cursor[SONDE_CURSOR_MAX];

	page.limit = pick(naive, 2) ? 0 : 1 + pick(naive, 400);
	while (answer.more) {
		assert_int_equal(sonde_store_query(naive->store, &page, test_collect, &out, &answer), 0);
		assert_int_equal(answer.lost, 0);
		memcpy(cursor, answer.cursor, sizeof(cursor));
		page.cursor = cursor;
	}
	if (strcmp(out.data ?: "", expected))
		fail_msg("other rows for: type %s pid %" PRId64 " command %s container %s where %s, %s first, %u a page",
			 query->type ?: "*", query->pid, query->command ?: "*", query->container ?: "*", text,
			 query->oldest_first ? "oldest" : "newest", page.limit);
}

/* Of a group its values, then the number of its events and the sum. */
static int add_group(const struct sonde_group *group, void *userdata)
{
	struct sonde_buffer *out = userdata;

	for (unsigned i = 0; group->values && i < n_by; i++)
		test_value_text(&group->values[i], out);
	sonde_buffer_printf(out, "=%" PRIu64 " %" PRId64 "\n", group->count, group->sum);
	return 0;
}

static int line_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_lines(struct sonde_buffer *text)
{
	struct sonde_buffer out = SONDE_BUFFER_INIT;
	char *lines[EVENTS_MAX], *save = NULL;
	size_t n = 0;

	if (!text->length)
		return;
	for (char *line = strtok_r(text->data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	qsort(lines, n, sizeof(*lines), line_order);
	for (size_t i = 0; i < n; i++)
		sonde_buffer_printf(&out, "%s\n", lines[i]);
	sonde_buffer_free(text);
	*text = out;
}

struct naive_group {
	char value[300];
	uint64_t weight;
	__int128 sum;
};

static int64_t limited(__int128 sum)
{
	return sum > INT64_MAX ? INT64_MAX : sum < INT64_MIN ? INT64_MIN : (int64_t)sum;
}

static void add_value(const struct sonde_type *type, const struct sonde_value *values, const char *name, struct sonde_buffer *out)
{
	int column = sonde_type_find_column(type, name);

	test_value_text(column < 0 ? &(struct sonde_value){.type = SONDE_NULL} : &values[column], out);
}

static void naive_groups(const struct naive *naive, const struct sonde_query *query, const struct sonde_count_opts *opts,
			 struct sonde_buffer *out)
{
	static struct naive_group groups[EVENTS_MAX];
	struct sonde_value values[SONDE_COLUMNS_MAX];
	size_t n = n_by ? 0 : 1; /* without groups there is a number also of nothing */

	for (size_t i = 0; i < naive->n; i++) {
		const struct naive_event *event = &naive->events[i];
		int sum = opts->sum ? sonde_type_find_column(event->type, opts->sum) : -1;
		struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
		size_t j = 0;

		if (!naive_fits(query, event, values))
			continue;
		for (unsigned k = 0; k < n_by; k++)
			add_value(event->type, values, opts->by[k], &text);
		while (j < n && strcmp(groups[j].value, text.data ?: ""))
			j++;
		if (j == n)
			snprintf(groups[n++].value, sizeof(groups[0].value), "%s", text.data);
		groups[j].weight += event->record.header.weight;
		if (sum >= 0 && values[sum].type != SONDE_NULL)
			groups[j].sum += (__int128)values[sum].i * event->record.header.weight;
	}
	for (size_t i = 0; i < n; i++) {
		sonde_buffer_printf(out, "%s=%" PRIu64 " %" PRId64 "\n", groups[i].value, groups[i].weight, limited(groups[i].sum));
		groups[i] = (struct naive_group){};
	}
}

/* None to three columns, mostly one, in few or many passes, and perhaps a sum: all below 2^63 of one sign, so that no order matters. */
static void make_opts(struct naive *naive, struct sonde_count_opts *opts)
{
	static const char *const columns[] = {"command", "pid", "port", "name", "address", "flag", "type", "container", "weight", "offset"};
	static const char *const sums[] = {NULL, "number", "offset", "weight"};

	n_by = pick(naive, 2) ? 1 : pick(naive, 4);
	*opts = (struct sonde_count_opts){.sum = sums[pick(naive, ARRAY_SIZE(sums))], .bytes = pick(naive, 2) ? 0 : 600};
	for (unsigned i = 0; i < n_by; i++)
		opts->by[i] = columns[pick(naive, ARRAY_SIZE(columns))];
}

static void check_groups(struct naive *naive, const struct sonde_query *query, const char *text)
{
	struct sonde_buffer got CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT, expected CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_count_opts opts;
	struct sonde_answer answer;
	int r;

	make_opts(naive, &opts);
	r = sonde_store_count(naive->store, query, &opts, add_group, &got, &answer);
	if (r == -ENOENT && query->type) /* this type has no such column */
		return;
	assert_int_equal(r, 0);
	naive_groups(naive, query, &opts, &expected);
	sort_lines(&got);
	sort_lines(&expected);
	if (strcmp(got.data ?: "", expected.data ?: ""))
		fail_msg("other groups by %s,%s,%s, sum of %s, where %s:\n%s\nnot\n%s", opts.by[0], opts.by[1] ?: "", opts.by[2] ?: "",
			 opts.sum ?: "", text, got.data ?: "", expected.data ?: "");
}

static void check_counts(struct naive *naive, const struct sonde_query *query, const char *text, uint64_t rows, uint64_t weight)
{
	struct sonde_buffer got CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_answer answer;
	char sum[40];

	assert_int_equal(sonde_store_count(naive->store, query, NULL, add_group, &got, &answer), 0);
	snprintf(sum, sizeof(sum), "=%" PRIu64 " 0\n", weight);
	if (strcmp(got.data, sum) || answer.rows != rows)
		fail_msg("count %s not %s, %" PRIu64 " rows not %" PRIu64 ": where %s", got.data, sum, answer.rows, rows, text);
	sonde_buffer_clear(&got);
	check_groups(naive, query, text);
}

static void ask(struct naive *naive)
{
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	struct sonde_query query;
	char text[320], *expected CLEANUP_FREE = NULL;
	uint64_t rows, weight;

	make_question(naive, &query, &where, text, sizeof(text));
	expected = naive_rows(naive, &query, &rows, &weight);
	check_rows(naive, &query, text, expected);
	check_counts(naive, &query, text, rows, weight);
}

static void run(const char *path, unsigned seed)
{
	static const size_t sizes[] = {300, 900, 2700, EVENTS_MAX};
	struct naive *naive CLEANUP_FREE = calloc(1, sizeof(*naive));
	struct sonde_store_opts opts = {.path = path, .merge_cpu_pct = 100};

	naive->seed = seed;
	naive->start_ns = sonde_clock_wall_ns() - 3600 * SONDE_NS_PER_S;
	assert_int_equal(sonde_store_open(&opts, &naive->store), 0);
	assert_int_equal(sonde_store_add_type(naive->store, &test_type), 0);
	assert_int_equal(sonde_store_add_type(naive->store, &other_type), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		append_all(naive, sizes[i]);
		for (int j = 0; j < QUESTIONS / 4; j++)
			ask(naive);
	}
	sonde_store_close(&naive->store);
}

static void test_sqlite(void **state)
{
	char folder[64], path[128];

	for (unsigned i = 1; i <= ROUNDS; i++) {
		snprintf(folder, sizeof(folder), "%s", test_folder());
		snprintf(path, sizeof(path), "%s/events.db", folder);
		run(path, i);
		test_remove(folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sqlite)};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
