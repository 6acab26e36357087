/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <runtime/taken.h>

static struct sonde_schema *embedded_schema(const struct sonde_embedded *e, const char *name)
{
	struct sonde_schema *schema = NULL;
	const char *error;

	assert_int_equal(sonde_schema_new(name, e->object, (size_t)(e->object_end - e->object), NULL, &error, &schema), 0);
	return schema;
}

static bool is_of_a_program(const char *metric)
{
	bool found = false;

	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++) {
		struct sonde_schema *schema = embedded_schema(e, e->name);

		for (uint32_t i = 0; i < schema->n_metrics; i++)
			found |= !strcmp(schema->metrics[i].name, metric);
		sonde_schema_free(&schema);
	}
	return found;
}

/* The page of the metrics is made from a real one, and a test keeps it so: what no program has is the agent's. */
static void test_every_metric_has_an_owner(void **state)
{
	FILE *file CLEANUP_FCLOSE = fopen(SONDE_SOURCE_DIR "/docs/metrics.md", "r");
	char line[1024], name[128];
	unsigned n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "| `sonde_%127[a-z0-9_]` |", name) != 1)
			continue;
		if (is_of_a_program(name) == sonde_metric_is_agents(name))
			fail_msg("sonde_%s: taken.c does not list it, or a program has it too", name);
		n++;
	}
	assert_true(n > 40);
}

static void test_names_of_others(void **state)
{
	char error[256];

	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++) {
		struct sonde_schema *own = embedded_schema(e, e->name), *copy = embedded_schema(e, "copy");

		assert_int_equal(sonde_taken(own, error, sizeof(error)), 0); /* it stands in its own place */
		assert_int_equal(sonde_taken(copy, error, sizeof(error)), -EEXIST);
		assert_non_null(strstr(error, "belongs to program"));
		assert_non_null(strstr(error, e->name));
		assert_int_equal(sonde_taken_by(copy, own, error, sizeof(error)), -EEXIST);
		sonde_schema_free(&own);
		sonde_schema_free(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_metric_has_an_owner),
		cmocka_unit_test(test_names_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
