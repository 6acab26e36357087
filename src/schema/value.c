/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values out of records. The one invariant: no byte beyond the record's length is read, whatever the columns say, and
 * what is not there, absent or unknown is SONDE_NULL.
 */
#include <schema/enum.h>
#include <schema/names.h>
#include <schema/schema.h>

#include <base/clock.h>
#include <sonde/types.h>
#include <string.h>

static void value_text(struct sonde_value *value, const char *text)
{
	if (!text) {
		value->type = SONDE_NULL;
		return;
	}
	value->type = SONDE_TEXT;
	value->length = (uint32_t)strlen(text);
	value->text = text;
}

static void value_uint(struct sonde_value *value, uint64_t number)
{
	value->type = SONDE_UINT;
	value->u = number;
}

/* Programs lay out fields as they like: a load may be unaligned. Signed numbers come back sign-extended. */
static uint64_t load(const uint8_t *at, uint32_t size, bool is_signed)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (size) {
	case 8:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return is_signed ? (uint64_t)(int32_t)u32 : u32;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return is_signed ? (uint64_t)(int16_t)u16 : u16;
	default:
		return is_signed ? (uint64_t)(int8_t)*at : *at;
	}
}

static void chars_value(const struct sonde_column *column, const uint8_t *base, uint32_t length,
			struct sonde_value *ret_value)
{
	const char *text = (const char *)base + column->offset;
	uint32_t room = column->size;

	ret_value->type = SONDE_NULL;
	if (column->offset >= length)
		return;
	if (room > length - column->offset)
		room = length - column->offset;
	if (column->length_offset >= 0) {
		uint64_t valid;

		if ((uint64_t)column->length_offset + (uint32_t)column->length_size > length)
			return;
		valid = load(base + column->length_offset, (uint32_t)column->length_size, false);
		room = valid < room ? (uint32_t)valid : room;
	} else {
		room = (uint32_t)strnlen(text, room);
	}
	/*
	 * The kernel ends the last word with a NUL as it does the others; between words it separates. So nothing is one word that
	 * is empty; a program that knows no words leaves the field out.
	 */
	if (column->semantic == SONDE_SEMANTIC_ARGUMENTS && room && !text[room - 1])
		room--;
	if (column->has_absent && !room)
		return;
	ret_value->type = SONDE_TEXT;
	ret_value->length = room;
	ret_value->text = text;
}

static void enum_value(const struct sonde_column *column, uint64_t number, struct sonde_value *ret_value)
{
	const char *name = sonde_enum_name(column->names, (int64_t)number);

	/* Kernels before 6.0 do not say in BTF that an enum is signed. */
	if (!name && column->size == sizeof(uint32_t))
		name = sonde_enum_name(column->names, (int32_t)number);
	if (!name)
		name = sonde_number_text((int64_t)number);
	else if (column->prefix_length && !strncmp(name, column->prefix, column->prefix_length) &&
		 name[column->prefix_length])
		name += column->prefix_length;
	value_text(ret_value, name);
}

static void symbol_value(uint64_t address, const struct sonde_names *names, struct sonde_value *ret_value)
{
	const char *name = names && names->symbol ? names->symbol(names->userdata, address) : NULL;

	value_text(ret_value, name ? name : sonde_hex_text(address));
}

static void address_value(const uint8_t *address, struct sonde_value *ret_value)
{
	static const uint8_t none[16];

	ret_value->type = memcmp(address, none, sizeof(none)) ? SONDE_ADDRESS : SONDE_NULL;
	ret_value->address = address;
}

static void address_name_value(const struct sonde_event *event, const struct sonde_column *column,
			       const struct sonde_names *names, struct sonde_value *ret_value)
{
	ret_value->type = SONDE_NULL;
	if (names && names->address && (uint64_t)column->offset + column->size <= event->length)
		value_text(ret_value, names->address(names->userdata, event->record,
						     (const uint8_t *)event->record + column->offset));
}

/* A number that is shown as something else than itself. */
static void named_value(const struct sonde_column *column, uint64_t number, int64_t wall_offset,
			const struct sonde_names *names, struct sonde_value *ret_value)
{
	uint64_t magnitude = (int64_t)number < 0 ? -number : number;
	const char *name;

	switch (column->semantic) {
	case SONDE_SEMANTIC_TIME:
		ret_value->type = SONDE_INT;
		ret_value->i = (int64_t)(number + (uint64_t)wall_offset);
		return;
	case SONDE_SEMANTIC_PROTOCOL:
		name = sonde_protocol_name(number);
		value_text(ret_value, name ? name : sonde_number_text((int64_t)number));
		return;
	case SONDE_SEMANTIC_ENUM:
	case SONDE_SEMANTIC_KERNEL_ENUM:
		enum_value(column, number, ret_value);
		return;
	case SONDE_SEMANTIC_FLAGS:
		value_text(ret_value, sonde_flags_text(column, number));
		return;
	case SONDE_SEMANTIC_SYMBOL:
		symbol_value(number, names, ret_value);
		return;
	case SONDE_SEMANTIC_ERRNO:
		value_uint(ret_value, magnitude);
		return;
	case SONDE_SEMANTIC_ERRNO_NAME:
		name = sonde_errno_name(magnitude);
		value_text(ret_value, name || !magnitude ? name : sonde_number_text((int64_t)magnitude));
		return;
	case SONDE_SEMANTIC_SIGNAL:
		value_uint(ret_value, number);
		if ((int64_t)number <= 0)
			ret_value->type = SONDE_NULL;
		return;
	case SONDE_SEMANTIC_SIGNAL_NAME:
		name = sonde_signal_name(number);
		value_text(ret_value, name || (int64_t)number <= 0 ? name : sonde_number_text((int64_t)number));
		return;
	case SONDE_SEMANTIC_ADDRESS_NAME: /* of no event: nobody's */
		ret_value->type = SONDE_NULL;
		return;
	default:
		ret_value->type = column->type;
		ret_value->u = number;
		return;
	}
}

