/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of columns: by rank, which follows from what a column is and from the tags of its field. A stream cannot be
 * measured before it is shown, so a layout learns: a column that first has a value, or one that a value outgrows, asks for
 * a new fit. Both can happen only a bounded number of times, since a column is first seen once and widths only grow, in
 * steps: the header cannot come again without end.
 */
#include <schema/encode_layout.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define RANK_NEVER 100	/* said by other means in a table */
#define RANK_UNSEEN 10	/* added while a column has been null */
#define RANK_TRIVIAL 16 /* less wanted than even what has been null */
#define RANK_MAX 30
#define RANK_MAIN 2	/* its text is not to be cut for the columns behind it */
#define RANK_IMPORTANT 3
#define RANK_USEFUL 4
#define TEXT_LEAST 10	/* narrower only where a text is */
#define TEXT_SHORT 16	/* names of processes, types, codes */
#define TEXT_LONG 32	/* names of hosts, ends of paths: main columns have this before others get in */
#define GROW_MAX 48	/* more than [an IPv6 address]:port; longer text waits for what the others leave */
#define STEP 4

static unsigned semantic_rank(enum sonde_semantic semantic)
{
	switch (semantic) {
	case SONDE_SEMANTIC_KERNEL_ENUM:
	case SONDE_SEMANTIC_ERRNO_NAME:
	case SONDE_SEMANTIC_SIGNAL_NAME:
		return 1;
	case SONDE_SEMANTIC_ADDRESS:
		return RANK_IMPORTANT;
	case SONDE_SEMANTIC_SIGNAL: /* these three stand beside their names */
	case SONDE_SEMANTIC_ERRNO:
	case SONDE_SEMANTIC_FLAGS_NUMBER:
	case SONDE_SEMANTIC_COOKIE:
		return RANK_TRIVIAL;
	case SONDE_SEMANTIC_BYTES:
	case SONDE_SEMANTIC_DURATION_NS:
		return RANK_USEFUL;
	default:
		return RANK_USEFUL + 1;
	}
}

static unsigned own_rank(const struct sonde_type *type, uint32_t index)
{
	const struct sonde_column *column = &type->columns[index];
	unsigned rank = semantic_rank(column->semantic);

	if (index == SONDE_COLUMN_COMMON_MAX && column->semantic == SONDE_SEMANTIC_ENUM)
		return 0; /* the kind of the event */
	if (column->is_measure)
		return 1;
	if (column->is_main)
		return rank < RANK_MAIN ? rank : RANK_MAIN;
	/* The schema of an agent calls enums and protocols that too: they have the rank of what they are. */
	if (column->is_top && column->semantic != SONDE_SEMANTIC_ENUM && column->semantic != SONDE_SEMANTIC_PROTOCOL)
		return rank < RANK_IMPORTANT ? rank : RANK_IMPORTANT;
	return rank;
}

static unsigned column_rank(const struct sonde_type *type, uint32_t index)
{
	switch (index) {
	case SONDE_COLUMN_TIME:
		return 0;
	case SONDE_COLUMN_PID:
	case SONDE_COLUMN_COMMAND:
		return 1;
	case SONDE_COLUMN_WEIGHT: /* seen only when it is not 1, and then no number is right without it */
		return RANK_IMPORTANT;
	case SONDE_COLUMN_TYPE:
		return RANK_NEVER;
	case SONDE_COLUMN_CONTAINER:
		return RANK_USEFUL;
	case SONDE_COLUMN_TID:
	case SONDE_COLUMN_UID:
	case SONDE_COLUMN_SOURCE:
		return RANK_TRIVIAL;
	default:
		return own_rank(type, index);
	}
}

