/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file config.h
 * The configuration: YAML, every option with a default, described once in one table (config/options.c): name, type,
 * unit, default, range, help. `sonde run --help` and docs/configuration.md are made from that table.
 *
 * An unknown key or a bad value is an error "FILE:LINE:COLUMN: what, and what is allowed"; nothing is then used.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <base/identifier.h>
#include <base/log.h>
#include <bpf/object.h>

struct sonde_config_setting {
	struct sonde_object_setting given; /* durations in ns, sizes in bytes, booleans 0 and 1 */
	unsigned line, column, value_line, value_column;
};

struct sonde_config_program {
	char name[SONDE_PROGRAM_NAME_MAX];
	bool enabled, required;
	bool enabled_given;	/* false: as the program itself says (SONDE_OFF_BY_DEFAULT) */
	uint64_t ring_bytes;	/* power of two, at least a page; 0: default */
	enum sonde_attach attach;
	char object[256];	/* path of a user's own .bpf.o; "" for a built-in program */
	bool from_directory;	/* of `programs_directory`, not of a section */
	char refused[256];	/* of one of these: why it is not to be loaded; "": it is */
	unsigned n_settings, line, column;
	struct sonde_config_setting settings[16];
};

struct sonde_config {
	char file[256]; /* "" if there is none */
	enum sonde_log_level log_level;
	char user[64]; /* the worker runs as */
	char programs_directory[256]; /* "": none */
	struct {
		char path[256]; /* a file, or "memory" */
		uint64_t max_bytes;
		int64_t max_age_ns;
		int64_t commit_interval_ns;
		uint32_t merge_cpu_pct;
	} store;
	struct {
		char metrics[64], health[64], api[64], socket[108]; /* "": off */
	} listen;
	struct {
		char path[256]; /* "": they are not pinned */
		bool keep;
	} shared_maps;
	int64_t shutdown_timeout_ns;
	unsigned n_programs;
	struct sonde_config_program programs[64];
};

#define SONDE_CONFIG_BYTES_MAX (1024 * 1024)
#define SONDE_CONFIG_DEFAULT_FILE "/etc/sonde/sonde.yaml"

void sonde_config_default(struct sonde_config *config);
/**
 * @brief Read a file over the defaults.
 * @param text NULL: read `path`; else this text, and `path` is only its name in messages.
 * @return 0; -EINVAL, -ENOENT, -EACCES ... with `ret_error` (caller's buffer) filled.
 */
int sonde_config_read(struct sonde_config *config, const char *path, const char *text, char *ret_error, size_t error_size);
/** The program's section, or NULL: all defaults. */
const struct sonde_config_program *sonde_config_program(const struct sonde_config *config, const char *name);
/** All defaults of a program. */
void sonde_config_program_default(struct sonde_config_program *program, const char *name);

/**
 * @brief The defaults, and over them `path`, or, if that is NULL, the default file if there is one; then the objects of
 * `programs_directory`. All is checked.
 * @return As sonde_config_read().
 */
int sonde_config_load(struct sonde_config *config, const char *path, char *ret_error, size_t error_size);
/** A user's own program is called as its file before the first dot, a hyphen as underscore. It may be no name for a program. */
void sonde_config_object_name(const char *path, char *ret_name, size_t size);
/**
 * @brief Add the objects of `programs_directory` that no section names. No such directory: nothing to add. One whose name will
 * not do is added too, with `refused`: it is to be seen, and keeps nobody else from running. So is a directory that cannot be read,
 * or that somebody else could change: of what is in it nothing is added.
 * @return 0; -E2BIG, -ENAMETOOLONG with `ret_error`.
 */
int sonde_config_add_objects(struct sonde_config *config, char *ret_error, size_t error_size);
/** What this binary knows of its programs against the sections. @return 0, -EINVAL with `ret_error`: file, line, column. */
int sonde_config_check(const struct sonde_config *config, char *ret_error, size_t error_size);
/** As sonde_config_read(), of bytes in memory: any bytes. `config` changes only on success. */
int sonde_config_parse(struct sonde_config *config, const char *name, const char *bytes, size_t length, char *ret_error,
		       size_t error_size);

struct sonde_buffer;
/** docs/configuration.md */
void sonde_config_markdown(struct sonde_buffer *out);
