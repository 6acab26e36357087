/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to a streaming table. Every cell goes through line_add(), which cuts it to its column and to the line: no line is
 * wider than the terminal. All text of a cell comes from sonde_encode_human() and is safe before it gets there.
 */
#include <schema/encode.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <schema/encode_layout.h>
#include <schema/encode_text.h>

#define WIDTH_MIN 40
#define HEADER_ROWS 50
#define ELLIPSIS "\xe2\x80\xa6"

#define BOLD "1"
#define DIM "2"
#define RED "31"

struct sonde_table {
	size_t width; /* 0: no limit */
	bool color, mixed;
	bool begun; /* the header of this layout was written */
	bool dated; /* `day` was written */
	unsigned rows; /* since the header */
	int64_t day;   /* of the last row, days since 1970 */
	struct sonde_layout layout;
	size_t mixed_type_width;
	struct sonde_buffer cell; /* kept from row to row for its memory */
};

struct line {
	struct sonde_table *table;
	struct sonde_buffer *out;
	size_t used, blanks;
};

int sonde_table_new(unsigned width, bool color, struct sonde_table **ret_table)
{
	struct sonde_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->width = width && width < WIDTH_MIN ? WIDTH_MIN : width;
	table->color = color;
	table->mixed_type_width = sizeof("packet_drop") - 1;
	*ret_table = table;
	return 0;
}

void sonde_table_mix(struct sonde_table *table)
{
	table->begun &= table->mixed;
	table->mixed = true;
}

void sonde_table_free(struct sonde_table **table)
{
	if (!*table)
		return;
	sonde_buffer_free(&(*table)->cell);
	free(TAKE_PTR(*table));
}

static void add_styled(struct line *line, const char *style, const char *text, size_t length)
{
	bool styled = style && line->table->color && length;

	if (styled)
		sonde_buffer_printf(line->out, "\033[%sm", style);
	sonde_buffer_add(line->out, text, length);
	if (styled)
		sonde_buffer_add_text(line->out, "\033[0m");
}

/* Text cut to `limit` columns; `tail` bytes at its end stay (the port of an address). */
static void add_cut(struct line *line, const char *style, const char *text, size_t length, size_t tail, size_t limit)
{
	char cut[sizeof(ELLIPSIS) + 8] = ELLIPSIS;
	size_t head;

	if (tail > 8 || tail + 4 > limit)
		tail = 0;
	memcpy(cut + sizeof(ELLIPSIS) - 1, text + length - tail, tail);
	head = sonde_text_fit(text, length, limit - 1 - tail);
	add_styled(line, style, text, head);
	add_styled(line, style, cut, sizeof(ELLIPSIS) - 1 + tail);
	line->used += sonde_text_width(text, head) + 1 + tail;
}

/* `width` 0: the rest of the line. */
static void line_add(struct line *line, const char *style, const char *text, size_t length, size_t tail, size_t width,
		     bool right)
{
	size_t need = sonde_text_width(text, length), limit = width ? width : SIZE_MAX, room = SIZE_MAX;
	size_t pad = need < width ? width - need : 0;

	if (line->table->width) {
		size_t before = line->used + line->blanks + (right ? pad : 0);

		room = line->table->width > before ? line->table->width - before : 0;
	} else {
		limit = SIZE_MAX;
	}
	if (!room)
		return;
	for (size_t i = 0; length && i < line->blanks + (right ? pad : 0); i++, line->used++)
		sonde_buffer_add_char(line->out, ' ');
	if (length)
		line->blanks = 0;
	if (need <= limit && need <= room) {
		add_styled(line, style, text, length);
		line->used += need;
	} else {
		add_cut(line, style, text, length, tail, limit < room ? limit : room);
	}
	line->blanks += SONDE_LAYOUT_GAP + (right && length ? 0 : pad);
}

static void line_end(struct line *line)
{
	while (line->out->length && line->out->data[line->out->length - 1] == ' ') /* a foreign text's own */
		line->out->length--;
	sonde_buffer_add_char(line->out, '\n');
}

static void line_add_title(struct line *line, const char *name, size_t width, bool right)
{
	char title[40];
	size_t n = 0;

	for (; name[n] && n < sizeof(title); n++)
		title[n] = (char)toupper((unsigned char)name[n]);
	line_add(line, BOLD, title, n, 0, width, right);
}

/* @return bytes at the end of the cell that must not be cut off. */
static size_t format_endpoint(struct sonde_buffer *cell, const struct sonde_value *address, const struct sonde_value *port)
{
	bool bracket = address->type == SONDE_ADDRESS && port->type == SONDE_UINT &&
		       !sonde_address_is_ipv4(address->address);
	size_t start;

	if (bracket)
		sonde_buffer_add_char(cell, '[');
	sonde_encode_human(NULL, address, cell);
	if (port->type != SONDE_UINT)
		return 0;
	start = cell->length;
	if (bracket)
		sonde_buffer_add_char(cell, ']');
	sonde_buffer_add_char(cell, ':');
	sonde_buffer_add_u64(cell, port->u);
	return cell->length - start;
}

