/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas of objects that clang made: what a good one gives, and what is said of each kind of bad one. */
#include <schema/schema.h>
#include <schema/testdata.h>
#include <schema/testdata/valid.h>

#include <errno.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct sonde_schema *schema_open(const char *name)
{
	struct testdata object = testdata_object(name);
	struct sonde_schema *schema = NULL;
	const char *error = "";

	if (sonde_schema_new("test", object.data, object.size, NULL, &error, &schema))
		fail_msg("%s: %s", name, error);
	free(object.data); /* a schema borrows nothing of the object */
	return schema;
}

static const struct sonde_column *column(const struct sonde_type *type, const char *name)
{
	int i = sonde_type_find_column(type, name);

	if (i < 0)
		fail_msg("no column '%s'", name);
	return &type->columns[i];
}

static void test_types(void **state)
{
	struct sonde_schema *schema = schema_open("valid");

	assert_string_equal(schema->program, "test");
	assert_int_equal(schema->n_types, 2);
	assert_string_equal(schema->types[0].name, "everything");
	assert_string_equal(schema->types[0].doc, "has one field of each kind");
	assert_int_equal(schema->types[0].number, 0);
	assert_int_equal(schema->types[0].size, sizeof(struct everything));
	assert_string_equal(schema->types[1].name, "small");
	assert_string_equal(schema->types[1].doc, "a second event, Übergröße und |pipes|");
	assert_int_equal(schema->types[1].number, 1);
	assert_int_equal(schema->types[1].n_columns, SONDE_COLUMN_COMMON_MAX + 1);
	assert_ptr_equal(sonde_schema_type(schema, 1), &schema->types[1]);
	assert_null(sonde_schema_type(schema, 2));
	assert_null(sonde_schema_type(schema, UINT16_MAX));
	sonde_schema_free(&schema);
	assert_null(schema);
	sonde_schema_free(&schema);
}

static void test_columns_in_order(void **state)
{
	static const char *const expected[] = {
		"time", "type", "pid", "tid", "uid", "command", "container", "source", "weight",
		"begin", "took_ns", "length_bytes", "things", "location", "cookie", "signed_long", "reason", "parent_pid",
		"owner_uid", "error", "errno", "signal", "signal_name", "kind", "colour", "mode", "mode_number", "options", "options_number", "exit_code", "address",
		"local_address", "remote_address", "remote_name", "local_port", "remote_port", "protocol", "inner_number", "small_signed",
		"tiny_signed", "yes", "plain_bool", "data_length", "name", "label", "data", "words", "last",
	};
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_type *type = &schema->types[0];

	assert_int_equal(type->n_columns, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < type->n_columns; i++) {
		assert_string_equal(type->columns[i].name, expected[i]);
		assert_int_equal(sonde_type_find_column(type, expected[i]), (int)i);
		assert_non_null(type->columns[i].doc);
	}
	assert_int_equal(sonde_type_find_column(type, "raw"), -ENOENT); /* hidden */
	assert_int_equal(sonde_type_find_column(type, "start_time_ns"), -ENOENT);
	sonde_schema_free(&schema);
}

