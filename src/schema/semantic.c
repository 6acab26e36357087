/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the semantics, in the schema's JSON and in stores' files. Kept for good: clients and files go by them. */
#include <schema/schema.h>

#include <errno.h>
#include <string.h>

static const char *const names[] = {
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
	[SONDE_SEMANTIC_FLAGS] = "flags",
	[SONDE_SEMANTIC_FLAGS_NUMBER] = "flags_number",
	[SONDE_SEMANTIC_SYMBOL] = "symbol",
	[SONDE_SEMANTIC_ERRNO_NAME] = "errno_name",
	[SONDE_SEMANTIC_ERRNO] = "errno",
	[SONDE_SEMANTIC_SIGNAL] = "signal",
	[SONDE_SEMANTIC_SIGNAL_NAME] = "signal_name",
	[SONDE_SEMANTIC_ARGUMENTS] = "arguments",
	[SONDE_SEMANTIC_ADDRESS_NAME] = "address_name",
	[SONDE_SEMANTIC_PERCENT] = "percent",
	[SONDE_SEMANTIC_ESCAPED] = "escaped",
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

const char *sonde_semantic_word(enum sonde_semantic semantic)
{
	return (unsigned)semantic < N_NAMES ? names[semantic] : "none";
}

int sonde_semantic_parse(const char *name, enum sonde_semantic *ret_semantic)
{
	for (size_t i = 0; i < N_NAMES; i++)
		if (!strcmp(name, names[i])) {
			*ret_semantic = (enum sonde_semantic)i;
			return 0;
		}
	return -EINVAL;
}

enum sonde_semantic sonde_semantic_from_word(const char *name)
{
	enum sonde_semantic semantic = SONDE_SEMANTIC_NONE;

	(void)sonde_semantic_parse(name, &semantic);
	return semantic;
}
