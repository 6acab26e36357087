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

static const char *const semantic_names[] = {
	[SONDE_SEMANTIC_NONE] = "none",
	[SONDE_SEMANTIC_TIME] = "time",
	[SONDE_SEMANTIC_DURATION_NS] = "duration_ns",
	[SONDE_SEMANTIC_BYTES] = "bytes",
	[SONDE_SEMANTIC_COUNT] = "count",
	[SONDE_SEMANTIC_PID] = "pid",
	[SONDE_SEMANTIC_UID] = "uid",
	[SONDE_SEMANTIC_PORT] = "port",
	[SONDE_SEMANTIC_PROTOCOL] = "protocol",
	[SONDE_SEMANTIC_ADDRESS] = "address",
	[SONDE_SEMANTIC_COOKIE] = "cookie",
	[SONDE_SEMANTIC_ENUM] = "enum",
	[SONDE_SEMANTIC_KERNEL_ENUM] = "kernel_enum",
	[SONDE_SEMANTIC_SYMBOL] = "symbol",
	[SONDE_SEMANTIC_ERRNO_NAME] = "errno_name",
	[SONDE_SEMANTIC_ERRNO] = "errno",
	[SONDE_SEMANTIC_SIGNAL] = "signal",
	[SONDE_SEMANTIC_SIGNAL_NAME] = "signal_name",
	[SONDE_SEMANTIC_ARGUMENTS] = "arguments",
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

const char *sonde_semantic_name(enum sonde_semantic semantic)
{
	return semantic_names[semantic];
}

int sonde_semantic_parse(const char *name, enum sonde_semantic *ret_semantic)
{
	int r = name_parse(semantic_names, ARRAY_SIZE(semantic_names), name);

	if (r >= 0)
		*ret_semantic = (enum sonde_semantic)r;
	return r < 0 ? r : 0;
}
