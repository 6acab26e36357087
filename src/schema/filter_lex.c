/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the filter language, and what a literal can mean. A literal is read without knowing its column: `443` is a
 * number for a port and a text for a name, so all meanings are kept and the match picks one.
 */
#include <schema/filter_term.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/clock.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80 ||
	       (c && strchr("_.:/+-@%", c));
}

static struct filter_token lex_operator(const char *text, size_t at)
{
	/* Longer ones first. */
	static const struct {
		const char *text;
		enum filter_operator operator_;
	} operators[] = {
		{"==", FILTER_EQUAL}, {"!=", FILTER_NOT_EQUAL}, {"<=", FILTER_LESS_EQUAL}, {">=", FILTER_MORE_EQUAL},
		{"!~", FILTER_CONTAINS_NOT}, {"=", FILTER_EQUAL}, {"<", FILTER_LESS}, {">", FILTER_MORE},
		{"~", FILTER_CONTAINS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (!strncmp(text + at, operators[i].text, strlen(operators[i].text)))
			return (struct filter_token){FILTER_OPERATOR, operators[i].operator_, at,
						     strlen(operators[i].text), NULL};
	return (struct filter_token){FILTER_INVALID, 0, at, 1, "this character needs to stand in \"quotes\""};
}

static struct filter_token lex_string(const char *text, size_t at)
{
	size_t end = at + 1;

	for (; text[end] && text[end] != text[at]; end++)
		if (text[end] == '\\' && text[end + 1])
			end++;
	if (!text[end])
		return (struct filter_token){FILTER_INVALID, 0, at, end - at, "this string has no closing quote"};
	return (struct filter_token){FILTER_STRING, 0, at, end + 1 - at, NULL};
}

struct filter_token filter_lex(const char *text, size_t *at)
{
	struct filter_token token = {.type = FILTER_END, .length = 1};

	while (text[*at] == ' ' || text[*at] == '\t' || text[*at] == '\n')
		++*at;
	token.at = *at;
	switch (text[*at]) {
	case '\0':
		token.length = 0;
		break;
	case '(':
		token.type = FILTER_OPEN;
		break;
	case ')':
		token.type = FILTER_CLOSE;
		break;
	case ',':
		token.type = FILTER_COMMA;
		break;
	case '"':
	case '\'':
		token = lex_string(text, *at);
		break;
	default:
		if (!is_word(text[*at])) {
			token = lex_operator(text, *at);
			break;
		}
		token.type = FILTER_WORD;
		while (is_word(text[token.at + token.length]))
			token.length++;
	}
	*at += token.length;
	return token;
}

static const struct {
	const char *name;
	enum filter_unit unit;
	uint64_t factor;
} units[] = {
	{"", FILTER_UNIT_NONE, 1},
	{"ns", FILTER_UNIT_DURATION, 1},
	{"us", FILTER_UNIT_DURATION, 1000},
	{"ms", FILTER_UNIT_DURATION, 1000000},
	{"s", FILTER_UNIT_DURATION, 1000000000},
	{"m", FILTER_UNIT_DURATION, 60000000000},
	{"h", FILTER_UNIT_DURATION, 3600000000000},
	{"d", FILTER_UNIT_DURATION, 86400000000000},
	{"B", FILTER_UNIT_BYTES, 1},
	{"KiB", FILTER_UNIT_BYTES, 1024},
	{"MiB", FILTER_UNIT_BYTES, 1024 * 1024},
	{"GiB", FILTER_UNIT_BYTES, 1024 * 1024 * 1024},
	{"kB", FILTER_UNIT_BYTES, 1000},
	{"MB", FILTER_UNIT_BYTES, 1000000},
	{"GB", FILTER_UNIT_BYTES, 1000000000},
};

/* Exact: sign, digits, fraction, unit. With at most 20 digits, digits times the largest unit stay in 128 bits. */
static void read_number(struct filter_value *value)
{
	const char *c = value->text, *end = c + value->length;
	bool negative = *c == '-';
	unsigned __int128 number = 0, divisor = 1;
	size_t digits = 0;

	c += *c == '-' || *c == '+';
	for (bool point = false; c < end && (is_digit(*c) || (*c == '.' && !point && digits)); c++) {
		if (*c == '.') {
			point = true;
			continue;
		}
		if (++digits > 20)
			return;
		number = number * 10 + (unsigned)(*c - '0');
		if (point)
			divisor *= 10;
	}
	if (!digits || c[-1] == '.')
		return;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) != (size_t)(end - c) || memcmp(units[i].name, c, (size_t)(end - c)))
			continue;
		number *= units[i].factor;
		value->is_fraction = number % divisor;
		value->number = (__int128)(number / divisor);
		if (negative)
			value->number = -value->number - value->is_fraction;
		value->unit = units[i].unit;
		value->is_number = true;
	}
}

