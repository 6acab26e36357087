/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a victim's mappings: order, rights, names that lie, and that it always has room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mappings.h"

static struct memory_mapping mapping(enum memory_mapping_kind kind, uint64_t bytes, uint32_t rights, const char *name)
{
	struct memory_mapping m = {.bytes = bytes, .rights = rights, .kind = kind};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

static void test_order_rights_and_kinds(void **state)
{
	struct memory_mappings m = {.count = 9, .looked = 9, .biggest = {
		mapping(MEMORY_MAPPING_KIND_STACK, 135168, VM_READ | VM_WRITE, ""),
		mapping(MEMORY_MAPPING_KIND_FILE, 2 << 20, VM_READ | VM_EXEC, "/usr/lib/libc.so.6"),
		mapping(MEMORY_MAPPING_KIND_HEAP, 300 << 20, VM_READ | VM_WRITE, ""),
		mapping(MEMORY_MAPPING_KIND_ANONYMOUS, 200 << 20, VM_READ | VM_WRITE, "arena"),
		mapping(MEMORY_MAPPING_KIND_ANONYMOUS, 100 << 20, VM_READ | VM_WRITE | VM_EXEC, ""),
		mapping(MEMORY_MAPPING_KIND_FILE, 50 << 20, VM_READ | VM_SHARED, "/memfd:x (deleted)"),
		mapping(MEMORY_MAPPING_KIND_FILE, 40 << 20, 0, ""),
	}};
	char text[MEMORY_MAPPINGS_SIZE];

	sonde_memory_mappings_text(&m, MEMORY_MAPPINGS_MAX, text);
	assert_string_equal(text, "300.0:rw-p:[heap] 200.0:rw-p:[anon:arena] 100.0:rwxp:[anon] 50.0:r--s:/memfd:x\\040(deleted) "
				  "40.0:????:? 2.0:r-xp:/usr/lib/libc.so.6 0.1:rw-p:[stack]");
	sonde_memory_mappings_text(&m, 1, text);
	assert_string_equal(text, "300.0:rw-p:[heap]");
	sonde_memory_mappings_text(&m, 0, text);
	assert_string_equal(text, "");
	m = (struct memory_mappings){0};
	sonde_memory_mappings_text(&m, MEMORY_MAPPINGS_MAX, text);
	assert_string_equal(text, "");
}

/* Whatever a process calls its files, it cannot make one mapping look like two, or like something else. */
static void test_names_that_lie(void **state)
{
	struct memory_mappings m = {.biggest = {mapping(MEMORY_MAPPING_KIND_FILE, 1 << 20, VM_READ, "/a 9.0:rw-p:[heap]\n\\\x7f\t\xff")}};
	char text[MEMORY_MAPPINGS_SIZE];

	sonde_memory_mappings_text(&m, MEMORY_MAPPINGS_MAX, text);
	assert_string_equal(text, "1.0:r--p:/a\\0409.0:rw-p:[heap]\\012\\134\\177\\011\xff");
}

static void test_long_names_keep_their_end(void **state)
{
	char name[MEMORY_MAPPING_NAME_SIZE], text[MEMORY_MAPPINGS_SIZE];
	struct memory_mappings m = {0};

	memset(name, 'x', sizeof(name));
	memcpy(name + 251, "/end", 5);
	m.biggest[0] = mapping(MEMORY_MAPPING_KIND_FILE, 1 << 20, VM_READ, name);
	sonde_memory_mappings_text(&m, 1, text);
	assert_memory_equal(text, "1.0:r--p:...xxx", 15);
	assert_int_equal(strlen(text), 9 + 160);
	assert_string_equal(text + strlen(text) - 5, "x/end");

	/* All of them as long as can be, every byte an escape: whole escapes only, and never beyond the end. */
	for (int i = 0; i < MEMORY_MAPPINGS_MAX; i++) {
		m.biggest[i] = (struct memory_mapping){.bytes = UINT64_MAX, .kind = MEMORY_MAPPING_KIND_ANONYMOUS};
		memset(m.biggest[i].name, ' ', sizeof(m.biggest[i].name)); /* no NUL either */
	}
	memset(text, 'y', sizeof(text));
	sonde_memory_mappings_text(&m, MEMORY_MAPPINGS_MAX, text);
	assert_in_range(strlen(text), 8 * 160, sizeof(text) - 1);
	assert_non_null(strstr(text, ":????:[anon:...\\040\\040"));
	assert_string_equal(text + strlen(text) - 5, "\\040]");
	for (const char *c = text; *c; c++)
		if (*c == '\\')
			assert_memory_equal(c, "\\040", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_rights_and_kinds), cmocka_unit_test(test_names_that_lie),
		cmocka_unit_test(test_long_names_keep_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
