/* SPDX-License-Identifier: Apache-2.0 */
/* Types described: each text is read by what it is meant for (jansson). */
#include <schema/encode.h>
#include <schema/testdata.h>

#include <base/cleanup.h>
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct sonde_schema *schema;

static int setup(void **state)
{
	struct testdata object = testdata_object("valid");
	const char *error = "";

	if (sonde_schema_new("test", object.data, object.size, NULL, &error, &schema))
		fail_msg("%s", error);
	free(object.data);
	return 0;
}

static int teardown(void **state)
{
	sonde_schema_free(&schema);
	return 0;
}

static const char *member(const json_t *columns, const char *name, const char *key)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (!strcmp(json_string_value(json_object_get(column, "name")), name))
			return json_string_value(json_object_get(column, key));
	fail_msg("no column '%s'", name);
	return NULL;
}

static void test_json(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	json_t *root, *columns, *column, *values;

	assert_int_equal(sonde_encode_schema_json(&schema->types[0], &out), 0);
	root = json_loadb(out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "name")), "everything");
	assert_string_equal(json_string_value(json_object_get(root, "doc")), "has one field of each kind");
	columns = json_object_get(root, "columns");
	assert_int_equal(json_array_size(columns), schema->types[0].n_columns);
	assert_string_equal(json_string_value(json_object_get(json_array_get(columns, 0), "name")), "time");
	assert_string_equal(member(columns, "time", "type"), "time");
	assert_string_equal(member(columns, "begin", "type"), "time");
	assert_string_equal(member(columns, "took_ns", "type"), "integer");
	assert_string_equal(member(columns, "took_ns", "semantic"), "duration_ns");
	assert_string_equal(member(columns, "took_ns", "unit"), "ns");
	assert_string_equal(member(columns, "took_ns", "doc"), "how long it took");
	assert_null(member(columns, "exit_code", "unit"));
	assert_string_equal(member(columns, "yes", "type"), "boolean");
	assert_string_equal(member(columns, "address", "type"), "address");
	assert_string_equal(member(columns, "reason", "type"), "text");
	column = json_array_get(columns, (size_t)sonde_type_find_column(&schema->types[0], "things"));
	assert_true(json_is_true(json_object_get(column, "measure")) && !json_object_get(column, "top"));
	column = json_array_get(columns, (size_t)sonde_type_find_column(&schema->types[0], "kind"));
	assert_true(json_is_true(json_object_get(column, "top")) && !json_object_get(column, "measure"));
	assert_null(json_object_get(column, "main"));
	column = json_array_get(columns, (size_t)sonde_type_find_column(&schema->types[0], "last"));
	assert_true(json_is_true(json_object_get(column, "main")) && !json_object_get(column, "top"));
	values = json_object_get(json_array_get(columns, (size_t)sonde_type_find_column(&schema->types[0], "kind")), "values");
	assert_int_equal(json_array_size(values), 3);
	assert_string_equal(json_string_value(json_array_get(values, 1)), "first_one");
	json_decref(root);
}

static void test_markdown(void **state)
{
	static const char start[] = "## small\n\na second event, Übergröße und \\|pipes\\|\n\n"
				    "| Field | Type | Unit | Meaning |\n|---|---|---|---|\n"
				    "| time | time | | when it happened |\n";
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_encode_schema_markdown(&schema->types[1], &out), 0);
	assert_memory_equal(out.data, start, strlen(start));
	assert_non_null(strstr(out.data, "| number | integer | | a number |\n"));
	sonde_buffer_clear(&out);
	assert_int_equal(sonde_encode_schema_markdown(&schema->types[0], &out), 0);
	assert_non_null(strstr(out.data, "| took\\_ns | integer | ns | how long it took |\n"));
	assert_non_null(strstr(out.data, "| kind | text | | what it is. One of: none, first\\_one, last |\n"));
}

/* The names and docs of a store's file are not checked as those of an object are. */
static void test_hostile_names(void **state)
{
	static const struct sonde_column columns[] = {
		{.name = "time", .type = SONDE_INT, .doc = "ends here\n); DROP TABLE precious; --"},
		{.name = "a\"); DROP TABLE precious; --", .type = SONDE_TEXT, .doc = "\xff\r|<script>"},
	};
	static const struct sonde_type type = {.name = "x\"; DROP TABLE precious; --", .doc = "\n); DROP TABLE precious; --",
					       .n_columns = 2, .columns = columns};
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = SONDE_BUFFER_INIT;
	json_t *root;
	int n = 0;

	assert_int_equal(sonde_encode_schema_json(&type, &out), 0);
	root = json_loadb(out.data, out.length, 0, NULL);
	assert_non_null(root);
	json_decref(root);
	sonde_buffer_clear(&out);
	assert_int_equal(sonde_encode_schema_markdown(&type, &out), 0);
	assert_null(strstr(out.data, " <script"));
	for (const char *c = out.data; *c; c++)
		n += *c == '\n';
	assert_int_equal(n, 8); /* not one line more than there must be */
}

static void test_program_markdown(void **state)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_encode_program_markdown(schema, &out), 0);
	assert_non_null(strstr(out.data, "## everything\n"));
	assert_non_null(strstr(out.data, "\n## small\n"));
	assert_non_null(strstr(out.data, "Under `programs.test.settings` in"));
	assert_non_null(strstr(out.data, "| update\\_interval\\_ns | 10ns | time between two updates |\n"));
	assert_non_null(strstr(out.data, "| most\\_bytes | 2KiB | a size with limits; 1KiB to 1MiB |\n"));
	assert_non_null(strstr(out.data, "| show\\_all | false | show everything |\n"));
	assert_non_null(strstr(out.data, "| level | -3 | a signed number |\n"));
	assert_non_null(strstr(out.data, "| sonde\\_everything\\_total | counter | "));
	assert_non_null(strstr(out.data, "| sonde\\_everything\\_current | gauge | "));
}

static void test_no_room(void **state)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer out = {.limit = 50};

	assert_int_equal(sonde_encode_schema_json(&schema->types[0], &out), -ENOMEM);
	sonde_buffer_clear(&out);
	assert_int_equal(sonde_encode_schema_markdown(&schema->types[0], &out), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),	     cmocka_unit_test(test_markdown),	      cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_program_markdown),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
