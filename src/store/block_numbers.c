/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of one column in few bytes. Bytes of the same place stand together: the upper ones are nearly all the same, which
 * is what zstd takes away, and each plane is read in one simple loop. Invariant of reading: no byte beyond `length` is
 * read, and a result that comes back has all n numbers.
 */
#include <store/block.h>
#include <store/vectors.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { NUMBERS_CONSTANT, NUMBERS_PLANES, NUMBERS_DELTAS, NUMBERS_FEW };

#define FEW_MAX 255
#define FEW_BUCKETS 1024
#define SAMPLES 512
/* Below it the table of the few costs more than it saves. */
#define FEW_ROWS_LEAST 64

static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t unzigzag(uint64_t number)
{
	return number >> 1 ^ -(number & 1);
}

static void put64(uint8_t *out, uint64_t number)
{
	number = htole64(number);
	memcpy(out, &number, sizeof(number));
}

static uint64_t get64(const uint8_t *in)
{
	uint64_t number;

	memcpy(&number, in, sizeof(number));
	return le64toh(number);
}

static unsigned bytes_of(uint64_t number)
{
	return number ? (71 - (unsigned)__builtin_clzll(number)) / 8 : 0;
}

/* ---- write ---- */

static size_t planes_write(const uint64_t *numbers, uint32_t n, unsigned width, uint8_t *out)
{
	for (unsigned plane = 0; plane < width; plane++, out += n)
		for (uint32_t i = 0; i < n; i++)
			out[i] = (uint8_t)(numbers[i] >> 8 * plane);
	return (size_t)width * n;
}

/* Would differences be smaller than distances from the least? By a sample of neighbours. */
static bool deltas_are_smaller(const uint64_t *numbers, uint32_t n, uint64_t least)
{
	uint32_t step = n / SAMPLES + 1;
	uint64_t plain = 0, deltas = 0;

	for (uint32_t i = 1; i < n; i += step) {
		plain += bytes_of(numbers[i] - least);
		deltas += bytes_of(zigzag(numbers[i] - numbers[i - 1]));
	}
	return deltas < plain;
}

/* @return bytes, or 0: more than FEW_MAX different ones */
static size_t few_write(const uint64_t *numbers, uint32_t n, uint8_t *out)
{
	uint64_t few[FEW_MAX], last = numbers[0];
	uint16_t buckets[FEW_BUCKETS] = {};
	uint8_t *ids = out + 1 + FEW_MAX * 8, id = 0;
	uint32_t n_few = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t at;

		if (numbers[i] == last && i) {
			ids[i] = id;
			continue;
		}
		last = numbers[i];
		at = (last * 0x9e3779b97f4a7c15ull) >> 54;
		while (buckets[at] && few[buckets[at] - 1] != last)
			at = (at + 1) % FEW_BUCKETS;
		if (!buckets[at]) {
			if (n_few == FEW_MAX)
				return 0;
			few[n_few++] = last;
			buckets[at] = (uint16_t)n_few;
		}
		id = (uint8_t)(buckets[at] - 1);
		ids[i] = id;
	}
	out[0] = (uint8_t)n_few;
	for (uint32_t i = 0; i < n_few; i++)
		put64(out + 1 + i * 8, few[i]);
	memmove(out + 1 + n_few * 8, ids, n);
	return 1 + n_few * 8 + n;
}

/* Inlined, so that it is one of the copies. */
static inline __attribute__((always_inline)) size_t deltas_write(const uint64_t *numbers, uint32_t n, uint64_t *scratch,
								 uint8_t *out)
{
	uint64_t all = 0;
	unsigned width;

	scratch[0] = 0;
	for (uint32_t i = 1; i < n; i++) {
		scratch[i] = zigzag(numbers[i] - numbers[i - 1]);
		all |= scratch[i];
	}
	width = bytes_of(all);
	put64(out, numbers[0]);
	out[8] = (uint8_t)width;
	return 9 + planes_write(scratch, n, width, out + 9);
}

static size_t plain_write(const uint64_t *numbers, uint32_t n, uint64_t least, uint64_t most, uint64_t *scratch, uint8_t *out)
{
	unsigned width = bytes_of(most - least);

	for (uint32_t i = 0; i < n; i++)
		scratch[i] = numbers[i] - least;
	put64(out, least);
	out[8] = (uint8_t)width;
	return 9 + planes_write(scratch, n, width, out + 9);
}

