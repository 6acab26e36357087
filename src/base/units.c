/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes and whole numbers from text. Exact: integer arithmetic, and what does not fit is refused, never rounded. */
#include <base/units.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* From the largest to the smallest: a duration names them in this order. */
static const struct unit duration_units[] = {
	{"w", 7 * 86400ull * SONDE_NS_PER_S}, {"d", 86400ull * SONDE_NS_PER_S}, {"h", 3600ull * SONDE_NS_PER_S},
	{"m", 60ull * SONDE_NS_PER_S},	      {"s", SONDE_NS_PER_S},		{"ms", SONDE_NS_PER_MS},
	{"us", 1000},			      {"ns", 1},
};

static const struct unit size_units[] = {
	{"TiB", 1ull << 40}, {"TB", 1000000000000ull}, {"GiB", 1ull << 30}, {"GB", 1000000000ull}, {"MiB", 1ull << 20},
	{"MB", 1000000ull},  {"KiB", 1ull << 10},      {"kB", 1000ull},	    {"B", 1},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number, exact: number = digits / scale. */
static int decimal_parse(const char **text, uint64_t *ret_digits, uint64_t *ret_scale)
{
	uint64_t digits = 0, scale = 1;
	const char *p = *text;
	bool point = false;

	if (!is_digit(*p))
		return -EINVAL;
	for (;; p++) {
		if (*p == '.' && !point && is_digit(p[1])) {
			point = true;
			continue;
		}
		if (!is_digit(*p))
			break;
		if (__builtin_mul_overflow(digits, 10, &digits) ||
		    __builtin_add_overflow(digits, (uint64_t)(*p - '0'), &digits) ||
		    (point && __builtin_mul_overflow(scale, 10, &scale)))
			return -ERANGE;
	}
	*text = p;
	*ret_digits = digits;
	*ret_scale = scale;
	return 0;
}

/* One "NUMBER UNIT"; `first` is the first unit that may still come and moves on behind the one found. */
static int quantity_parse(const char **text, const struct unit *units, size_t n, size_t *first, uint64_t *ret_number)
{
	uint64_t digits, scale;
	size_t length;
	__uint128_t number;
	int r;

	r = decimal_parse(text, &digits, &scale);
	if (r < 0)
		return r;
	length = strcspn(*text, "0123456789.");
	for (size_t i = *first; i < n; i++) {
		if (strlen(units[i].name) != length || memcmp(*text, units[i].name, length) != 0)
			continue;
		number = (__uint128_t)digits * units[i].factor;
		if (number % scale)
			return -EINVAL; /* a part of the smallest unit: 1.5ns */
		number /= scale;
		if (number > UINT64_MAX)
			return -ERANGE;
		*text += length;
		*first = i + 1;
		*ret_number = (uint64_t)number;
		return 0;
	}
	return -EINVAL;
}

int sonde_duration_parse(const char *text, int64_t *ret_ns)
{
	uint64_t total = 0, part;
	size_t first = 0;
	int r;

	if (!strcmp(text, "0")) {
		*ret_ns = 0;
		return 0;
	}
	do {
		r = quantity_parse(&text, duration_units, ARRAY_SIZE(duration_units), &first, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(total, part, &total) || total > INT64_MAX)
			return -ERANGE;
	} while (*text);
	*ret_ns = (int64_t)total;
	return 0;
}

int sonde_size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t bytes, scale;
	const char *p = text;
	size_t first = 0;
	int r;

	r = decimal_parse(&p, &bytes, &scale);
	if (r < 0)
		return r;
	if (*p) {
		p = text;
		r = quantity_parse(&p, size_units, ARRAY_SIZE(size_units), &first, &bytes);
		if (r < 0)
			return r;
	} else if (scale != 1) {
		return -EINVAL;
	}
	if (*p)
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}

int sonde_hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int sonde_integer_parse(const char *text, int64_t *ret_number)
{
	bool negative = *text == '-';
	uint64_t number, scale;
	int r;

	if (*text == '-' || *text == '+')
		text++;
	r = decimal_parse(&text, &number, &scale);
	if (r < 0)
		return r;
	if (*text || scale != 1)
		return -EINVAL;
	if (number > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret_number = negative ? (int64_t)-number : (int64_t)number;
	return 0;
}

/* The largest unit that divides the number without a rest. */
static const char *exact_text(uint64_t number, const struct unit *units, size_t n, char *text)
{
	size_t i = 0;

	while (i < n - 1 && (!number || number % units[i].factor))
		i++;
	snprintf(text, SONDE_UNITS_TEXT_MAX, "%" PRIu64 "%s", number / units[i].factor, units[i].name);
	return text;
}

const char *sonde_size_text(uint64_t bytes, char text[SONDE_UNITS_TEXT_MAX])
{
	/* Powers of two read best by binary units, and everything else here is one. */
	static const struct unit binary[] = {
		{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"", 1},
	};

	return exact_text(bytes, binary, ARRAY_SIZE(binary), text);
}

const char *sonde_duration_text(int64_t ns, char text[SONDE_UNITS_TEXT_MAX])
{
	if (ns <= 0) {
		snprintf(text, SONDE_UNITS_TEXT_MAX, "0");
		return text;
	}
	return exact_text((uint64_t)ns, duration_units + 1, ARRAY_SIZE(duration_units) - 1, text);
}

#define WORD_MAX 40

/* Letters to change, add, drop or swap (Damerau-Levenshtein, restricted). */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2], *spare;

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[m];
}

void sonde_nearest_try(struct sonde_nearest *nearest, const char *typed, const char *candidate)
{
	size_t length = strlen(typed);
	/* Near: a third of the letters may be wrong, but not a whole short word. The start of a word is near too. */
	unsigned allowed = length <= 2 ? 1 : (unsigned)(length + 2) / 3;
	unsigned distance = edit_distance(typed, candidate);

	if (length >= 3 && !strncmp(typed, candidate, length))
		distance = 1;
	if (distance > allowed || distance >= strlen(candidate) || (nearest->word && distance >= nearest->distance))
		return;
	nearest->word = candidate;
	nearest->distance = distance;
}
