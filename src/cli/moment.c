/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time from text. Every field is checked against the calendar: mktime() would carry 25:70 over in silence. */
#include <cli/moment.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <base/clock.h>
#include <base/units.h>

struct moment {
	int year, month, day, hour, minute, second;
	int64_t nanosecond;
	bool zone_given;
	int zone_minutes;
};

/* Exactly `digits` digits. */
static bool number_read(const char **text, int digits, int max, int *ret_number)
{
	int number = 0;

	for (int i = 0; i < digits; i++) {
		if ((*text)[i] < '0' || (*text)[i] > '9')
			return false;
		number = number * 10 + ((*text)[i] - '0');
	}
	if (number > max)
		return false;
	*text += digits;
	*ret_number = number;
	return true;
}

static bool letter_read(const char **text, const char *letters)
{
	if (!**text || !strchr(letters, **text))
		return false;
	(*text)++;
	return true;
}

static bool fraction_read(const char **text, int64_t *ret_nanosecond)
{
	int64_t unit = 100000000, nanosecond = 0;

	if (!letter_read(text, ".,"))
		return true;
	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		nanosecond += (**text - '0') * unit;
		unit /= 10; /* digits beyond the ninth count nothing */
	}
	*ret_nanosecond = nanosecond;
	return true;
}

static bool zone_read(const char **text, struct moment *moment)
{
	int sign = **text == '-' ? -1 : 1, hours, minutes;

	if (!**text)
		return true;
	moment->zone_given = true;
	if (letter_read(text, "Zz"))
		return true;
	if (!letter_read(text, "+-") || !number_read(text, 2, 23, &hours) || !letter_read(text, ":") ||
	    !number_read(text, 2, 59, &minutes))
		return false;
	moment->zone_minutes = sign * (hours * 60 + minutes);
	return true;
}

/* HH:MM[:SS[.fraction]] */
static bool clock_read(const char **text, struct moment *moment)
{
	if (!number_read(text, 2, 23, &moment->hour) || !letter_read(text, ":") ||
	    !number_read(text, 2, 59, &moment->minute))
		return false;
	if (!letter_read(text, ":"))
		return true;
	return number_read(text, 2, 60, &moment->second) && fraction_read(text, &moment->nanosecond);
}

static bool date_read(const char **text, struct moment *moment)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap;

	if (!number_read(text, 4, 9999, &moment->year) || !letter_read(text, "-") ||
	    !number_read(text, 2, 12, &moment->month) || !letter_read(text, "-") || !number_read(text, 2, 31, &moment->day))
		return false;
	leap = (moment->year % 4 == 0 && moment->year % 100 != 0) || moment->year % 400 == 0;
	return moment->month >= 1 && moment->day >= 1 &&
	       moment->day <= days[moment->month - 1] + (leap && moment->month == 2);
}

static int moment_ns(const struct moment *moment, int64_t *ret_ns)
{
	struct tm tm = {
		.tm_year = moment->year - 1900, .tm_mon = moment->month - 1, .tm_mday = moment->day,
		.tm_hour = moment->hour, .tm_min = moment->minute, .tm_sec = moment->second, .tm_isdst = -1,
	};
	int64_t seconds, ns;

	if (moment->zone_given)
		seconds = timegm(&tm) - moment->zone_minutes * 60ll;
	else
		seconds = mktime(&tm);
	if (__builtin_mul_overflow(seconds, SONDE_NS_PER_S, &ns) || __builtin_add_overflow(ns, moment->nanosecond, &ns))
		return -ERANGE;
	*ret_ns = ns;
	return 0;
}

static int date_parse(const char *text, int64_t *ret_ns)
{
	struct moment moment = {0};

	if (!date_read(&text, &moment))
		return -EINVAL;
	if (*text && (!letter_read(&text, "Tt ") || !clock_read(&text, &moment) || !zone_read(&text, &moment) || *text))
		return -EINVAL;
	return moment_ns(&moment, ret_ns);
}

int sonde_moment_rfc3339_parse(const char *text, int64_t *ret_ns)
{
	struct moment moment = {0};

	if (!date_read(&text, &moment) || !letter_read(&text, "Tt ") || !clock_read(&text, &moment) ||
	    !zone_read(&text, &moment) || *text || !moment.zone_given)
		return -EINVAL;
	return moment_ns(&moment, ret_ns);
}

/* The last time the local clock showed this. */
static int clock_parse(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	time_t now = (time_t)(now_ns / SONDE_NS_PER_S);
	struct moment moment = {0};
	struct tm tm;
	int64_t ns;
	int r;

	if (!clock_read(&text, &moment) || *text || !localtime_r(&now, &tm))
		return -EINVAL;
	moment.year = tm.tm_year + 1900;
	moment.month = tm.tm_mon + 1;
	moment.day = tm.tm_mday;
	r = moment_ns(&moment, &ns);
	if (r < 0)
		return r;
	if (ns > now_ns) {
		moment.day--; /* mktime() carries day 0 to the month before, and knows summer time */
		r = moment_ns(&moment, &ns);
		if (r < 0)
			return r;
	}
	*ret_ns = ns;
	return 0;
}

int sonde_moment_parse(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	size_t digits = strspn(text, "0123456789");
	int64_t span;
	int r;

	if (!strcmp(text, "now")) {
		*ret_ns = now_ns;
		return 0;
	}
	if (digits == 2 && text[2] == ':')
		return clock_parse(text, now_ns, ret_ns);
	if (digits == 4 && text[4] == '-')
		return date_parse(text, ret_ns);
	r = sonde_duration_parse(text, &span);
	if (r < 0)
		return r;
	*ret_ns = now_ns - span;
	return 0;
}

const char *sonde_moment_text(int64_t ns, char text[SONDE_MOMENT_TEXT_MAX])
{
	int64_t seconds = ns / SONDE_NS_PER_S, rest = ns % SONDE_NS_PER_S;
	struct tm tm;
	size_t length;
	time_t time;

	if (rest < 0) {
		rest += SONDE_NS_PER_S;
		seconds--;
	}
	time = (time_t)seconds;
	gmtime_r(&time, &tm); /* 64-bit nanoseconds end in the year 2262: never fails */
	length = strftime(text, SONDE_MOMENT_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + length, SONDE_MOMENT_TEXT_MAX - length, ".%09dZ", (int)rest);
	return text;
}
