/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines to standard error, each in one write(2) so that lines of two processes never mix. */
#include <base/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static atomic_int log_level = SONDE_LOG_INFO;
static const char *_Atomic log_name;

void sonde_log_set_level(enum sonde_log_level level)
{
	log_level = (int)level;
}

int sonde_log_parse_level(const char *name, enum sonde_log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (!strcmp(name, level_names[i])) {
			*ret_level = (enum sonde_log_level)i;
			return 0;
		}
	return -EINVAL;
}

void sonde_log_set_name(const char *name)
{
	log_name = name;
}

/* The text may hold foreign names: whatever a terminal could act on is escaped here, once. */
static size_t log_escape(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text && n + 6 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	out[n++] = '\n';
	return n;
}

int sonde_log(enum sonde_log_level level, int error, const char *format, ...)
{
	char text[1024], line[2048];
	const char *name = log_name;
	size_t n;
	va_list args;

	if ((int)level > log_level)
		return error;
	n = (size_t)snprintf(text, sizeof(text), "%s%s%s: ", name ? name : "", name ? ": " : "", level_names[level]);
	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	n = strlen(text);
	if (error < 0 && n < sizeof(text) - 1)
		snprintf(text + n, sizeof(text) - n, ": %s", strerror(-error));
	n = log_escape(text, line, sizeof(line));
	/* There is nobody to tell if standard error is gone. */
	(void)!write(STDERR_FILENO, line, n);
	return error;
}
