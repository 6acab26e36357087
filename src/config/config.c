/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults and files of the configuration. A file is used whole or not at all. */
#include <config/config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <config/options.h>

/* The default of every option that stands in `base`: of a program, or of the whole. */
static void defaults_set(void *base, bool program)
{
	for (size_t i = 0; i < sonde_config_n_options; i++) {
		const struct sonde_config_option *option = &sonde_config_options[i];

		if (option->default_text && !strcmp(option->section, "programs.NAME") == program)
			sonde_config_option_set(option, base, option->default_text);
	}
}

void sonde_config_default(struct sonde_config *config)
{
	memset(config, 0, sizeof(*config));
	defaults_set(config, false);
}

void sonde_config_program_default(struct sonde_config_program *program, const char *name)
{
	memset(program, 0, sizeof(*program));
	defaults_set(program, true);
	program->enabled = true;
	snprintf(program->name, sizeof(program->name), "%s", name);
}

const struct sonde_config_program *sonde_config_program(const struct sonde_config *config, const char *name)
{
	for (unsigned i = 0; i < config->n_programs; i++)
		if (!strcmp(config->programs[i].name, name))
			return &config->programs[i];
	return NULL;
}

/* The whole file, one byte more than allowed at most: that byte tells that it is too large. */
static int file_read(const char *path, char **ret_bytes, size_t *ret_length)
{
	char *bytes CLEANUP_FREE = malloc(SONDE_CONFIG_BYTES_MAX + 1);
	int fd CLEANUP_CLOSE = -1;
	size_t length = 0;
	ssize_t n;

	if (!bytes)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	while (length < SONDE_CONFIG_BYTES_MAX + 1) {
		n = read(fd, bytes + length, SONDE_CONFIG_BYTES_MAX + 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	*ret_bytes = TAKE_PTR(bytes);
	*ret_length = length;
	return 0;
}

int sonde_config_read(struct sonde_config *config, const char *path, const char *text, char *ret_error, size_t error_size)
{
	char *bytes CLEANUP_FREE = NULL;
	size_t length = 0;
	int r;

	if (strlen(path) >= sizeof(config->file)) {
		snprintf(ret_error, error_size, "the path of the configuration is longer than %zu bytes", sizeof(config->file) - 1);
		return -ENAMETOOLONG;
	}
	if (text)
		return sonde_config_parse(config, path, text, strlen(text), ret_error, error_size);
	r = file_read(path, &bytes, &length);
	if (r < 0) {
		snprintf(ret_error, error_size, "the configuration %s cannot be read: %s", path, strerror(-r));
		return r;
	}
	return sonde_config_parse(config, path, bytes, length, ret_error, error_size);
}

int sonde_config_load(struct sonde_config *config, const char *path, char *ret_error, size_t error_size)
{
	int r = 0;

	sonde_config_default(config);
	if (path || access(SONDE_CONFIG_DEFAULT_FILE, F_OK) == 0 || errno != ENOENT)
		r = sonde_config_read(config, path ? path : SONDE_CONFIG_DEFAULT_FILE, NULL, ret_error, error_size);
	if (r == 0)
		r = sonde_config_add_objects(config, ret_error, error_size);
	return r < 0 ? r : sonde_config_check(config, ret_error, error_size);
}
