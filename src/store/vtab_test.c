/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables in SQL, as the sqlite3 shell sees them with the extension loaded: every statement gives what it gives on plain tables
 * with the same events (an export), whatever goes down to the blocks.
 */
#include <store/vtab_fixture.h>

static void test_statements(void **state)
{
	static const char *const statements[] = {
		"SELECT count(*), sum(number), min(offset), max(weight) FROM %s.sample",
		"SELECT * FROM %s.sample ORDER BY time, number",
		"SELECT number FROM %s.sample ORDER BY time DESC, number LIMIT 17",
		"SELECT time FROM %s.sample ORDER BY time DESC LIMIT 500",
		"SELECT time FROM %s.sample ORDER BY time LIMIT 500 OFFSET 1200",
		"SELECT command, count(*) FROM %s.sample GROUP BY command ORDER BY 1",
		"SELECT count(*) FROM %s.sample WHERE pid = '103'",
		"SELECT count(*) FROM %s.sample WHERE pid = 103.0",
		"SELECT count(*) FROM %s.sample WHERE pid IS NULL OR pid = 104",
		"SELECT count(*) FROM %s.sample WHERE command = 'CURL' COLLATE NOCASE",
		"SELECT count(*) FROM %s.sample WHERE command IN ('curl', 'sh', 'none')",
		"SELECT count(*) FROM %s.sample WHERE container IS NULL",
		"SELECT count(*) FROM %s.sample WHERE container LIKE '0123%%'",
		"SELECT count(*) FROM %s.sample WHERE time > 1e18 AND time < '9'",
		"SELECT count(*) FROM %s.sample WHERE time >= 9223372036854775807 OR time <= -9223372036854775808",
		"SELECT count(*) FROM %s.sample WHERE time > NULL",
		("SELECT a.number, b.number FROM %s.sample a JOIN %s.sample b ON b.pid = a.pid AND b.time = a.time"
		 " WHERE a.number < 40 ORDER BY 1, 2"),
		"SELECT arguments, name, address, typeof(number) FROM %s.sample WHERE number = 77",
		/* Given in groups, or sorted where they are too many or too large. */
		"SELECT pid, command, count(*) FROM %s.sample GROUP BY pid, command ORDER BY 1, 2",
		"SELECT command, pid, count(*) FROM %s.sample GROUP BY command, pid ORDER BY 2, 1",
		/* A column that stands there twice. */
		"SELECT flag a, flag b, count(*) FROM %s.sample WHERE uid = 1000 AND pid > 103 GROUP BY a, b",
		"SELECT command, port, command, count(*) FROM %s.sample WHERE flag = 1 GROUP BY 1, 2, 3",
		"SELECT DISTINCT flag, uid, flag FROM %s.sample WHERE command = 'sh'",
		"SELECT flag, flag, flag, pid, count(*) FROM %s.sample GROUP BY flag, flag, flag, pid ORDER BY flag DESC, flag, pid",
		"SELECT count(*) FROM (SELECT flag, flag, flag, flag, flag, number, port FROM %s.sample GROUP BY 1, 2, 3, 4, 5, 6, 7)",
		"SELECT count(*) FROM (SELECT flag, pid, port, command, flag, pid FROM %s.sample GROUP BY 1, 2, 3, 4, 5, 6)",
		"SELECT container, count(*), count(container), sum(pid), avg(port), max(port), count(port) FROM %s.sample GROUP BY container ORDER BY 1",
		"SELECT port, count(*), sum(flag) FROM %s.sample GROUP BY port ORDER BY 1",
		"SELECT port, count(*), sum(flag) FROM %s.sample WHERE flag OR port IS NULL GROUP BY port ORDER BY 1",
		"SELECT name, count(*), sum(number) FROM %s.sample WHERE pid = 103 GROUP BY name ORDER BY 1",
		"SELECT name, count(*), count(DISTINCT pid) FROM %s.sample WHERE command = 'curl' GROUP BY name HAVING count(*) > 3 ORDER BY 1",
		"SELECT type, count(*), min(weight), sum(weight) FROM %s.sample GROUP BY type",
		"SELECT weight, count(*) FROM %s.sample GROUP BY weight ORDER BY 1",
		"SELECT address, count(*) FROM %s.sample GROUP BY address ORDER BY 1 LIMIT 50",
		"SELECT arguments, count(*) FROM %s.sample GROUP BY 1",
		"SELECT DISTINCT pid, command FROM %s.sample ORDER BY 1, 2",
		"SELECT command, pid, count(*) FROM %s.sample GROUP BY command, pid ORDER BY command DESC, pid",
		"SELECT pid, name, count(*) FROM %s.sample GROUP BY name, pid ORDER BY name, pid DESC LIMIT 20",
		"SELECT offset, count(*) FROM %s.sample GROUP BY offset ORDER BY offset",
		"SELECT container, flag, count(*) FROM %s.sample GROUP BY container, flag ORDER BY container DESC, flag DESC",
		"SELECT address, flag, count(*) FROM %s.sample GROUP BY address, flag ORDER BY address, flag",
		"SELECT count(*) FROM (SELECT DISTINCT name FROM %s.sample)",
		"SELECT count(*) FROM (SELECT DISTINCT name FROM %s.sample WHERE flag)",
		"SELECT count(*), sum(n) FROM (SELECT command, count(*) AS n FROM %s.sample WHERE container IS NULL GROUP BY 1)",
		("SELECT a.command, count(*) FROM %s.sample a JOIN (SELECT DISTINCT pid FROM %s.sample WHERE pid > 103) b ON b.pid = a.pid"
		 " GROUP BY a.command ORDER BY 1"),
		"SELECT DISTINCT a.pid, b.command FROM %s.sample a, %s.sample b WHERE a.pid = b.pid AND a.number = 5 ORDER BY 1, 2",
		/* Looked up again and again. */
		"SELECT count(*), sum(b.number) FROM %s.sample a JOIN %s.sample b ON b.number = a.offset * -1",
		"SELECT a.number, b.time FROM %s.sample a JOIN %s.sample b ON b.name = a.name AND b.port = a.port AND b.time > a.time WHERE a.number < 9 ORDER BY 1, 2",
		"SELECT number, (SELECT b.time FROM %s.sample b WHERE b.pid = a.pid AND b.time < a.time ORDER BY b.time DESC LIMIT 1) FROM %s.sample a ORDER BY 1, 2",
		"SELECT number, (SELECT max(b.time) FROM %s.sample b WHERE b.command = a.command AND b.time < a.time) FROM %s.sample a WHERE number %% 50 = 1 ORDER BY 1, 2",
		"SELECT count(*), sum(b.number) FROM %s.sample a LEFT JOIN %s.sample b ON b.port = a.port + 1 AND b.number = a.number + 1",
		"SELECT count(*), sum(b.number) FROM %s.sample a LEFT JOIN %s.sample b ON b.address = a.address AND b.container = a.container",
		"SELECT count(*) FROM %s.sample a JOIN %s.sample b ON b.pid = a.tid || '' AND b.number = a.number * 1.0 WHERE a.number < 200",
		"SELECT count(*) FROM %s.sample a JOIN %s.sample b ON b.name = a.name COLLATE NOCASE AND b.flag = a.number WHERE a.number < 30",
		"SELECT count(*) FROM %s.sample WHERE pid IN (SELECT a.pid FROM %s.sample a WHERE a.number %% 7 = 3)",
		"SELECT time FROM %s.sample WHERE pid IN (SELECT a.pid FROM %s.sample a WHERE a.number %% 7 < 3) ORDER BY time DESC LIMIT 30",
		"SELECT time, pid FROM %s.sample WHERE pid IN (101, 103, 999, NULL) ORDER BY time, pid LIMIT 40",
		"SELECT count(*) FROM %s.sample WHERE pid IN (101, '103', 104.0)",
		"SELECT count(*) FROM %s.sample WHERE pid IN (-1, 9e18, NULL)",
		"SELECT count(*) FROM %s.sample WHERE pid NOT IN (101, 103)",
		"SELECT count(*) FROM %s.sample WHERE pid IN (SELECT a.pid FROM %s.sample a WHERE 0)",
		"SELECT command, count(*) FROM %s.sample WHERE pid IN (102, 105) GROUP BY command ORDER BY 1 DESC",
		("SELECT number, (SELECT count(*) FROM %s.sample b WHERE b.pid IN (SELECT c.pid FROM %s.sample c WHERE c.number = a.number))"
		 " FROM %s.sample a WHERE number IN (3, 40) ORDER BY 1, 2"),
		"SELECT count(*), sum(b.number) FROM %s.sample a JOIN %s.sample b ON b.number = a.number + 1 WHERE b.pid IN (101, 102) AND a.pid IN (100, 101)",
		"SELECT count(*) FROM %s.sample WHERE name IN (SELECT a.name FROM %s.sample a WHERE a.port = 3)",
		"SELECT (SELECT count(*) FROM %s.sample b WHERE b.pid = a.pid GROUP BY b.pid) FROM (SELECT DISTINCT pid FROM %s.sample) a ORDER BY 1",
		"SELECT command, row_number() OVER (PARTITION BY command ORDER BY pid) %% 10 AS r, count(*) FROM %s.sample GROUP BY command, pid ORDER BY 1, 2, 3",
	};
	struct fixture *f = *state;
	int64_t start_ns = make_events(f);
	sqlite3 *db = open_both(f, EVENTS);
	unsigned seed = 5;

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		check_same(db, statements[i]);
	for (int i = 0; i < 300; i++) {
		static const char *const operators[] = {">", ">=", "<", "<=", "="};
		char format[512];

		snprintf(format, sizeof(format), "SELECT count(*), sum(number) FROM %%s.sample WHERE time %s %" PRId64 " AND time %s %" PRId64
			 " AND pid %s %d%s%s", operators[rand_r(&seed) % 5], start_ns + rand_r(&seed) % (EVENTS * 1000),
			 operators[rand_r(&seed) % 4], start_ns + rand_r(&seed) % (EVENTS * 1000), i % 2 ? "=" : "<>",
			 100 + rand_r(&seed) % 8, i % 3 ? "" : " AND command = 'curl'",
			 i % 5 ? "" : " AND container = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'");
		check_same(db, format);
	}
	sqlite3_close(db);
}