static size_t column_least(const struct sonde_column *column)
{
	switch (column->semantic) {
	case SONDE_SEMANTIC_TIME:
		return sizeof("22:52:54.123") - 1;
	case SONDE_SEMANTIC_DURATION_NS:
	case SONDE_SEMANTIC_BYTES:
	case SONDE_SEMANTIC_PID:
		return 7;
	case SONDE_SEMANTIC_ADDRESS:
		return sizeof("127.0.0.1:65535") - 1;
	case SONDE_SEMANTIC_ENUM:
		return 7;
	case SONDE_SEMANTIC_ERRNO_NAME:
		return sizeof("ENOENT") - 1;
	case SONDE_SEMANTIC_PROTOCOL:
		return 4;
	case SONDE_SEMANTIC_KERNEL_ENUM:
	case SONDE_SEMANTIC_SYMBOL:
		return 16;
	default:
		return 5;
	}
}

/* Names come from an object's BTF or from a store's file: nothing but letters reaches the terminal. */
static void column_name(struct sonde_layout_column *column, const struct sonde_type *type)
{
	const char *name = type->columns[column->column].name;
	enum sonde_semantic semantic = type->columns[column->column].semantic;
	const char *suffix = semantic == SONDE_SEMANTIC_DURATION_NS ? "_ns" :
			     semantic == SONDE_SEMANTIC_BYTES	    ? "_bytes" :
			     semantic == SONDE_SEMANTIC_PERCENT	    ? "_pct" :
			     column->port >= 0			    ? "_address" :
								      "";
	size_t length = strlen(name), end = strlen(suffix);
	char bare[64];

	/* The unit stands in the values; but `arguments_bytes` beside `arguments` keeps its whole name. */
	snprintf(bare, sizeof(bare), "%.*s", (int)(length - end), name);
	if (length > end && !strcmp(name + length - end, suffix) &&
	    (column->port >= 0 || sonde_type_find_column(type, bare) < 0))
		length -= end;
	if (length >= sizeof(column->name))
		length = sizeof(column->name) - 1;
	for (size_t i = 0; i < length; i++)
		column->name[i] = isalnum((unsigned char)name[i]) && isascii(name[i]) ? name[i] : '_';
	column->name[length] = '\0';
}

/* remote_address -> remote_port */
static int find_port(const struct sonde_type *type, uint32_t address)
{
	static const char suffix[] = "_address";
	const char *name = type->columns[address].name;
	size_t length = strlen(name);

	if (type->columns[address].semantic != SONDE_SEMANTIC_ADDRESS || length < sizeof(suffix) ||
	    strcmp(name + length - (sizeof(suffix) - 1), suffix))
		return -1;
	length -= sizeof(suffix) - 1;
	for (uint32_t i = SONDE_COLUMN_COMMON_MAX; i < type->n_columns; i++)
		if (type->columns[i].semantic == SONDE_SEMANTIC_PORT &&
		    !strncmp(type->columns[i].name, name, length) && !strcmp(type->columns[i].name + length, "_port"))
			return (int)i;
	return -1;
}

/* Text of any length. Names of a fixed set are short: their columns grow instead of cutting them. */
static bool is_free_text(const struct sonde_column *column)
{
	return column->type == SONDE_TEXT &&
	       (column->semantic == SONDE_SEMANTIC_NONE || column->semantic == SONDE_SEMANTIC_SYMBOL ||
		column->semantic == SONDE_SEMANTIC_ARGUMENTS || column->semantic == SONDE_SEMANTIC_ESCAPED ||
		column->semantic == SONDE_SEMANTIC_ADDRESS_NAME);
}

static void add_column(struct sonde_layout *layout, uint32_t index)
{
	const struct sonde_column *column = &layout->type->columns[index];
	struct sonde_layout_column *added;

	if (layout->n_columns == SONDE_COLUMNS_MAX)
		return;
	added = &layout->columns[layout->n_columns++];
	*added = (struct sonde_layout_column){
		.column = index,
		.port = index < SONDE_COLUMN_COMMON_MAX ? -1 : find_port(layout->type, index),
		.rank = column_rank(layout->type, index),
		.least = column_least(column),
		.text = is_free_text(column),
		.right = column->type == SONDE_INT || column->type == SONDE_UINT,
	};
	if (column->semantic == SONDE_SEMANTIC_TIME)
		added->right = false;
	column_name(added, layout->type);
	if (added->least < strlen(added->name))
		added->least = strlen(added->name);
	if (index < SONDE_COLUMN_COMMON_MAX && added->text) /* every type has them: one look for all */
		added->least = TEXT_LEAST;
}

