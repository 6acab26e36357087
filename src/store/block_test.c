/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks: what goes in comes out, whatever it is; and whatever byte of one is changed, it is found out. */
#include <store/store_test.h>

#include <store/block.h>
#include <store/columns.h>

#include <errno.h>

static struct sonde_block *block_of(const struct sonde_columns *columns)
{
	struct sonde_block_encoder *encoder CLEANUP(sonde_block_encoder_free) = NULL;
	struct sonde_block *block;

	assert_int_equal(sonde_block_encoder_new(&encoder), 0);
	assert_int_equal(sonde_block_encode(encoder, columns, &block), 0);
	return block;
}

/* All rows as text, or NULL: it is damaged. `data` has exactly `length` bytes, so that a sanitizer sees a step too far. */
static char *text_of(const uint8_t *data, size_t length)
{
	struct sonde_block_column columns[SONDE_COLUMNS_MAX] = {};
	struct sonde_block_head head = {};
	struct sonde_buffer text = SONDE_BUFFER_INIT;
	int r = length < SONDE_BLOCK_HEAD_LEAST ? -EBADMSG : sonde_block_head_length(data);

	if (r >= 0)
		r = (size_t)r > length ? -EBADMSG : sonde_block_head_read(data, (size_t)r, length, &head);
	for (uint32_t i = 0; !r && i < head.n_fields; i++)
		r = sonde_block_column_read(&head.fields[i], data + head.fields[i].offset, head.count, &columns[i]);
	for (uint32_t row = 0; !r && row < head.count; row++)
		for (uint32_t i = 0; i < head.n_fields; i++) {
			struct sonde_value value;

			sonde_block_column_value(&columns[i], row, &value);
			test_value_text(&value, &text);
		}
	for (uint32_t i = 0; i < SONDE_COLUMNS_MAX; i++)
		sonde_block_column_free(&columns[i]);
	if (!r)
		return text.data;
	assert_int_equal(r, -EBADMSG);
	sonde_buffer_free(&text);
	return NULL;
}

static struct sonde_columns *columns_of(uint32_t n)
{
	struct sonde_columns *columns;

	assert_int_equal(sonde_columns_new(&test_type, &columns), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct test_record record = test_record(i * 977 % 5000);
		struct sonde_event event = test_event(&test_type, &record, 1000000 + i * 1000 - i % 7 * 1500);
		const struct sonde_event *events[] = {&event};

		assert_int_equal(sonde_columns_add_events(columns, events, 1, NULL), 0);
	}
	return columns;
}

/* ---- events ---- */

/* The columns of the test, and the name as a text that ends with a NUL, where it may be null and where not. */
static const struct sonde_type *events_type(void)
{
	static struct sonde_column columns[ARRAY_SIZE(test_columns) + 2];
	static struct sonde_type type;
	const struct sonde_column texts[] = {OWN(name, SONDE_TEXT, .is_chars = true, .length_offset = -1),
					     OWN(name, SONDE_TEXT, .is_chars = true, .length_offset = -1, .has_absent = true)};

	memcpy(columns, test_columns, sizeof(test_columns));
	memcpy(columns + ARRAY_SIZE(test_columns), texts, sizeof(texts));
	type = test_type;
	type.columns = columns;
	type.n_columns = ARRAY_SIZE(columns);
	return &type;
}

/* Nothing, without a NUL, with a beginning in common, and whatever stands behind the end. */
static void name_make(struct test_record *record)
{
	static const char *const names[] = {"", "name", "name 1", "name 10"};
	const char *name = names[record->number % 4];

	memset(record->name, 'x', sizeof(record->name));
	if (record->number < 8)
		memcpy(record->name, name, strlen(name) + 1);
	record->name[sizeof(record->name) - 1] = (char)('x' + rand() % 2);
}

/* Runs of the same, records that end early, and processes that are not known: what the loops over many treat apart. */
static void events_make(struct sonde_event *events, struct test_record *records, uint32_t n, unsigned kind)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < n; i++) {
		number = rand() % 3 ? number : (uint64_t)rand() % 9;
		records[i] = test_record(number);
		name_make(&records[i]);
		if (number % 4 == 3)
			memset(records[i].address, 0, sizeof(records[i].address));
		events[i] = test_event(events_type(), &records[i], 1000000 + (int64_t)i);
		if (kind == 1 && i % 5 == 2)
			events[i].length = (uint32_t)((size_t)rand() % (sizeof(*records) + 1));
		if (kind == 2 && i % 7 == 3)
			records[i].header.flags = SONDE_PROCESS_UNKNOWN;
	}
}

