/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <runtime/ledger.h>

static struct sonde_ledger balanced(void)
{
	return (struct sonde_ledger){
		.entered = 1000, .denied = 1, .throttled = 2, .sampled_out = 3, .map_full = 4, .ring_full = 90, .submitted = 900,
		.consumed = 880, .in_ring = 20, .made = 5, .stored = 800, .invalid = 6, .limited = 7, .queue_dropped = 8,
		.pending = 64, .readable = 700, .expired = 100,
	};
}

static void test_balanced(void **state)
{
	struct sonde_ledger ledger = balanced();

	sonde_ledger_balance(&ledger);
	assert_int_equal(ledger.residual, 0);
}

/* Whatever single number is off by one shows, and two errors never cancel out. */
static void test_every_number_counts(void **state)
{
	static const size_t offsets[] = {
		offsetof(struct sonde_ledger, entered), offsetof(struct sonde_ledger, denied),
		offsetof(struct sonde_ledger, throttled), offsetof(struct sonde_ledger, sampled_out),
		offsetof(struct sonde_ledger, map_full), offsetof(struct sonde_ledger, ring_full),
		offsetof(struct sonde_ledger, submitted), offsetof(struct sonde_ledger, consumed),
		offsetof(struct sonde_ledger, in_ring), offsetof(struct sonde_ledger, made),
		offsetof(struct sonde_ledger, stored), offsetof(struct sonde_ledger, invalid),
		offsetof(struct sonde_ledger, limited), offsetof(struct sonde_ledger, queue_dropped),
		offsetof(struct sonde_ledger, pending), offsetof(struct sonde_ledger, readable),
		offsetof(struct sonde_ledger, expired),
	};

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct sonde_ledger more = balanced(), less = balanced();

		++*(uint64_t *)((char *)&more + offsets[i]);
		--*(uint64_t *)((char *)&less + offsets[i]);
		sonde_ledger_balance(&more);
		sonde_ledger_balance(&less);
		assert_true(more.residual > 0);
		assert_true(less.residual > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_every_number_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
