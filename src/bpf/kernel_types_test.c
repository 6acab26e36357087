/* SPDX-License-Identifier: Apache-2.0 */
/* The file against the kernel's own BTF: what the built-in programs ask for is there, as it is there. */
#include <bpf/kernel_types.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <schema/btf.h>
#include <schema/btf_file.h>
#include <schema/object.h>

#define SKIPPED 77

struct both {
	struct sonde_btf_file files[2];
	struct sonde_btf kernel, few;
};

static struct sonde_image image_of(const struct sonde_embedded *embedded)
{
	return (struct sonde_image){embedded->object, (size_t)(embedded->object_end - embedded->object)};
}

static void open_one(const char *path, struct sonde_btf_file *file, struct sonde_btf *btf)
{
	assert_int_equal(sonde_btf_file_open(path, file), 0);
	assert_int_equal(sonde_btf_open(file->data, file->size, btf), 0);
	assert_int_equal(sonde_btf_index(btf), 0);
}

static void open_both(struct both *both)
{
	struct sonde_image images[64];
	struct sonde_kernel_types types;
	size_t n = 0;

	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++)
		images[n++] = image_of(e);
	assert_int_equal(sonde_kernel_types_open(images, n, &types), 0);
	open_one(types.path, &both->files[0], &both->few);
	open_one(SONDE_KERNEL_BTF, &both->files[1], &both->kernel);
	sonde_kernel_types_close(&types);
}

static void close_both(struct both *both)
{
	sonde_btf_close(&both->few);
	sonde_btf_close(&both->kernel);
	for (int i = 0; i < 2; i++)
		sonde_btf_file_close(&both->files[i]);
}

static void test_types_are_the_kernels_under_their_numbers(void **state)
{
	unsigned taken = 0;
	struct both both;

	open_both(&both);
	assert_true(both.few.n_types <= both.kernel.n_types);
	for (uint32_t id = 1; id < both.few.n_types; id++) {
		const struct btf_type *here = both.few.index[id], *there = both.kernel.index[id];

		if (sonde_btf_kind(here) == BTF_KIND_FWD && !here->name_off)
			continue;
		taken++;
		assert_int_equal(here->info, there->info);
		assert_string_equal(sonde_btf_text(&both.few, here->name_off), sonde_btf_text(&both.kernel, there->name_off));
		if (sonde_btf_kind(here) != BTF_KIND_PTR)
			assert_int_equal(here->size, there->size); /* or what it refers to */
	}
	assert_in_range(taken, 100, both.kernel.n_types / 10);
	close_both(&both);
}

static uint32_t find(const struct sonde_btf *btf, const struct btf_type *wanted, const char *name)
{
	for (uint32_t id = 1; id < btf->n_types; id++)
		if (sonde_btf_kind(btf->index[id]) == sonde_btf_kind(wanted) &&
		    !strcmp(sonde_btf_text(btf, btf->index[id]->name_off), name))
			return id;
	return 0;
}

/* Structs and their members to the last: what an object asks of them is asked by name. */
static void check_struct(const struct both *both, uint32_t id)
{
	const struct btf_type *here = sonde_btf_type(&both->few, id), *there = both->kernel.index[id];
	const struct btf_member *mine = (const void *)(here + 1), *its = (const void *)(there + 1);

	for (uint32_t i = 0; i < BTF_INFO_VLEN(there->info); i++) {
		uint32_t size = 0, kernel_size = 0;

		assert_string_equal(sonde_btf_text(&both->few, mine[i].name_off),
				    sonde_btf_text(&both->kernel, its[i].name_off));
		assert_int_equal(mine[i].offset, its[i].offset);
		assert_int_equal(sonde_btf_size(&both->few, mine[i].type, &size),
				 sonde_btf_size(&both->kernel, its[i].type, &kernel_size));
		assert_int_equal(size, kernel_size);
	}
}

static void test_all_that_a_program_names_is_there(void **state)
{
	unsigned structs = 0;
	struct both both;

	open_both(&both);
	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++) {
		CLEANUP(sonde_object_close) struct sonde_object object = {0};
		const struct btf_type *type = NULL;
		struct sonde_btf btf;
		const char *why;

		assert_int_equal(sonde_object_open(image_of(e).object, image_of(e).size, &why, &object), 0);
		assert_int_equal(sonde_btf_open(object.btf, object.btf_size, &btf), 0);
		while ((type = sonde_btf_next(&btf, type))) {
			char name[128];
			uint32_t id;

			if (sonde_btf_kind(type) != BTF_KIND_STRUCT && sonde_btf_kind(type) != BTF_KIND_ENUM)
				continue;
			snprintf(name, sizeof(name), "%s", sonde_btf_text(&btf, type->name_off));
			if (strstr(name, "___"))
				*strstr(name, "___") = '\0';
			id = name[0] ? find(&both.kernel, type, name) : 0;
			if (!id)
				continue;
			assert_int_equal(find(&both.few, type, name), id);
			if (sonde_btf_kind(type) == BTF_KIND_STRUCT) {
				check_struct(&both, id);
				structs++;
			}
		}
	}
	assert_in_range(structs, 20, 10000);
	close_both(&both);
}

static void test_what_is_no_object_is_refused(void **state)
{
	struct sonde_kernel_types types = SONDE_KERNEL_TYPES_NONE;
	struct sonde_image image = {"no object", 9};

	assert_true(sonde_kernel_types_open(&image, 1, &types) < 0);
	assert_int_equal(sonde_kernel_types_open(NULL, 0, &types), -ENOENT);
	assert_int_equal(types.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_are_the_kernels_under_their_numbers),
		cmocka_unit_test(test_all_that_a_program_names_is_there),
		cmocka_unit_test(test_what_is_no_object_is_refused),
	};

	if (access(SONDE_KERNEL_BTF, R_OK))
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
