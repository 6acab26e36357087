/* SPDX-License-Identifier: Apache-2.0 */
/* Groups in one pass and in many: the same as a naive count. */
#include <store/groups.h>
#include <store/store_test.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NAMES 5000
#define ROWS 40000

struct naive {
	char name[16];
	uint64_t pid, count;
	int64_t sum;
	bool none; /* its values are null */
};

/* Which group row `i` belongs to: a few often, all of them at least once. */
static uint32_t group_of(uint32_t i)
{
	return i < NAMES ? i * 7 % NAMES : i % 3 ? i % 20 : i * 31 % NAMES;
}

static void row_values(uint32_t group, char *name, struct sonde_value *values)
{
	int length = snprintf(name, 16, "n%u", group / 2);

	values[0] = (struct sonde_value){.type = SONDE_TEXT, .text = name, .length = (uint32_t)length};
	values[1] = (struct sonde_value){.type = SONDE_UINT, .u = group % 2};
	if (group == 4)
		values[0] = values[1] = (struct sonde_value){.type = SONDE_NULL};
}

/* @return how many passes it took. */
static int count_rows(struct sonde_groups *groups)
{
	struct sonde_value values[2];
	char name[16];
	int passes = 0, r;

	do {
		for (uint32_t i = 0; i < ROWS; i++) {
			row_values(group_of(i), name, values);
			assert_int_equal(sonde_groups_add(groups, values, 1 + i % 3, (int64_t)(i % 5) - 2), 0);
		}
		r = sonde_groups_pass(groups);
		passes++;
	} while (r > 0);
	assert_int_equal(r, 0);
	return passes;
}

static bool order_by_sum;

static int naive_order(const void *a, const void *b)
{
	const struct naive *x = a, *y = b;

	if (order_by_sum && x->sum != y->sum)
		return x->sum > y->sum ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	if (x->none != y->none)
		return x->none ? -1 : 1;
	return strcmp(x->name, y->name) ?: (x->pid > y->pid) - (x->pid < y->pid);
}

static struct naive *naive_count(bool by_sum)
{
	struct naive *naive = calloc(NAMES, sizeof(*naive));

	for (uint32_t i = 0; i < ROWS; i++) {
		struct naive *group = &naive[group_of(i)];

		group->count += 1 + i % 3;
		group->sum += (int64_t)(i % 5) - 2;
	}
	for (uint32_t i = 0; i < NAMES; i++) {
		snprintf(naive[i].name, sizeof(naive[i].name), "n%u", i / 2);
		naive[i].pid = i % 2;
		naive[i].none = i == 4;
	}
	order_by_sum = by_sum;
	qsort(naive, NAMES, sizeof(*naive), naive_order);
	return naive;
}

struct expected {
	const struct naive *next;
	size_t n, stop;
};

static int check(const struct sonde_group *group, void *userdata)
{
	struct expected *expected = userdata;
	const struct naive *naive = expected->next++;

	assert_int_equal(group->count, naive->count);
	assert_int_equal(group->sum, naive->sum);
	if (naive->none) {
		assert_int_equal(group->values[0].type, SONDE_NULL);
		assert_int_equal(group->values[1].type, SONDE_NULL);
	} else {
		assert_int_equal(group->values[0].length, strlen(naive->name));
		assert_memory_equal(group->values[0].text, naive->name, strlen(naive->name));
		assert_int_equal(group->values[1].u, naive->pid);
	}
	return ++expected->n == expected->stop;
}

static void compare(size_t bytes, size_t limit, bool by_sum, int least_passes, int most_passes)
{
	struct sonde_groups_opts opts = {.n_values = 2, .by_sum = by_sum, .limit = limit, .bytes = bytes};
	struct naive *naive CLEANUP_FREE = naive_count(by_sum);
	struct sonde_groups *groups CLEANUP(sonde_groups_free) = NULL;
	struct expected expected = {.next = naive};
	int passes;

	assert_int_equal(sonde_groups_new(&opts, &groups), 0);
	passes = count_rows(groups);
	assert_in_range(passes, least_passes, most_passes);
	assert_int_equal(sonde_groups_number(groups), NAMES);
	assert_int_equal(sonde_groups_each(groups, check, &expected), 0);
	assert_int_equal(expected.n, limit < NAMES ? limit : NAMES);
}

