/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs by their files: what lies in the programs directory is loaded with all rights, so nobody but root may put it there.
 * Whose a file is, is looked at when it is read (bpf/object_file.h).
 */
#include <config/config.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <bpf/object_file.h>

#define ENDING ".bpf.o"

void sonde_config_object_name(const char *path, char *ret_name, size_t size)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	snprintf(ret_name, size, "%.*s", (int)strcspn(base, "."), base);
	for (; *ret_name; ret_name++)
		if (*ret_name == '-')
			*ret_name = '_';
}

static int is_object(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > sizeof(ENDING) - 1 &&
	       !strcmp(entry->d_name + length - (sizeof(ENDING) - 1), ENDING);
}

/* The file's name, for a program that can have no other. */
static void shown_name(const char *file, char *ret_name, size_t size)
{
	snprintf(ret_name, size, "%s", file);
	for (; *ret_name; ret_name++)
		if (*ret_name < 0x20 || *ret_name == 0x7f) /* other than ASCII too */
			*ret_name = '?';
}

/*
 * Why this file can be no program beside the others, or "". `ret_name`: what it is called in either case.
 * @return 1: it is named by a section, nothing to do.
 */
static int object_refuse(const struct sonde_config *config, const char *file, char *ret_name, size_t size, char *ret_why,
			 size_t why_size)
{
	const struct sonde_config_program *other;
	char name[NAME_MAX + 1];

	*ret_why = '\0';
	sonde_config_object_name(file, name, sizeof(name));
	shown_name(name, ret_name, size);
	other = sonde_config_program(config, ret_name);
	if (!sonde_program_name_is_good(name))
		snprintf(ret_why, why_size, "a program's name has " SONDE_IDENTIFIER_RULE ", at most %d: rename the file",
			 SONDE_PROGRAM_NAME_MAX - 1);
	else if (other && other->from_directory)
		snprintf(ret_why, why_size, "'%s' is also the name of another file there: rename one", name);
	else if (!(other && other->object[0]) && sonde_embedded_find(name))
		snprintf(ret_why, why_size, "'%s' is a built-in program: rename the file, or replace that one by a section "
			 "'%s' with this 'object'", name, name);
	else
		return other ? 1 : 0;
	if (other || sonde_embedded_find(name))
		shown_name(file, ret_name, size);
	return 0;
}

static struct sonde_config_program *add_program(struct sonde_config *config, const char *name)
{
	struct sonde_config_program *program = &config->programs[config->n_programs++];

	sonde_config_program_default(program, name);
	program->enabled = program->enabled_given = true;
	program->from_directory = true;
	return program;
}

static int add(struct sonde_config *config, const char *file, char *ret_error, size_t error_size)
{
	struct sonde_config_program *program;
	char path[sizeof(program->object)], name[sizeof(program->name)], why[sizeof(program->refused)];

	if (snprintf(path, sizeof(path), "%s/%s", config->programs_directory, file) >= (int)sizeof(path)) {
		snprintf(ret_error, error_size, "the path of '%s' is too long", file);
		return -ENAMETOOLONG;
	}
	if (object_refuse(config, file, name, sizeof(name), why, sizeof(why)))
		return 0;
	if (config->n_programs == ARRAY_SIZE(config->programs)) {
		snprintf(ret_error, error_size, "more than %zu programs, with those in '%s'", ARRAY_SIZE(config->programs),
			 config->programs_directory);
		return -E2BIG;
	}
	program = add_program(config, name);
	strcpy(program->object, path);
	strcpy(program->refused, why);
	return 0;
}

/* A directory that cannot be used is itself what failed; the colon keeps its name apart from all programs'. */
static void add_directory(struct sonde_config *config, int error)
{
	const char *path = config->programs_directory, *slash = strrchr(path, '/');
	char file[sizeof(config->programs_directory) + 16], name[SONDE_PROGRAM_NAME_MAX];
	struct sonde_config_program *program;

	if (config->n_programs == ARRAY_SIZE(config->programs))
		return;
	snprintf(file, sizeof(file), "directory:%s", slash && slash[1] ? slash + 1 : path);
	shown_name(file, name, sizeof(name));
	program = add_program(config, name);
	if (error)
		snprintf(program->refused, sizeof(program->refused), "cannot read '%s', no program in it runs: %s", path, strerror(error));
	else
		snprintf(program->refused, sizeof(program->refused), "no program in it runs: '%s' " SONDE_NOT_ROOTS_ALONE, path);
}

int sonde_config_add_objects(struct sonde_config *config, char *ret_error, size_t error_size)
{
	struct dirent **entries;
	struct stat st;
	int n, r = 0;

	if (!config->programs_directory[0] || stat(config->programs_directory, &st))
		return 0;
	if (!sonde_file_is_roots_alone(&st)) {
		add_directory(config, 0);
		return 0;
	}
	n = scandir(config->programs_directory, &entries, is_object, alphasort);
	if (n < 0) {
		add_directory(config, errno);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		if (!r)
			r = add(config, entries[i]->d_name, ret_error, error_size);
		free(entries[i]);
	}
	free(entries);
	return r;
}