static void test_column_meaning(void **state)
{
	static const struct {
		const char *name;
		enum sonde_value_type type;
		enum sonde_semantic semantic;
		const char *unit;
	} expected[] = {
		{"time", SONDE_INT, SONDE_SEMANTIC_TIME, NULL},
		{"pid", SONDE_UINT, SONDE_SEMANTIC_PID, NULL},
		{"command", SONDE_TEXT, SONDE_SEMANTIC_NONE, NULL},
		{"begin", SONDE_INT, SONDE_SEMANTIC_TIME, NULL},
		{"took_ns", SONDE_UINT, SONDE_SEMANTIC_DURATION_NS, "ns"},
		{"length_bytes", SONDE_UINT, SONDE_SEMANTIC_BYTES, "bytes"},
		{"things", SONDE_UINT, SONDE_SEMANTIC_COUNT, NULL},
		{"location", SONDE_TEXT, SONDE_SEMANTIC_SYMBOL, NULL},
		{"cookie", SONDE_UINT, SONDE_SEMANTIC_COOKIE, NULL},
		{"signed_long", SONDE_INT, SONDE_SEMANTIC_NONE, NULL},
		{"reason", SONDE_TEXT, SONDE_SEMANTIC_KERNEL_ENUM, NULL},
		{"error", SONDE_TEXT, SONDE_SEMANTIC_ERRNO_NAME, NULL},
		{"errno", SONDE_UINT, SONDE_SEMANTIC_ERRNO, NULL},
		{"signal", SONDE_UINT, SONDE_SEMANTIC_SIGNAL, NULL},
		{"signal_name", SONDE_TEXT, SONDE_SEMANTIC_SIGNAL_NAME, NULL},
		{"kind", SONDE_TEXT, SONDE_SEMANTIC_ENUM, NULL},
		{"mode", SONDE_TEXT, SONDE_SEMANTIC_FLAGS, NULL},
		{"mode_number", SONDE_UINT, SONDE_SEMANTIC_FLAGS_NUMBER, NULL},
		{"address", SONDE_ADDRESS, SONDE_SEMANTIC_ADDRESS, NULL},
		{"local_port", SONDE_UINT, SONDE_SEMANTIC_PORT, NULL},
		{"protocol", SONDE_TEXT, SONDE_SEMANTIC_PROTOCOL, NULL},
		{"small_signed", SONDE_INT, SONDE_SEMANTIC_NONE, NULL},
		{"yes", SONDE_BOOL, SONDE_SEMANTIC_NONE, NULL},
		{"plain_bool", SONDE_BOOL, SONDE_SEMANTIC_NONE, NULL},
		{"name", SONDE_TEXT, SONDE_SEMANTIC_NONE, NULL},
		{"words", SONDE_TEXT, SONDE_SEMANTIC_ARGUMENTS, NULL},
	};
	struct sonde_schema *schema = schema_open("valid");

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct sonde_column *c = column(&schema->types[0], expected[i].name);

		if (c->type != expected[i].type || c->semantic != expected[i].semantic)
			fail_msg("%s: type %d, semantic %d", c->name, c->type, c->semantic);
		if (expected[i].unit)
			assert_string_equal(c->unit, expected[i].unit);
		else
			assert_null(c->unit);
	}
	assert_string_equal(column(&schema->types[0], "errno")->doc, "why it failed, as its number");
	assert_string_equal(column(&schema->types[0], "local_port")->doc, "port on the side of the owner");
	sonde_schema_free(&schema);
}

static void test_top(void **state)
{
	static const char *const tops[] = {"command", "container", "reason", "error", "kind", "colour", "remote_address",
					   "remote_name", "protocol", "name"};
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_type *type = &schema->types[0];
	size_t n = 0;

	for (uint32_t i = 0; i < type->n_columns; i++)
		if (sonde_type_has_top(type, i))
			assert_string_equal(type->columns[i].name, tops[n++]);
	assert_int_equal(n, sizeof(tops) / sizeof(tops[0]));
	assert_int_equal(sonde_type_measure(type), sonde_type_find_column(type, "things"));
	assert_int_equal(sonde_type_measure(&schema->types[1]), -ENOENT);
	assert_true(sonde_column_is_quantity(column(type, "took_ns")));
	assert_false(sonde_column_is_quantity(column(type, "pid")));
	assert_false(sonde_column_is_quantity(column(type, "name")));
	sonde_schema_free(&schema);
}

static void test_main(void **state)
{
	static const char *const mains[] = {"remote_address", "remote_name", "words", "last"};
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_type *type = &schema->types[0];
	size_t n = 0;

	for (uint32_t i = 0; i < type->n_columns; i++)
		if (type->columns[i].is_main)
			assert_string_equal(type->columns[i].name, mains[n++]);
	assert_int_equal(n, sizeof(mains) / sizeof(mains[0]));
	sonde_schema_free(&schema);
}

static void test_column_places(void **state)
{
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_type *type = &schema->types[0];

	assert_int_equal(column(type, "remote_port")->offset, offsetof(struct everything, flow.remote_port));
	assert_int_equal(column(type, "remote_port")->size, 2);
	assert_int_equal(column(type, "inner_number")->offset, offsetof(struct everything, nested.inner_number));
	assert_int_equal(column(type, "data")->offset, offsetof(struct everything, data));
	assert_int_equal(column(type, "data")->length_offset, offsetof(struct everything, data_length));
	assert_int_equal(column(type, "data")->length_size, 2);
	assert_int_equal(column(type, "name")->length_offset, -1);
	assert_true(column(type, "exit_code")->has_absent);
	assert_int_equal(column(type, "exit_code")->absent, -1);
	assert_true(column(type, "small_signed")->is_signed);
	assert_int_equal(column(type, "small_signed")->absent, -2);
	assert_false(column(type, "cookie")->has_absent);
	sonde_schema_free(&schema);
}

