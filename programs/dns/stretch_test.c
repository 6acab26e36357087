/* SPDX-License-Identifier: Apache-2.0 */
/* Messages cut out of a stream: however that is cut into segments, sent again and overlapping, each message is looked at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stretch.h"

#define BEGIN 0xfffffe00u /* the sequence wraps on the way */
#define LOOKED_AT DNS_SHORT_SIZE

static const uint16_t lengths[] = {30, 0, 1, 12, DNS_SHORT_SIZE - 1, DNS_SHORT_SIZE, DNS_SHORT_SIZE + 1, 20, 700, 13};
#define MESSAGES (sizeof(lengths) / sizeof(lengths[0]))

static uint8_t bytes[4096];
static uint32_t size;

struct reader {
	struct stretch next;
	uint32_t messages, have; /* bytes of the one that is amid */
};

/* Each message is full of its number. */
static int make(void **state)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		bytes[size++] = (uint8_t)(lengths[i] >> 8);
		bytes[size++] = (uint8_t)lengths[i];
		memset(bytes + size, (int)i, lengths[i]);
		size += lengths[i];
	}
	return 0;
}

static struct reader reader_at(uint32_t at)
{
	return (struct reader){.next = {.sequence = BEGIN + at}};
}

static void piece(struct reader *r, uint32_t at, uint32_t here, uint32_t length, uint32_t before)
{
	uint32_t wanted = length < LOOKED_AT ? length : LOOKED_AT;

	assert_in_range(r->messages, 0, MESSAGES - 1);
	assert_int_equal(length, lengths[r->messages]);
	assert_int_equal(before, r->have);
	for (uint32_t i = at; i < at + here; i++)
		assert_int_equal(bytes[i], r->messages);
	r->have += here;
	if (r->have < wanted)
		return;
	r->messages++;
	r->have = 0;
}

/* As the kernel does. */
static void segment(struct reader *r, uint32_t begin, uint32_t end)
{
	int32_t from, until;
	uint32_t position;

	if (!stretch_meets(&r->next, false, BEGIN + begin, end - begin, &from, &until))
		return;
	assert_in_range(from, 0, end - begin - 1);
	position = (uint32_t)from;
	while (position < (uint32_t)until) {
		uint32_t here, length, before, read = 0;

		if (!r->next.length) {
			uint8_t prefix[PREFIX_BYTES] = {0};

			read = stretch_prefix_size(&r->next, (uint32_t)until - position);
			memcpy(prefix + PREFIX_BYTES - read, bytes + begin + position, read);
			position += read;
			if (!stretch_prefix(&r->next, read, prefix))
				continue;
			if (r->next.length && position >= (uint32_t)until)
				continue;
		}
		length = r->next.length;
		before = r->next.before;
		read = stretch_message(&r->next, (uint32_t)until - position, &here);
		piece(r, begin + position, here, length, before);
		position += read;
	}
	r->next.sequence = BEGIN + begin + position;
}

static void done(const struct reader *r)
{
	assert_int_equal(r->messages, MESSAGES);
	assert_int_equal(r->have, 0);
	assert_int_equal(r->next.length, 0);
	assert_int_equal(r->next.sequence, BEGIN + size);
}

/* Into segments of each size; each sent again, at once and after the next, and together with the next. */
static void cut(void **state)
{
	for (uint32_t step = 1; step <= size; step++) {
		struct reader r = reader_at(0);

		for (uint32_t at = 0; at < size; at += step) {
			uint32_t end = at + step < size ? at + step : size;

			segment(&r, at, end);
			segment(&r, at, end);
			segment(&r, at > step ? at - step : 0, at);
			segment(&r, at > step / 2 ? at - step / 2 : 0, end);
		}
		done(&r);
	}
}

/* At each two places. */
static void cut_twice(void **state)
{
	for (uint32_t first = 1; first < size; first++) {
		for (uint32_t second = first + 1; second < size; second += 1 + first % 37) {
			struct reader r = reader_at(0);

			segment(&r, 0, first);
			segment(&r, first / 2, second);
			segment(&r, second, size);
			done(&r);
		}
	}
}

/* Of a hole only what belongs to it is read, from wherever a segment comes. */
static void hole(void **state)
{
	for (uint32_t until = 1; until <= size; until++) {
		const struct stretch missing = {.sequence = BEGIN, .until = BEGIN + until};
		int32_t from, end;

		assert_true(stretch_meets(&missing, true, BEGIN, size, &from, &end));
		assert_int_equal(from, 0);
		assert_int_equal(end, until);
		assert_true(stretch_meets(&missing, true, BEGIN + until - 1, 10, &from, &end));
		assert_int_equal(from, -(int32_t)(until - 1)); /* so much is still missing before it */
		assert_int_equal(end, 1);
		assert_true(stretch_meets(&missing, true, BEGIN - 5, 6, &from, &end));
		assert_int_equal(from, 5);
		assert_false(stretch_meets(&missing, true, BEGIN - 5, 5, &from, &end));
		assert_false(stretch_meets(&missing, true, BEGIN + until, 5, &from, &end));
	}
}

static void over(void **state)
{
	struct stretch missing = {.sequence = BEGIN, .until = BEGIN + size};

	assert_false(stretch_is_over(&missing));
	missing.sequence = missing.until - 1;
	assert_false(stretch_is_over(&missing));
	missing.sequence++;
	assert_true(stretch_is_over(&missing));
	missing.sequence += 60000; /* a long message goes on behind it */
	assert_true(stretch_is_over(&missing));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cut), cmocka_unit_test(cut_twice), cmocka_unit_test(hole), cmocka_unit_test(over)};

	return cmocka_run_group_tests(tests, make, NULL);
}
