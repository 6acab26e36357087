/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A struct in BTF to columns. A field's typedef says what it means, its tags say the rest; each rule of sonde/types.h
 * that a field breaks ends the walk with the field and the remedy.
 */
#include <schema/builder.h>
#include <schema/enum.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NESTING_MAX 8
#define FIELD_TEXT 200
#define ENUMERATOR_MAX 256
#define IDENTIFIER "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* One field while it is made a column. */
struct field {
	char text[FIELD_TEXT]; /* "event demo: field 'kind'", for errors */
	const char *name;
	uint32_t structure; /* id of the struct that the field is a member of */
	uint32_t base;	    /* where that struct stands in the record */
	uint32_t type, offset, size;
	struct sonde_member_tags tags;
};

static const struct {
	const char *name; /* of the typedef */
	enum sonde_semantic semantic;
	enum sonde_value_type type; /* SONDE_NULL: a number, by its own sign */
	const char *unit;
} semantics[] = {
	{"sonde_time_ns", SONDE_SEMANTIC_TIME, SONDE_INT, NULL},
	{"sonde_duration_ns", SONDE_SEMANTIC_DURATION_NS, SONDE_NULL, "ns"},
	{"sonde_bytes", SONDE_SEMANTIC_BYTES, SONDE_NULL, "bytes"},
	{"sonde_percent", SONDE_SEMANTIC_PERCENT, SONDE_NULL, "%"},
	{"sonde_count", SONDE_SEMANTIC_COUNT, SONDE_NULL, NULL},
	{"sonde_symbol", SONDE_SEMANTIC_SYMBOL, SONDE_TEXT, NULL},
	{"sonde_cookie", SONDE_SEMANTIC_COOKIE, SONDE_NULL, NULL},
	{"sonde_kernel_enum", SONDE_SEMANTIC_KERNEL_ENUM, SONDE_TEXT, NULL},
	{"sonde_pid", SONDE_SEMANTIC_PID, SONDE_NULL, NULL},
	{"sonde_uid", SONDE_SEMANTIC_UID, SONDE_NULL, NULL},
	{"sonde_errno", SONDE_SEMANTIC_ERRNO_NAME, SONDE_TEXT, NULL},
	{"sonde_signal", SONDE_SEMANTIC_SIGNAL, SONDE_UINT, NULL},
	{"sonde_port", SONDE_SEMANTIC_PORT, SONDE_NULL, NULL},
	{"sonde_protocol", SONDE_SEMANTIC_PROTOCOL, SONDE_TEXT, NULL},
	{"sonde_bool", SONDE_SEMANTIC_NONE, SONDE_BOOL, NULL},
};

#define field_fail(field, format, ...) sonde_builder_fail("%s: " format, (field)->text, ##__VA_ARGS__)

/* The first typedef of ours on the way to the plain type; "" if there is none. */
static const char *semantic_name(const struct sonde_btf *btf, uint32_t id)
{
	for (unsigned depth = 0; depth < 32; depth++) {
		const struct btf_type *type = sonde_btf_type(btf, id);
		const char *name;

		if (!type)
			break;
		name = sonde_btf_text(btf, type->name_off);
		switch (sonde_btf_kind(type)) {
		case BTF_KIND_TYPEDEF:
			if (!strncmp(name, "sonde_", 6))
				return name;
			break;
		case BTF_KIND_CONST:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			break;
		default:
			return "";
		}
		id = type->type;
	}
	return "";
}

static int column_add(struct sonde_columns *columns, const struct field *field, const struct sonde_column *column)
{
	if (!column->name || !column->doc)
		return -ENOMEM;
	for (uint32_t i = 0; i < columns->n; i++)
		if (!strcmp(columns->columns[i].name, column->name))
			return field_fail(field,
					  "there is a column '%s' already (common columns, nested structs and the number "
					  "beside an error count too): rename the field",
					  column->name);
	if (columns->n == SONDE_COLUMNS_MAX)
		return field_fail(field, "too many columns: %d is the most, common ones included", SONDE_COLUMNS_MAX);
	columns->columns[columns->n++] = *column;
	return 0;
}