static void test_plan(void **state)
{
	struct fixture *f = *state;
	struct sonde_buffer plan CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	sqlite3 *db;

	make_events(f);
	db = open_both(f, EVENTS);
	text_of(db, "EXPLAIN QUERY PLAN SELECT * FROM temp.sample WHERE time >= 5 AND pid = 7 AND command = 'x' AND container = 'y'"
		    " ORDER BY time DESC", &plan);
	assert_non_null(strstr(plan.data, "time>=? pid=? command=? container=? newest first"));
	assert_null(strstr(plan.data, "TEMP B-TREE"));
	text_of(db, "EXPLAIN QUERY PLAN SELECT command, count(*) FROM temp.sample GROUP BY command", &plan);
	assert_non_null(strstr(plan.data, "grouped by 5 columns 20"));
	assert_null(strstr(plan.data, "TEMP B-TREE"));
	text_of(db, "EXPLAIN QUERY PLAN SELECT count(*) FROM temp.sample a CROSS JOIN temp.sample b ON b.pid = a.pid AND b.port = a.port"
		    " AND b.time > a.time", &plan);
	assert_non_null(strstr(plan.data, "time>? pid=? port=? columns"));
	text_of(db, "EXPLAIN QUERY PLAN SELECT * FROM temp.sample WHERE pid IN (SELECT pid FROM temp.sample) ORDER BY time", &plan);
	assert_non_null(strstr(plan.data, "pid IN ? oldest first columns"));
	text_of(db, "EXPLAIN QUERY PLAN SELECT * FROM temp.sample WHERE number = 1", &plan);
	assert_null(strstr(plan.data, "=?"));
	assert_int_equal(sqlite3_exec(db, "DELETE FROM main.sample", NULL, NULL, NULL), SQLITE_ERROR);
	assert_int_equal(sqlite3_exec(db, "INSERT INTO main.sample (pid) VALUES (1)", NULL, NULL, NULL), SQLITE_ERROR);
	sqlite3_close(db);
}

