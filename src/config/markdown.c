/* SPDX-License-Identifier: Apache-2.0 */
/* The reference page of the configuration, from the table of options. */
#include <config/config.h>

#include <string.h>
#include <base/buffer.h>
#include <config/options.h>

static void option_row(const struct sonde_config_option *option, struct sonde_buffer *out)
{
	char allowed[SONDE_CONFIG_ALLOWED_MAX];

	sonde_buffer_printf(out, "| `%s` | %s | ", option->name, sonde_config_type_name(option->type));
	if (option->default_doc)
		sonde_buffer_add_text(out, option->default_doc);
	else if (option->default_text)
		sonde_buffer_printf(out, "`%s`", option->default_text);
	sonde_buffer_printf(out, " | %s | %s |\n", sonde_config_allowed(option, allowed), option->help);
}

static void section_table(const char *section, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < sonde_config_n_options; i++)
		if (!strcmp(sonde_config_options[i].section, section))
			option_row(&sonde_config_options[i], out);
}

void sonde_config_markdown(struct sonde_buffer *out)
{
	sonde_buffer_add_text(out,
		"<!-- Made by 'sonde config --markdown' from src/config/options.c: change it there. -->\n"
		"# Configuration\n\n"
		"sonde needs no configuration. What stands in `" SONDE_CONFIG_DEFAULT_FILE "`, or in the file that `sonde run -c FILE`\n"
		"names, replaces the defaults below. `deploy/sonde.yaml` is an example with every option.\n\n"
		"A wrong file is never used in part: the agent does not start (exit code 2), or, at a reload, goes on as it was. The\n"
		"message names file, line, column and what is allowed; names and values of the settings of built-in programs too. What\n"
		"is not in the file (the object of a program of your own) fails that program alone. `sonde config -c FILE`\n"
		"checks a file and changes nothing.\n\n"
		"The file is YAML, UTF-8, at most 1 MiB, without anchors, aliases and tags. Sizes take B, KiB, MiB, GiB, TiB, kB, MB, GB,\n"
		"TB; durations ns, us, ms, s, m, h, d, w (`1h30m`).\n\n## Top level\n\n");
	section_table("", out);
	for (size_t i = 0; i < sonde_config_n_options; i++) {
		const struct sonde_config_option *option = &sonde_config_options[i];

		if (option->type == SONDE_CONFIG_SECTION) {
			sonde_buffer_printf(out, "\n## %s\n\n%s\n\n", option->name, option->help);
			section_table(option->name, out);
		} else if (option->type == SONDE_CONFIG_PROGRAMS) {
			sonde_buffer_printf(out, "\n## programs.NAME\n\n%s At most 64.\n\n", option->help);
			section_table("programs.NAME", out);
		}
	}
}
