/* SPDX-License-Identifier: Apache-2.0 */
#include <enrich/symbols.h>

#include <base/cleanup.h>
#include <enrich/kallsyms.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static int file_of(const char *text)
{
	int fd = memfd_create("kallsyms", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static const char small[] = "0000000000000000 A fixed_percpu_data\n"
			    "ffffffff81000000 T _stext\n"
			    "ffffffff81000000 T _text\n"
			    "ffffffff810000f0 t __pfx_b_function\n"
			    "ffffffff81000100 t b_function\n"
			    "ffffffff81000080 t a_function\n"
			    "ffffffff81000180 D data\n"
			    "ffffffff81000200 W c_function\n"
			    "ffffffffc0102000 t late_function\t[zmodule]\n"
			    "ffffffffc0101000 t early_function\t[zmodule]\n"
			    "ffffffffc0103000 t other_function\t[other]\n"
			    "ffffffffc0200000 t bpf_prog_abc\t[bpf]\n"
			    "0000000000001000 t far_away\n"
			    "not a line\n"
			    "ffffffff81000300 t\n";

static void test_find(void **state)
{
	CLEANUP_CLOSE int fd = file_of(small);
	struct sonde_kallsyms *table = NULL;

	assert_int_equal(sonde_kallsyms_read(fd, &table), 0);
	assert_int_equal(sonde_kallsyms_count(table), 7);
	assert_null(sonde_kallsyms_find(table, 0xffffffff80ffffff));
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffff81000000), "_stext");
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffff81000080), "a_function");
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffff810000ff), "a_function");
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffff81000100), "b_function");
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffff81000fff), "c_function");
	/* Behind the kernel, between modules, behind the last of all. */
	assert_null(sonde_kallsyms_find(table, 0xffffffff81001000));
	assert_null(sonde_kallsyms_find(table, 0xffffffffc0100fff));
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffffc0101fff), "early_function");
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffffc0102fff), "late_function");
	/* A module that begins where another ends. */
	assert_string_equal(sonde_kallsyms_find(table, 0xffffffffc0103000), "other_function");
	assert_null(sonde_kallsyms_find(table, 0xffffffffc0104000));
	assert_null(sonde_kallsyms_find(table, 0xffffffffc0200000));
	assert_null(sonde_kallsyms_find(table, 0));
	assert_null(sonde_kallsyms_find(table, 0x1000));
	assert_null(sonde_kallsyms_find(table, UINT64_MAX));
	sonde_kallsyms_free(&table);
}

static void test_hidden_addresses(void **state)
{
	CLEANUP_CLOSE int fd = file_of("0000000000000000 T _stext\n0000000000000000 t function\n");
	CLEANUP_CLOSE int empty = file_of("");
	struct sonde_kallsyms *table = NULL;
	struct sonde_intern *names = NULL;
	struct sonde_symbols *symbols = NULL;

	assert_int_equal(sonde_kallsyms_read(fd, &table), -ENODATA);
	assert_int_equal(sonde_kallsyms_read(empty, &table), -ENODATA);
	assert_int_equal(sonde_kallsyms_read(-1, &table), -EBADF);
	assert_null(table);
	assert_int_equal(sonde_intern_new(100, 10000, &names), 0);
	assert_int_equal(sonde_symbols_new(fd, names, &symbols), 0);
	assert_null(sonde_symbols_name(symbols, 0xffffffff81000000));
	assert_int_equal(sonde_symbols_count(symbols), 0);
	sonde_symbols_free(&symbols);
	assert_int_equal(sonde_symbols_new(-1, names, &symbols), 0);
	assert_null(sonde_symbols_name(symbols, 0xffffffff81000000));
	sonde_symbols_free(&symbols);
	sonde_intern_free(&names);
}

static void test_names_outlive_the_table(void **state)
{
	CLEANUP_CLOSE int fd = file_of(small);
	struct sonde_intern *names = NULL;
	struct sonde_symbols *symbols = NULL;
	const char *name;

	assert_int_equal(sonde_intern_new(100, 10000, &names), 0);
	assert_int_equal(sonde_symbols_new(fd, names, &symbols), 0);
	assert_int_equal(sonde_symbols_count(symbols), 0); /* nothing is read before it is asked for */
	name = sonde_symbols_name(symbols, 0xffffffff81000104);
	assert_string_equal(name, "b_function");
	assert_ptr_equal(sonde_symbols_name(symbols, 0xffffffff81000104), name);
	assert_ptr_equal(sonde_symbols_name(symbols, 0xffffffff81000110), name);
	assert_null(sonde_symbols_name(symbols, 0));
	assert_null(sonde_symbols_name(symbols, 0xffffffffc0300000));
	assert_int_equal(sonde_symbols_count(symbols), 7);
	sonde_symbols_free(&symbols);
	assert_string_equal(name, "b_function");
	sonde_intern_free(&names);
}

static void test_hostile_files(void **state)
{
	static char line[200 * 1024];
	CLEANUP_CLOSE int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	CLEANUP_CLOSE int binary = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	struct sonde_kallsyms *table = NULL;

	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "ffffffff81000000 T ", 19);
	CLEANUP_CLOSE int endless = file_of(line);

	assert_int_equal(sonde_kallsyms_read(endless, &table), -EINVAL);
	assert_int_equal(sonde_kallsyms_read(zeros, &table), -EINVAL);
	assert_true(sonde_kallsyms_read(binary, &table) < 0);
	assert_null(table);
}

static void test_limit_of_names(void **state)
{
	CLEANUP_CLOSE int fd = memfd_create("kallsyms", MFD_CLOEXEC);
	CLEANUP_FCLOSE FILE *file = fdopen(dup(fd), "w");
	struct sonde_kallsyms *table = NULL;
	char name[501];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (uint64_t i = 0; i < SONDE_KALLSYMS_NAME_BYTES_MAX / 500 + 1000; i++)
		fprintf(file, "%" PRIx64 " T %s\n", 0xffffffff81000000 + i * 16, name);
	fflush(file);
	assert_int_equal(sonde_kallsyms_read(fd, &table), -E2BIG);
	assert_null(table);
}

/* Every function of the running kernel, against the file itself. */
static void test_running_kernel(void **state)
{
	CLEANUP_CLOSE int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	CLEANUP_FCLOSE FILE *file = fopen("/proc/kallsyms", "re");
	struct sonde_kallsyms *table = NULL;
	char line[1024], name[512], type;
	uint64_t address, last = 0, checked = 0;
	int r = sonde_kallsyms_read(fd, &table);

	if (r == -ENODATA) {
		print_message("addresses are hidden from this user\n");
		skip();
	}
	assert_int_equal(r, 0);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 " %c %511s", &address, &type, name) != 3 || !strchr("tTwW", type) ||
		    strstr(line, "\t[") || !strncmp(name, "__pfx_", 6) || !strncmp(name, "__cfi_", 6) || address == last)
			continue;
		last = address;
		checked++;
		assert_string_equal(sonde_kallsyms_find(table, address), name);
	}
	assert_true(checked > 10000);
	print_message("%u functions\n", sonde_kallsyms_count(table));
	sonde_kallsyms_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_hidden_addresses),
		cmocka_unit_test(test_names_outlive_the_table),
		cmocka_unit_test(test_hostile_files),
		cmocka_unit_test(test_limit_of_names),
		cmocka_unit_test(test_running_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
