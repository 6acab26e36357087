/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a configuration that only this binary knows, not the file's grammar: which programs there are and what
 * settings they have. Part of reading it, so that start, reload and `sonde config` do not differ in what they call right.
 */
#include <config/config.h>

#include <errno.h>
#include <stdio.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>

static int fault(const struct sonde_config *config, unsigned line, unsigned column, const char *text, char *ret_error,
		 size_t error_size)
{
	snprintf(ret_error, error_size, "%s:%u:%u: %s", config->file, line, column, text);
	return -EINVAL;
}

/* The settings of a built-in program. */
static int settings_check(const struct sonde_config *config, const struct sonde_config_program *program, char *ret_error,
			  size_t error_size)
{
	const struct sonde_embedded *e = sonde_embedded_find(program->name);
	struct sonde_schema *schema CLEANUP(sonde_schema_free) = NULL;
	const char *why = "";
	char text[512];
	int r = 0;

	if (!program->n_settings || sonde_embedded_schema(e, NULL, &why, &schema) < 0)
		return 0; /* of one whose schema cannot be read, its load says why */
	for (unsigned i = 0; i < program->n_settings && !r; i++) {
		const struct sonde_config_setting *setting = &program->settings[i];

		r = sonde_setting_check(schema, setting->given.name, setting->given.value, text, sizeof(text));
		if (r == -ENOENT)
			r = fault(config, setting->line, setting->column, text, ret_error, error_size);
		else if (r < 0)
			r = fault(config, setting->value_line, setting->value_column, text, ret_error, error_size);
	}
	return r;
}

int sonde_config_check(const struct sonde_config *config, char *ret_error, size_t error_size)
{
	char text[128];
	int r;

	for (unsigned i = 0; i < config->n_programs; i++) {
		const struct sonde_config_program *program = &config->programs[i];

		if (program->object[0] || program->refused[0])
			continue; /* its file may come later, and change */
		if (!sonde_embedded_find(program->name)) {
			snprintf(text, sizeof(text), "there is no program '%s', and no 'object' says where it is", program->name);
			return fault(config, program->line, program->column, text, ret_error, error_size);
		}
		r = settings_check(config, program, ret_error, error_size);
		if (r < 0)
			return r;
	}
	return 0;
}
