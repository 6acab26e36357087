/* SPDX-License-Identifier: Apache-2.0 */
/* Statements made by chance, the same each time: on the tables each gives what it gives on plain tables with the same events. */
#include <store/vtab_fixture.h>

#define STATEMENTS 400

static const char *const columns[] = {"time", "pid", "command", "container", "flag", "port", "name", "number", "address", "uid", "offset"};
static const char *const operators[] = {"=", "=", "<>", "<", "<=", ">", ">=", "IS", "IS NOT"};

static unsigned seed = 11;
static int64_t start_ns;

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static const char *pick_column(void)
{
	return columns[pick(ARRAY_SIZE(columns))];
}

/* Of any type: also what the column never has. */
static void add_value(struct sonde_buffer *sql)
{
	static const char *const values[] = {"103", "'103'", "104.0", "104.5", "'curl'", "'sh'", "'name 3'", "NULL", "0", "1", "3", "-17", "x'6375726c'",
					     "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'", "'10.0.3.7'", "1e30"};

	if (pick(3))
		sonde_buffer_add_text(sql, values[pick(ARRAY_SIZE(values))]);
	else
		sonde_buffer_printf(sql, "%" PRId64, start_ns + pick(EVENTS * 1000));
}

static void add_condition(struct sonde_buffer *sql, const char *table)
{
	const char *column = pick_column();

	switch (pick(6)) {
	case 0:
		sonde_buffer_printf(sql, "%s%s IN (", table, column);
		for (unsigned i = pick(4); i; i--) {
			add_value(sql);
			sonde_buffer_add_text(sql, ", ");
		}
		add_value(sql);
		sonde_buffer_add_text(sql, ")");
		return;
	case 1:
		sonde_buffer_printf(sql, "%s%s IN (SELECT %s FROM %%s.sample WHERE ", table, column, pick(3) ? column : pick_column());
		add_condition(sql, "");
		sonde_buffer_add_text(sql, ")");
		return;
	default:
		sonde_buffer_printf(sql, "%s%s %s ", table, column, operators[pick(ARRAY_SIZE(operators))]);
		add_value(sql);
	}
}

static void add_where(struct sonde_buffer *sql, const char *table)
{
	unsigned n = pick(3);

	for (unsigned i = 0; i < n; i++) {
		sonde_buffer_add_text(sql, i ? pick(2) ? " AND " : " OR " : " WHERE ");
		add_condition(sql, table);
	}
}

/* One to five columns, some perhaps twice. */
static void add_columns(struct sonde_buffer *sql, unsigned *ret_n)
{
	*ret_n = 1 + pick(5);
	for (unsigned i = 0; i < *ret_n; i++)
		sonde_buffer_printf(sql, "%s%s", i ? ", " : "", pick_column());
}

static void add_places(struct sonde_buffer *sql, unsigned n, bool directions)
{
	for (unsigned i = 1; i <= n; i++)
		sonde_buffer_printf(sql, "%s%u%s", i > 1 ? ", " : "", i, directions && pick(2) ? " DESC" : "");
}

static void make_group(struct sonde_buffer *sql)
{
	unsigned n;

	sonde_buffer_add_text(sql, "SELECT ");
	add_columns(sql, &n);
	sonde_buffer_add_text(sql, ", count(*) FROM %s.sample");
	add_where(sql, "");
	sonde_buffer_add_text(sql, " GROUP BY ");
	add_places(sql, n, false);
	sonde_buffer_add_text(sql, " ORDER BY ");
	add_places(sql, n, true);
}

static void make_distinct(struct sonde_buffer *sql)
{
	unsigned n;

	sonde_buffer_add_text(sql, "SELECT DISTINCT ");
	add_columns(sql, &n);
	sonde_buffer_add_text(sql, " FROM %s.sample");
	add_where(sql, "");
	sonde_buffer_add_text(sql, " ORDER BY ");
	add_places(sql, n, true);
}

static void make_rows(struct sonde_buffer *sql)
{
	sonde_buffer_add_text(sql, "SELECT time FROM %s.sample");
	add_where(sql, "");
	sonde_buffer_printf(sql, " ORDER BY time %s LIMIT %u", pick(2) ? "DESC" : "", pick(100));
}

static void make_join(struct sonde_buffer *sql)
{
	const char *column = pick_column();

	sonde_buffer_printf(sql, "SELECT count(*), min(b.time), sum(b.number + a.number) FROM %%s.sample a %sJOIN %%s.sample b ON b.%s = a.%s",
			    pick(3) ? "" : "LEFT ", column, pick(5) ? column : pick_column());
	if (pick(3))
		sonde_buffer_printf(sql, " AND b.time %s a.time", operators[2 + pick(5)]);
	if (pick(2)) {
		sonde_buffer_add_text(sql, " AND ");
		add_condition(sql, "b.");
	}
	sonde_buffer_printf(sql, " WHERE a.number %%%% %u = 3", 40 + pick(200));
}

static void test_random(void **state)
{
	static void (*const makers[])(struct sonde_buffer *sql) = {make_group, make_distinct, make_rows, make_join};
	struct sonde_buffer sql CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct fixture *f = *state;
	sqlite3 *db;

	start_ns = make_events(f);
	db = open_both(f, EVENTS);
	for (unsigned i = 0; i < STATEMENTS; i++) {
		sonde_buffer_clear(&sql);
		makers[pick(ARRAY_SIZE(makers))](&sql);
		check_same(db, sql.data);
	}
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