static void field_value(const struct sonde_column *column, const uint8_t *base, uint32_t length, int64_t wall_offset,
			const struct sonde_names *names, struct sonde_value *ret_value)
{
	uint64_t number;

	if (column->is_chars) {
		chars_value(column, base, length, ret_value);
		return;
	}
	if (!column->size || (uint64_t)column->offset + column->size > length) {
		ret_value->type = SONDE_NULL;
		return;
	}
	if (column->type == SONDE_ADDRESS) {
		address_value(base + column->offset, ret_value);
		return;
	}
	number = load(base + column->offset, column->size, column->is_signed);
	if (column->has_absent && (int64_t)number == column->absent) {
		ret_value->type = SONDE_NULL;
	} else if (column->type == SONDE_BOOL) {
		ret_value->type = SONDE_BOOL;
		ret_value->b = number != 0;
	} else if (column->is_plain) {
		ret_value->type = column->type;
		ret_value->u = number;
	} else {
		named_value(column, number, wall_offset, names, ret_value);
	}
}

static void common_value(const struct sonde_event *event, uint32_t column, struct sonde_value *ret_value)
{
	const struct sonde_header *header = event->record;

	ret_value->type = SONDE_NULL;
	if (event->length < sizeof(*header))
		return;
	if (header->flags & SONDE_PROCESS_UNKNOWN &&
	    (column == SONDE_COLUMN_PID || column == SONDE_COLUMN_TID || column == SONDE_COLUMN_UID ||
	     column == SONDE_COLUMN_COMMAND))
		return;
	switch ((enum sonde_common_column)column) {
	case SONDE_COLUMN_TIME:
		ret_value->type = SONDE_INT;
		ret_value->i = event->time_ns;
		return;
	case SONDE_COLUMN_TYPE:
		value_text(ret_value, event->type->name);
		return;
	case SONDE_COLUMN_PID:
		value_uint(ret_value, header->pid);
		return;
	case SONDE_COLUMN_TID:
		value_uint(ret_value, header->tid);
		return;
	case SONDE_COLUMN_UID:
		value_uint(ret_value, header->uid);
		return;
	case SONDE_COLUMN_COMMAND:
		ret_value->type = SONDE_TEXT;
		ret_value->length = (uint32_t)strnlen(header->command, sizeof(header->command));
		ret_value->text = header->command;
		return;
	case SONDE_COLUMN_CONTAINER:
		value_text(ret_value, event->container);
		return;
	case SONDE_COLUMN_SOURCE:
		value_text(ret_value, event->source);
		return;
	case SONDE_COLUMN_WEIGHT:
		value_uint(ret_value, header->weight);
		return;
	case SONDE_COLUMN_COMMON_MAX:
		return;
	}
}

/*
 * What the agent found for the record's own time holds for its other times too: two fields of the same instant then
 * show the same time, and an event shows the same times whenever it is looked at.
 */
static int64_t event_wall_offset(const struct sonde_event *event)
{
	uint64_t wall = (uint64_t)event->time_ns;

	return event->length < sizeof(*event->record) ? 0 : (int64_t)(wall - event->record->time_ns);
}

static void own_value(const struct sonde_event *event, uint32_t i, int64_t wall_offset, const struct sonde_names *names,
		      struct sonde_value *ret_value)
{
	const struct sonde_column *column = &event->type->columns[i];

	if (column->semantic == SONDE_SEMANTIC_ADDRESS_NAME)
		address_name_value(event, column, names, ret_value);
	else
		field_value(column, (const uint8_t *)event->record, event->length, wall_offset, names, ret_value);
}

void sonde_event_value(const struct sonde_event *event, uint32_t column, const struct sonde_names *names,
		       struct sonde_value *ret_value)
{
	if (column < SONDE_COLUMN_COMMON_MAX)
		common_value(event, column, ret_value);
	else if (column < event->type->n_columns)
		own_value(event, column, event_wall_offset(event), names, ret_value);
	else
		ret_value->type = SONDE_NULL;
}

void sonde_event_values(const struct sonde_event *event, const struct sonde_names *names, struct sonde_value *values)
{
	int64_t wall_offset = event_wall_offset(event);

	for (uint32_t i = 0; i < SONDE_COLUMN_COMMON_MAX; i++)
		common_value(event, i, &values[i]);
	for (uint32_t i = SONDE_COLUMN_COMMON_MAX; i < event->type->n_columns; i++)
		own_value(event, i, wall_offset, names, &values[i]);
}

void sonde_label_value(const struct sonde_column *column, const void *key, const struct sonde_names *names,
		       struct sonde_value *ret_value)
{
	int64_t wall_offset = column->semantic == SONDE_SEMANTIC_TIME ? sonde_clock_wall_offset_ns() : 0;

	/* A key is always there as a whole. */
	field_value(column, key, UINT32_MAX, wall_offset, names, ret_value);
}
