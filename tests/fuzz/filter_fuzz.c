/* SPDX-License-Identifier: Apache-2.0 */
/* Any text to the filter parser, and what comes out of it against a row and its type. */
#include <schema/filter.h>

#include <stdlib.h>
#include <string.h>

static const uint8_t address[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};

static const struct sonde_column columns[] = {
	{.name = "time", .type = SONDE_INT, .semantic = SONDE_SEMANTIC_TIME},
	{.name = "pid", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_PID},
	{.name = "command", .type = SONDE_TEXT},
	{.name = "arguments", .type = SONDE_TEXT, .semantic = SONDE_SEMANTIC_ARGUMENTS},
	{.name = "remote_address", .type = SONDE_ADDRESS, .semantic = SONDE_SEMANTIC_ADDRESS},
	{.name = "sent_bytes", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_BYTES},
	{.name = "duration_ns", .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_DURATION_NS},
	{.name = "reset", .type = SONDE_BOOL},
	{.name = "error", .type = SONDE_TEXT, .semantic = SONDE_SEMANTIC_ERRNO_NAME},
};

static const struct sonde_value values[] = {
	{.type = SONDE_INT, .i = 1795215174000000123},
	{.type = SONDE_UINT, .u = 1234},
	{.type = SONDE_TEXT, .text = "nginx", .length = 5},
	{.type = SONDE_TEXT, .text = "ls\0-l", .length = 6},
	{.type = SONDE_ADDRESS, .address = address},
	{.type = SONDE_UINT, .u = UINT64_MAX},
	{.type = SONDE_UINT, .u = 1250000},
	{.type = SONDE_BOOL, .b = true},
	{.type = SONDE_NULL},
};

static const struct sonde_type type = {
	.name = "fuzz", .n_columns = sizeof(columns) / sizeof(columns[0]), .columns = columns,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sonde_filter *filter = NULL;
	const char *error = NULL;
	char *text = strndup((const char *)data, size);

	if (!text)
		abort();
	if (sonde_filter_new(text, &error, &filter) < 0) {
		if (filter || !error || strncmp(error, "character ", 10))
			abort();
	} else {
		sonde_filter_match(filter, &type, values);
		if (sonde_filter_check(filter, &type, &error) < 0 && strncmp(error, "character ", 10))
			abort();
	}
	sonde_filter_free(&filter);
	free(text);
	return 0;
}