/* More groups than are counted: SQLite sorts the rows. */
static void test_many_groups(void **state)
{
	static const char *const statements[] = {
		"SELECT count(*), sum(n), sum(p) FROM (SELECT number, count(*) AS n, sum(pid) AS p FROM %s.sample GROUP BY number)",
		"SELECT command, count(*), sum(number), count(DISTINCT number) FROM %s.sample GROUP BY command ORDER BY 1",
		"SELECT command, count(*), sum(number) FROM %s.sample WHERE pid = 102 GROUP BY command ORDER BY 1",
		"SELECT pid, count(*), sum(number) FROM %s.sample WHERE command = 'curl' GROUP BY pid ORDER BY 1",
		"SELECT count(*), sum(number) FROM (SELECT DISTINCT number FROM %s.sample)",
		/* Bytes that are no text */
		"SELECT name, count(*) FROM %s.sample GROUP BY name ORDER BY name",
		"SELECT name, flag, count(*) FROM %s.sample GROUP BY flag, name ORDER BY flag DESC, name DESC",
		/* Rows that are looked up: those of all tables would be too many to be kept beside each other. */
		"SELECT count(*), max(b.name || c.name || d.name || e.name), max(b.address || c.address || d.address || e.address),"
		" max(b.arguments || c.arguments || d.arguments || e.arguments), sum(b.offset + c.offset + d.offset + e.offset),"
		" max(b.container || b.source), max(c.container || c.tid), max(d.source || d.weight || d.port || d.uid), max(e.tid || e.weight || e.port || e.uid), sum(b.port), sum(e.flag)"
		" FROM %s.sample a JOIN %s.sample b ON b.number = a.number + 1 JOIN %s.sample c ON c.number = b.number + 1"
		" JOIN %s.sample d ON d.number = c.number + 1 JOIN %s.sample e ON e.number = d.number + 1 WHERE a.number BETWEEN 60 AND 64",
	};
	struct fixture *f = *state;
	sqlite3 *db;

	open_store(f);
	for (uint64_t i = 0; i < 140000; i += 20000)
		assert_int_equal(store_rows(f, i % 70000, 20000), 0);
	assert_int_equal(test_append_noise(f->store, 0, 500, sonde_clock_wall_ns(), 1), 0);
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	sonde_store_close(&f->store);
	db = open_both(f, 140500);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		check_same(db, statements[i]);
	sqlite3_close(db);
}