static void test_settings(void **state)
{
	struct sonde_schema *schema = schema_open("valid");

	assert_int_equal(schema->n_settings, 4);
	assert_string_equal(schema->settings[0].name, "update_interval_ns");
	assert_string_equal(schema->settings[0].doc, "time between two updates");
	assert_int_equal(schema->settings[0].size, 8);
	assert_false(schema->settings[0].is_signed || schema->settings[0].is_bool);
	assert_string_equal(schema->settings[1].name, "show_all");
	assert_true(schema->settings[1].is_bool);
	assert_int_equal(schema->settings[1].size, 1);
	assert_string_equal(schema->settings[2].name, "level");
	assert_true(schema->settings[2].is_signed);
	assert_int_equal(schema->settings[2].size, 2);
	assert_int_equal(schema->settings[0].value, 10);
	assert_int_equal(schema->settings[1].value, 0);
	assert_int_equal(schema->settings[2].value, -3);
	assert_false(schema->settings[2].is_bounded);
	assert_true(schema->settings[3].is_bounded);
	assert_int_equal(schema->settings[3].least, 1024);
	assert_int_equal(schema->settings[3].most, 1 << 20);
	assert_ptr_equal(sonde_schema_setting(schema, "level"), &schema->settings[2]);
	assert_null(sonde_schema_setting(schema, "levels"));
	sonde_schema_free(&schema);
}

static void test_setting_check(void **state)
{
	static const struct {
		const char *name;
		int64_t value;
		int r;
		const char *said;
	} cases[] = {
		{"levels", 1, -ENOENT, "there is no setting 'levels'; there are: update_interval_ns, show_all"},
		{"show_all", 1, 0}, {"show_all", 2, -ERANGE, "the value 2 of setting 'show_all' is out of range: false or true are"},
		{"level", 32767, 0}, {"level", -32768, 0}, {"level", 32768, -ERANGE, "-32768 to 32767 are possible"},
		{"update_interval_ns", 0, 0}, {"update_interval_ns", INT64_MAX, 0},
		{"update_interval_ns", -1, -ERANGE, "the value -1 of setting 'update_interval_ns' is out of range: 0 or more is possible"},
		{NULL, 1024, 0}, {NULL, 1023, -ERANGE, " to "}, {NULL, (1 << 20) + 1, -ERANGE, " are possible"},
	};
	struct sonde_schema *schema = schema_open("valid");
	char error[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = cases[i].name ?: schema->settings[3].name;

		error[0] = '\0';
		assert_int_equal(sonde_setting_check(schema, name, cases[i].value, error, sizeof(error)), cases[i].r);
		if (!strstr(error, cases[i].said ?: ""))
			fail_msg("%s: %s", name, error);
	}
	sonde_schema_free(&schema);
}

static void test_setting_values(void **state)
{
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_setting *level = sonde_schema_setting(schema, "level");
	char text[SONDE_SETTING_TEXT_MAX], rodata[64] = "";
	size_t end = level->offset + level->size;

	assert_true(end <= sizeof(rodata));
	memset(rodata + level->offset, 0xff, level->size);
	assert_int_equal(sonde_setting_value(level, rodata, end), -1);
	assert_int_equal(sonde_setting_value(level, rodata, end - 1), -3); /* what is not there: the default */
	assert_int_equal(sonde_setting_value(level, NULL, 0), -3);
	assert_string_equal(sonde_setting_text(level, -1, text), "-1");
	assert_string_equal(sonde_setting_text(sonde_schema_setting(schema, "update_interval_ns"), 10000000000, text), "10s");
	assert_string_equal(sonde_setting_text(sonde_schema_setting(schema, "most_bytes"), 1 << 20, text), "1MiB");
	assert_string_equal(sonde_setting_text(sonde_schema_setting(schema, "show_all"), 1, text), "true");
	sonde_schema_free(&schema);
}

/* Where a setting stands is right if its default stands there. */
static void test_setting_places(void **state)
{
	struct sonde_schema *schema = schema_open("valid");
	struct testdata object = testdata_object("valid");
	Elf *elf = elf_memory(object.data, object.size);
	Elf_Scn *section = NULL;
	const uint8_t *rodata = NULL;
	uint64_t interval;
	int16_t level;
	size_t names;

	assert_false(elf_getshdrstrndx(elf, &names));
	while ((section = elf_nextscn(elf, section)) && !rodata) {
		GElf_Shdr header;

		assert_non_null(gelf_getshdr(section, &header));
		if (!strcmp(elf_strptr(elf, names, header.sh_name), ".rodata"))
			rodata = elf_rawdata(section, NULL)->d_buf;
	}
	assert_non_null(rodata);
	memcpy(&interval, rodata + schema->settings[0].offset, sizeof(interval));
	assert_int_equal(interval, 10);
	assert_int_equal(rodata[schema->settings[1].offset], 0);
	memcpy(&level, rodata + schema->settings[2].offset, sizeof(level));
	assert_int_equal(level, -3);
	elf_end(elf);
	free(object.data);
	sonde_schema_free(&schema);
}

