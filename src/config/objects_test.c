/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/embedded.h>
#include <config/config.h>

static struct sonde_config config;
static char error[256];

static void put(const char *name, mode_t mode)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", config.programs_directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int setup(void **state)
{
	sonde_config_default(&config);
	error[0] = '\0';
	strcpy(config.programs_directory, "/tmp/sonde-test-XXXXXX");
	return mkdtemp(config.programs_directory) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s'", config.programs_directory);
	return system(command);
}

static void test_objects_become_programs(void **state)
{
	put("zebra.bpf.o", 0644);
	put("my-program.bpf.o", 0644);
	put("notes.txt", 0644);
	put(".hidden.bpf.o", 0644);
	put(".bpf.o", 0644);
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 2);
	assert_string_equal(config.programs[0].name, "my_program");
	assert_string_equal(config.programs[1].name, "zebra");
	assert_true(config.programs[0].enabled && config.programs[0].enabled_given && !config.programs[0].required);
	assert_true(config.programs[0].from_directory && !config.programs[0].refused[0]);
	assert_non_null(strstr(config.programs[0].object, "/my-program.bpf.o"));
}

/* What the file says of a program stands above what lies in the directory. */
static void test_section_wins(void **state)
{
	put("mine.bpf.o", 0644);
	strcpy(config.programs[0].name, "mine");
	strcpy(config.programs[0].object, "/opt/mine.bpf.o");
	config.n_programs = 1;
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 1);
	assert_string_equal(config.programs[0].object, "/opt/mine.bpf.o");
}

/* What cannot be a program is one that says why: it keeps nobody else from running. */
static void test_bad_names(void **state)
{
	static const char *const files[] = {"1x.bpf.o", "UPPER.bpf.o", "a_name_that_is_longer_than_it_may_be.bpf.o", "we ird\n.bpf.o"};
	static const char *const names[] = {"1x", "UPPER", "a_name_that_is_longer_than_it_m", "we ird?"};

	for (size_t i = 0; i < 4; i++)
		put(files[i], 0644);
	put("zebra.bpf.o", 0644);
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 5);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(config.programs[i].name, names[i]);
		assert_non_null(strstr(config.programs[i].refused, "a program's name has a-z, 0-9 and _"));
	}
	assert_string_equal(config.programs[4].refused, "");
}

static void test_names_that_are_taken(void **state)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.bpf.o", sonde_embedded[0].name);
	put(file, 0644);
	put("mm.bpf.o", 0644);
	put("mm.v2.bpf.o", 0644);
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 3);
	assert_null(sonde_config_program(&config, sonde_embedded[0].name));
	assert_non_null(strstr(sonde_config_program(&config, file)->refused, "is a built-in program"));
	assert_string_equal(sonde_config_program(&config, "mm")->refused, "");
	assert_non_null(strstr(sonde_config_program(&config, "mm.v2.bpf.o")->refused, "'mm' is also the name of another file"));
}

static void test_only_root_may_put_programs_there(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(config.programs_directory, 0777), 0);
	put("zebra.bpf.o", 0644);
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 1);
	assert_non_null(strstr(config.programs[0].name, "directory:sonde-test-"));
	assert_string_equal(config.programs[0].object, "");
	assert_non_null(strstr(config.programs[0].refused, config.programs_directory));
	assert_non_null(strstr(config.programs[0].refused, "chown root:root and chmod go-w"));
	assert_int_equal(sonde_config_check(&config, error, sizeof(error)), 0);
}

/* It keeps no other program from running that it is no directory. */
static void test_no_directory(void **state)
{
	char directory[sizeof(config.programs_directory)];

	memcpy(directory, config.programs_directory, sizeof(directory));
	put("file", 0600);
	strcat(config.programs_directory, "/file");
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 1);
	assert_string_equal(config.programs[0].name, "directory:file");
	assert_non_null(strstr(config.programs[0].refused, "Not a directory"));
	memcpy(config.programs_directory, directory, sizeof(directory));
}

static void test_nothing_there(void **state)
{
	char directory[sizeof(config.programs_directory)];

	memcpy(directory, config.programs_directory, sizeof(directory));
	strcpy(config.programs_directory, "/tmp/sonde-there-is-no-such-directory");
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	config.programs_directory[0] = '\0';
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), 0);
	assert_int_equal(config.n_programs, 0);
	memcpy(config.programs_directory, directory, sizeof(directory));
}

static void test_too_many(void **state)
{
	char name[32];

	for (int i = 0; i < 65; i++) {
		snprintf(name, sizeof(name), "p%d.bpf.o", i);
		put(name, 0644);
	}
	assert_int_equal(sonde_config_add_objects(&config, error, sizeof(error)), -E2BIG);
	assert_non_null(strstr(error, "64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_objects_become_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_section_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_that_are_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_root_may_put_programs_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