/* Two digits. @return false: they are not, or too large. */
static bool read_two(const char **c, int max, int *ret)
{
	if (!is_digit((*c)[0]) || !is_digit((*c)[1]))
		return false;
	*ret = ((*c)[0] - '0') * 10 + (*c)[1] - '0';
	*c += 2;
	return *ret <= max;
}

static bool read_zone(const char **c, int64_t *ret_seconds)
{
	int sign = **c == '-' ? -1 : 1, hours, minutes;

	*ret_seconds = 0;
	if (**c == 'Z' || **c == 'z') {
		++*c;
		return true;
	}
	if (**c != '+' && **c != '-')
		return true;
	++*c;
	if (!read_two(c, 23, &hours) || *(*c)++ != ':' || !read_two(c, 59, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool read_clock(const char **c, struct tm *tm, int64_t *ret_ns)
{
	int64_t unit = 100000000;

	if (!read_two(c, 23, &tm->tm_hour) || *(*c)++ != ':' || !read_two(c, 59, &tm->tm_min))
		return false;
	if (**c != ':')
		return true;
	++*c;
	if (!read_two(c, 60, &tm->tm_sec))
		return false;
	if (**c != '.')
		return true;
	for (++*c; is_digit(**c); ++*c, unit /= 10)
		*ret_ns += (**c - '0') * unit;
	return is_digit((*c)[-1]);
}

/* RFC 3339, where the clock and the zone may be left out. The text is NUL-terminated, which ends every step. */
static void read_time(struct filter_value *value)
{
	const char *c = value->text;
	int century, year;
	struct tm tm = {0}, date;
	int64_t ns = 0, zone = 0, seconds;

	if (!read_two(&c, 99, &century) || !read_two(&c, 99, &year) || *c++ != '-' || !read_two(&c, 12, &tm.tm_mon) ||
	    *c++ != '-' || !read_two(&c, 31, &tm.tm_mday) || !tm.tm_mon || !tm.tm_mday)
		return;
	tm.tm_year = century * 100 + year - 1900;
	tm.tm_mon--;
	/* timegm() makes 3 March of 31 February. */
	date = tm;
	timegm(&date);
	if (date.tm_mday != tm.tm_mday)
		return;
	if (*c == 'T' || *c == 't') {
		c++;
		if (!read_clock(&c, &tm, &ns) || !read_zone(&c, &zone))
			return;
	}
	if (c != value->text + value->length)
		return;
	seconds = timegm(&tm) - zone;
	if (__builtin_mul_overflow(seconds, SONDE_NS_PER_S, &value->time_ns) ||
	    __builtin_add_overflow(value->time_ns, ns, &value->time_ns))
		return;
	value->is_time = true;
}

static void read_network(struct filter_value *value)
{
	char text[INET6_ADDRSTRLEN];
	const char *slash = memchr(value->text, '/', value->length);
	size_t length = slash ? (size_t)(slash - value->text) : value->length;
	unsigned prefix = 0, digits = 0;
	bool is_ipv4;

	if (!length || length >= sizeof(text) || memchr(value->text, '\0', value->length))
		return;
	memcpy(text, value->text, length);
	text[length] = '\0';
	memset(value->network, 0, sizeof(value->network));
	is_ipv4 = inet_pton(AF_INET, text, value->network + 12) == 1;
	if (is_ipv4)
		memset(value->network + 10, 0xff, 2);
	else if (inet_pton(AF_INET6, text, value->network) != 1)
		return;
	for (const char *c = slash ? slash + 1 : ""; *c; c++) {
		if (!is_digit(*c) || ++digits > 3)
			return;
		prefix = prefix * 10 + (unsigned)(*c - '0');
	}
	if (slash && (!digits || prefix > (is_ipv4 ? 32 : 128)))
		return;
	value->prefix = !slash ? 128 : is_ipv4 ? prefix + 96 : prefix;
	value->is_network = true;
}

void filter_value_read(struct filter_value *value, bool bare)
{
	value->is_null = bare && !strcmp(value->text, "null");
	value->bool_value = !strcmp(value->text, "true");
	value->is_bool = bare && (value->bool_value || !strcmp(value->text, "false"));
	read_number(value);
	read_time(value);
	read_network(value);
}
