/* SPDX-License-Identifier: Apache-2.0 */
/* Found before anything starts: 'sonde run' and 'sonde config' must not differ in what they call right. */
#include <cli/configuration.h>

#include <bpf/embedded.h>
#include <cli/command.h>
#include <cli/say.h>

int sonde_configuration_check(const struct sonde_config *config)
{
	for (unsigned i = 0; i < config->n_programs; i++) {
		const struct sonde_config_program *program = &config->programs[i];

		if (!program->object[0] && !sonde_embedded_find(program->name))
			return sonde_say_error(SONDE_EXIT_USAGE, "%s:%u:%u: there is no program '%s', and no 'object' says where it is",
					       config->file, program->line, program->column, program->name);
	}
	return SONDE_EXIT_DONE;
}
