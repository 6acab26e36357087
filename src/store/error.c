/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a thread's last error: queries of several threads fail independently. */
#include <store/backend.h>

#include <stdarg.h>
#include <stdio.h>

static __thread char error_text[256];

int sonde_store_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	return error;
}

const char *sonde_store_error(struct sonde_store *store)
{
	return error_text;
}
