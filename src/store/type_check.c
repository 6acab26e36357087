/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a stored type, wherever it comes from: a program, or a file, which may be hostile. */
#include <store/types.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const common_names[SONDE_COLUMN_COMMON_MAX] = {
	[SONDE_COLUMN_TIME] = "time",	      [SONDE_COLUMN_TYPE] = "type",	  [SONDE_COLUMN_PID] = "pid",
	[SONDE_COLUMN_TID] = "tid",	      [SONDE_COLUMN_UID] = "uid",	  [SONDE_COLUMN_COMMAND] = "command",
	[SONDE_COLUMN_CONTAINER] = "container", [SONDE_COLUMN_SOURCE] = "source", [SONDE_COLUMN_WEIGHT] = "weight",
};

static bool __attribute__((format(printf, 3, 4))) wrong(char *ret_why, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_why, size, format, args);
	va_end(args);
	return false;
}

static bool is_identifier(const char *name)
{
	if (!name || !(isalpha((unsigned char)*name) || *name == '_'))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

bool sonde_type_check(const struct sonde_type *type, char *ret_why, size_t size)
{
	const char *name = type->name ? type->name : "?";

	if (!is_identifier(type->name) || strlen(type->name) >= SONDE_TYPE_NAME_MAX)
		return wrong(ret_why, size, "type '%s': the name is not an identifier of at most %d bytes", name,
					SONDE_TYPE_NAME_MAX - 1);
	if (!strncasecmp(name, "sonde_", 6) || !strncasecmp(name, "sqlite_", 7))
		return wrong(ret_why, size, "type '%s': names that begin with sonde_ or sqlite_ are taken", name);
	if (type->n_columns < SONDE_COLUMN_COMMON_MAX || type->n_columns > SONDE_COLUMNS_MAX)
		return wrong(ret_why, size, "type '%s': %u columns", name, type->n_columns);
	for (uint32_t i = 0; i < type->n_columns; i++) {
		const struct sonde_column *column = &type->columns[i];

		if (!is_identifier(column->name) || !strncasecmp(column->name, "sonde_", 6) ||
		    column->type > SONDE_ADDRESS || column->semantic >= SONDE_SEMANTIC_MAX)
			return wrong(ret_why, size, "type '%s': column %u is not valid", name, i);
		if (i < SONDE_COLUMN_COMMON_MAX && strcmp(column->name, common_names[i]))
			return wrong(ret_why, size, "type '%s': column %u must be '%s'", name, i, common_names[i]);
		/* SQL does not tell names apart by case. */
		for (uint32_t j = 0; j < i; j++)
			if (!strcasecmp(column->name, type->columns[j].name))
				return wrong(ret_why, size, "type '%s': two columns '%s'", name, column->name);
	}
	return true;
}
