/* SPDX-License-Identifier: Apache-2.0 */
#include <enrich/intern.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_equal_names_are_one(void **state)
{
	struct sonde_intern *intern = NULL;
	struct sonde_intern_status status;
	const char *a, *b;

	assert_int_equal(sonde_intern_new(10, 1000, &intern), 0);
	a = sonde_intern_get(intern, "nginx.service", 13);
	b = sonde_intern_get(intern, "nginx.service and more", 13);
	assert_ptr_equal(a, b);
	assert_string_equal(a, "nginx.service");
	assert_ptr_not_equal(sonde_intern_get(intern, "nginx", 5), a);
	assert_string_equal(sonde_intern_get(intern, "a\0b", 3), "a");
	assert_string_equal(sonde_intern_get(intern, "", 0), "");
	sonde_intern_status(intern, &status);
	assert_int_equal(status.strings, 4);
	assert_int_equal(status.bytes, 14 + 6 + 2 + 1);
	assert_int_equal(status.refused, 0);
	sonde_intern_free(&intern);
	assert_null(intern);
	sonde_intern_free(&intern);
}

static void test_limit_of_strings(void **state)
{
	struct sonde_intern *intern = NULL;
	struct sonde_intern_status status;
	char name[16];

	assert_int_equal(sonde_intern_new(1000, 1 << 20, &intern), 0);
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		assert_string_equal(sonde_intern_get(intern, name, strlen(name)), i < 1000 ? name : SONDE_INTERN_FULL);
	}
	assert_string_equal(sonde_intern_get(intern, "name-7", 6), "name-7");
	sonde_intern_status(intern, &status);
	assert_int_equal(status.strings, 1000);
	assert_int_equal(status.refused, 500);
	sonde_intern_free(&intern);
}

static void test_limit_of_bytes(void **state)
{
	static char large[40000];
	struct sonde_intern *intern = NULL;
	struct sonde_intern_status status;

	memset(large, 'x', sizeof(large));
	assert_int_equal(sonde_intern_new(1000, 30000, &intern), 0);
	assert_string_equal(sonde_intern_get(intern, large, sizeof(large)), SONDE_INTERN_FULL);
	assert_int_equal(strlen(sonde_intern_get(intern, large, 20000)), 20000); /* more than a block */
	assert_string_equal(sonde_intern_get(intern, large, 10000), SONDE_INTERN_FULL);
	assert_int_equal(strlen(sonde_intern_get(intern, large, 9998)), 9998);
	assert_string_equal(sonde_intern_get(intern, "y", 1), SONDE_INTERN_FULL);
	sonde_intern_status(intern, &status);
	assert_int_equal(status.bytes, 30000);
	assert_int_equal(status.refused, 3);
	sonde_intern_free(&intern);
}

#define N_NAMES 5000

static void *intern_all(void *userdata)
{
	struct sonde_intern *intern = userdata;
	const char **names = calloc(N_NAMES, sizeof(*names));
	char name[16];

	for (int i = 0; names && i < N_NAMES; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		names[i] = sonde_intern_get(intern, name, strlen(name));
	}
	return names;
}

static void test_threads_agree(void **state)
{
	struct sonde_intern *intern = NULL;
	struct sonde_intern_status status;
	pthread_t threads[4];
	void *names[4];

	assert_int_equal(sonde_intern_new(N_NAMES, 1 << 20, &intern), 0);
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, intern_all, intern), 0);
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], &names[t]);
		assert_non_null(names[t]);
		assert_memory_equal(names[t], names[0], N_NAMES * sizeof(char *));
	}
	sonde_intern_status(intern, &status);
	assert_int_equal(status.strings, N_NAMES);
	assert_int_equal(status.refused, 0);
	for (int t = 0; t < 4; t++)
		free(names[t]);
	sonde_intern_free(&intern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_names_are_one),
		cmocka_unit_test(test_limit_of_strings),
		cmocka_unit_test(test_limit_of_bytes),
		cmocka_unit_test(test_threads_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
