/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file options.h The one table of all options of the configuration, and how a value of each type is read. */

#include <config/config.h>

enum sonde_config_type {
	SONDE_CONFIG_BOOLEAN,
	SONDE_CONFIG_INTEGER,
	SONDE_CONFIG_SIZE,
	SONDE_CONFIG_DURATION,
	SONDE_CONFIG_TEXT,
	SONDE_CONFIG_ADDRESS,
	SONDE_CONFIG_PATH,
	SONDE_CONFIG_LEVEL,
	SONDE_CONFIG_ATTACH,
	/* What holds others. */
	SONDE_CONFIG_SECTION,
	SONDE_CONFIG_PROGRAMS, /* NAME: options of a program */
	SONDE_CONFIG_SETTINGS, /* KEY: value of a program's own settings */
};

struct sonde_config_option {
	const char *section; /* "": top level; "programs.NAME": of a program */
	const char *name;
	enum sonde_config_type type;
	const char *default_text; /* as it would stand in the file; NULL: none */
	const char *default_doc;  /* the default in words, where the text says too little */
	int64_t min, max;	  /* of numbers; both 0: any */
	const char *zero;	  /* numbers: 0 is allowed too and means this; texts: "" is allowed and means this */
	const char *word;	  /* path: this word is allowed too */
	bool power_of_two;
	const char *help;
	size_t offset, size; /* of the field in struct sonde_config or struct sonde_config_program */
};

#define SONDE_CONFIG_OPTIONS_MAX 40

extern const struct sonde_config_option sonde_config_options[];
extern const size_t sonde_config_n_options;

const struct sonde_config_option *sonde_config_option_find(const char *section, const char *name); /* or NULL */
const char *sonde_config_type_name(enum sonde_config_type type);

#define SONDE_CONFIG_ALLOWED_MAX 200
/** What a value may be, in words: "a size from 1MiB (16MiB, 1GiB, 4096), or 0: no limit". */
const char *sonde_config_allowed(const struct sonde_config_option *option, char text[SONDE_CONFIG_ALLOWED_MAX]);

/**
 * @brief Read a value into its field.
 * @param base The struct that holds the field; untouched on failure.
 * @return 0, or -EINVAL: then sonde_config_allowed() says what is allowed.
 */
int sonde_config_option_set(const struct sonde_config_option *option, void *base, const char *text);

/**
 * @brief Read the value of a program's own setting: a number, a duration (ns), a size (bytes), true or false; of interface_1 to
 * interface_4 the name of a network interface, which need not be there yet, or its number.
 * @param ret_setting Its name and value are set; untouched on failure.
 * @return 0, -EINVAL: sonde_config_setting_allowed() says what is.
 */
int sonde_config_setting_parse(const char *name, const char *text, struct sonde_object_setting *ret_setting);
const char *sonde_config_setting_allowed(const char *name);
