/* SPDX-License-Identifier: Apache-2.0 */
/* sonde new NAME: the folder of a new program, which builds and passes its test as it is. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/buffer.h>
#include <base/cleanup.h>
#include <base/identifier.h>
#include <cli/command.h>
#include <cli/say.h>

/* In the templates @ stands for the program's name. */
static const char event_h[] =
	"/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */\n"
	"#pragma once\n"
	"#include <sonde/types.h>\n"
	"\n"
	"/* One signal, as its sender sees it. Every field needs its SONDE_DOC(); docs/write-a-program.md has the rules. */\n"
	"struct @ {\n"
	"	struct sonde_header header;\n"
	"	sonde_signal signal SONDE_DOC(\"signal that was sent\");\n"
	"	sonde_pid target_pid SONDE_DOC(\"process that it was sent to\");\n"
	"};\n";

static const char program_bpf_c[] =
	"/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */\n"
	"#include <sonde/sonde.bpf.h>\n"
	"\n"
	"#include \"event.h\"\n"
	"\n"
	"SONDE_EVENT(@, \"Signals that processes sent\");\n"
	"\n"
	"/* Runs in the sender's context: the current process is the one that the event is about. */\n"
	"SEC(\"tp_btf/signal_generate\")\n"
	"int BPF_PROG(on_signal_generate, int signal, void *info, struct task_struct *target)\n"
	"{\n"
	"	struct @ *e = sonde_reserve(@);\n"
	"\n"
	"	if (!e)\n"
	"		return 0; /* counted */\n"
	"	e->signal = signal;\n"
	"	e->target_pid = target->tgid;\n"
	"	sonde_submit(e);\n"
	"	return 0;\n"
	"}\n";

static const char test_py[] =
	"# SPDX-License-Identifier: Apache-2.0\n"
	"\"\"\"The program `@` against the real kernel.\"\"\"\n"
	"import os\n"
	"import signal\n"
	"import subprocess\n"
	"import sys\n"
	"import unittest\n"
	"\n"
	"sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), \"..\", \"..\", \"tests\"))\n"
	"from harness import Trace  # noqa: E402\n"
	"\n"
	"\n"
	"class Signals(unittest.TestCase):\n"
	"    def test_sent(self):\n"
	"        with Trace(\"@\") as trace:\n"
	"            child = subprocess.Popen([\"sleep\", \"60\"])\n"
	"            child.send_signal(signal.SIGUSR1)\n"
	"            child.wait()\n"
	"        sent = trace.of(pid=os.getpid(), target_pid=child.pid)\n"
	"        self.assertEqual([(e[\"signal\"], e[\"signal_name\"]) for e in sent], [(10, \"SIGUSR1\")])\n"
	"        self.assertEqual(trace.ledger[\"residual\"], 0)\n"
	"\n"
	"    def test_quiet(self):\n"
	"        with Trace(\"@\") as trace:\n"
	"            pass\n"
	"        # The end of the trace is a signal too.\n"
	"        sent = [e for e in trace.of(pid=os.getpid()) if e[\"target_pid\"] != trace.process.pid]\n"
	"        self.assertEqual(sent, [])\n"
	"\n"
	"\n"
	"if __name__ == \"__main__\":\n"
	"    unittest.main()\n";

static const char readme_md[] =
	"# @\n"
	"\n"
	"Signals that processes sent: which, and to whom.\n"
	"\n"
	"```\n"
	"$ sonde trace @\n"
	"```\n";

static const struct {
	const char *file, *text;
	mode_t mode;
} templates[] = {
	{"event.h", event_h, 0644},
	{"program.bpf.c", program_bpf_c, 0644},
	{"test.py", test_py, 0644},
	{"README.md", readme_md, 0644},
};