/* An absent value as load() in value.c gives it: of the field's width, extended by its sign. */
static int column_absent(const struct field *field, struct sonde_column *column)
{
	uint64_t absent = field->tags.absent;
	unsigned bits = field->size * 8;

	if (!field->tags.has_absent)
		return 0;
	column->has_absent = true;
	if (column->is_chars || column->type == SONDE_ADDRESS) {
		if (absent)
			return field_fail(field, "SONDE_ABSENT() of a text or address can only be 0 (empty, all zero)");
		return 0;
	}
	if (bits < 64) {
		uint64_t sign = 1ull << (bits - 1), mask = (sign << 1) - 1;

		if (field->tags.absent_is_negative ? absent < -sign : absent > mask)
			return field_fail(field, "the value of SONDE_ABSENT() does not fit into %u bytes", field->size);
		absent &= mask;
		if (column->is_signed && absent & sign)
			absent |= ~mask;
	}
	column->absent = (int64_t)absent;
	return 0;
}

/* The name beside an address: remote_name for remote_address. */
static int column_add_name(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			   const struct sonde_column *address)
{
	static const char suffix[] = "_address";
	size_t length = strlen(address->name), end = sizeof(suffix) - 1;
	struct sonde_column column = *address;

	if (length > end && !strcmp(address->name + length - end, suffix))
		length -= end;
	column.name = sonde_arena_printf(&builder->arena, "%.*s_name", (int)length, address->name);
	column.doc = sonde_arena_printf(&builder->arena, "%s, by the name that the process last asked the DNS for", address->doc);
	column.type = SONDE_TEXT;
	column.semantic = SONDE_SEMANTIC_ADDRESS_NAME;
	column.has_absent = false;
	return column_add(columns, field, &column);
}

/* The number beside the name of an error or of flags, the name beside a signal's number. */
static int column_add_second(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			     const struct sonde_column *first)
{
	struct sonde_column column = *first;

	column.is_top = column.is_main = false;
	if (first->semantic == SONDE_SEMANTIC_FLAGS) {
		column.name = sonde_arena_printf(&builder->arena, "%s_number", first->name);
		column.doc = sonde_arena_printf(&builder->arena, "%s, as their number", first->doc);
		column.type = SONDE_UINT;
		column.semantic = SONDE_SEMANTIC_FLAGS_NUMBER;
		column.is_plain = true;
	} else if (first->semantic == SONDE_SEMANTIC_ERRNO_NAME) {
		column.name = "errno";
		column.doc = sonde_arena_printf(&builder->arena, "%s, as its number", first->doc);
		column.type = SONDE_UINT;
		column.semantic = SONDE_SEMANTIC_ERRNO;
	} else {
		column.name = sonde_arena_printf(&builder->arena, "%s_name", first->name);
		column.doc = sonde_arena_printf(&builder->arena, "%s, by name", first->doc);
		column.type = SONDE_TEXT;
		column.semantic = SONDE_SEMANTIC_SIGNAL_NAME;
	}
	return column_add(columns, field, &column);
}

static int column_prefix(struct sonde_builder *builder, const struct field *field, struct sonde_column *column)
{
	if (!field->tags.prefix)
		return 0;
	column->prefix_length = (uint32_t)strlen(field->tags.prefix);
	column->prefix = sonde_arena_text(&builder->arena, field->tags.prefix, column->prefix_length);
	return column->prefix ? 0 : -ENOMEM;
}

static int column_kernel_enum(struct sonde_builder *builder, const struct field *field, struct sonde_column *column)
{
	const struct sonde_names *names = builder->names;

	if (!field->tags.kernel_enum || !*field->tags.kernel_enum)
		return field_fail(field, "a sonde_kernel_enum needs SONDE_ENUM(\"NAME\"), the enum of the kernel");
	if (names)
		column->names = names->kernel_enum ? names->kernel_enum(names->userdata, field->tags.kernel_enum)
						   : sonde_enum_of_kernel(field->tags.kernel_enum);
	return column_prefix(builder, field, column);
}