static bool is_merged(const struct sonde_layout *layout, uint32_t index)
{
	for (size_t i = 0; i < layout->n_columns; i++)
		if (layout->columns[i].port == (int)index)
			return true;
	return false;
}

void sonde_layout_init(struct sonde_layout *layout, const struct sonde_type *type)
{
	/* What the agent adds stands last: it says nothing of what happened. */
	static const uint32_t last[] = {SONDE_COLUMN_SOURCE, SONDE_COLUMN_WEIGHT};

	layout->type = type;
	layout->n_columns = 0;
	for (uint32_t i = 0; i < SONDE_COLUMN_SOURCE && i < type->n_columns; i++)
		add_column(layout, i);
	for (uint32_t i = SONDE_COLUMN_COMMON_MAX; i < type->n_columns; i++)
		add_column(layout, i);
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]) && last[i] < type->n_columns; i++)
		add_column(layout, last[i]);
	for (size_t i = 0; i < layout->n_columns; i++)
		if (is_merged(layout, layout->columns[i].column))
			layout->columns[i].rank = RANK_NEVER;
	for (size_t i = 0; i < layout->n_columns; i++)
		layout->columns[i].trivial = layout->columns[i].rank >= RANK_TRIVIAL;
}

static size_t wanted_width(const struct sonde_layout_column *column)
{
	size_t wanted = column->text && column->widest > TEXT_LEAST ? TEXT_LEAST : column->widest;

	return wanted > column->least ? wanted : column->least;
}

/* Of an address a part says something still; of a number or the name of an error it does not. */
static size_t narrow_width(const struct sonde_layout_column *column)
{
	return column->port >= 0 ? column->least : wanted_width(column);
}

static unsigned rank_now(const struct sonde_layout_column *column)
{
	if (column->rank == RANK_NEVER || column->seen || !column->rank)
		return column->rank;
	return column->column == SONDE_COLUMN_WEIGHT ? RANK_MAX : column->rank + RANK_UNSEEN;
}

/* Grow the shown columns up to this rank, to `most` at most, as far as there is room, the most wanted first. @return columns taken. */
static size_t grow(struct sonde_layout *layout, unsigned last, size_t most, size_t room, bool text)
{
	size_t taken = 0;

	for (unsigned rank = 0; rank <= last; rank++)
		for (size_t i = 0; i < layout->n_columns; i++) {
			struct sonde_layout_column *column = &layout->columns[i];
			size_t wanted = column->widest < most ? column->widest : most, more;

			if (!column->shown || rank_now(column) != rank || column->text != text || wanted <= column->width)
				continue;
			more = wanted - column->width < room - taken ? wanted - column->width : room - taken;
			column->width += more;
			taken += more;
		}
	return taken;
}

/* Columns by rank while there is room; one that is too wide does not stop the narrower ones behind it. */
static size_t choose(struct sonde_layout *layout, unsigned first, unsigned last, size_t width, size_t used, bool narrow)
{
	for (unsigned rank = first; rank <= last; rank++)
		for (size_t i = 0; i < layout->n_columns; i++) {
			struct sonde_layout_column *column = &layout->columns[i];
			size_t wanted = narrow ? narrow_width(column) : wanted_width(column), gap = used ? SONDE_LAYOUT_GAP : 0;

			if (rank_now(column) != rank || used + gap + wanted > width)
				continue;
			column->shown = true;
			column->width = wanted;
			used += gap + wanted;
		}
	return used;
}

