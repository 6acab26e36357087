/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values for human eyes. Rounding never shows more than was there in a smaller unit (999.6ms is 1.00s, not 1000ms), and
 * no foreign byte reaches a terminal but as a printable character.
 */
#include <schema/encode.h>

#include <stdio.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <schema/encode_text.h>

/* Rounded to a whole number of `unit`; safe up to the largest u64. */
static uint64_t rounded(uint64_t number, uint64_t unit)
{
	return number / unit + (number % unit >= unit - unit / 2);
}

/* Two units, e.g. 2m05s. */
static void add_pair(struct sonde_buffer *out, uint64_t small, uint64_t per_large, char large_name, char small_name)
{
	sonde_buffer_add_u64(out, small / per_large);
	sonde_buffer_add_char(out, large_name);
	if (small % per_large < 10)
		sonde_buffer_add_char(out, '0');
	sonde_buffer_add_u64(out, small % per_large);
	sonde_buffer_add_char(out, small_name);
}

static void add_duration(struct sonde_buffer *out, uint64_t ns)
{
	static const struct {
		double ns, end; /* a value that would be rounded to `end` or more takes the next unit */
		const char *name;
	} units[] = {{1e3, 999.5, "us"}, {1e6, 999.5, "ms"}, {1e9, 59.95, "s"}};
	uint64_t seconds = rounded(ns, SONDE_NS_PER_S);

	if (ns < 1000) {
		sonde_buffer_add_u64(out, ns);
		sonde_buffer_add_text(out, "ns");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		double x = (double)ns / units[i].ns;

		if (x < units[i].end) {
			sonde_buffer_printf(out, "%.*f%s", x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x, units[i].name);
			return;
		}
	}
	if (seconds < 3600)
		add_pair(out, seconds, 60, 'm', 's');
	else if (rounded(seconds, 60) < 24 * 60)
		add_pair(out, rounded(seconds, 60), 60, 'h', 'm');
	else
		add_pair(out, rounded(seconds, 3600), 24, 'd', 'h');
}

static void add_bytes(struct sonde_buffer *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double x = (double)bytes;
	char text[16];
	size_t i = 0, n;

	/* Whole bytes are exact up to 1023; 1023.5KiB would be shown as 1024KiB. */
	for (; x >= 1023.5; i++)
		x /= 1024;
	n = (size_t)snprintf(text, sizeof(text), "%.*f", x < 99.95 ? 1 : 0, x);
	if (n > 2 && !memcmp(text + n - 2, ".0", 2))
		n -= 2;
	sonde_buffer_add(out, text, n);
	sonde_buffer_add_text(out, units[i]);
}

static void add_number(struct sonde_buffer *out, enum sonde_semantic semantic, uint64_t number)
{
	if (semantic == SONDE_SEMANTIC_DURATION_NS)
		add_duration(out, number);
	else if (semantic == SONDE_SEMANTIC_BYTES)
		add_bytes(out, number);
	else
		sonde_buffer_add_u64(out, number);
	if (semantic == SONDE_SEMANTIC_PERCENT)
		sonde_buffer_add_char(out, '%');
}

int sonde_encode_terminal_text(const char *bytes, size_t length, struct sonde_buffer *out)
{
	sonde_text_add_safe(out, bytes, length, false);
	return sonde_buffer_error(out);
}

int sonde_encode_human(const struct sonde_column *column, const struct sonde_value *value, struct sonde_buffer *out)
{
	enum sonde_semantic semantic = sonde_semantic_of(column);
	char text[SONDE_TEXT_ADDRESS_SIZE];

	switch (value->type) {
	case SONDE_NULL:
		sonde_buffer_add_char(out, '-');
		break;
	case SONDE_INT:
		if (semantic == SONDE_SEMANTIC_TIME) {
			sonde_text_time(value->i, text);
			sonde_buffer_add(out, text + strlen("2026-11-20T"), strlen("22:52:54.123"));
			break;
		}
		if (value->i < 0)
			sonde_buffer_add_char(out, '-');
		add_number(out, semantic, value->i < 0 ? -(uint64_t)value->i : (uint64_t)value->i);
		break;
	case SONDE_UINT:
		add_number(out, semantic, value->u);
		break;
	case SONDE_BOOL:
		sonde_buffer_add_text(out, value->b ? "true" : "false");
		break;
	case SONDE_TEXT:
		if (semantic == SONDE_SEMANTIC_ARGUMENTS)
			sonde_text_add_arguments(out, value->text, value->length);
		else
			sonde_text_add_safe(out, value->text, value->length, semantic == SONDE_SEMANTIC_ESCAPED);
		break;
	case SONDE_ADDRESS:
		sonde_buffer_add(out, text, sonde_text_address(value->address, text));
		break;
	case SONDE_REAL:
		sonde_buffer_add(out, text, sonde_text_real(value->real, text));
		break;
	}
	return sonde_buffer_error(out);
}