static int number_column(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			 const struct btf_type *type, struct sonde_column *column)
{
	uint32_t encoding = *(const uint32_t *)(type + 1);
	const char *semantic = semantic_name(&builder->btf, field->type);
	size_t i = 0;
	int r;

	if (BTF_INT_OFFSET(encoding) || BTF_INT_BITS(encoding) != field->size * 8 ||
	    (field->size != 1 && field->size != 2 && field->size != 4 && field->size != 8))
		return field_fail(field, "a number has 1, 2, 4 or 8 bytes");
	column->is_signed = BTF_INT_ENCODING(encoding) & BTF_INT_SIGNED;
	column->type = column->is_signed ? SONDE_INT : SONDE_UINT;
	if (BTF_INT_ENCODING(encoding) & BTF_INT_BOOL)
		column->type = SONDE_BOOL;
	while (i < sizeof(semantics) / sizeof(semantics[0]) && strcmp(semantic, semantics[i].name))
		i++;
	if (i < sizeof(semantics) / sizeof(semantics[0])) {
		column->semantic = semantics[i].semantic;
		column->unit = semantics[i].unit;
		if (semantics[i].type != SONDE_NULL)
			column->type = semantics[i].type;
	} else if (*semantic) {
		return field_fail(field, "the type %.60s is not known: this program needs a newer sonde", semantic);
	}
	column->is_plain = column->type != SONDE_TEXT && column->type != SONDE_BOOL &&
			   column->semantic != SONDE_SEMANTIC_TIME && column->semantic != SONDE_SEMANTIC_SIGNAL;
	r = column_absent(field, column);
	if (!r && column->semantic == SONDE_SEMANTIC_KERNEL_ENUM)
		r = column_kernel_enum(builder, field, column);
	if (!r)
		r = column_add(columns, field, column);
	if (!r && (column->semantic == SONDE_SEMANTIC_ERRNO_NAME || column->semantic == SONDE_SEMANTIC_SIGNAL))
		r = column_add_second(builder, columns, field, column);
	return r;
}

/* Before it is copied: many long names would be much memory. */
static int enum_check(const struct sonde_builder *builder, const struct field *field, const struct btf_type *type)
{
	if (field->size != 1 && field->size != 2 && field->size != 4 && field->size != 8)
		return field_fail(field, "an enum has 1, 2, 4 or 8 bytes");
	if (BTF_INFO_VLEN(type->info) > SCHEMA_ENUMERATORS_MAX)
		return field_fail(field, "its enum has too many enumerators: %d is the most", SCHEMA_ENUMERATORS_MAX);
	for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++) {
		const char *text;
		uint32_t name;
		int64_t number;

		sonde_btf_enumerator(type, i, &name, &number);
		text = sonde_btf_text(&builder->btf, name);
		if (!*text || strnlen(text, ENUMERATOR_MAX + 1) > ENUMERATOR_MAX || text[strspn(text, IDENTIFIER)])
			return field_fail(field, "an enumerator has no name, one of more than %d bytes, or a damaged one",
					  ENUMERATOR_MAX);
	}
	return 0;
}

static int flags_column(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			const struct btf_type *type, struct sonde_column *column)
{
	int r;

	column->semantic = SONDE_SEMANTIC_FLAGS;
	column->flags_mask = field->tags.flags_mask;
	column->names = sonde_enum_new(&builder->arena, &builder->btf, type, NULL);
	if (!column->names)
		return -ENOMEM;
	r = column_prefix(builder, field, column);
	r = r ?: column_absent(field, column);
	r = r ?: column_add(columns, field, column);
	return r ?: column_add_second(builder, columns, field, column);
}

static int enum_column(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
		       const struct btf_type *type, struct sonde_column *column)
{
	char prefix[ENUMERATOR_MAX + 2];
	int r = enum_check(builder, field, type);

	if (r)
		return r;
	column->type = SONDE_TEXT;
	if (field->tags.is_flags)
		return flags_column(builder, columns, field, type, column);
	snprintf(prefix, sizeof(prefix), "%s_", sonde_btf_text(&builder->btf, type->name_off));
	column->semantic = SONDE_SEMANTIC_ENUM;
	column->is_signed = BTF_INFO_KFLAG(type->info);
	column->names = sonde_enum_new(&builder->arena, &builder->btf, type, field->tags.prefix ?: prefix);
	if (!column->names)
		return -ENOMEM;
	r = column_absent(field, column);
	return r ?: column_add(columns, field, column);
}

/* The field of SONDE_LENGTH(): a number beside the array. */
static int column_length(const struct sonde_builder *builder, const struct field *field, struct sonde_column *column)
{
	const struct btf_type *structure = sonde_btf_type(&builder->btf, field->structure);
	const struct btf_member *members = (const struct btf_member *)(structure + 1);

	for (uint32_t i = 0; i < BTF_INFO_VLEN(structure->info); i++) {
		const struct btf_type *type = sonde_btf_plain(&builder->btf, members[i].type);
		uint32_t size, bits = members[i].offset;

		if (strcmp(sonde_btf_text(&builder->btf, members[i].name_off), field->tags.length))
			continue;
		if (!type || sonde_btf_kind(type) != BTF_KIND_INT || BTF_INFO_KFLAG(structure->info) || bits % 8 ||
		    !sonde_btf_size(&builder->btf, members[i].type, &size) ||
		    (size != 1 && size != 2 && size != 4 && size != 8) || bits / 8 > structure->size ||
		    size > structure->size - bits / 8)
			return field_fail(field, "the field of SONDE_LENGTH(%.60s) must be a number of 1, 2, 4 or 8 bytes",
					  field->tags.length);
		column->length_offset = (int)(field->base + bits / 8);
		column->length_size = (int)size;
		return 0;
	}
	return field_fail(field, "SONDE_LENGTH(%.60s) names no field of the same struct", field->tags.length);
}