static void one_pass(void **state)
{
	compare(SONDE_GROUPS_BYTES, 100000, false, 1, 1);
	compare(SONDE_GROUPS_BYTES, 10, false, 1, 1);
	compare(SONDE_GROUPS_BYTES, 10, true, 1, 1);
}

/* 48 bytes each: 5,000 of them are 240,000 bytes. */
static void many_passes(void **state)
{
	static const size_t limits[] = {1, 10, 4999, 5000, 100000};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		compare(200000, limits[i], i % 2, 2, 2);
		compare(24000, limits[i], i % 2, 10, 16);
	}
	compare(2000, 10, false, 120, 250);
}

static void stopped(void **state)
{
	struct sonde_groups_opts opts = {.n_values = 2, .limit = 100, .bytes = 24000};
	struct naive *naive CLEANUP_FREE = naive_count(false);
	struct sonde_groups *groups CLEANUP(sonde_groups_free) = NULL;
	struct expected expected = {.next = naive, .stop = 3};

	assert_int_equal(sonde_groups_new(&opts, &groups), 0);
	count_rows(groups);
	assert_int_equal(sonde_groups_each(groups, check, &expected), 0);
	assert_int_equal(expected.n, 3);
}

/* A value that has no room even alone is said, whatever pass it would be in. */
static void too_long(void **state)
{
	struct sonde_groups_opts opts = {.n_values = 1, .limit = 10, .bytes = 1000};
	struct sonde_groups *groups CLEANUP(sonde_groups_free) = NULL;
	char text[1000] = "";
	struct sonde_value value = {.type = SONDE_TEXT, .text = text, .length = sizeof(text)};

	assert_int_equal(sonde_groups_new(&opts, &groups), 0);
	assert_int_equal(sonde_groups_add(groups, &value, 1, 0), -E2BIG);
	value.length = 900;
	assert_int_equal(sonde_groups_add(groups, &value, 1, 0), 0);
}

static int take_value(const struct sonde_group *group, void *userdata)
{
	test_value_text(group->values, userdata);
	return 0;
}

/* Equal counts: in the order of the values, whichever came first. */
static void equal_ones(void **state)
{
	static const uint8_t addresses[][16] = {{[15] = 2}, {[15] = 1}};
	const struct sonde_value values[] = {
		{.type = SONDE_TEXT, .text = "b", .length = 1}, {.type = SONDE_TEXT, .text = "ab", .length = 2},
		{.type = SONDE_TEXT, .text = "a", .length = 1}, {.type = SONDE_TEXT, .text = "", .length = 0},
		{.type = SONDE_BOOL, .b = true}, {.type = SONDE_BOOL, .b = false}, {.type = SONDE_UINT, .u = 10},
		{.type = SONDE_UINT, .u = UINT64_MAX}, {.type = SONDE_UINT, .u = 9}, {.type = SONDE_INT, .i = 1},
		{.type = SONDE_INT, .i = -1}, {.type = SONDE_NULL}, {.type = SONDE_ADDRESS, .address = addresses[0]},
		{.type = SONDE_ADDRESS, .address = addresses[1]},
	};
	static const uint8_t order[] = {11, 10, 9, 8, 6, 7, 5, 4, 3, 2, 1, 0, 13, 12};
	struct sonde_buffer expected CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		test_value_text(&values[order[i]], &expected);
	for (size_t first = 0; first < ARRAY_SIZE(values); first++) {
		struct sonde_groups_opts opts = {.n_values = 1, .limit = 100, .bytes = 4096};
		struct sonde_groups *groups CLEANUP(sonde_groups_free) = NULL;
		struct sonde_buffer got CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

		assert_int_equal(sonde_groups_new(&opts, &groups), 0);
		for (size_t i = 0; i < 2 * ARRAY_SIZE(values); i++)
			assert_int_equal(sonde_groups_add(groups, &values[(first + i) % ARRAY_SIZE(values)], 1, 0), 0);
		assert_int_equal(sonde_groups_pass(groups), 0);
		assert_int_equal(sonde_groups_each(groups, take_value, &got), 0);
		assert_string_equal(got.data, expected.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pass), cmocka_unit_test(many_passes), cmocka_unit_test(stopped),
		cmocka_unit_test(too_long), cmocka_unit_test(equal_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
