/* SPDX-License-Identifier: Apache-2.0 */
/* Names by which a file says what a column is. They stand in files: never to be changed. */
#include <store/types.h>

#include <base/cleanup.h>

#include <errno.h>
#include <string.h>

static const char *const value_type_names[] = {
	[SONDE_NULL] = "null", [SONDE_INT] = "int",   [SONDE_UINT] = "uint",
	[SONDE_BOOL] = "bool", [SONDE_TEXT] = "text", [SONDE_ADDRESS] = "address",
};

static int name_parse(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && !strcmp(names[i], name))
			return (int)i;
	return -EINVAL;
}

const char *sonde_value_type_name(enum sonde_value_type type)
{
	return value_type_names[type];
}

int sonde_value_type_parse(const char *name, enum sonde_value_type *ret_type)
{
	int r = name_parse(value_type_names, ARRAY_SIZE(value_type_names), name);

	if (r >= 0)
		*ret_type = (enum sonde_value_type)r;
	return r < 0 ? r : 0;
}