static int chars_column(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			const struct btf_type *type, struct sonde_column *column)
{
	const struct btf_array *array = (const struct btf_array *)(type + 1);
	const struct btf_type *element = sonde_btf_plain(&builder->btf, array->type);
	int r;

	if (!element || sonde_btf_kind(element) != BTF_KIND_INT || element->size != 1 || !array->nelems ||
	    strcmp(sonde_btf_text(&builder->btf, element->name_off), "char"))
		return field_fail(field, "an array can only be of char (text); hide anything else with SONDE_HIDDEN");
	column->type = SONDE_TEXT;
	column->is_chars = true;
	if (!strcmp(semantic_name(&builder->btf, array->type), "sonde_arguments")) {
		column->semantic = SONDE_SEMANTIC_ARGUMENTS;
		column->is_main = true;
		if (!field->tags.length)
			return field_fail(field, "sonde_arguments need SONDE_LENGTH(field): a NUL does not end them");
	}
	r = column_absent(field, column);
	if (!r && field->tags.length)
		r = column_length(builder, field, column);
	return r ?: column_add(columns, field, column);
}

static int columns_walk(struct sonde_builder *builder, struct sonde_columns *columns, uint32_t id, uint32_t base,
			uint32_t first, uint32_t first_offset, unsigned depth);

/* A tag that has no meaning for its field would mislead whoever reads the program. */
static int field_check_tags(const struct field *field, const struct sonde_column *column)
{
	if (field->tags.kernel_enum && column->semantic != SONDE_SEMANTIC_KERNEL_ENUM)
		return field_fail(field, "SONDE_ENUM() belongs to a sonde_kernel_enum: change the type or drop the tag");
	if (field->tags.prefix && column->semantic != SONDE_SEMANTIC_KERNEL_ENUM &&
	    column->semantic != SONDE_SEMANTIC_ENUM && column->semantic != SONDE_SEMANTIC_FLAGS)
		return field_fail(field, "SONDE_PREFIX() belongs to a sonde_kernel_enum or an enum: drop the tag");
	if (field->tags.is_flags && column->semantic != SONDE_SEMANTIC_FLAGS)
		return field_fail(field, "SONDE_FLAGS() belongs to an enum, which names the flags: change the type or drop the tag");
	if (field->tags.length && !column->is_chars)
		return field_fail(field, "SONDE_LENGTH() belongs to an array of char: drop the tag");
	if (field->tags.named && column->semantic != SONDE_SEMANTIC_ADDRESS)
		return field_fail(field, "SONDE_NAMED belongs to a sonde_address: drop the tag");
	if (field->tags.measure && !sonde_column_is_quantity(column))
		return field_fail(field, "SONDE_MEASURE belongs to a number of things, bytes or ns: drop the tag");
	return 0;
}

static int field_column(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
			const struct btf_type *type)
{
	struct sonde_column column = {
		.name = sonde_arena_text(&builder->arena, field->name, strlen(field->name)),
		.doc = sonde_arena_text(&builder->arena, field->tags.doc, strlen(field->tags.doc)),
		.offset = field->offset,
		.size = field->size,
		.length_offset = -1,
		.is_top = field->tags.top,
		.is_measure = field->tags.measure,
		.is_main = field->tags.main,
	};
	uint32_t first = columns->n;
	int r;

	switch (sonde_btf_kind(type)) {
	case BTF_KIND_INT:
		r = number_column(builder, columns, field, type, &column);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		r = enum_column(builder, columns, field, type, &column);
		break;
	case BTF_KIND_ARRAY:
		r = chars_column(builder, columns, field, type, &column);
		break;
	case BTF_KIND_STRUCT: /* sonde_address; field_walk() takes the other structs */
		column.type = SONDE_ADDRESS;
		column.semantic = SONDE_SEMANTIC_ADDRESS;
		r = field->size == 16 ? column_absent(field, &column)
				      : field_fail(field, "a sonde_address has 16 bytes");
		r = r ?: column_add(columns, field, &column);
		if (!r && field->tags.named)
			r = column_add_name(builder, columns, field, &column);
		break;
	case BTF_KIND_PTR:
		return field_fail(field, "a pointer means nothing outside the kernel: copy what it points to, or hide it "
					 "with SONDE_HIDDEN");
	default:
		return field_fail(field, "its type cannot be shown (union, float, ...): use a number, text, enum or a type "
					 "of sonde/types.h, or hide it with SONDE_HIDDEN");
	}
	return r ?: field_check_tags(field, &columns->columns[first]);
}

