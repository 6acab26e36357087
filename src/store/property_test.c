/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random events, random questions: every answer of each back end is what a naive walk over all events gives (naive.h); small blocks are
 * merged in between. recording_test.c does the same with real events.
 */
#include <store/naive.h>

#include <base/log.h>

#define ROUNDS 3
#define QUESTIONS 250
#define EVENTS_MAX 6000

struct made {
	struct naive naive;
	struct naive_event events[EVENTS_MAX];
	struct test_record records[EVENTS_MAX];
	uint64_t arrivals[2];
	int64_t start_ns;
};

static unsigned pick(struct made *made, unsigned n)
{
	return naive_pick(&made->naive, n);
}

static const char *const containers[] = {NULL, "0123456789abcdef0123456789abcdef", "0123456789abzzzz0123456789abcdef", "short"};

/* Wide and narrow numbers, few and many texts, nulls, jumps of the clock. */
static struct test_record make_record(struct made *made)
{
	uint64_t number = pick(made, 3) ? pick(made, 50) : (uint64_t)pick(made, 1u << 31) << pick(made, 33);
	struct test_record record = test_record(number);

	record.header.pid = pick(made, 3) ? 100 + pick(made, 5) : pick(made, 1u << 22);
	record.header.weight = made->naive.n / 700 % 2 ? 1 : 1 + pick(made, 4);
	if (!pick(made, 20))
		record.header.flags = SONDE_PROCESS_UNKNOWN;
	if (pick(made, 2))
		record.name_length = (uint16_t)snprintf(record.name, sizeof(record.name), "n%u", pick(made, 100000));
	if (!pick(made, 30))
		record.name_length = 0;
	return record;
}

static void make_event(struct made *made)
{
	size_t i = made->naive.n++;
	const struct sonde_type *type = pick(made, 4) ? &test_type : &other_type;
	int64_t time_ns = made->start_ns + (int64_t)i * 1000 + (int64_t)pick(made, 40000);

	if (!pick(made, 50))
		time_ns = made->start_ns + 500000; /* many at one moment */
	made->records[i] = make_record(made);
	made->events[i] = (struct naive_event){.event = test_event(type, &made->records[i], time_ns),
					       .arrival = made->arrivals[type == &other_type]++};
	made->events[i].event.container = containers[made->records[i].number % 4];
}

static void append_all(struct made *made, size_t n)
{
	struct naive *naive = &made->naive;

	while (naive->n < n) {
		size_t batch = 1 + pick(made, 120);

		for (; batch && naive->n < n; batch--) {
			make_event(made);
			assert_int_equal(sonde_store_append(naive->store, &made->events[naive->n - 1].event, 1), 0);
		}
		assert_int_equal(sonde_store_commit(naive->store, NULL, 0), 0);
		if (!pick(made, 10))
			assert_int_equal(sonde_store_expire(naive->store, sonde_clock_wall_ns()), 0);
	}
}

/* ---- questions ---- */

static void make_where(struct made *made, char *out, size_t size)
{
	static const char *const commands[] = {"nginx", "curl", "redis-server", "nobody"};
	char parts[3][96];
	unsigned n = 1 + pick(made, 3);

	for (unsigned i = 0; i < n; i++)
		switch (pick(made, 9)) {
		case 0:
			snprintf(parts[i], sizeof(parts[i]), "command = \"%s\"", commands[pick(made, 4)]);
			break;
		case 1:
			snprintf(parts[i], sizeof(parts[i]), "number < %u", pick(made, 60));
			break;
		case 2:
			snprintf(parts[i], sizeof(parts[i]), "name ~ \"%u\"", pick(made, 30));
			break;
		case 3:
			snprintf(parts[i], sizeof(parts[i]), "port = null");
			break;
		case 4:
			snprintf(parts[i], sizeof(parts[i]), "address = 10.0.0.0/%u", 24 + pick(made, 8));
			break;
		case 5:
			snprintf(parts[i], sizeof(parts[i]), "flag = true");
			break;
		case 6:
			snprintf(parts[i], sizeof(parts[i]), "offset >= -%u", pick(made, 2000));
			break;
		case 7:
			snprintf(parts[i], sizeof(parts[i]), "pid in (100, 102, %u)", pick(made, 1u << 22));
			break;
		default:
			snprintf(parts[i], sizeof(parts[i]), "not weight = %u", 1 + pick(made, 4));
		}
	snprintf(out, size, "%s%s%s%s%s", parts[0], n > 1 ? pick(made, 2) ? " and " : " or " : "", n > 1 ? parts[1] : "",
		 n > 2 ? " and " : "", n > 2 ? parts[2] : "");
}