static void test_metrics(void **state)
{
	struct sonde_schema *schema = schema_open("valid");
	const struct sonde_metric *counter = &schema->metrics[0], *gauge = &schema->metrics[1],
				  *histogram = &schema->metrics[2];

	assert_int_equal(schema->n_metrics, 3);
	assert_string_equal(counter->name, "everything_total");
	assert_string_equal(counter->doc, "things that were seen");
	assert_string_equal(counter->map, "everything_counts");
	assert_true(counter->is_counter);
	assert_int_equal(counter->key_size, sizeof(struct everything_key));
	assert_int_equal(counter->n_labels, 4); /* of an error the name alone */
	assert_string_equal(counter->labels[0].name, "kind");
	assert_string_equal(counter->labels[1].name, "protocol");
	assert_string_equal(counter->labels[2].name, "interface");
	assert_int_equal(counter->labels[2].offset, offsetof(struct everything_key, interface));
	assert_string_equal(counter->labels[3].name, "error");
	assert_string_equal(gauge->name, "everything_current");
	assert_false(gauge->is_counter);
	assert_string_equal(histogram->name, "everything_seconds");
	assert_true(histogram->is_histogram && !histogram->is_counter && !gauge->is_histogram);
	assert_int_equal(histogram->n_labels, 1);
	assert_int_equal(histogram->bucket_offset, 7);
	assert_int_equal(histogram->key_size, 8);
	sonde_schema_free(&schema);
}

/* Every case of broken.bpf.c, with the words that its line expects. */
static void test_broken_objects(void **state)
{
	struct testdata source = testdata_read(SONDE_SOURCE_DIR "/src/schema/testdata/broken.bpf.c");
	char *line, *rest = source.data;
	unsigned n = 0;

	while ((line = strsep(&rest, "\n"))) {
		char name[64], object_name[80];
		const char *expected = strstr(line, "/* expect: "), *error = NULL;
		struct sonde_schema *schema = NULL;
		struct testdata object;
		int r;

		if (!expected || sscanf(line, "#%*[elif ]defined(%63[a-z0-9_])", name) != 1)
			continue;
		expected += strlen("/* expect: ");
		*strstr(expected, " */") = '\0';
		snprintf(object_name, sizeof(object_name), "broken_%s", name);
		object = testdata_object(object_name);
		r = sonde_schema_new("test", object.data, object.size, NULL, &error, &schema);
		free(object.data);
		if (r != (strcmp(name, "no_event") ? -EINVAL : -ENOENT) || schema || !strstr(error, expected))
			fail_msg("%s: returned %d, '%s', expected '%s'", name, r, error ? error : "(no error)", expected);
		n++;
	}
	free(source.data);
	assert_true(n > 50);
}

static void test_not_an_object(void **state)
{
	static const char text[] = "#!/bin/sh\nexit 0\n";
	const char *error = NULL;
	struct sonde_schema *schema = NULL;

	assert_int_equal(sonde_schema_new("test", text, sizeof(text), NULL, &error, &schema), -EINVAL);
	assert_non_null(strstr(error, "not an ELF file of BPF code"));
	assert_int_equal(sonde_schema_new("test", "", 0, NULL, &error, &schema), -EINVAL);
	/* An ELF file, but of this machine. */
	{
		struct testdata self = testdata_read("/proc/self/exe");

		if (self.size <= 16u << 20) {
			assert_int_equal(sonde_schema_new("test", self.data, self.size, NULL, &error, &schema), -EINVAL);
			assert_non_null(strstr(error, "not an ELF file of BPF code"));
		}
		free(self.data);
	}
	assert_int_equal(sonde_schema_new("test", text, (16u << 20) + 1, NULL, &error, &schema), -EINVAL);
	assert_non_null(strstr(error, "larger than 16 MiB"));
	assert_null(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_columns_in_order),
		cmocka_unit_test(test_column_meaning),
		cmocka_unit_test(test_column_places),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_setting_check),
		cmocka_unit_test(test_setting_values),
		cmocka_unit_test(test_setting_places),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_top), cmocka_unit_test(test_main), cmocka_unit_test(test_broken_objects),
		cmocka_unit_test(test_not_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
