/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real events, recorded from the programs when the test starts (recording.h), instead of made ones: what was appended comes back, every
 * question has the answer of a naive walk (naive.h), in SQL too, and a damaged file serves none that did not happen.
 */
#include <store/naive.h>
#include <store/recording.h>

#include <base/log.h>

#include <arpa/inet.h>
#include <sys/stat.h>

#define QUESTIONS 120
#define FLIPS 400
#define PAGE 4096 /* of the file */
#define LIST 40	  /* bytes at both ends of a page */
#define PATIENCE 3000 /* times 10 ms */
#define BATCH 512     /* of a commit */

/* What each is caused, at least; with events of whatever else goes on, up to its most. */
static const struct {
	const char *command;
	size_t least;
} causes[] = {
	{"generate exec 200", 400},
	{"generate connections 127.0.0.1 300", 1200},
	{"generate udp 127.0.0.1 9 500", 500},
};

static struct recording recording = {
	.programs = {{"process", 1000}, {"connection", 3000}, {"packet_drop", 1000}}, .n_programs = ARRAY_SIZE(causes),
};
static struct naive naive;

/* ---- record ---- */

static void cause(size_t program)
{
	char command[300];

	snprintf(command, sizeof(command), "%s/%s >/dev/null", SONDE_BUILD_DIR, causes[program].command);
	assert_int_equal(system(command), 0);
	for (int i = 0; recording_has(&recording, program) < causes[program].least; i++) {
		if (i == PATIENCE)
			fail_msg("%zu events of %s, not %zu", recording_has(&recording, program), recording.programs[program].name,
				 causes[program].least);
		usleep(10000);
	}
}

/* Every type's events in the order in which they came. */
static void take_events(void)
{
	naive.names = sonde_enrich_names(recording.enrich);
	naive.n = recording.n;
	naive.events = calloc(naive.n, sizeof(*naive.events));
	for (size_t i = 0; i < naive.n; i++) {
		naive.events[i].event = recording.events[i];
		for (size_t j = i; j-- > 0 && !naive.events[i].arrival;)
			if (recording.events[j].type == recording.events[i].type)
				naive.events[i].arrival = naive.events[j].arrival + 1;
	}
}

static int record(void **state)
{
	int r = geteuid() ? -EPERM : recording_begin(&recording);

	if (r == -EPERM) {
		print_message("skipped: no right to load programs\n");
		return 0;
	}
	assert_int_equal(r, 0);
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		cause(i);
	recording_end(&recording);
	take_events();
	return 0;
}

static int forget(void **state)
{
	free(naive.events);
	recording_free(&recording);
	return 0;
}

/* ---- a store of them ---- */

struct fixture {
	char folder[64], path[128];
	struct sonde_store_opts opts;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->folder, sizeof(f->folder), "%s", test_folder());
	snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
	f->opts = (struct sonde_store_opts){.path = f->path, .names = naive.names, .merge_cpu_pct = 100};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sonde_store_close(&naive.store);
	test_remove(f->folder);
	free(f);
	return 0;
}

static void fill(struct fixture *f)
{
	if (!naive.n)
		skip();
	naive.seed = 1;
	assert_int_equal(sonde_store_open(&f->opts, &naive.store), 0);
	assert_int_equal(recording_add_types(&recording, naive.store), 0);
	for (size_t i = 0; i < naive.n; i += BATCH) {
		size_t n = naive.n - i < BATCH ? naive.n - i : BATCH;

		assert_int_equal(sonde_store_append(naive.store, &recording.events[i], n), 0);
		assert_int_equal(sonde_store_commit(naive.store, NULL, 0), 0);
		assert_int_equal(sonde_store_expire(naive.store, sonde_clock_wall_ns()), 0);
	}
}

/* ---- questions ---- */

static const struct sonde_event *any_event(void)
{
	return &naive.events[naive_pick(&naive, (unsigned)naive.n)].event;
}