static void test_events(void **state)
{
	enum { N = 3 * SONDE_COLUMNS_CHUNK + 5 };
	struct test_record records[N];
	struct sonde_event events[N];
	const struct sonde_event *chunk[SONDE_COLUMNS_CHUNK];
	struct sonde_value values[SONDE_COLUMNS_MAX];

	for (unsigned kind = 0; kind < 3; kind++) {
		struct sonde_columns *at_once CLEANUP(sonde_columns_free) = NULL, *one_by_one CLEANUP(sonde_columns_free) = NULL;
		struct sonde_block *block CLEANUP_FREE = NULL, *expected CLEANUP_FREE = NULL;
		char *text CLEANUP_FREE = NULL, *expected_text CLEANUP_FREE = NULL;

		assert_int_equal(sonde_columns_new(events_type(), &at_once), 0);
		assert_int_equal(sonde_columns_new(events_type(), &one_by_one), 0);
		events_make(events, records, N, kind);
		for (uint32_t i = 0, n = 0; i < N; i++) {
			chunk[n++] = &events[i];
			sonde_event_values(&events[i], NULL, values);
			assert_int_equal(sonde_columns_add(one_by_one, events[i].time_ns, values), 0);
			if (n < ARRAY_SIZE(chunk) && i < N - 1)
				continue;
			assert_int_equal(sonde_columns_add_events(at_once, chunk, n, NULL), 0);
			n = 0;
		}
		block = block_of(at_once);
		expected = block_of(one_by_one);
		text = text_of(block->data, block->length);
		expected_text = text_of(expected->data, expected->length);
		assert_string_equal(text, expected_text);
	}
}

static void test_every_byte(void **state)
{
	static const uint32_t sizes[] = {1, 3, 70, 400};

	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct sonde_columns *columns CLEANUP(sonde_columns_free) = columns_of(sizes[k]);
		struct sonde_block *block CLEANUP_FREE = block_of(columns);
		char *right CLEANUP_FREE = text_of(block->data, block->length);

		assert_non_null(right);
		for (size_t i = 0; i < block->length; i++)
			for (unsigned bit = 0; bit < 8; bit++) {
				uint8_t *copy CLEANUP_FREE = malloc(block->length);

				memcpy(copy, block->data, block->length);
				copy[i] ^= (uint8_t)(1u << bit);
				if (text_of(copy, block->length))
					fail_msg("bit %u of byte %zu of %u rows is not missed", bit, i, sizes[k]);
			}
		for (size_t length = 0; length < block->length; length++) {
			uint8_t *copy CLEANUP_FREE = malloc(length + 1);

			memcpy(copy, block->data, length);
			assert_null(text_of(copy, length));
		}
	}
}

/* ---- numbers ---- */

