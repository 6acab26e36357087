/* SPDX-License-Identifier: Apache-2.0 */
/* Every program in the binary obeys the rules of its types, and no two of them use one name for an event or a metric. */
#include <bpf/embedded.h>
#include <schema/schema.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define PROGRAMS_MAX 64

static struct sonde_schema *schemas[PROGRAMS_MAX];
static unsigned n_schemas;

static int teardown(void **state)
{
	while (n_schemas)
		sonde_schema_free(&schemas[--n_schemas]);
	return 0;
}

static void test_schemas(void **state)
{
	for (const struct sonde_embedded *program = sonde_embedded; program->name; program++) {
		const char *error = NULL;

		assert_true(n_schemas < PROGRAMS_MAX);
		if (sonde_schema_new(program->name, program->object, (size_t)(program->object_end - program->object), NULL,
				     &error, &schemas[n_schemas]))
			fail_msg("program %s: %s", program->name, error);
		assert_true(schemas[n_schemas]->n_types > 0);
		n_schemas++;
	}
	assert_true(n_schemas > 0);
}

static bool uses(const struct sonde_schema *schema, const char *event, const char *metric)
{
	for (uint32_t i = 0; event && i < schema->n_types; i++)
		if (!strcmp(schema->types[i].name, event))
			return true;
	for (uint32_t i = 0; metric && i < schema->n_metrics; i++)
		if (!strcmp(schema->metrics[i].name, metric))
			return true;
	return false;
}

static void test_names_differ(void **state)
{
	for (unsigned a = 0; a < n_schemas; a++)
		for (unsigned b = 0; b < a; b++) {
			for (uint32_t i = 0; i < schemas[a]->n_types; i++)
				if (uses(schemas[b], schemas[a]->types[i].name, NULL))
					fail_msg("event %s: in %s and %s", schemas[a]->types[i].name, schemas[a]->program,
						 schemas[b]->program);
			for (uint32_t i = 0; i < schemas[a]->n_metrics; i++)
				if (uses(schemas[b], NULL, schemas[a]->metrics[i].name))
					fail_msg("metric %s: in %s and %s", schemas[a]->metrics[i].name, schemas[a]->program,
						 schemas[b]->program);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schemas),
		cmocka_unit_test(test_names_differ),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