/* Then each is as the one before it. */
bool sonde_block_is_constant(const void *items, uint32_t n, size_t size)
{
	return !n || !memcmp(items, (const char *)items + size, (n - 1) * size);
}

size_t sonde_block_constant_write(uint64_t number, uint8_t *out)
{
	out[0] = NUMBERS_CONSTANT;
	put64(out + 1, number);
	return 9;
}

SONDE_VECTORS size_t sonde_block_numbers_write(const uint64_t *numbers, uint32_t n, uint64_t *scratch, uint8_t *out)
{
	int64_t least = INT64_MAX, most = INT64_MIN;
	size_t length;

	if (sonde_block_is_constant(numbers, n, sizeof(*numbers)))
		return sonde_block_constant_write(n ? numbers[0] : 0, out);
	for (uint32_t i = 0; i < n; i++) {
		least = (int64_t)numbers[i] < least ? (int64_t)numbers[i] : least;
		most = (int64_t)numbers[i] > most ? (int64_t)numbers[i] : most;
	}
	if (n >= FEW_ROWS_LEAST && bytes_of((uint64_t)most - (uint64_t)least) > 1) {
		length = few_write(numbers, n, out + 1);
		if (length) {
			out[0] = NUMBERS_FEW;
			return 1 + length;
		}
	}
	if (deltas_are_smaller(numbers, n, (uint64_t)least)) {
		out[0] = NUMBERS_DELTAS;
		return 1 + deltas_write(numbers, n, scratch, out + 1);
	}
	out[0] = NUMBERS_PLANES;
	return 1 + plain_write(numbers, n, (uint64_t)least, (uint64_t)most, scratch, out + 1);
}

SONDE_VECTORS size_t sonde_block_ids_write(const uint32_t *ids, uint32_t n, uint64_t *scratch, uint8_t *out)
{
	uint32_t least = UINT32_MAX, most = 0;

	if (sonde_block_is_constant(ids, n, sizeof(*ids)))
		return sonde_block_constant_write(n ? ids[0] : 0, out);
	for (uint32_t i = 0; i < n; i++) {
		least = ids[i] < least ? ids[i] : least;
		most = ids[i] > most ? ids[i] : most;
	}
	if (most - least > UINT8_MAX) {
		for (uint32_t i = 0; i < n; i++)
			scratch[i] = ids[i];
		return sonde_block_numbers_write(scratch, n, scratch + n, out);
	}
	/* Most dictionaries are small: one plane, no detour over 64 bits. */
	out[0] = NUMBERS_PLANES;
	put64(out + 1, least);
	out[9] = 1;
	for (uint32_t i = 0; i < n; i++)
		out[10 + i] = (uint8_t)(ids[i] - least);
	return 10 + (size_t)n;
}

/* ---- read ---- */

static void planes_read(const uint8_t *in, uint32_t n, unsigned width, uint64_t base, uint64_t *numbers)
{
	if (!width)
		memset(numbers, 0, n * sizeof(*numbers));
	for (unsigned plane = 0; plane < width; plane++, in += n)
		if (plane)
			for (uint32_t i = 0; i < n; i++)
				numbers[i] |= (uint64_t)in[i] << 8 * plane;
		else
			for (uint32_t i = 0; i < n; i++)
				numbers[i] = in[i];
	for (uint32_t i = 0; base && i < n; i++)
		numbers[i] += base;
}

static void deltas_sum(uint32_t n, uint64_t first, uint64_t *numbers)
{
	for (uint32_t i = 0; i < n; i++) {
		first += unzigzag(numbers[i]);
		numbers[i] = first;
	}
}

int64_t sonde_block_numbers_read(const uint8_t *in, size_t length, uint32_t n, uint64_t *numbers)
{
	unsigned width;

	if (length < 9)
		return -EBADMSG;
	switch (in[0]) {
	case NUMBERS_CONSTANT:
		for (uint32_t i = 0; i < n; i++)
			numbers[i] = get64(in + 1);
		return 9;
	case NUMBERS_PLANES:
	case NUMBERS_DELTAS:
		width = length > 9 ? in[9] : 255;
		if (width > 8 || (length - 10) / (n ?: 1) < width)
			return -EBADMSG;
		planes_read(in + 10, n, width, in[0] == NUMBERS_PLANES ? get64(in + 1) : 0, numbers);
		if (in[0] == NUMBERS_DELTAS)
			deltas_sum(n, get64(in + 1), numbers);
		return (int64_t)(10 + (size_t)width * n);
	case NUMBERS_FEW:
		if (length < 2 + (size_t)in[1] * 8 + n)
			return -EBADMSG;
		for (uint32_t i = 0; i < n; i++) {
			uint8_t id = in[2 + in[1] * 8 + i];

			if (id >= in[1])
				return -EBADMSG;
			numbers[i] = get64(in + 2 + id * 8);
		}
		return (int64_t)(2 + (size_t)in[1] * 8 + n);
	}
	return -EBADMSG;
}

