/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in enums, and enums of BTF files: the kernel's own, written ones, damaged ones. */
#include <schema/enum.h>
#include <schema/testdata.h>

#include <bpf/btf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static char path[] = "/tmp/sonde-enum-test-XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static void file_write(const void *data, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_false(fclose(file));
}

/* As the kernel's file: many types, the enum among them, one forward declaration of it in front. */
static struct btf *btf_make(void)
{
	struct btf *btf = btf__new_empty();

	btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	btf__add_struct(btf, "pair", 8);
	btf__add_field(btf, "left", 1, 0, 0);
	btf__add_field(btf, "right", 1, 32, 0);
	btf__add_enum(btf, "fruit", 4);
	btf__add_enum(btf, "fruit", 4);
	btf__add_enum_value(btf, "APPLE", 1);
	btf__add_enum_value(btf, "PEAR", -3);
	btf__add_enum_value(btf, "PLUM", 1000);
	btf__add_enum_value(btf, "POME", 1); /* a second name of 1 */
	btf__add_enum64(btf, "distance", 8, false);
	btf__add_enum64_value(btf, "FAR", 0x100000002);
	assert_true(btf__type_cnt(btf) > 5);
	return btf;
}

static void test_read(void **state)
{
	struct btf *btf = btf_make();
	struct sonde_arena arena = {0};
	const struct sonde_enum *names = NULL;
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	file_write(data, size);
	assert_int_equal(sonde_enum_read(path, "fruit", &arena, &names), 0);
	assert_int_equal(names->n, 3);
	assert_string_equal(sonde_enum_name(names, 1), "APPLE");
	assert_string_equal(sonde_enum_name(names, -3), "PEAR");
	assert_string_equal(sonde_enum_name(names, 1000), "PLUM");
	assert_null(sonde_enum_name(names, 2));
	assert_null(sonde_enum_name(names, INT64_MIN));
	assert_null(sonde_enum_name(names, INT64_MAX));
	assert_int_equal(sonde_enum_read(path, "distance", &arena, &names), 0);
	assert_string_equal(sonde_enum_name(names, 0x100000002), "FAR");
	assert_null(sonde_enum_name(names, 2));
	names = NULL;
	assert_int_equal(sonde_enum_read(path, "pair", &arena, &names), -ENOENT);
	assert_int_equal(sonde_enum_read(path, "", &arena, &names), -ENOENT);
	assert_null(names);
	sonde_arena_free(&arena);
	btf__free(btf);
}

static void test_no_file(void **state)
{
	struct sonde_arena arena = {0};
	const struct sonde_enum *names = NULL;

	assert_int_equal(sonde_enum_read("/nonexistent/btf", "fruit", &arena, &names), -ENOENT);
	file_write("", 0);
	assert_int_equal(sonde_enum_read(path, "fruit", &arena, &names), -EFBIG);
	file_write("no BTF at all, but longer than its header", 41);
	assert_int_equal(sonde_enum_read(path, "fruit", &arena, &names), -EINVAL);
	assert_null(names);
	sonde_arena_free(&arena);
}

/* Each byte of a small file takes several values; whatever comes of it, it ends. */
static void test_damaged(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct btf *btf = btf_make();
	uint32_t size;
	const uint8_t *data = btf__raw_data(btf, &size);
	uint8_t *copy = malloc(size);

	for (uint32_t at = 0; at < size; at++)
		for (size_t v = 0; v < sizeof(values); v++) {
			struct sonde_arena arena = {0};
			const struct sonde_enum *names = NULL;

			memcpy(copy, data, size);
			copy[at] = values[v];
			file_write(copy, size);
			if (!sonde_enum_read(path, "fruit", &arena, &names))
				sonde_enum_name(names, 1);
			sonde_arena_free(&arena);
		}
	for (uint32_t length = 0; length < size; length++) {
		struct sonde_arena arena = {0};
		const struct sonde_enum *names = NULL;

		file_write(data, length);
		assert_true(sonde_enum_read(path, "fruit", &arena, &names) < 0);
		sonde_arena_free(&arena);
	}
	free(copy);
	btf__free(btf);
}

static void test_kernel(void **state)
{
	const struct sonde_enum *states;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		skip();
	/* Stable between kernels, unlike most. */
	states = sonde_enum_of_kernel("bpf_map_type");
	assert_non_null(states);
	assert_string_equal(sonde_enum_name(states, 1), "BPF_MAP_TYPE_HASH");
	assert_string_equal(sonde_enum_name(states, 27), "BPF_MAP_TYPE_RINGBUF");
	assert_ptr_equal(sonde_enum_of_kernel("bpf_map_type"), states); /* kept */
	assert_null(sonde_enum_of_kernel("sonde_no_such_enum"));
	assert_null(sonde_enum_of_kernel("sonde_no_such_enum"));
}

static void test_kernel_limit(void **state)
{
	char name[32];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "sonde_no_such_enum_%d", i);
		assert_null(sonde_enum_of_kernel(name));
	}
}

static void test_null(void **state)
{
	assert_null(sonde_enum_name(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),   cmocka_unit_test(test_no_file),      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_kernel), cmocka_unit_test(test_kernel_limit), cmocka_unit_test(test_null),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