static void make_question(struct made *made, struct sonde_query *query, struct sonde_filter **where, char *text, size_t size)
{
	static const char *const commands[] = {"nginx", "curl", "sh", "nobody"};
	static const char *const asked[] = {"0123456789abcdef0123456789abcdef", "0123456789ab", "0123456789abz", "short", "shor"};
	static const char *const types[] = {NULL, TEST_PROGRAM, "other"};
	const char *error;

	*query = test_query(types[pick(made, 3)]);
	query->oldest_first = pick(made, 2);
	if (pick(made, 2))
		query->since_ns = made->start_ns + (int64_t)pick(made, (unsigned)made->naive.n * 1000);
	if (pick(made, 2))
		query->until_ns = made->start_ns + (int64_t)pick(made, (unsigned)made->naive.n * 1000 + 40000);
	if (!pick(made, 3))
		query->pid = pick(made, 2) ? 100 + pick(made, 6) : made->records[pick(made, (unsigned)made->naive.n)].header.pid;
	if (!pick(made, 4))
		query->command = commands[pick(made, 4)];
	if (!pick(made, 4))
		query->container = asked[pick(made, 5)];
	text[0] = '\0';
	if (pick(made, 2)) {
		make_where(made, text, size);
		if (sonde_filter_new(text, &error, where))
			fail_msg("%s: %s", text, error);
		query->where = *where;
	}
}

/* None to three columns, mostly one, in few or many passes, and perhaps a sum: all below 2^63 of one sign, so that no order matters. */
static void make_opts(struct made *made, struct sonde_count_opts *opts)
{
	static const char *const columns[] = {"command", "pid", "port", "name", "address", "flag", "type", "container", "weight", "offset"};
	static const char *const sums[] = {NULL, "number", "offset", "weight"};

	unsigned n_by = pick(made, 2) ? 1 : pick(made, 4);

	*opts = (struct sonde_count_opts){.sum = sums[pick(made, ARRAY_SIZE(sums))], .bytes = pick(made, 2) ? 0 : 600};
	for (unsigned i = 0; i < n_by; i++)
		opts->by[i] = columns[pick(made, ARRAY_SIZE(columns))];
}

static void ask(struct made *made)
{
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	struct sonde_count_opts opts;
	struct sonde_query query;
	char text[320];

	make_question(made, &query, &where, text, sizeof(text));
	make_opts(made, &opts);
	naive_ask(&made->naive, &query, text, &opts);
}

static void run(const char *path, unsigned seed)
{
	static const size_t sizes[] = {300, 900, 2700, EVENTS_MAX};
	struct made *made CLEANUP_FREE = calloc(1, sizeof(*made));
	struct sonde_store_opts opts = {.path = path, .merge_cpu_pct = 100};

	made->naive.events = made->events;
	made->naive.seed = seed;
	made->start_ns = sonde_clock_wall_ns() - 3600 * SONDE_NS_PER_S;
	assert_int_equal(sonde_store_open(&opts, &made->naive.store), 0);
	assert_int_equal(sonde_store_add_type(made->naive.store, &test_type), 0);
	assert_int_equal(sonde_store_add_type(made->naive.store, &other_type), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		append_all(made, sizes[i]);
		for (int j = 0; j < QUESTIONS / 4; j++)
			ask(made);
	}
	sonde_store_close(&made->naive.store);
}

static void test_memory(void **state)
{
	run("memory", 1);
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_sqlite)};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
