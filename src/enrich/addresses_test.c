/* SPDX-License-Identifier: Apache-2.0 */
#include <enrich/addresses.h>

#include <base/cleanup.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S 1000000000ull

static sonde_address address_of(uint32_t number)
{
	sonde_address address = {.bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(&address.bytes[12], &number, sizeof(number));
	return address;
}

static struct sonde_header header(uint32_t pid, uint64_t cgroup, uint64_t time_ns)
{
	return (struct sonde_header){.pid = pid, .start_time_ns = pid * 10ull, .cgroup_id = cgroup, .time_ns = time_ns};
}

static void set(struct sonde_addresses *addresses, uint32_t pid, uint64_t cgroup, uint32_t number, const char *text,
		uint64_t answered_ns, uint32_t ttl_seconds)
{
	const struct sonde_known_name name = {address_of(number), text, answered_ns, ttl_seconds};
	const struct sonde_header asker = header(pid, cgroup, answered_ns);

	assert_int_equal(sonde_addresses_set(addresses, &asker, &name), 0);
}

static const char *name(struct sonde_addresses *addresses, uint32_t pid, uint64_t cgroup, uint32_t number, uint64_t time_ns)
{
	const sonde_address address = address_of(number);
	const struct sonde_header event = header(pid, cgroup, time_ns);

	return sonde_addresses_name(addresses, &event, address.bytes);
}

static void test_for_whom_and_how_long(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;
	struct sonde_header unknown = {.flags = SONDE_PROCESS_UNKNOWN, .time_ns = 20 * S};
	const sonde_address address = address_of(1);

	assert_int_equal(sonde_addresses_new(16, &addresses), 0);
	assert_null(name(addresses, 1, 100, 1, 20 * S));
	set(addresses, 1, 100, 1, "one.example", 10 * S, 60);
	assert_string_equal(name(addresses, 1, 100, 1, 10 * S), "one.example");
	assert_string_equal(name(addresses, 2, 100, 1, 20 * S), "one.example"); /* of its cgroup */
	assert_null(name(addresses, 2, 101, 1, 20 * S));			   /* of another */
	assert_null(name(addresses, 1, 100, 2, 20 * S));
	assert_null(name(addresses, 1, 100, 1, 10 * S - 1)); /* not told yet */
	assert_string_equal(name(addresses, 1, 100, 1, 70 * S - 1), "one.example");
	assert_null(name(addresses, 1, 100, 1, 70 * S));
	assert_null(sonde_addresses_name(addresses, &unknown, address.bytes));
	unknown.cgroup_id = 100;
	assert_string_equal(sonde_addresses_name(addresses, &unknown, address.bytes), "one.example");
}

static void test_limits_of_time(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;

	assert_int_equal(sonde_addresses_new(16, &addresses), 0);
	set(addresses, 1, 100, 1, "zero.example", 10 * S, 0);
	assert_string_equal(name(addresses, 1, 100, 1, 15 * S - 1), "zero.example");
	assert_null(name(addresses, 1, 100, 1, 15 * S));
	set(addresses, 1, 100, 2, "ever.example", 10 * S, UINT32_MAX);
	assert_string_equal(name(addresses, 1, 100, 2, 86409 * S), "ever.example");
	assert_null(name(addresses, 1, 100, 2, 86410 * S));
}

static void test_the_last_name_counts(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;

	assert_int_equal(sonde_addresses_new(16, &addresses), 0);
	set(addresses, 1, 100, 1, "first.example", 10 * S, 60);
	set(addresses, 2, 100, 1, "second.example", 20 * S, 60);
	assert_string_equal(name(addresses, 1, 100, 1, 30 * S), "first.example"); /* what a process was told itself comes first */
	assert_string_equal(name(addresses, 2, 100, 1, 30 * S), "second.example");
	assert_string_equal(name(addresses, 3, 100, 1, 30 * S), "second.example");
	set(addresses, 1, 100, 1, "third.example", 40 * S, 60);
	assert_string_equal(name(addresses, 1, 100, 1, 40 * S), "third.example");
	assert_string_equal(name(addresses, 1, 100, 1, 39 * S), "first.example"); /* as of then */
	set(addresses, 1, 100, 1, "late.example", 35 * S, 600);
	assert_string_equal(name(addresses, 1, 100, 1, 36 * S), "late.example");
	assert_string_equal(name(addresses, 1, 100, 1, 41 * S), "third.example");
	/* The same answer again: it held all the time. */
	set(addresses, 4, 100, 4, "same.example", 40 * S, 60);
	set(addresses, 4, 100, 4, "same.example", 50 * S, 60);
	assert_string_equal(name(addresses, 4, 100, 4, 45 * S), "same.example");
	assert_string_equal(name(addresses, 4, 100, 4, 109 * S), "same.example");
}

/* One address with ever new names fills its own place only. */
static void test_many_names_of_one_address(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;
	struct sonde_addresses_status status;
	char text[32];

	assert_int_equal(sonde_addresses_new(1000, &addresses), 0);
	set(addresses, 1, 100, 1, "kept.example", 10 * S, 3600);
	for (uint32_t i = 0; i < 100000; i++) {
		snprintf(text, sizeof(text), "%u.example", i);
		set(addresses, 2, 101, 2, text, 10 * S + i, 3600);
		assert_string_equal(name(addresses, 2, 101, 2, 10 * S + i), text);
	}
	assert_string_equal(name(addresses, 2, 101, 2, 10 * S + 99997), "99997.example");
	assert_null(name(addresses, 2, 101, 2, 10 * S + 90000));
	assert_string_equal(name(addresses, 1, 100, 1, 20 * S), "kept.example");
	sonde_addresses_status(addresses, &status);
	assert_in_range(status.names, 2 + 2 * 4, 2 + 2 * 4);
	assert_int_equal(status.evicted, 0);
}

static void test_bounds(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;
	struct sonde_addresses_status status;
	char text[300];
	uint64_t evicted;

	assert_int_equal(sonde_addresses_new(1000, &addresses), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		snprintf(text, sizeof(text), "%u", i);
		text[strlen(text)] = '.';
		text[sizeof(text) - 1] = '\0';
		set(addresses, 1 + i % 7, 100 + i % 3, i, text, 10 * S, 3600);
		assert_int_equal(strlen(name(addresses, 1 + i % 7, 0, i, 10 * S)), SONDE_NAME_BYTES_MAX);
	}
	sonde_addresses_status(addresses, &status);
	assert_in_range(status.names, 100, 1000);
	assert_int_equal(status.evicted, 200000 - status.names);
	assert_true(status.text_bytes <= 64000);
	assert_null(name(addresses, 1, 100, 0, 10 * S)); /* the oldest went first */
	/* What ran out makes room and is no eviction. */
	evicted = status.evicted;
	for (uint32_t i = 0; i < 400; i++)
		set(addresses, 1, 100, i, "short", 4000 * S, 1);
	sonde_addresses_status(addresses, &status);
	assert_int_equal(status.evicted, evicted);
	assert_string_equal(name(addresses, 1, 100, 399, 4000 * S), "short");
}

struct load {
	struct sonde_addresses *addresses;
	uint32_t pid;
};

static void *set_and_look(void *userdata)
{
	const struct load *load = userdata;

	for (uint32_t i = 0; i < 20000; i++) {
		char text[32];
		const char *found;

		snprintf(text, sizeof(text), "name-%u", i % 300);
		set(load->addresses, load->pid, 7, i % 300, text, S + i, 60);
		found = name(load->addresses, load->pid, 7, (i * 7) % 300, 2 * S);
		if (found) {
			snprintf(text, sizeof(text), "name-%u", (i * 7) % 300);
			assert_string_equal(found, text);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;
	struct load loads[4];
	pthread_t threads[4];

	assert_int_equal(sonde_addresses_new(256, &addresses), 0);
	for (uint32_t i = 0; i < 4; i++) {
		loads[i] = (struct load){addresses, i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, set_and_look, &loads[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

struct teller {
	_Atomic uint64_t end, read;
};

static uint64_t teller_end(void *userdata)
{
	return ((struct teller *)userdata)->end;
}

static uint64_t teller_read(void *userdata)
{
	return ((struct teller *)userdata)->read;
}

static void read_on(void *userdata)
{
	struct teller *teller = userdata;

	teller->end++; /* what comes later is not waited for */
	teller->read++;
}

static void test_settle(void **state)
{
	struct sonde_addresses *addresses CLEANUP(sonde_addresses_free) = NULL;
	struct teller teller = {.end = 20, .read = 5}, other = {.end = 7, .read = 7};
	const struct sonde_name_teller first = {teller_end, teller_read, &teller}, second = {teller_end, teller_read, &other};

	assert_int_equal(sonde_addresses_new(16, &addresses), 0);
	assert_true(sonde_addresses_settle(addresses, read_on, &teller));
	assert_int_equal(teller.read, 5);
	assert_int_equal(sonde_addresses_add_teller(addresses, &first), 0);
	assert_int_equal(sonde_addresses_add_teller(addresses, &second), 0);
	assert_true(sonde_addresses_settle(addresses, read_on, &teller));
	assert_int_equal(teller.read, 20);
	assert_int_equal(teller.end, 35);
	assert_false(sonde_addresses_settle(addresses, read_on, &other)); /* it does not read on */
	sonde_addresses_remove_teller(addresses, &teller);
	assert_true(sonde_addresses_settle(addresses, read_on, &other));
	for (int i = 1; i < SONDE_NAME_TELLERS_MAX; i++)
		assert_int_equal(sonde_addresses_add_teller(addresses, &first), 0);
	assert_int_equal(sonde_addresses_add_teller(addresses, &first), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for_whom_and_how_long), cmocka_unit_test(test_limits_of_time),
		cmocka_unit_test(test_the_last_name_counts),  cmocka_unit_test(test_bounds), cmocka_unit_test(test_many_names_of_one_address),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