bool sonde_layout_fit(struct sonde_layout *layout, size_t width)
{
	struct sonde_layout_column *last = NULL;
	size_t before[SONDE_COLUMNS_MAX], limit = width ? width : SIZE_MAX, used;
	bool changed = false;

	for (size_t i = 0; i < layout->n_columns; i++) {
		before[i] = layout->columns[i].shown ? layout->columns[i].width : 0;
		layout->columns[i].shown = false;
	}
	/* The important ones are rather narrow than left out; the others get in only if they can be read. */
	used = choose(layout, 0, RANK_MAIN, limit, 0, true);
	used += grow(layout, RANK_MAIN, GROW_MAX, limit - used, false);
	used += grow(layout, RANK_MAIN, TEXT_LONG, limit - used, true);
	used = choose(layout, RANK_MAIN + 1, RANK_IMPORTANT, limit, used, true);
	used += grow(layout, RANK_IMPORTANT, GROW_MAX, limit - used, false);
	used = choose(layout, RANK_IMPORTANT + 1, RANK_USEFUL, limit, used, false);
	used += grow(layout, RANK_USEFUL, TEXT_LONG, limit - used, true);
	used += grow(layout, RANK_MAIN, GROW_MAX, limit - used, true);
	/* No room is filled with what is trivial and was not even seen. */
	used = choose(layout, RANK_USEFUL + 1, width ? RANK_TRIVIAL + RANK_UNSEEN - 1 : RANK_MAX, limit, used, false);
	used += grow(layout, RANK_MAX, GROW_MAX, limit - used, true);
	for (size_t i = 0; i < layout->n_columns; i++)
		if (layout->columns[i].shown)
			last = &layout->columns[i];
	if (width && last && last->text)
		last->width += width - used;
	for (size_t i = 0; i < layout->n_columns; i++)
		changed |= before[i] != (layout->columns[i].shown ? layout->columns[i].width : 0);
	return changed;
}

/* In steps, so that a column does not grow by one character at a time, each with a new header. */
static size_t stepped_width(const struct sonde_layout_column *column, bool first, size_t width)
{
	const size_t ipv4 = sizeof("255.255.255.255:65535") - 1;

	/* The first text may be one of many that are as short; the second guess is a kind of text. */
	if (column->text && (!first || width > TEXT_SHORT))
		return width <= TEXT_SHORT ? TEXT_SHORT : width <= TEXT_LONG ? TEXT_LONG : width <= GROW_MAX ? GROW_MAX : width;
	if (column->port >= 0 && width <= ipv4)
		return ipv4;
	return (width + STEP - 1) / STEP * STEP;
}

/* The first victim is mostly the process of the row itself: its name and number again say nothing. */
static bool is_said_already(const struct sonde_layout *layout, uint32_t index, const struct sonde_value *values)
{
	const struct sonde_value *value = &values[index], *pid = &values[SONDE_COLUMN_PID], *command = &values[SONDE_COLUMN_COMMAND];

	if (index == SONDE_COLUMN_TID || (index != SONDE_COLUMN_PID && layout->type->columns[index].semantic == SONDE_SEMANTIC_PID))
		return value->type == SONDE_UINT && pid->type == SONDE_UINT && value->u == pid->u;
	return index >= SONDE_COLUMN_COMMON_MAX && value->type == SONDE_TEXT && command->type == SONDE_TEXT &&
	       value->length == command->length && !memcmp(value->text, command->text, value->length);
}

bool sonde_layout_learn(struct sonde_layout *layout, size_t i, const struct sonde_value *values, size_t cell_width)
{
	struct sonde_layout_column *column = &layout->columns[i];
	const struct sonde_value *value = &values[column->column];
	bool news = false, first = !column->seen;

	if (value->type == SONDE_NULL ||
	    (column->column == SONDE_COLUMN_WEIGHT && value->type == SONDE_UINT && value->u == 1))
		return false;
	if (first && !is_said_already(layout, column->column, values)) {
		column->seen = true;
		news = !column->shown && column->rank <= RANK_USEFUL;
	}
	if (cell_width > column->widest && cell_width > column->least) {
		/* A number must not be cut: it would be another number. Text that is not important waits for the next header. */
		news |= column->shown && cell_width > column->width &&
			(!column->text || (column->rank <= RANK_IMPORTANT && column->widest < GROW_MAX));
		column->widest = stepped_width(column, first, cell_width);
	}
	return news;
}
