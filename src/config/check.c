/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a configuration that only this binary knows, not the file's grammar: which programs there are. Part of
 * reading it, so that start, reload and `sonde config` do not differ in what they call right.
 */
#include <config/config.h>

#include <errno.h>
#include <stdio.h>
#include <bpf/embedded.h>

static int fault(const struct sonde_config *config, unsigned line, unsigned column, const char *text, char *ret_error,
		 size_t error_size)
{
	snprintf(ret_error, error_size, "%s:%u:%u: %s", config->file, line, column, text);
	return -EINVAL;
}

int sonde_config_check(const struct sonde_config *config, char *ret_error, size_t error_size)
{
	char text[512];

	for (unsigned i = 0; i < config->n_programs; i++) {
		const struct sonde_config_program *program = &config->programs[i];

		if (program->object[0])
			continue; /* its file may come later, and change */
		if (!sonde_embedded_find(program->name)) {
			snprintf(text, sizeof(text), "there is no program '%s', and no 'object' says where it is", program->name);
			return fault(config, program->line, program->column, text, ret_error, error_size);
		}
	}
	return 0;
}