/* A value as the filter language takes it. @return false: no condition for it here. */
static bool value_text(const struct sonde_column *column, const struct sonde_value *value, char *out, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./: ";
	struct in6_addr address;

	switch (value->type) {
	case SONDE_NULL:
		return snprintf(out, size, "null") > 0;
	case SONDE_INT:
		return column->semantic != SONDE_SEMANTIC_TIME && snprintf(out, size, "%" PRId64, value->i) > 0;
	case SONDE_UINT:
		return snprintf(out, size, "%" PRIu64, value->u) > 0;
	case SONDE_BOOL:
		return snprintf(out, size, "%s", value->b ? "true" : "false") > 0;
	case SONDE_ADDRESS:
		memcpy(&address, value->address, sizeof(address));
		return IN6_IS_ADDR_V4MAPPED(&address) ? inet_ntop(AF_INET, &address.s6_addr[12], out, (socklen_t)size) :
							inet_ntop(AF_INET6, &address, out, (socklen_t)size);
	default:
		if (column->semantic == SONDE_SEMANTIC_ARGUMENTS || value->length > 60)
			return false;
		for (uint32_t i = 0; i < value->length; i++)
			if (!value->text[i] || !strchr(plain, value->text[i]))
				return false;
		return snprintf(out, size, "\"%.*s\"", (int)value->length, value->text) > 0;
	}
}

/* A condition that at least one event fulfils, or nearly. */
static void make_condition(char *out, size_t size)
{
	static const char *const operators[] = {"=", "=", "!=", "<", ">="};
	struct sonde_value values[SONDE_COLUMNS_MAX];
	char value[100];
	const struct sonde_event *event;
	uint32_t column;
	bool is_number;

	do {
		event = any_event();
		sonde_event_values(event, naive.names, values);
		column = SONDE_COLUMN_PID + naive_pick(&naive, event->type->n_columns - SONDE_COLUMN_PID);
	} while (!value_text(&event->type->columns[column], &values[column], value, sizeof(value)));
	is_number = values[column].type == SONDE_INT || values[column].type == SONDE_UINT;
	snprintf(out, size, "%s %s %s", event->type->columns[column].name, operators[naive_pick(&naive, is_number ? 5 : 3)], value);
}

static void make_where(char *out, size_t size)
{
	char one[220], other[220];

	make_condition(one, sizeof(one));
	make_condition(other, sizeof(other));
	if (naive_pick(&naive, 2))
		snprintf(out, size, "%s", one);
	else
		snprintf(out, size, "%s %s %s", one, naive_pick(&naive, 2) ? "and" : "or", other);
}

static void make_question(struct sonde_query *query, struct sonde_filter **where, char *text, size_t size)
{
	static char command[17];
	const char *error;

	*query = test_query(naive_pick(&naive, 3) ? any_event()->type->name : NULL);
	query->oldest_first = naive_pick(&naive, 2);
	if (!naive_pick(&naive, 3))
		query->since_ns = any_event()->time_ns;
	if (!naive_pick(&naive, 3))
		query->until_ns = any_event()->time_ns;
	if (!naive_pick(&naive, 4))
		query->pid = any_event()->record->pid;
	snprintf(command, sizeof(command), "%.16s", any_event()->record->command);
	if (!naive_pick(&naive, 4))
		query->command = command;
	text[0] = '\0';
	if (naive_pick(&naive, 2)) {
		make_where(text, size);
		if (sonde_filter_new(text, &error, where))
			fail_msg("%s: %s", text, error);
		query->where = *where;
	}
}

static const struct sonde_column *any_column(void)
{
	const struct sonde_type *type = any_event()->type;

	return &type->columns[naive_pick(&naive, type->n_columns)];
}

static void make_opts(struct sonde_count_opts *opts)
{
	const struct sonde_column *sum = any_column();

	*opts = (struct sonde_count_opts){.sum = sonde_column_is_quantity(sum) ? sum->name : NULL};
	for (unsigned i = 0, n = 1 + naive_pick(&naive, 3); i < n; i++)
		opts->by[i] = any_column()->name;
}

