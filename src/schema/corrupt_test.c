/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged objects: none may crash, hang or read beyond its end (run it under the sanitizers, too), and one that is still
 * accepted must have columns that stay inside its record. The damage is pseudo-random, but the same in each run.
 */
#include <schema/schema.h>
#include <schema/testdata.h>

#include <sonde/types.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define ROUNDS 20000

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 11) % limit;
}

/* Text is read to its last byte: a value that reaches too far is then seen by the sanitizer. */
static void value_touch(const struct sonde_value *value, unsigned *sum)
{
	if (value->type == SONDE_TEXT)
		for (uint32_t i = 0; i < value->length; i++)
			*sum += (uint8_t)value->text[i];
	else if (value->type == SONDE_ADDRESS)
		*sum += value->address[0] + value->address[15];
}

static void schema_use(const struct sonde_schema *schema)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];
	unsigned sum = 0;

	for (uint32_t t = 0; t < schema->n_types; t++) {
		const struct sonde_type *type = &schema->types[t];
		struct sonde_event event = {.type = type, .length = type->size, .source = "ebpf"};
		uint8_t *record = malloc(type->size);

		assert_true(type->n_columns <= SONDE_COLUMNS_MAX && type->size >= sizeof(struct sonde_header));
		memset(record, 0xff, type->size);
		event.record = (const struct sonde_header *)record;
		sonde_event_values(&event, NULL, values);
		for (uint32_t i = 0; i < type->n_columns; i++)
			value_touch(&values[i], &sum);
		free(record);
	}
	for (uint32_t m = 0; m < schema->n_metrics; m++) {
		uint8_t *key = calloc(1, schema->metrics[m].key_size ? schema->metrics[m].key_size : 1);

		for (uint32_t i = 0; i < schema->metrics[m].n_labels; i++) {
			sonde_label_value(&schema->metrics[m].labels[i], key, NULL, values);
			value_touch(values, &sum);
		}
		free(key);
	}
	assert_true(sum || !sum);
}

static void object_try(const char *data, size_t size, unsigned *accepted)
{
	struct sonde_schema *schema = NULL;
	const char *error = NULL;
	int r = sonde_schema_new("test", data, size, NULL, &error, &schema);

	if (r) {
		assert_true(r == -EINVAL || r == -ENOENT);
		assert_non_null(error);
		assert_true(*error);
		assert_null(schema);
		return;
	}
	(*accepted)++;
	schema_use(schema);
	sonde_schema_free(&schema);
}

static void test_truncated(void **state)
{
	struct testdata object = testdata_object("valid");
	unsigned accepted = 0;

	for (size_t size = 0; size < object.size; size += 13) {
		char *copy = malloc(size ? size : 1);

		memcpy(copy, object.data, size);
		object_try(copy, size, &accepted);
		free(copy);
	}
	assert_int_equal(accepted, 0); /* the section headers stand at the end */
	object_try(object.data, object.size, &accepted);
	assert_int_equal(accepted, 1);
	free(object.data);
}

static void damage(const struct testdata *object, size_t from, size_t to, unsigned *accepted)
{
	char *copy = malloc(object->size);

	for (unsigned round = 0; round < ROUNDS; round++) {
		memcpy(copy, object->data, object->size);
		for (uint32_t n = 1 + random_below(4); n; n--) {
			size_t at = from + random_below((uint32_t)(to - from));

			switch (random_below(3)) {
			case 0:
				copy[at] ^= (char)(1 << random_below(8));
				break;
			case 1:
				copy[at] = (char)random_below(256);
				break;
			default: /* ids and sizes are 4 bytes: small, huge, or that of some other */
				at &= ~(size_t)3;
				if (at + 8 <= to)
					memcpy(copy + at, copy + (from + random_below((uint32_t)(to - from - 4))), 4);
				break;
			}
		}
		object_try(copy, object->size, accepted);
	}
	free(copy);
}

static void test_damaged_anywhere(void **state)
{
	struct testdata object = testdata_object("valid");
	unsigned accepted = 0;

	random_state = 0x9e3779b97f4a7c15;
	damage(&object, 0, object.size, &accepted);
	assert_true(accepted && accepted < ROUNDS);
	free(object.data);
}

static void test_damaged_btf(void **state)
{
	struct testdata object = testdata_object("valid");
	const char *btf = memmem(object.data, object.size, "\x9f\xeb\x01\x00", 4);
	unsigned accepted = 0;
	uint32_t header_length, type_length;
	size_t from;

	assert_non_null(btf);
	from = (size_t)(btf - object.data);
	memcpy(&header_length, btf + 4, sizeof(header_length));
	memcpy(&type_length, btf + 12, sizeof(type_length));
	random_state = 0xd1b54a32d192ed03;
	damage(&object, from, from + header_length, &accepted);
	assert_true(accepted < ROUNDS);
	accepted = 0;
	damage(&object, from + header_length, from + header_length + type_length, &accepted);
	assert_true(accepted && accepted < ROUNDS);
	free(object.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged_anywhere),
		cmocka_unit_test(test_damaged_btf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
