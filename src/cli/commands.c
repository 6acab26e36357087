/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, in the order of the overview. A new one: its file cmd_NAME.c and two lines here. */
#include <cli/command.h>

#include <string.h>

extern const struct sonde_command sonde_command_run;
extern const struct sonde_command sonde_command_check;
extern const struct sonde_command sonde_command_trace;
extern const struct sonde_command sonde_command_events;
extern const struct sonde_command sonde_command_count;
extern const struct sonde_command sonde_command_top;
extern const struct sonde_command sonde_command_summary;
extern const struct sonde_command sonde_command_programs;
extern const struct sonde_command sonde_command_status;
extern const struct sonde_command sonde_command_schema;
extern const struct sonde_command sonde_command_sql;
extern const struct sonde_command sonde_command_store;
extern const struct sonde_command sonde_command_export;
extern const struct sonde_command sonde_command_reload;
extern const struct sonde_command sonde_command_new;
extern const struct sonde_command sonde_command_config;
extern const struct sonde_command sonde_command_help;
extern const struct sonde_command sonde_command_worker;

const struct sonde_command *const sonde_commands[] = {
	&sonde_command_run,
	&sonde_command_check,
	&sonde_command_trace,
	&sonde_command_events,
	&sonde_command_count,
	&sonde_command_top,
	&sonde_command_summary,
	&sonde_command_programs,
	&sonde_command_status,
	&sonde_command_schema,
	&sonde_command_sql,
	&sonde_command_store,
	&sonde_command_export,
	&sonde_command_reload,
	&sonde_command_new,
	&sonde_command_config,
	&sonde_command_help,
	&sonde_command_worker,
	NULL,
};

const struct sonde_command *sonde_command_find(const char *name)
{
	for (size_t i = 0; sonde_commands[i]; i++)
		if (!strcmp(sonde_commands[i]->name, name))
			return sonde_commands[i];
	return NULL;
}
