/* SPDX-License-Identifier: Apache-2.0 */
/* The three ways to write a point in time: RFC 3339, Unix seconds, a span back from now. Nothing else is a time. */
#include <http/params.h>

#include <base/clock.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

/* Exactly `digits` digits at *text. */
static int time_number(const char **text, int digits, int *ret_number)
{
	int number = 0;

	for (int i = 0; i < digits; i++, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return -EINVAL;
		number = number * 10 + **text - '0';
	}
	*ret_number = number;
	return 0;
}

static int time_expect(const char **text, const char *set)
{
	if (!**text || !strchr(set, **text))
		return -EINVAL;
	return *(*text)++;
}

/* ".123" as ns, at most 9 digits; nothing there is 0. */
static int time_fraction(const char **text, int64_t *ret_ns)
{
	int64_t ns = 0, unit = SONDE_NS_PER_S;

	if (**text == '.') {
		(*text)++;
		if (!isdigit((unsigned char)**text))
			return -EINVAL;
		for (; isdigit((unsigned char)**text); (*text)++) {
			if (unit == 1)
				return -EINVAL;
			unit /= 10;
			ns += (**text - '0') * unit;
		}
	}
	*ret_ns = ns;
	return 0;
}

static int time_rfc3339(const char *text, int64_t *ret_ns)
{
	struct tm tm = {0}, back;
	int hours = 0, minutes = 0, sign;
	int64_t fraction_ns;
	time_t seconds;

	if (time_number(&text, 4, &tm.tm_year) || time_expect(&text, "-") < 0 || time_number(&text, 2, &tm.tm_mon) ||
	    time_expect(&text, "-") < 0 || time_number(&text, 2, &tm.tm_mday) || time_expect(&text, "Tt ") < 0 ||
	    time_number(&text, 2, &tm.tm_hour) || time_expect(&text, ":") < 0 || time_number(&text, 2, &tm.tm_min) ||
	    time_expect(&text, ":") < 0 || time_number(&text, 2, &tm.tm_sec) || time_fraction(&text, &fraction_ns))
		return -EINVAL;
	/* An unescaped + of a query string arrives as a space. */
	sign = time_expect(&text, "Zz+ -");
	if (sign < 0)
		return -EINVAL;
	if (sign != 'Z' && sign != 'z' &&
	    (time_number(&text, 2, &hours) || time_expect(&text, ":") < 0 || time_number(&text, 2, &minutes)))
		return -EINVAL;
	if (*text || tm.tm_year < 1970 || tm.tm_year > 2200 || hours > 23 || minutes > 59 || tm.tm_sec > 59)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	back = tm;
	seconds = timegm(&back);
	/* timegm() makes 1 March of 29 February: only a date that stays as it was written exists. */
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
	    back.tm_min != tm.tm_min)
		return -EINVAL;
	seconds -= (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	*ret_ns = seconds * SONDE_NS_PER_S + fraction_ns;
	return 0;
}

static int time_digits(const char **text, int64_t max, int64_t *ret_number)
{
	int64_t number = 0;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++) {
		number = number * 10 + **text - '0';
		if (number > max)
			return -EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int time_span(const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ms", SONDE_NS_PER_MS},	    {"s", SONDE_NS_PER_S},	   {"m", 60 * SONDE_NS_PER_S},
		     {"h", 3600 * SONDE_NS_PER_S}, {"d", 86400 * SONDE_NS_PER_S}, {"w", 604800 * SONDE_NS_PER_S}};
	int64_t total_ns = 0, number, ns;
	size_t length;

	do {
		if (time_digits(&text, 1000000000, &number))
			return -EINVAL;
		length = strspn(text, "mshdw");
		for (size_t i = 0;; i++) {
			if (i == sizeof(units) / sizeof(units[0]))
				return -EINVAL;
			if (strlen(units[i].name) != length || strncmp(text, units[i].name, length))
				continue;
			if (__builtin_mul_overflow(number, units[i].ns, &ns) ||
			    __builtin_add_overflow(total_ns, ns, &total_ns))
				return -EINVAL;
			break;
		}
		text += length;
	} while (*text);
	*ret_ns = total_ns;
	return 0;
}

int sonde_time_parse(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	const char *at = text;
	int64_t seconds, ns;

	if (!time_span(text, &ns)) {
		if (ns > now_ns)
			return -EINVAL;
		*ret_ns = now_ns - ns;
		return 0;
	}
	if (!time_digits(&at, INT64_MAX / SONDE_NS_PER_S - 1, &seconds) && !time_fraction(&at, &ns) && !*at) {
		*ret_ns = seconds * SONDE_NS_PER_S + ns;
		return 0;
	}
	return time_rfc3339(text, ret_ns);
}