/* Whoever names a file or a process chooses the bytes, and must not escape LIKE by that. */
static void test_bytes(void **state)
{
	static const char *const names[] = {"/tmp/plain", "/tmp/\xff\xfe", "/tmp/\xc3(", "/tmp/\xc3\xa4", "/usr/\xff", "/tmp/\xed\xa0\x80"};
	static const struct {
		const char *sql, *expected;
	} checks[] = {
		{"SELECT count(*), count(DISTINCT typeof(name)), min(typeof(name)) FROM %s.sample", "1:6 1:1 3:text\n"},
		{"SELECT count(*) FROM %s.sample WHERE name LIKE '/tmp/%%'", "1:5\n"},
		{"SELECT count(*) FROM %s.sample WHERE name GLOB '/tmp/*'", "1:5\n"},
		{"SELECT count(*) FROM %s.sample WHERE name > '/tmp/' AND name < '/tmp0'", "1:5\n"},
		{"SELECT hex(name) FROM %s.sample WHERE name = CAST(x'2f746d702fc328' AS TEXT)", "3:2F746D702FC328\n"},
		{"SELECT hex(name), count(*) FROM %s.sample WHERE name LIKE '/tmp/%%' GROUP BY name ORDER BY name LIMIT 3",
		 "3:2F746D702F706C61696E 1:1\n3:2F746D702FC328 1:1\n3:2F746D702FC3A4 1:1\n"},
		{"SELECT hex(name) FROM %s.sample ORDER BY name DESC LIMIT 2", "3:2F7573722FFF\n3:2F746D702FFFFE\n"},
		{"SELECT sum(instr(name, '/tmp')), hex(CAST(max(name) AS BLOB)) FROM %s.sample", "1:5 3:2F7573722FFF\n"},
		{"SELECT json_array_length(json_group_array(name)) FROM %s.sample", "1:6\n"},
		{"SELECT length(name) FROM %s.sample WHERE name LIKE '/tmp/%%' AND length(name) = 6", "1:6\n1:6\n"},
		{"SELECT hex(arguments) FROM %s.sample WHERE name = '/tmp/plain'", "3:27C32827202761275C27276227\n"},
	};
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct fixture *f = *state;
	sqlite3 *db;

	open_store(f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct test_record record = test_record(i);
		struct sonde_event event = test_event(&test_type, &record, sonde_clock_wall_ns());

		record.name_length = (uint16_t)strlen(names[i]);
		memcpy(record.name, names[i], record.name_length);
		memcpy(record.arguments, "\xc3(\0a'b", 6);
		record.arguments_length = 6;
		assert_int_equal(sonde_store_append(f->store, &event, 1), 0);
	}
	assert_int_equal(sonde_store_commit(f->store, NULL, 0), 0);
	sonde_store_close(&f->store);
	db = open_both(f, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		check_same(db, checks[i].sql);
		text_in(db, "plain", checks[i].sql, &out);
		if (strcmp(out.data ?: "", checks[i].expected))
			fail_msg("%s: '%s' is not '%s'", checks[i].sql, out.data ?: "", checks[i].expected);
	}
	sqlite3_close(db);
}

