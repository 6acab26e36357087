/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in columns. An allocation that fails is remembered and told at the end, as in a buffer. */
#include <cli/grid.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <base/cleanup.h>
#include <schema/encode.h>
#include <schema/encode_text.h>

#define BETWEEN 2
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

void sonde_grid_begin(struct sonde_grid *grid, const char *const *headings, uint64_t right)
{
	*grid = (struct sonde_grid){.right = right};
	while (grid->n_columns < SONDE_GRID_COLUMNS_MAX && headings[grid->n_columns])
		grid->n_columns++;
	for (unsigned i = 0; i < grid->n_columns; i++)
		sonde_grid_add(grid, headings[i]);
}

void sonde_grid_add(struct sonde_grid *grid, const char *text)
{
	/* Foreign bytes come out of JSON, where they are escaped: not once more. */
	static const struct sonde_column told = {.name = "", .semantic = SONDE_SEMANTIC_ESCAPED};
	struct sonde_buffer safe = SONDE_BUFFER_INIT;
	unsigned capacity;
	char **cells;

	if (grid->n_cells == grid->capacity) {
		capacity = grid->capacity ? 2 * grid->capacity : 64;
		cells = reallocarray(grid->cells, capacity, sizeof(*cells));
		if (!cells) {
			grid->failed = true;
			return;
		}
		grid->cells = cells;
		grid->capacity = capacity;
	}
	sonde_encode_human(&told, &(struct sonde_value){.type = SONDE_TEXT, .text = text, .length = (uint32_t)strlen(text)}, &safe);
	sonde_buffer_add(&safe, "", 1); /* so that an empty text has memory too */
	if (sonde_buffer_error(&safe) < 0) {
		sonde_buffer_free(&safe);
		grid->failed = true;
		return;
	}
	grid->cells[grid->n_cells++] = safe.data;
}

void sonde_grid_addf(struct sonde_grid *grid, const char *format, ...)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	va_list args;

	va_start(args, format);
	sonde_buffer_vprintf(&text, format, args);
	va_end(args);
	if (sonde_buffer_error(&text) < 0)
		grid->failed = true;
	else
		sonde_grid_add(grid, text.data ? text.data : "");
}

static void pad(struct sonde_buffer *out, size_t n)
{
	while (n--)
		sonde_buffer_add_char(out, ' ');
}

static size_t cell_width(const char *text)
{
	return sonde_text_width(text, strlen(text));
}

static void cell_write(const char *text, size_t width, bool right, bool last, struct sonde_buffer *out)
{
	size_t length = strlen(text), taken = sonde_text_width(text, length);

	if (taken > width) {
		length = sonde_text_fit(text, length, width ? width - 1 : 0);
		sonde_buffer_add(out, text, length);
		sonde_buffer_add_text(out, "…");
		return;
	}
	if (right)
		pad(out, width - taken);
	sonde_buffer_add(out, text, length);
	if (!right && !last)
		pad(out, width - taken);
}

int sonde_grid_write(const struct sonde_grid *grid, unsigned width, bool color, struct sonde_buffer *out)
{
	size_t widths[SONDE_GRID_COLUMNS_MAX] = {0}, before_last = 0, n;

	if (grid->failed || !grid->n_columns)
		return grid->failed ? -ENOMEM : 0;
	for (unsigned i = 0; i < grid->n_cells; i++) {
		n = cell_width(grid->cells[i]);
		if (n > widths[i % grid->n_columns])
			widths[i % grid->n_columns] = n;
	}
	for (unsigned i = 0; i + 1 < grid->n_columns; i++)
		before_last += widths[i] + BETWEEN;
	if (!width)
		width = UINT32_MAX;
	/* A last column narrower than this tells nothing: then rather wrap. */
	if (before_last + 12 < width && widths[grid->n_columns - 1] > width - before_last)
		widths[grid->n_columns - 1] = width - before_last;
	for (unsigned i = 0; i < grid->n_cells; i++) {
		unsigned column = i % grid->n_columns;

		if (color && i == 0)
			sonde_buffer_add_text(out, BOLD);
		if (column)
			pad(out, BETWEEN);
		cell_write(grid->cells[i], widths[column], grid->right >> column & 1, column == grid->n_columns - 1, out);
		if (column < grid->n_columns - 1)
			continue;
		while (out->length && out->data[out->length - 1] == ' ') /* of empty cells at its end */
			out->length--;
		sonde_buffer_add_text(out, color && i == column ? PLAIN "\n" : "\n");
	}
	return sonde_buffer_error(out);
}

void sonde_grid_end(struct sonde_grid *grid)
{
	for (unsigned i = 0; i < grid->n_cells; i++)
		free(grid->cells[i]);
	free(grid->cells);
	*grid = (struct sonde_grid){0};
}