static int write_template(int directory, size_t i, const char *name)
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer text = SONDE_BUFFER_INIT;
	CLEANUP_CLOSE int fd = openat(directory, templates[i].file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, templates[i].mode);

	if (fd < 0)
		return -errno;
	for (const char *c = templates[i].text; *c; c++) {
		if (*c == '@')
			sonde_buffer_add_text(&text, name);
		else
			sonde_buffer_add_char(&text, *c);
	}
	if (sonde_buffer_error(&text) < 0)
		return -ENOMEM;
	return write(fd, text.data, text.length) == (ssize_t)text.length ? 0 : -EIO;
}

/* Is this text in one of the files? */
static bool files_have(const char *pattern, const char *text)
{
	bool have = false;
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return false;
	for (size_t i = 0; i < found.gl_pathc && !have; i++) {
		FILE *file CLEANUP_FCLOSE = fopen(found.gl_pathv[i], "re");
		char *line CLEANUP_FREE = NULL;
		size_t size = 0;

		while (file && !have && getline(&line, &size, file) > 0)
			have = strstr(line, text);
	}
	globfree(&found);
	return have;
}

/* The program's event is a struct of that name. @return NULL: it can be. */
static const char *name_is_taken(const char *name)
{
	static const char *const words[] = {
		"asm", "auto", "bool", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
		"extern", "false", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short",
		"signed", "sizeof", "static", "struct", "switch", "true", "typedef", "typeof", "union", "unsigned", "void", "volatile",
		"while",
	};
	static const char *const headers[] = {"include/sonde/*.h", "/usr/include/linux/bpf.h"}, *const kinds[] = {"struct", "enum", "union"};
	char text[SONDE_PROGRAM_NAME_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], name))
			return "is a word of C";
	for (size_t i = 0; i < ARRAY_SIZE(headers) * ARRAY_SIZE(kinds); i++) {
		snprintf(text, sizeof(text), "%s %s {", kinds[i / ARRAY_SIZE(headers)], name);
		if (files_have(headers[i % ARRAY_SIZE(headers)], text))
			return "is a type of the kernel or of sonde that every program includes";
	}
	snprintf(text, sizeof(text), "SONDE_EVENT(%s,", name);
	return files_have("programs/*/*.[ch]", text) ? "is an event already" : NULL;
}

static int run(const struct sonde_options *options)
{
	const char *name = options->arguments[0], *taken;
	CLEANUP_CLOSE int directory = -1;
	char path[64];
	int r;

	if (!sonde_program_name_is_good(name))
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' is no name for a program: use " SONDE_IDENTIFIER_RULE ", at most %d",
				       name, SONDE_PROGRAM_NAME_MAX - 1);
	if (access("programs", F_OK) || access("include/sonde/sonde.bpf.h", F_OK))
		return sonde_say_error(SONDE_EXIT_FAILED, "here is no source tree of sonde: run it in its top folder");
	snprintf(path, sizeof(path), "programs/%s", name);
	taken = access(path, F_OK) ? name_is_taken(name) : NULL; /* that the folder is there is said below */
	if (taken)
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' %s: take another name", name, taken);
	if (mkdir(path, 0755))
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make the folder '%s': %s", path, strerror(errno));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(templates); i++) {
		r = directory < 0 ? -errno : write_template(directory, i, name);
		if (r < 0)
			return sonde_say_error(SONDE_EXIT_FAILED, "cannot write '%s/%s': %s", path, templates[i].file, strerror(-r));
	}
	printf("%s is there: event.h, program.bpf.c, test.py, README.md\n"
	       "  make build && build/sonde trace %s\n"
	       "  python3 %s/test.py\n"
	       "  tools/update-docs.sh      # its page, from the schema\n"
	       "docs/write-a-program.md explains each part.\n", path, name, path);
	return SONDE_EXIT_DONE;
}

const struct sonde_command sonde_command_new = {
	.name = "new",
	.arguments = "NAME",
	.summary = "begin a program of your own: a folder that builds and passes its test",
	.help = "Writes programs/NAME with a small program that works: its event, its kernel side, its\n"
		"test and its page. Run it in the top folder of the source tree.",
	.examples = "sonde new signals && make build && build/sonde trace signals",
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