static void ask(void)
{
	struct sonde_filter *where CLEANUP(sonde_filter_free) = NULL;
	struct sonde_count_opts opts;
	struct sonde_query query;
	char text[500];

	make_question(&query, &where, text, sizeof(text));
	make_opts(&opts);
	naive_ask(&naive, &query, text, &opts);
}

/* All of them first: what was appended comes back, in order. */
static void ask_all(void)
{
	struct sonde_query all = test_query(NULL);
	struct sonde_count_opts opts = {.by = {"command"}};

	naive_ask(&naive, &all, "", &opts);
	for (int i = 0; i < QUESTIONS; i++)
		ask();
}

static void test_memory(void **state)
{
	struct fixture *f = *state;

	f->opts.path = "memory";
	fill(f);
	ask_all();
}

static void test_sqlite(void **state)
{
	struct fixture *f = *state;

	fill(f);
	ask_all();
	/* by who comes later, without the programs */
	sonde_store_close(&naive.store);
	f->opts = (struct sonde_store_opts){.path = f->path, .read_only = true};
	assert_int_equal(sonde_store_open(&f->opts, &naive.store), 0);
	ask_all();
}

/* ---- SQL ---- */

struct sql_rows {
	const struct sonde_type *type;
	size_t at; /* of all events, where to look for the next one of the type */
};

/* Between words is a blank. How strange and empty words are quoted is not looked at here. */
static bool same_words(const struct sonde_value *event, const struct sonde_value *sql)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
	bool same = sql->type == SONDE_TEXT && sql->length == event->length;
	char last = '\0';

	for (uint32_t i = 0; i < event->length; last = event->text[i++])
		if (event->text[i] ? !strchr(plain, event->text[i]) : !last || i + 1 == event->length)
			return sql->type == SONDE_TEXT;
	for (uint32_t i = 0; same && i < event->length; i++)
		same = sql->text[i] == (event->text[i] ?: ' ');
	return same;
}

/* In SQL a value is an integer or a text; addresses are text. */
static bool same_in_sql(const struct sonde_column *column, const struct sonde_value *event, const struct sonde_value *sql)
{
	char address[INET6_ADDRSTRLEN] = "";
	struct sonde_value text = *event;

	if (event->type == SONDE_ADDRESS) {
		assert_true(value_text(column, event, address, sizeof(address)));
		text = (struct sonde_value){.type = SONDE_TEXT, .text = address, .length = (uint32_t)strlen(address)};
	}
	if (text.type == SONDE_TEXT && column->semantic == SONDE_SEMANTIC_ARGUMENTS)
		return same_words(&text, sql);
	if (text.type == SONDE_TEXT)
		return sql->type == SONDE_TEXT && sql->length == text.length && !memcmp(sql->text, text.text, text.length);
	if (text.type == SONDE_NULL || sql->type == SONDE_NULL)
		return text.type == sql->type;
	return sql->i == (text.type == SONDE_BOOL ? text.b : text.i);
}

static int check_sql_row(int n, const char *const *names, const struct sonde_value *row, void *userdata)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];
	struct sql_rows *rows = userdata;

	while (rows->at < naive.n && naive.events[rows->at].event.type != rows->type)
		rows->at++;
	if (!row || rows->at == naive.n)
		fail_msg("%s in SQL: not as many rows as events", rows->type->name);
	sonde_event_values(&naive.events[rows->at].event, naive.names, values);
	for (int i = 0; i < n; i++) {
		int column = sonde_type_find_column(rows->type, names[i]);

		if (column < 0 || !same_in_sql(&rows->type->columns[column], &values[column], &row[i]))
			fail_msg("%s of %s %zu in SQL", names[i], rows->type->name, rows->at);
	}
	rows->at++;
	return 0;
}

