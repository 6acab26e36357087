/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file store_test.h
 * For tests: a type with a column of each kind, events of it, and an answer that keeps its rows as text to compare.
 */

#include <store/store.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <sonde/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define ARGUMENTS_BYTES 64
#define TEST_PROGRAM "sample"

struct test_record {
	struct sonde_header header;
	uint64_t number;
	int64_t offset;
	uint8_t address[16];
	char name[32];
	char arguments[ARGUMENTS_BYTES];
	uint16_t name_length, arguments_length, port;
	uint8_t flag, padding;
};

#define OWN(member, column_type, ...) \
	{.name = #member, .doc = "of a test", .type = column_type, .offset = offsetof(struct test_record, member), \
	 .size = sizeof(((struct test_record *)0)->member), __VA_ARGS__}

/* What every type begins with. */
#define COMMON_COLUMNS \
	{.name = "time", .doc = "when", .type = SONDE_INT, .semantic = SONDE_SEMANTIC_TIME}, \
	{.name = "type", .doc = "which", .type = SONDE_TEXT}, \
	{.name = "pid", .doc = "process", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PID}, \
	{.name = "tid", .doc = "thread", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PID}, \
	{.name = "uid", .doc = "user", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_UID}, \
	{.name = "command", .doc = "name", .type = SONDE_TEXT}, \
	{.name = "container", .doc = "where", .type = SONDE_TEXT}, \
	{.name = "source", .doc = "how", .type = SONDE_TEXT}, \
	{.name = "weight", .doc = "how many", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_COUNT}

static const struct sonde_column test_columns[] = {
	COMMON_COLUMNS,
	OWN(number, SONDE_UINT, .semantic = SONDE_SEMANTIC_COUNT, .unit = "1", .is_plain = true),
	OWN(offset, SONDE_INT, .is_plain = true, .is_signed = true),
	OWN(address, SONDE_ADDRESS, .semantic = SONDE_SEMANTIC_ADDRESS),
	OWN(name, SONDE_TEXT, .is_chars = true, .length_offset = offsetof(struct test_record, name_length), .length_size = 2),
	OWN(arguments, SONDE_TEXT, .semantic = SONDE_SEMANTIC_ARGUMENTS, .is_chars = true,
	    .length_offset = offsetof(struct test_record, arguments_length), .length_size = 2),
	OWN(port, SONDE_UINT, .semantic = SONDE_SEMANTIC_PORT, .has_absent = true, .is_plain = true),
	OWN(flag, SONDE_BOOL),
};

__attribute__((unused)) static const struct sonde_type test_type = {
	.name = TEST_PROGRAM, .doc = "Samples of a test", .size = sizeof(struct test_record),
	.n_columns = ARRAY_SIZE(test_columns), .columns = test_columns,
};

/* A second type, of another program. */
__attribute__((unused)) static const struct sonde_type other_type = {
	.name = "other", .doc = "Others", .size = sizeof(struct test_record),
	.n_columns = SONDE_COLUMN_COMMON_MAX + 1, .columns = test_columns,
};

/** A record whose every value follows from its number. */
static inline struct test_record test_record(uint64_t number)
{
	static const char *const commands[] = {"nginx", "curl", "redis-server", "sh"};
	struct test_record record = {
		.header = {.sequence = (number % 4) << 48 | number, .pid = (uint32_t)(100 + number % 7),
			   .tid = (uint32_t)(100 + number % 7), .uid = 1000, .weight = (uint32_t)(1 + number % 3)},
		.number = number, .offset = -(int64_t)number, .port = (uint16_t)(number % 5), .flag = number & 1,
		.address = {[10] = 0xff, [11] = 0xff, 10, 0, (uint8_t)(number >> 8), (uint8_t)number},
	};

	strncpy(record.header.command, commands[number % 4], sizeof(record.header.command) - 1);
	record.name_length = (uint16_t)snprintf(record.name, sizeof(record.name), "name %d", (int)(number % 11));
	memcpy(record.arguments, "run\0-n\0it's 1", 13);
	record.arguments_length = 13;
	return record;
}

