/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the person. A message may quote foreign text: what a terminal could act on is escaped, each in one write(2). */
#include <cli/say.h>

#include <stdarg.h>
#include <stdio.h>
#include <base/buffer.h>
#include <unistd.h>

__attribute__((format(printf, 2, 0)))
static void say(const char *prefix, const char *format, va_list args)
{
	struct sonde_buffer text = SONDE_BUFFER_INIT, line = SONDE_BUFFER_INIT;

	sonde_buffer_vprintf(&text, format, args);
	sonde_buffer_add_text(&line, prefix);
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			sonde_buffer_printf(&line, "\\x%02x", c);
		/* C1 controls in UTF-8 are c2 80 to c2 9f */
		else if (c == 0xc2 && i + 1 < text.length && (unsigned char)text.data[i + 1] < 0xa0)
			sonde_buffer_printf(&line, "\\x%02x", (unsigned char)text.data[++i]);
		else
			sonde_buffer_add_char(&line, (char)c);
	}
	sonde_buffer_add_char(&line, '\n');
	if (!sonde_buffer_error(&line))
		(void)!write(STDERR_FILENO, line.data, line.length);
	sonde_buffer_free(&text);
	sonde_buffer_free(&line);
}

int sonde_say_error(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("sonde: ", format, args);
	va_end(args);
	return code;
}

void sonde_say_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("note: ", format, args);
	va_end(args);
}