static size_t format_cell(struct sonde_table *table, const struct sonde_type *type, const struct sonde_layout_column *column,
			  const struct sonde_value *values)
{
	const struct sonde_value *value = &values[column->column];
	char time[SONDE_TEXT_TIME_SIZE];

	sonde_buffer_clear(&table->cell);
	if (column->port >= 0)
		return format_endpoint(&table->cell, value, &values[column->port]);
	if (!table->width && value->type == SONDE_INT && type->columns[column->column].semantic == SONDE_SEMANTIC_TIME) {
		sonde_text_time(value->i, time);
		sonde_buffer_add(&table->cell, time, sizeof("2026-11-20T22:52:54.123") - 1);
		sonde_buffer_add_char(&table->cell, 'Z');
		return 0;
	}
	sonde_encode_human(&type->columns[column->column], value, &table->cell);
	return 0;
}

/* What went wrong, as far as it can be told without knowing the program. */
static const char *cell_style(const struct sonde_column *column, const struct sonde_value *value)
{
	static const char *const failures[] = {"fail", "failed", "error", "timeout", "drop"};

	if (value->type == SONDE_NULL)
		return DIM;
	if (column->semantic == SONDE_SEMANTIC_ERRNO_NAME || column->semantic == SONDE_SEMANTIC_SIGNAL_NAME ||
	    (column->semantic == SONDE_SEMANTIC_KERNEL_ENUM && !strcmp(column->name, "reason")))
		return RED;
	if (column->semantic == SONDE_SEMANTIC_ENUM && value->type == SONDE_TEXT)
		for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
			if (value->length == strlen(failures[i]) && !memcmp(value->text, failures[i], value->length))
				return RED;
	return NULL;
}

static void begin_header(struct sonde_table *table)
{
	table->rows = 0;
	table->begun = true;
}

static void add_date(struct sonde_table *table, const struct sonde_value *time, struct sonde_buffer *out)
{
	struct line line = {.table = table, .out = out};
	char text[SONDE_TEXT_TIME_SIZE];
	int64_t day;

	if (!table->width || time->type != SONDE_INT)
		return;
	day = time->i / (86400 * SONDE_NS_PER_S) - (time->i % (86400 * SONDE_NS_PER_S) < 0);
	if (table->dated && day == table->day)
		return;
	table->day = day;
	table->dated = true;
	sonde_text_time(time->i, text);
	memcpy(text + sizeof("2026-11-20") - 1, " UTC", sizeof(" UTC"));
	line_add(&line, DIM, text, strlen(text), 0, 0, false);
	line_end(&line);
}

/* --- rows of one type --- */

static void learn(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values, bool fresh,
		  struct sonde_buffer *out)
{
	bool fit = fresh || table->rows == HEADER_ROWS, changed = fresh;
	struct line line = {.table = table, .out = out};

	for (size_t i = 0; i < table->layout.n_columns; i++) {
		struct sonde_layout_column *column = &table->layout.columns[i];

		format_cell(table, type, column, values);
		fit |= sonde_layout_learn(&table->layout, i, values, sonde_text_width(table->cell.data, table->cell.length));
	}
	if (fit)
		changed |= sonde_layout_fit(&table->layout, table->width);
	/* Without a terminal the reader is a program or a file: one header, and widths that grow in silence. */
	if (!fresh && (!table->width || (!changed && table->rows < HEADER_ROWS)))
		return;
	begin_header(table);
	for (size_t i = 0; i < table->layout.n_columns; i++)
		if (table->layout.columns[i].shown)
			line_add_title(&line, table->layout.columns[i].name, table->layout.columns[i].width,
				       table->layout.columns[i].right);
	line_end(&line);
}

static void add_row(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
		    struct sonde_buffer *out)
{
	bool fresh = !table->begun || table->layout.type != type;
	struct line line = {.table = table, .out = out};

	if (fresh)
		sonde_layout_init(&table->layout, type);
	learn(table, type, values, fresh, out);
	for (size_t i = 0; i < table->layout.n_columns; i++) {
		const struct sonde_layout_column *column = &table->layout.columns[i];
		size_t tail;

		if (!column->shown)
			continue;
		tail = format_cell(table, type, column, values);
		line_add(&line, cell_style(&type->columns[column->column], &values[column->column]), table->cell.data,
			 table->cell.length, tail, column->width, column->right);
	}
	line_end(&line);
}

/* --- rows of several types --- */

