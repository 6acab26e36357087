/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to standard output. They are gathered and written in large pieces; whoever waits for more flushes first. */
#include <cli/output.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <base/units.h>
#include <schema/encode.h>

#define WRITE_AT (64 * 1024)
#define WIDTH_MIN 40
#define WIDTH_MAX 10000

bool sonde_output_wants_color(enum sonde_color color)
{
	const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (color != SONDE_COLOR_AUTO)
		return color == SONDE_COLOR_ALWAYS;
	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(terminal && !strcmp(terminal, "dumb"));
}

unsigned sonde_output_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size = {0};
	int64_t width = 0;

	if (columns && sonde_integer_parse(columns, &width) == 0 && width > 0)
		return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : (unsigned)width;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return !size.ws_col ? 80 : size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

int sonde_output_open(const struct sonde_options *options, struct sonde_output *ret_output)
{
	struct sonde_output output = {
		.format = options->format,
		.color = sonde_output_wants_color(options->color),
		.width = sonde_output_width(),
	};
	int r;

	if (output.format == SONDE_FORMAT_TABLE) {
		r = sonde_table_new(output.width, output.color, &output.table);
		if (r < 0)
			return r;
	}
	*ret_output = output;
	return 0;
}

int sonde_output_flush(struct sonde_output *output)
{
	size_t done = 0;
	int r = sonde_buffer_error(&output->buffer);

	while (r == 0 && done < output->buffer.length) {
		ssize_t n = write(STDOUT_FILENO, output->buffer.data + done, output->buffer.length - done);

		if (n >= 0)
			done += (size_t)n;
		else
			r = -errno;
	}
	sonde_buffer_clear(&output->buffer);
	return r;
}

int sonde_output_added(struct sonde_output *output)
{
	bool full = output->buffer.length >= WRITE_AT && !output->held;

	return output->buffer.failed || full ? sonde_output_flush(output) : 0;
}

/* Each type has its own columns, so its own header; an empty line parts it from the type before. */
static int csv_row(struct sonde_output *output, const struct sonde_type *type, const struct sonde_value *values)
{
	int r;

	if (output->csv_type != type) {
		if (output->csv_type)
			sonde_buffer_add_char(&output->buffer, '\n');
		r = sonde_encode_csv_header(type, &output->buffer);
		if (r < 0)
			return r;
		output->csv_type = type;
	}
	return sonde_encode_csv(type, values, &output->buffer);
}

void sonde_output_mix(struct sonde_output *output)
{
	if (output->table)
		sonde_table_mix(output->table);
}

int sonde_output_row(struct sonde_output *output, const struct sonde_type *type, const struct sonde_value *values)
{
	int r;

	switch (output->format) {
	case SONDE_FORMAT_JSON:
		r = sonde_encode_json(type, values, &output->buffer);
		sonde_buffer_add_char(&output->buffer, '\n');
		break;
	case SONDE_FORMAT_CSV:
		r = csv_row(output, type, values);
		break;
	default:
		r = sonde_table_row(output->table, type, values, &output->buffer);
		break;
	}
	return r < 0 ? r : sonde_output_added(output);
}

void sonde_output_close(struct sonde_output *output)
{
	sonde_table_free(&output->table);
	sonde_buffer_free(&output->buffer);
}