int64_t sonde_block_few_read(const uint8_t *in, size_t length, uint32_t n, uint64_t *few, uint32_t *ret_n, uint32_t *ids)
{
	uint8_t most = 0;

	if (!length || (in[0] != NUMBERS_FEW && in[0] != NUMBERS_CONSTANT))
		return 0;
	if (in[0] == NUMBERS_CONSTANT) {
		if (length < 9)
			return -EBADMSG;
		few[0] = get64(in + 1);
		*ret_n = 1;
		for (uint32_t i = 0; i < n; i++)
			ids[i] = 1;
		return 9;
	}
	if (length < 2 || length < 2 + (size_t)in[1] * 8 + n)
		return -EBADMSG;
	for (unsigned i = 0; i < in[1]; i++)
		few[i] = get64(in + 2 + i * 8);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t id = in[2 + in[1] * 8 + i];

		most = id > most ? id : most;
		ids[i] = 1u + id;
	}
	*ret_n = in[1];
	return n && most >= in[1] ? -EBADMSG : (int64_t)(2 + (size_t)in[1] * 8 + n);
}

/* Most dictionaries have less than 256 entries: one plane, no detour over 64 bits. */
static int64_t ids_read_bytes(const uint8_t *in, uint32_t n, uint64_t least, uint32_t max, uint32_t *ids)
{
	uint8_t most = 0;

	for (uint32_t i = 0; i < n; i++) {
		most = in[i] > most ? in[i] : most;
		ids[i] = (uint32_t)least + in[i];
	}
	return least > max || least + most > max ? -EBADMSG : 10 + (int64_t)n;
}

static int64_t ids_read_wide(const uint8_t *in, size_t length, uint32_t n, uint32_t max, uint32_t *ids)
{
	uint64_t numbers[512];
	int64_t total;
	bool deltas = in[0] == NUMBERS_DELTAS;
	unsigned width = in[9];
	uint64_t base = get64(in + 1), bad = 0;

	if (width > 8 || (length - 10) / (n ?: 1) < width)
		return -EBADMSG;
	total = (int64_t)(10 + (size_t)width * n);
	for (uint32_t at = 0; at < n; at += 512) {
		uint32_t part = n - at < 512 ? n - at : 512;

		memset(numbers, 0, part * sizeof(*numbers));
		for (unsigned plane = 0; plane < width; plane++)
			for (uint32_t i = 0; i < part; i++)
				numbers[i] |= (uint64_t)in[10 + (size_t)plane * n + at + i] << 8 * plane;
		for (uint32_t i = 0; i < part; i++) {
			uint64_t number = deltas ? (base += unzigzag(numbers[i])) : base + numbers[i];

			bad |= number > max;
			ids[at + i] = (uint32_t)number;
		}
	}
	return bad ? -EBADMSG : total;
}

int64_t sonde_block_ids_read(const uint8_t *in, size_t length, uint32_t n, uint32_t max, uint32_t *ids)
{
	uint64_t few[FEW_MAX], number;
	uint32_t n_few;
	int64_t r;

	if (length < 9)
		return -EBADMSG;
	if (in[0] == NUMBERS_PLANES && length >= 10 && in[9] == 1 && length - 10 >= n)
		return ids_read_bytes(in + 10, n, get64(in + 1), max, ids);
	if (in[0] == NUMBERS_PLANES || in[0] == NUMBERS_DELTAS)
		return length < 10 ? -EBADMSG : ids_read_wide(in, length, n, max, ids);
	r = sonde_block_few_read(in, length, n, few, &n_few, ids);
	if (r <= 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		number = few[ids[i] - 1];
		if (number > max)
			return -EBADMSG;
		ids[i] = (uint32_t)number;
	}
	return r;
}
