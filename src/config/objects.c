/* SPDX-License-Identifier: Apache-2.0 */
/* Programs by their files: what lies in the programs directory is loaded with all rights, so nobody but root may put it there. */
#include <config/config.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <base/cleanup.h>

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

static int trusted(const char *path, char *ret_error, size_t error_size)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (geteuid() != 0 || (st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH))))
		return 0;
	snprintf(ret_error, error_size, "'%s' is not root's alone: chown root:root and chmod go-w it, or move it", path);
	return -EPERM;
}

static int add(struct sonde_config *config, const char *file, char *ret_error, size_t error_size)
{
	struct sonde_config_program *program = &config->programs[config->n_programs];
	char path[sizeof(program->object)], name[sizeof(program->name)];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", config->programs_directory, file) >= (int)sizeof(path)) {
		snprintf(ret_error, error_size, "the path of '%s' is too long", file);
		return -ENAMETOOLONG;
	}
	sonde_config_object_name(path, name, sizeof(name));
	if (sonde_config_program(config, name))
		return 0;
	if (config->n_programs == ARRAY_SIZE(config->programs)) {
		snprintf(ret_error, error_size, "more than %zu programs, with those in '%s'", ARRAY_SIZE(config->programs),
			 config->programs_directory);
		return -E2BIG;
	}
	r = trusted(path, ret_error, error_size);
	if (r < 0)
		return r;
	sonde_config_program_default(program, name);
	program->enabled = program->enabled_given = true;
	strcpy(program->object, path);
	config->n_programs++;
	return 0;
}

int sonde_config_add_objects(struct sonde_config *config, char *ret_error, size_t error_size)
{
	struct dirent **entries;
	int n, r;

	if (!config->programs_directory[0] || access(config->programs_directory, F_OK))
		return 0;
	r = trusted(config->programs_directory, ret_error, error_size);
	n = r < 0 ? 0 : scandir(config->programs_directory, &entries, is_object, alphasort);
	if (n < 0) {
		r = -errno;
		snprintf(ret_error, error_size, "cannot read '%s': %s", config->programs_directory, strerror(-r));
		return r;
	}
	for (int i = 0; i < n; i++) {
		if (!r)
			r = add(config, entries[i]->d_name, ret_error, error_size);
		free(entries[i]);
	}
	if (n > 0)
		free(entries);
	return r;
}