static inline struct sonde_event test_event(const struct sonde_type *type, const struct test_record *record, int64_t time_ns)
{
	return (struct sonde_event){
		.type = type, .record = &record->header, .length = sizeof(*record), .time_ns = time_ns, .source = "ebpf",
		.container = record->number % 3 ? NULL :
			     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
}

/** Append records first to first + n - 1, one every `step_ns` from `time_ns` on. */
static inline int test_append(struct sonde_store *store, const struct sonde_type *type, uint64_t first, uint64_t n,
			      int64_t time_ns, int64_t step_ns)
{
	struct test_record *records CLEANUP_FREE = calloc(n, sizeof(*records));
	struct sonde_event *events CLEANUP_FREE = calloc(n, sizeof(*events));
	int r;

	for (uint64_t i = 0; i < n; i++) {
		records[i] = test_record(first + i);
		events[i] = test_event(type, &records[i], time_ns + (int64_t)i * step_ns);
	}
	r = sonde_store_append(store, events, n);
	memset(records, 0xee, n * sizeof(*records)); /* borrowed means borrowed */
	return r;
}

/** The same, but nothing makes the names smaller: for what needs a full file. */
static inline int test_append_noise(struct sonde_store *store, uint64_t first, uint64_t n, int64_t time_ns, int64_t step_ns)
{
	static unsigned seed = 1;
	int r = 0;

	for (uint64_t i = 0; i < n && !r; i++) {
		struct test_record record = test_record(first + i);
		struct sonde_event event = test_event(&test_type, &record, time_ns + (int64_t)i * step_ns);

		record.name_length = 16;
		for (size_t j = 0; j < record.name_length; j++)
			record.name[j] = (char)rand_r(&seed);
		r = sonde_store_append(store, &event, 1);
	}
	return r;
}

static inline struct sonde_query test_query(const char *type)
{
	return (struct sonde_query){.type = type, .since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
}

/** Adds a value as text: its type, then its bytes in hexadecimal or its number. */
static inline void test_value_text(const struct sonde_value *value, struct sonde_buffer *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = value->type == SONDE_ADDRESS ? value->address : (const uint8_t *)value->text;
	uint32_t length = value->type == SONDE_ADDRESS ? 16 : value->length;

	sonde_buffer_add_char(out, ' ');
	sonde_buffer_add_u64(out, value->type);
	sonde_buffer_add_char(out, ':');
	switch (value->type) {
	case SONDE_NULL:
		break;
	case SONDE_INT:
		sonde_buffer_add_i64(out, value->i);
		break;
	case SONDE_UINT:
		sonde_buffer_add_u64(out, value->u);
		break;
	case SONDE_BOOL:
		sonde_buffer_add_u64(out, value->b);
		break;
	case SONDE_REAL:
		sonde_buffer_printf(out, "%.15g", value->real);
		break;
	default:
		for (uint32_t i = 0; i < length; i++) {
			sonde_buffer_add_char(out, digits[bytes[i] >> 4]);
			sonde_buffer_add_char(out, digits[bytes[i] & 15]);
		}
	}
}

static inline void test_row_text(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out)
{
	for (uint32_t i = 0; i < type->n_columns; i++) {
		sonde_buffer_add_text(out, type->columns[i].name);
		sonde_buffer_add_char(out, '=');
		test_value_text(&values[i], out);
		sonde_buffer_add_char(out, i + 1 < type->n_columns ? ' ' : '\n');
	}
}

/** Is a row the one that an event would have? Faster than by their texts. */
static inline bool test_same_row(const struct sonde_type *type, const struct sonde_value *a, const struct sonde_value *b)
{
	for (uint32_t i = 0; i < type->n_columns; i++) {
		bool same = a[i].type == b[i].type;

		if (same && a[i].type == SONDE_TEXT)
			same = a[i].length == b[i].length && !memcmp(a[i].text, b[i].text, a[i].length);
		else if (same && a[i].type == SONDE_ADDRESS)
			same = !memcmp(a[i].address, b[i].address, 16);
		else if (same && a[i].type == SONDE_BOOL)
			same = a[i].b == b[i].b;
		else if (same && a[i].type != SONDE_NULL)
			same = a[i].u == b[i].u;
		if (!same)
			return false;
	}
	return true;
}

static inline int test_collect(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	test_row_text(type, values, userdata);
	return 0;
}

static inline int test_count_rows(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	(*(uint64_t *)userdata)++;
	return 0;
}

/** A folder of the test's own; in memory, where there is such a place: what survives a power failure is not tested. */
static inline char *test_folder(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/dev/shm/sonde-store-test-XXXXXX");
	if (!mkdtemp(path)) {
		snprintf(path, sizeof(path), "/tmp/sonde-store-test-XXXXXX");
		assert_non_null(mkdtemp(path));
	}
	return path;
}

/**
 * @brief Run `fn` in several processes at once, each with its number, and wait for all of them.
 * A failed assertion ends its process, then the test.
 */
static inline void test_in_parallel(unsigned n, void (*fn)(unsigned process, void *userdata), void *userdata)
{
	int status, failed = 0;

	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* cmocka would go on with the next test, in every process */
		fn(i, userdata);
		_exit(0);
	}
	while (wait(&status) > 0)
		failed += status != 0;
	assert_int_equal(failed, 0);
}

static inline void test_remove(const char *folder)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf -- '%s'", folder);
	assert_int_equal(system(command), 0);
}
