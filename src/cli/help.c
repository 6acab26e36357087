/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts from the table of commands: what is not in the table is in no help, so the two cannot disagree. */
#include <cli/help.h>

#include <cli/command.h>
#include <stdio.h>
#include <string.h>

#define TAGLINE "sees with eBPF what this node does, keeps it, and answers questions about it"

void sonde_help_overview(FILE *out)
{
	fprintf(out, "sonde " SONDE_VERSION ": " TAGLINE ".\n\nUsage: sonde COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; sonde_commands[i]; i++)
		if (!sonde_commands[i]->hidden)
			fprintf(out, "  %-10s %s\n", sonde_commands[i]->name, sonde_commands[i]->summary);
	fputs("\nStart here (as root):\n"
	      "  sonde check                     what this node can show, and what is missing\n"
	      "  sonde trace connection          connections as they happen, without an agent\n"
	      "  sonde run                       the agent: keeps everything and serves it\n"
	      "  sonde events packet_drop -f     what it sees, live\n"
	      "\n'sonde COMMAND --help' explains a command, 'man sonde' has everything.\n", out);
}

static bool command_shows(const struct sonde_command *command, unsigned id)
{
	return sonde_option(id)->help && (command->options | SONDE_TAKES(HELP)) >> id & 1;
}

static void usage(const struct sonde_command *command, FILE *out)
{
	fprintf(out, "sonde %s%s%s%s", command->name, command->arguments ? " " : "",
		command->arguments ? command->arguments : "", command->options ? " [OPTIONS]" : "");
}

/* The form of an option: "-n, --limit N". */
static void option_form(const struct sonde_option *option, char *text, size_t size)
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	snprintf(text, size, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
		 option->argument ? option->argument : "");
}

void sonde_help_command(const struct sonde_command *command, FILE *out)
{
	const char *end;
	char form[64];

	fputs("Usage: ", out);
	usage(command, out);
	fprintf(out, "\n\n%s\n\nOptions:\n", command->help);
	for (unsigned id = 0; id < SONDE_OPTION_MAX; id++) {
		if (!command_shows(command, id))
			continue;
		option_form(sonde_option(id), form, sizeof(form));
		fprintf(out, "  %-24s %s\n", form, sonde_option(id)->help);
	}
	if (command->examples)
		fputs("\nExamples:\n", out);
	for (const char *line = command->examples; line && *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		fprintf(out, "  %.*s\n", (int)(end - line), line);
	}
}

/* roff takes a leading dot or quote for a request, and a backslash and a hyphen for its own. */
static void man_text(const char *text, FILE *out)
{
	for (bool start = true; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else if (start && *text == '\n')
			fputs(".PP\n", out); /* an empty line parts paragraphs */
		else
			fputc(*text, out);
		start = *text == '\n';
	}
}

static void man_option(const struct sonde_option *option, FILE *out)
{
	fputs(".TP\n\\fB", out);
	if (option->letter)
		fprintf(out, "\\-%c\\fR, \\fB", option->letter);
	man_text("--", out);
	man_text(option->name, out);
	fprintf(out, "\\fR%s", option->argument ? " \\fI" : "");
	if (option->argument)
		fprintf(out, "%s\\fR", option->argument);
	fputc('\n', out);
	man_text(option->help, out);
	fputs(".\n", out);
}

static void man_command(const struct sonde_command *command, FILE *out)
{
	fprintf(out, ".SS sonde %s%s%s%s\n", command->name, command->arguments ? " " : "",
		command->arguments ? command->arguments : "", command->options ? " [OPTIONS]" : "");
	man_text(command->help, out);
	fputc('\n', out);
	for (unsigned id = 0; id < SONDE_OPTION_HELP; id++)
		if (command_shows(command, id))
			man_option(sonde_option(id), out);
	if (command->examples) {
		fputs(".PP\nExamples:\n.PP\n.nf\n", out);
		man_text(command->examples, out);
		fputs("\n.fi\n", out);
	}
}

void sonde_help_man(FILE *out)
{
	fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	      ".\\\" Made by 'sonde help --man' from the table of commands: change the help there.\n"
	      ".TH SONDE 1 \"\" \"sonde " SONDE_VERSION "\" \"User commands\"\n.SH NAME\nsonde \\- ", out);
	man_text(TAGLINE, out);
	fputs("\n.SH SYNOPSIS\n\\fBsonde\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n", out);
	man_text("One program per Linux node. The agent ('sonde run') attaches eBPF programs, keeps what they see in an embedded store "
		 "and serves it; the other commands ask the agent over its unix socket, or read its store directly.\n\n"
		 "Every event is delivered or counted by cause: an answer that misses something says so on standard error.\n", out);
	fputs(".SH COMMANDS\n", out);
	for (size_t i = 0; sonde_commands[i]; i++)
		if (!sonde_commands[i]->hidden)
			man_command(sonde_commands[i], out);
	fputs(".SH EXIT STATUS\n.TP\n0\nDone.\n.TP\n1\nFailed.\n.TP\n2\nWrong usage or a wrong configuration; nothing was tried.\n"
	      ".SH ENVIRONMENT\n.TP\n.B SONDE_SOCKET\nThe agent's socket, when \\fB\\-\\-socket\\fR is not given.\n"
	      ".TP\n.B NO_COLOR\nIf set and not empty, no colour by default.\n"
	      ".SH FILES\n.TP\n.I /etc/sonde/sonde.yaml\nThe configuration.\n"
	      ".TP\n.I /var/lib/sonde/events.db\nThe store.\n.TP\n.I /run/sonde/sonde.sock\nThe agent's socket.\n", out);
}