static void check_refused(struct fixture *f, const char *change, const char *reason)
{
	char *error = NULL;
	sqlite3 *db;
	int on;

	if (change)
		run_in(f->path, change);
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, &on);
	assert_int_equal(sqlite3_load_extension(db, SONDE_BUILD_DIR "/sonde.so", NULL, &error), SQLITE_ERROR);
	if (!strstr(error, reason))
		fail_msg("%s: '%s'", change ?: "as it is", error);
	sqlite3_free(error);
	sqlite3_close(db);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	run_in(f->path, "CREATE TABLE sonde_types (name)");
	check_refused(f, NULL, "it is not a store of sonde");
	unlink(f->path);
	make_events(f);
	check_refused(f, "PRAGMA user_version = 99", "its version is 99, this sonde knows version 2");
	run_in(f->path, "PRAGMA user_version = 2");
	/* Each of these would show values that are not those of the column. */
	check_refused(f, "UPDATE sonde_columns SET name = 'numbes' WHERE name = 'number'", "description of the type 'sample' is damaged");
	check_refused(f, "UPDATE sonde_columns SET name = 'number', value = 'int' WHERE name = 'numbes'", "is damaged");
	check_refused(f, "UPDATE sonde_columns SET value = 'uint', semantic = 'time' WHERE name = 'number'", "is damaged");
	check_refused(f, "UPDATE sonde_columns SET semantic = 'nonsense' WHERE name = 'number'", "is damaged");
	check_refused(f, "DELETE FROM sonde_columns WHERE name = 'number'", "is damaged");
	check_refused(f, "DROP TABLE sonde_columns", "no such table");
	write_file(f->path, "not a database, whatever it is called", 37);
	check_refused(f, NULL, "is not a database");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_statements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	sonde_log_set_level(SONDE_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
