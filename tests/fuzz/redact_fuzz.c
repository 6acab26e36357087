/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a command line. The line never grows, what was hidden stays hidden when it is looked through again, and a
 * secret behind --password, put at the end of any line, never comes out. */
#include <sonde/program.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PLANTED "\0--password=hunter2hunter2"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t planted = sizeof(PLANTED) - 1, length = size + planted, n;
	char *line = malloc(length);

	if (!line)
		return 0;
	if (memmem(data, size, "hunter2", 7) || length > SONDE_RECORD_MAX) {
		free(line);
		return 0;
	}
	memcpy(line, data, size);
	memcpy(line + size, PLANTED, planted);
	n = sonde_redact_arguments(line, length, length);
	if (n > length || memmem(line, n, "hunter2", 7))
		abort();
	if (sonde_redact_arguments(line, n, n) > n)
		abort();
	free(line);
	return 0;
}
