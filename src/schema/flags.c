/* SPDX-License-Identifier: Apache-2.0 */
/* Flags as text: the number among them first, then the names from the smallest flag on, then the bits that have no name. */
#include <schema/enum.h>
#include <schema/names.h>

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 256 /* more than all names of open(2) */

struct text {
	char bytes[TEXT_MAX];
	size_t length;
	bool full;
};

static void text_add(struct text *text, const char *name)
{
	int n = snprintf(text->bytes + text->length, TEXT_MAX - text->length, "%s%s", text->length ? "|" : "", name);

	text->full |= n < 0 || (size_t)n >= TEXT_MAX - text->length;
	if (!text->full)
		text->length += (size_t)n;
}

static const char *flag_name(const struct sonde_column *column, const char *name)
{
	size_t length = column->prefix_length;

	return length && !strncmp(name, column->prefix, length) && name[length] ? name + length : name;
}

/* Whether flag `i` stands in the text of `flags`. Some hold others (O_SYNC is O_DSYNC and a bit more): the larger ones go first. */
static bool flag_is_shown(const struct sonde_column *column, uint64_t flags, uint32_t i)
{
	for (uint32_t larger = column->names->n; larger-- > i;) {
		uint64_t flag = (uint64_t)column->names->entries[larger].number;

		if (!flag || flag & column->flags_mask || (flags & flag) != flag)
			continue;
		if (larger == i)
			return true;
		flags &= ~flag;
	}
	return false;
}

const char *sonde_flags_text(const struct sonde_column *column, uint64_t number)
{
	uint64_t mode = number & column->flags_mask, rest = number & ~mode;
	const char *name = sonde_enum_name(column->names, (int64_t)mode);
	struct text text = {.length = 0};

	if (name && (column->flags_mask || !number))
		text_add(&text, flag_name(column, name));
	else
		rest |= mode;
	for (uint32_t i = 0; i < column->names->n; i++) {
		const struct sonde_enum_entry *flag = &column->names->entries[i];

		if (!flag_is_shown(column, number & ~column->flags_mask, i))
			continue;
		text_add(&text, flag_name(column, flag->name));
		rest &= ~(uint64_t)flag->number;
	}
	if (rest || !text.length)
		text_add(&text, sonde_hex_text(rest));
	return text.full ? sonde_hex_text(number) : sonde_kept_text(text.bytes, number) ?: sonde_hex_text(number);
}
