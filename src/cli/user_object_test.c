/* SPDX-License-Identifier: Apache-2.0 */
#include <config/config.h>
#include <cli/user_object.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_path_or_name(void **state)
{
	static const char *const paths[] = {"./mine.bpf.o", "/tmp/mine", "mine.o"}, *const names[] = {"mine", "packet_drop", "o", ".o"};

	for (size_t i = 0; i < 3; i++)
		assert_true(sonde_user_object_is_path(paths[i]));
	for (size_t i = 0; i < 4; i++)
		assert_false(sonde_user_object_is_path(names[i]));
}

static void test_name(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {{"./mine.bpf.o", "mine"},	   {"mine.o", "mine"},	   {"/a.b/my-own.bpf.o", "my_own"}, {"packet-drop", "packet_drop"},
		     {"/x/abcdefghij.o", "abcdefg"}, {"/x/", ""}, {"", ""}};
	char name[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sonde_config_object_name(cases[i].path, name, sizeof(name));
		assert_int_equal(strncmp(name, cases[i].name, sizeof(name) - 1), 0);
		assert_true(strlen(name) < sizeof(name));
	}
}

static void test_schema(void **state)
{
	char text[] = "/tmp/sonde-object-XXXXXX";
	struct sonde_schema *schema = NULL;
	int fd = mkstemp(text);

	assert_int_equal(sonde_user_object_schema(SONDE_BUILD_DIR "/testdata_valid.bpf.o", &schema), 0);
	assert_string_equal(schema->program, "testdata_valid");
	sonde_schema_free(&schema);
	assert_int_equal(sonde_user_object_schema("/tmp", &schema), 1);
	assert_int_equal(sonde_user_object_schema("/nowhere/mine.o", &schema), 1);
	assert_int_equal(write(fd, "no object", 9), 9);
	assert_int_equal(sonde_user_object_schema(text, &schema), 1);
	assert_null(schema);
	close(fd);
	unlink(text);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_path_or_name),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_schema),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