/* Foreign text must not look like a further name=value: it is quoted, and has no quotes of its own. */
static void add_detail_text(struct sonde_buffer *out, const char *text, size_t length)
{
	bool quoted = !length || memchr(text, ' ', length) || memchr(text, '"', length) || memchr(text, '=', length);

	if (quoted)
		sonde_buffer_add_char(out, '"');
	for (size_t i = 0; i < length; i++)
		if (text[i] == '"')
			sonde_text_add_escape(out, '"');
		else
			sonde_buffer_add_char(out, text[i]);
	if (quoted)
		sonde_buffer_add_char(out, '"');
}

static void format_detail(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
			  struct sonde_buffer *out)
{
	for (size_t i = 0; i < table->layout.n_columns; i++) {
		const struct sonde_layout_column *column = &table->layout.columns[i];
		const struct sonde_column *own = &type->columns[column->column];
		const struct sonde_value *value = &values[column->column];
		bool weight = column->column == SONDE_COLUMN_WEIGHT && value->type == SONDE_UINT && value->u != 1;

		if (value->type == SONDE_NULL || column->trivial ||
		    (column->column < SONDE_COLUMN_COMMON_MAX && column->column != SONDE_COLUMN_CONTAINER && !weight))
			continue;
		if (out->length)
			sonde_buffer_add_char(out, ' ');
		/* The kind, the first word, needs no name. */
		if (column->rank || own->semantic != SONDE_SEMANTIC_ENUM) {
			sonde_buffer_add_text(out, column->name);
			sonde_buffer_add_char(out, '=');
		}
		format_cell(table, type, column, values);
		add_detail_text(out, table->cell.data, table->cell.length);
	}
}

static void add_mixed_header(struct sonde_table *table, struct sonde_buffer *out)
{
	struct line line = {.table = table, .out = out};

	begin_header(table);
	line_add_title(&line, "time", table->width ? 12 : 24, false);
	line_add_title(&line, "type", table->mixed_type_width, false);
	line_add_title(&line, "pid", 7, true);
	line_add_title(&line, "command", 15, false);
	line_add_title(&line, "detail", 0, false);
	line_end(&line);
}

static const char *row_style(const struct sonde_type *type, const struct sonde_value *values)
{
	for (uint32_t i = SONDE_COLUMN_COMMON_MAX; i < type->n_columns; i++) {
		const char *style = cell_style(&type->columns[i], &values[i]);

		if (values[i].type != SONDE_NULL && style)
			return style;
	}
	return NULL;
}

static void add_mixed_row(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
			  struct sonde_buffer *out)
{
	static const struct {
		uint32_t column;
		size_t width;
	} cells[] = {{SONDE_COLUMN_PID, 7}, {SONDE_COLUMN_COMMAND, 15}};
	CLEANUP(sonde_buffer_free) struct sonde_buffer detail = SONDE_BUFFER_INIT;
	struct line line = {.table = table, .out = out};

	if (table->layout.type != type)
		sonde_layout_init(&table->layout, type);
	if (strlen(type->name) > table->mixed_type_width) {
		table->mixed_type_width = strlen(type->name);
		table->begun &= !table->width;
	}
	if (!table->begun || (table->width && table->rows == HEADER_ROWS))
		add_mixed_header(table, out);
	format_cell(table, type, &(struct sonde_layout_column){.column = SONDE_COLUMN_TIME, .port = -1}, values);
	line_add(&line, NULL, table->cell.data, table->cell.length, 0, table->width ? 12 : 24, false);
	sonde_buffer_clear(&table->cell);
	sonde_encode_human(NULL, &values[SONDE_COLUMN_TYPE], &table->cell);
	line_add(&line, row_style(type, values), table->cell.data, table->cell.length, 0, table->mixed_type_width, false);
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
		const struct sonde_value *value = &values[cells[i].column];

		sonde_buffer_clear(&table->cell);
		sonde_encode_human(&type->columns[cells[i].column], value, &table->cell);
		line_add(&line, value->type == SONDE_NULL ? DIM : NULL, table->cell.data, table->cell.length, 0,
			 cells[i].width, cells[i].column == SONDE_COLUMN_PID);
	}
	format_detail(table, type, values, &detail);
	line_add(&line, NULL, detail.data, detail.length, 0, 0, false);
	if (detail.failed)
		out->failed = true;
	line_end(&line);
}

int sonde_table_row(struct sonde_table *table, const struct sonde_type *type, const struct sonde_value *values,
		    struct sonde_buffer *out)
{
	/* The same type read from another store, with other columns, is still the same type. */
	if (!table->mixed && table->layout.type && table->layout.type != type && strcmp(table->layout.type->name, type->name))
		sonde_table_mix(table);
	add_date(table, &values[SONDE_COLUMN_TIME], out);
	if (table->mixed)
		add_mixed_row(table, type, values, out);
	else
		add_row(table, type, values, out);
	table->rows++;
	if (table->cell.failed)
		out->failed = true;
	return sonde_buffer_error(out);
}
