/* SPDX-License-Identifier: Apache-2.0 */
/* Found before anything starts: 'sonde run' and 'sonde config' must not differ in what they call right. */
#include <cli/configuration.h>

#include <string.h>

#include <bpf/embedded.h>
#include <cli/command.h>
#include <cli/say.h>

static bool built_in(const char *name)
{
	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++)
		if (!strcmp(e->name, name))
			return true;
	return false;
}

int sonde_configuration_check(const struct sonde_config *config)
{
	for (unsigned i = 0; i < config->n_programs; i++) {
		const struct sonde_config_program *program = &config->programs[i];

		if (!program->object[0] && !built_in(program->name))
			return sonde_say_error(SONDE_EXIT_USAGE, "%s:%u:%u: there is no program '%s', and no 'object' says where it is",
					       config->file, program->line, program->column, program->name);
	}
	return SONDE_EXIT_DONE;
}