static void check_numbers(const uint64_t *numbers, uint32_t n)
{
	uint8_t *bytes CLEANUP_FREE = malloc(SONDE_BLOCK_NUMBERS_BYTES(n) + 2048), *exact CLEANUP_FREE = NULL;
	uint64_t *scratch CLEANUP_FREE = calloc(2 * n + 1, 8), *out CLEANUP_FREE = calloc(n + 1, 8);
	uint32_t *ids CLEANUP_FREE = calloc(n + 1, 4);
	uint64_t most = 0;
	size_t length = sonde_block_numbers_write(numbers, n, scratch, bytes);

	exact = malloc(length);
	memcpy(exact, bytes, length);
	assert_int_equal(sonde_block_numbers_read(exact, length, n, out), length);
	assert_memory_equal(out, numbers, n * sizeof(*numbers));
	assert_int_equal(sonde_block_numbers_read(exact, length - 1, n, out), -EBADMSG);
	for (uint32_t i = 0; i < n; i++)
		most = numbers[i] > most ? numbers[i] : most;
	if (most > UINT32_MAX)
		return;
	assert_int_equal(sonde_block_ids_read(exact, length, n, (uint32_t)most, ids), length);
	assert_true(sonde_block_ids_write(ids, n, scratch, bytes) <= SONDE_BLOCK_NUMBERS_BYTES(n) + 2048);
	assert_true(sonde_block_ids_read(bytes, SONDE_BLOCK_NUMBERS_BYTES(n) + 2048, n, (uint32_t)most, ids) > 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(ids[i], numbers[i]);
	if (most && n)
		assert_int_equal(sonde_block_ids_read(exact, length, n, (uint32_t)most - 1, ids), -EBADMSG);
}

static void test_numbers(void **state)
{
	static const uint32_t sizes[] = {1, 2, 63, 64, 65, 511, 513, 5000};
	uint64_t numbers[5000];
	unsigned seed = 7;

	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
		for (unsigned shape = 0; shape < 12; shape++) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < sizes[k]; i++) {
				uint64_t wide = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed);

				sum += (uint64_t)(rand_r(&seed) % 1000);
				numbers[i] = (const uint64_t[]){0, UINT64_MAX, i, wide, sum, -sum, wide % 256, wide % 300 * 65537,
								wide >> 32, INT64_MAX - i, i % 2 ? UINT64_MAX : 0,
								i % 2 ? (uint64_t)INT64_MIN : INT64_MAX}[shape];
			}
			check_numbers(numbers, sizes[k]);
		}
}

/* ---- facts and filters ---- */

static void test_filters(void **state)
{
	static const uint32_t kinds[] = {1, 5, 24, 25, 300, 1024, 1025, 4000};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct sonde_block_set *set CLEANUP_FREE = calloc(1, sizeof(*set));
		struct sonde_block_facts facts = {};
		uint32_t wrong = 0;

		for (uint32_t i = 0; i < kinds[k]; i++)
			sonde_block_set_add(set, sonde_block_hash_number(i));
		facts.n_filter = sonde_block_filter_write(set, facts.filter);
		assert_true(facts.n_filter <= SONDE_BLOCK_FILTER_MAX / SONDE_BLOCK_FILTERS);
		for (uint32_t i = 0; i < kinds[k]; i++)
			assert_true(sonde_block_filter_holds(&facts, SONDE_BLOCK_PID, sonde_block_hash_number(i)));
		for (uint32_t i = 0; i < 10000; i++)
			wrong += sonde_block_filter_holds(&facts, SONDE_BLOCK_PID, sonde_block_hash_number(100000 + i));
		if (kinds[k] <= 1024)
			assert_true(wrong < 500); /* of 10,000: a twentieth */
		/* a filter that makes no sense denies nothing */
		facts.n_filter--;
		assert_true(sonde_block_filter_holds(&facts, SONDE_BLOCK_PID, 1));
		assert_true(sonde_block_filter_holds(&facts, SONDE_BLOCK_COMMAND, 1));
	}
}

static void test_facts(void **state)
{
	struct sonde_columns *columns CLEANUP(sonde_columns_free) = columns_of(100);
	struct sonde_block *block CLEANUP_FREE = block_of(columns);
	uint32_t checksum = sonde_block_facts_checksum(&block->facts);

	assert_string_equal(block->facts.type, TEST_PROGRAM);
	assert_int_equal(block->facts.count, 100);
	assert_int_equal(block->facts.pid_min, 100);
	assert_int_equal(block->facts.pid_max, 106);
	assert_true(sonde_block_filter_holds(&block->facts, SONDE_BLOCK_COMMAND, sonde_block_hash("curl", 4)));
	assert_false(sonde_block_filter_holds(&block->facts, SONDE_BLOCK_COMMAND, sonde_block_hash("emacs", 5)));
	assert_true(sonde_block_filter_holds(&block->facts, SONDE_BLOCK_CONTAINER, sonde_block_hash_container("0123456789abcd", 14)));
	block->facts.filter[5] ^= 1;
	assert_int_not_equal(sonde_block_facts_checksum(&block->facts), checksum);
	block->facts.filter[5] ^= 1;
	block->facts.oldest_ns--;
	assert_int_not_equal(sonde_block_facts_checksum(&block->facts), checksum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events), cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