static int field_walk(struct sonde_builder *builder, struct sonde_columns *columns, const struct field *field,
		      unsigned depth)
{
	const struct btf_type *type = sonde_btf_plain(&builder->btf, field->type);
	uint32_t id = field->type;
	int r;

	if (field->tags.hidden)
		return 0;
	if (!type)
		return field_fail(field, "its type is damaged");
	if (sonde_btf_kind(type) == BTF_KIND_STRUCT &&
	    strcmp(semantic_name(&builder->btf, field->type), "sonde_address")) {
		if (depth + 1 >= NESTING_MAX)
			return field_fail(field, "structs are nested too deeply (%d is the most)", NESTING_MAX);
		/* The tags of its members belong to the struct itself, not to a typedef of it. */
		while (sonde_btf_type(&builder->btf, id) != type)
			id = sonde_btf_type(&builder->btf, id)->type;
		return columns_walk(builder, columns, id, field->offset, 0, 0, depth + 1);
	}
	r = sonde_builder_check_name(field->text, field->name);
	r = r ?: sonde_builder_check_doc(columns->what, field->name, field->tags.doc);
	return r ?: field_column(builder, columns, field, type);
}

static int columns_walk(struct sonde_builder *builder, struct sonde_columns *columns, uint32_t id, uint32_t base,
			uint32_t first, uint32_t first_offset, unsigned depth)
{
	const struct btf_type *type = sonde_btf_type(&builder->btf, id);
	const struct btf_member *members = (const struct btf_member *)(type + 1);
	uint32_t end = first_offset;
	int r;

	for (uint32_t i = first; i < BTF_INFO_VLEN(type->info); i++) {
		struct field field = {.structure = id, .base = base, .type = members[i].type};

		field.name = sonde_btf_text(&builder->btf, members[i].name_off);
		snprintf(field.text, sizeof(field.text), "%s: field '%.80s'", columns->what, field.name);
		if (++columns->n_members > SCHEMA_MEMBERS_MAX)
			return field_fail(&field, "too many fields: %d is the most", SCHEMA_MEMBERS_MAX);
		if (!sonde_btf_size(&builder->btf, field.type, &field.size))
			return field_fail(&field, "its type has no size");
		if (members[i].offset % 8 || (BTF_INFO_KFLAG(type->info) && BTF_MEMBER_BITFIELD_SIZE(members[i].offset)))
			return field_fail(&field, "bit fields are not supported: use whole bytes");
		if (members[i].offset / 8 < end)
			return field_fail(&field, "it overlaps the field in front of it");
		if (members[i].offset / 8 != end)
			return field_fail(&field,
					  "the compiler leaves %u bytes in front of it, which would show kernel memory: "
					  "reorder the fields or add `__u8 padding[%u] SONDE_HIDDEN`",
					  members[i].offset / 8 - end, members[i].offset / 8 - end);
		if (field.size > type->size || end > type->size - field.size)
			return field_fail(&field, "it reaches beyond its struct");
		field.offset = base + end;
		end += field.size;
		r = sonde_member_tags_read(builder, field.text, id, i, &field.tags);
		r = r ?: field_walk(builder, columns, &field, depth);
		if (r)
			return r;
	}
	if (end != type->size)
		return sonde_builder_fail("%s: the compiler leaves %u bytes at the end of struct %.60s, which would show "
					  "kernel memory: add `__u8 padding[%u] SONDE_HIDDEN`",
					  columns->what, type->size - end, sonde_btf_text(&builder->btf, type->name_off),
					  type->size - end);
	return 0;
}

int sonde_columns_walk(struct sonde_builder *builder, struct sonde_columns *columns, uint32_t type, uint32_t first,
		       uint32_t first_offset)
{
	return columns_walk(builder, columns, type, 0, first, first_offset, 0);
}

int sonde_columns_take(struct sonde_builder *builder, const struct sonde_columns *columns,
		       const struct sonde_column **ret_columns)
{
	size_t bytes = columns->n * sizeof(columns->columns[0]);
	struct sonde_column *copy = sonde_arena_alloc(&builder->arena, bytes);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, columns->columns, bytes);
	*ret_columns = copy;
	return 0;
}