static void test_in_sql(void **state)
{
	struct fixture *f = *state;
	struct sonde_answer answer;
	const char *error;

	fill(f);
	for (size_t i = 0; i < recording.n_programs; i++) {
		const struct sonde_schema *schema = sonde_source_schema(recording.programs[i].source);

		for (uint32_t j = 0; j < schema->n_types; j++) {
			struct sql_rows rows = {.type = &schema->types[j]};
			char sql[200];
			size_t left = 0;

			for (size_t k = 0; k < naive.n; k++)
				left += naive.events[k].event.type == rows.type;
			if (!left)
				continue;
			snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY sonde_sequence", rows.type->name);
			if (sonde_store_sql(naive.store, sql, 0, 60 * SONDE_NS_PER_S, check_sql_row, &rows, &answer, &error))
				fail_msg("%s: %s", sql, error);
			assert_int_equal(answer.rows, left);
		}
	}
}

/* ---- damage ---- */

struct served {
	char **lines; /* of the events, sorted */
	uint64_t n;
};

static int text_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_served(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct served *served = userdata;

	test_row_text(type, values, &text);
	if (!bsearch(&text.data, served->lines, naive.n, sizeof(*served->lines), text_order))
		fail_msg("an event that never happened: %s", text.data);
	served->n++;
	return 0;
}

struct bit {
	off_t at;
	unsigned number;
};

/* Anywhere, or where one of SQLite's pages lists its rows: from there on the most can go wrong, but these are few of the bytes. */
static struct bit any_bit(uint64_t size, bool in_list)
{
	uint64_t at = (uint64_t)naive_pick(&naive, INT32_MAX) % size, page = at / PAGE * PAGE;

	/* At its begin are the numbers and places of the rows, at its end is the row that came first, or the number of a page below. */
	if (in_list)
		at = page + (naive_pick(&naive, 2) ? naive_pick(&naive, LIST) : PAGE - 1 - naive_pick(&naive, LIST));
	return (struct bit){.at = (off_t)at, .number = naive_pick(&naive, 8)};
}

static void flip(const char *path, const struct bit *bit)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(pread(fd, &byte, 1, bit->at), 1);
	byte ^= (uint8_t)(1u << bit->number);
	assert_int_equal(pwrite(fd, &byte, 1, bit->at), 1);
	close(fd);
}

/* The bit is wrong: the file is refused, or what is served is right and what is missing is said. */
static void check_damaged(struct fixture *f, struct served *served, const struct bit *bit)
{
	struct sonde_query all = test_query(NULL);
	struct sonde_answer answer = {};

	served->n = 0;
	if (sonde_store_open(&f->opts, &naive.store))
		return;
	if (!sonde_store_query(naive.store, &all, check_served, served, &answer) &&
	    (served->n > naive.n || (served->n < naive.n && answer.complete)))
		fail_msg("bit %u of byte %lld: %" PRIu64 " of %zu events, %s", bit->number, (long long)bit->at, served->n, naive.n,
			 answer.complete ? "complete" : answer.reason);
	sonde_store_close(&naive.store);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct served served = {.lines = calloc(naive.n + 1, sizeof(*served.lines))};
	char copy[160], command[400];
	uint64_t whole = 0;
	struct bit bit;
	struct stat st;

	fill(f);
	sonde_store_close(&naive.store);
	for (size_t i = 0; i < naive.n; i++) {
		struct sonde_value values[SONDE_COLUMNS_MAX];
		struct sonde_buffer text = SONDE_BUFFER_INIT;

		sonde_event_values(&naive.events[i].event, naive.names, values);
		test_row_text(naive.events[i].event.type, values, &text);
		served.lines[i] = text.data;
	}
	qsort(served.lines, naive.n, sizeof(*served.lines), text_order);
	snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
	assert_int_equal(stat(f->path, &st), 0);
	for (int i = 0; i < FLIPS; i++) {
		snprintf(command, sizeof(command), "cp '%s' '%s'", f->path, copy);
		assert_int_equal(system(command), 0);
		bit = any_bit((uint64_t)st.st_size, i % 2);
		flip(copy, &bit);
		f->opts = (struct sonde_store_opts){.path = copy, .read_only = true};
		check_damaged(f, &served, &bit);
		whole += served.n == naive.n;
	}
	assert_true(whole < FLIPS);
	for (size_t i = 0; i < naive.n; i++)
		free(served.lines[i]);
	free(served.lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sqlite, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_sql, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return cmocka_run_group_tests(tests, record, forget);
}
