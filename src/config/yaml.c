/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to the configuration, event by event, led by the table of options. Only what the table allows is ever
 * followed, so neither depth nor size of a hostile file costs anything; anchors, aliases and tags are refused.
 */
#include <config/config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>
#include <base/cleanup.h>
#include <base/units.h>
#include <config/options.h>
#include <config/text.h>

struct reader {
	yaml_parser_t parser;
	struct sonde_config *config;
	const char *name;
	char *ret_error;
	size_t error_size;
};

/* A mapping that is being read. */
struct section {
	const char *path; /* of the table: "", "store", "programs.NAME" */
	const char *shown;
	void *base;
	unsigned lines[SONDE_CONFIG_OPTIONS_MAX]; /* where each option stood; 0: not yet */
};

static int fault(struct reader *reader, const yaml_mark_t *mark, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fault(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
	va_list args;
	size_t n;

	n = (size_t)snprintf(reader->ret_error, reader->error_size, "%s:%zu:%zu: ", reader->name, mark->line + 1, mark->column + 1);
	if (n < reader->error_size) {
		va_start(args, format);
		vsnprintf(reader->ret_error + n, reader->error_size - n, format, args);
		va_end(args);
	}
	return -EINVAL;
}

/* What was typed, for a message: short, and without the control bytes that an escape in YAML can make. */
static const char *shown(const yaml_event_t *event, char text[64])
{
	const unsigned char *value = event->data.scalar.value;
	size_t length = event->data.scalar.length, n = 0;

	while (n < length && n < 48) {
		text[n] = value[n] < 0x20 || value[n] == 0x7f ? '?' : (char)value[n];
		n++;
	}
	if (n < length) {
		while (n && (value[n] & 0xc0) == 0x80) /* never end inside a character */
			n--;
		memcpy(text + n, "...", 3);
		n += 3;
	}
	text[n] = '\0';
	return text;
}

static int parser_fault(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const yaml_mark_t *mark = parser->problem_mark.line || parser->problem_mark.column ? &parser->problem_mark : &parser->mark;

	if (parser->error == YAML_MEMORY_ERROR) {
		snprintf(reader->ret_error, reader->error_size, "%s: no memory left", reader->name);
		return -ENOMEM;
	}
	/* By far most often a tab, and the library does not say so. */
	if (parser->problem && strstr(parser->problem, "cannot start any token"))
		return fault(reader, mark, "not YAML: a tab or a sign with a meaning of its own begins a value; "
					   "indent by spaces, and quote such a value");
	return fault(reader, mark, "not YAML: %s%s%s", parser->problem ? parser->problem : "unreadable",
		     parser->context ? " " : "", parser->context ? parser->context : "");
}

static int next(struct reader *reader, yaml_event_t *event)
{
	const char *what = NULL;

	yaml_event_delete(event);
	if (!yaml_parser_parse(&reader->parser, event))
		return parser_fault(reader);
	if (event->type == YAML_ALIAS_EVENT)
		what = "an alias (*)";
	else if (event->type == YAML_SCALAR_EVENT)
		what = event->data.scalar.anchor ? "an anchor (&)" : event->data.scalar.tag ? "a tag (!)" : NULL;
	else if (event->type == YAML_MAPPING_START_EVENT)
		what = event->data.mapping_start.anchor ? "an anchor (&)" : event->data.mapping_start.tag ? "a tag (!)" : NULL;
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		what = event->data.sequence_start.anchor ? "an anchor (&)" :
		       event->data.sequence_start.tag	 ? "a tag (!)" : NULL;
	if (what)
		return fault(reader, &event->start_mark, "%s is not supported here: write the value out", what);
	return 0;
}

static const char *kind_name(const yaml_event_t *event)
{
	return event->type == YAML_SEQUENCE_START_EVENT ? "a list" :
	       event->type == YAML_MAPPING_START_EVENT	? "a section" : "a single value";
}

/* "store:" with nothing below it: a section whose lines are all commented out. */
static bool is_empty(const yaml_event_t *event)
{
	return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
	       event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A text with an escaped NUL would be read only up to it. */
static int scalar_check(struct reader *reader, const yaml_event_t *event)
{
	if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
		return fault(reader, &event->start_mark, "a NUL character in a text; allowed is any other character");
	return 0;
}

typedef int (*entry_fn)(struct reader *reader, const yaml_event_t *key, yaml_event_t *value, void *userdata);

/* All "KEY: value" of the mapping that `start` begins. `name` is the section's, for messages. */
static int mapping_read(struct reader *reader, const yaml_event_t *start, const char *name, entry_fn entry, void *userdata)
{
	int r;

	if (is_empty(start))
		return 0;
	if (start->type != YAML_MAPPING_START_EVENT)
		return fault(reader, &start->start_mark, "%s is %s; allowed is a section: lines KEY: VALUE", name, kind_name(start));
	for (;;) {
		yaml_event_t key CLEANUP(yaml_event_delete) = {0}, value CLEANUP(yaml_event_delete) = {0};

		r = next(reader, &key);
		if (r < 0 || key.type == YAML_MAPPING_END_EVENT)
			return r;
		if (key.type != YAML_SCALAR_EVENT)
			return fault(reader, &key.start_mark, "a key is %s; allowed is a word", kind_name(&key));
		r = scalar_check(reader, &key);
		if (r == 0)
			r = next(reader, &value);
		if (r == 0 && value.type == YAML_SCALAR_EVENT)
			r = scalar_check(reader, &value);
		if (r == 0)
			r = entry(reader, &key, &value, userdata);
		if (r < 0)
			return r;
	}
}

static int duplicate(struct reader *reader, const yaml_event_t *key, unsigned line)
{
	char text[64];

	return fault(reader, &key->start_mark, "'%s' stands twice; it is also in line %u", shown(key, text), line);
}

static int unknown_key(struct reader *reader, const yaml_event_t *key, const struct section *section)
{
	const char *typed = (const char *)key->data.scalar.value;
	struct sonde_nearest nearest = {0};
	char text[64], known[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < sonde_config_n_options; i++) {
		const struct sonde_config_option *option = &sonde_config_options[i];

		if (strcmp(option->section, section->path) != 0)
			continue;
		sonde_nearest_try(&nearest, typed, option->name);
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", option->name);
	}
	return fault(reader, &key->start_mark, "unknown key '%s' in %s%s%s%s; allowed is %s", shown(key, text), section->shown,
		     nearest.word ? " (did you mean '" : "", nearest.word ? nearest.word : "", nearest.word ? "'?)" : "", known);
}

static int name_check(struct reader *reader, const yaml_event_t *key, const char *what, size_t max)
{
	const char *name = (const char *)key->data.scalar.value;
	char text[64];

	if (sonde_identifier_is_good(name, max))
		return 0;
	return fault(reader, &key->start_mark, "bad name '%s' of a %s; allowed is 1 to %zu of " SONDE_IDENTIFIER_RULE,
		     shown(key, text), what, max);
}

static int setting_entry(struct reader *reader, const yaml_event_t *key, yaml_event_t *value, void *userdata)
{
	struct sonde_config_program *program = userdata;
	const char *name = (const char *)key->data.scalar.value;
	struct sonde_config_setting *setting;
	char text[64];
	int r;

	r = name_check(reader, key, "setting", sizeof(setting->given.name) - 1);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < program->n_settings; i++)
		if (!strcmp(program->settings[i].given.name, name))
			return duplicate(reader, key, program->settings[i].line);
	if (program->n_settings == ARRAY_SIZE(program->settings))
		return fault(reader, &key->start_mark, "one setting too many; allowed is %zu of a program", ARRAY_SIZE(program->settings));
	setting = &program->settings[program->n_settings];
	if (value->type != YAML_SCALAR_EVENT)
		return fault(reader, &value->start_mark, "%s is %s; allowed is %s", name, kind_name(value),
			     sonde_config_setting_allowed(name));
	if (sonde_config_setting_parse(name, (const char *)value->data.scalar.value, &setting->given) < 0)
		return fault(reader, &value->start_mark, "bad value '%s' of %s; allowed is %s", shown(value, text), name,
			     sonde_config_setting_allowed(name));
	setting->line = (unsigned)key->start_mark.line + 1;
	setting->column = (unsigned)key->start_mark.column + 1;
	setting->value_line = (unsigned)value->start_mark.line + 1;
	setting->value_column = (unsigned)value->start_mark.column + 1;
	program->n_settings++;
	return 0;
}

static int option_entry(struct reader *reader, const yaml_event_t *key, yaml_event_t *value, void *userdata);

static int program_entry(struct reader *reader, const yaml_event_t *key, yaml_event_t *value, void *userdata)
{
	struct sonde_config *config = reader->config;
	const char *name = (const char *)key->data.scalar.value;
	struct sonde_config_program *program;
	const struct sonde_config_program *same = sonde_config_program(config, name);
	char label[64];
	int r;

	r = name_check(reader, key, "program", sizeof(program->name) - 1);
	if (r < 0)
		return r;
	if (same)
		return duplicate(reader, key, same->line);
	if (config->n_programs == ARRAY_SIZE(config->programs))
		return fault(reader, &key->start_mark, "one program too many; allowed is %zu", ARRAY_SIZE(config->programs));
	program = &config->programs[config->n_programs++];
	sonde_config_program_default(program, name);
	program->line = (unsigned)key->start_mark.line + 1;
	program->column = (unsigned)key->start_mark.column + 1;
	snprintf(label, sizeof(label), "programs.%s", name);
	struct section section = {.path = "programs.NAME", .shown = label, .base = program};
	return mapping_read(reader, value, label, option_entry, &section);
}

static int value_read(struct reader *reader, const struct sonde_config_option *option, const yaml_event_t *value,
		      struct section *section)
{
	char allowed[SONDE_CONFIG_ALLOWED_MAX], text[64];

	if (value->type != YAML_SCALAR_EVENT)
		return fault(reader, &value->start_mark, "%s is %s; allowed is %s", option->name, kind_name(value),
			     sonde_config_allowed(option, allowed));
	if (is_empty(value))
		return fault(reader, &value->start_mark, "%s has no value; allowed is %s", option->name,
			     sonde_config_allowed(option, allowed));
	if (sonde_config_option_set(option, section->base, (const char *)value->data.scalar.value) < 0)
		return fault(reader, &value->start_mark, "bad value '%s' of %s; allowed is %s", shown(value, text), option->name,
			     sonde_config_allowed(option, allowed));
	return 0;
}

static int option_entry(struct reader *reader, const yaml_event_t *key, yaml_event_t *value, void *userdata)
{
	struct section *section = userdata, below = {.shown = (const char *)key->data.scalar.value, .base = reader->config};
	const struct sonde_config_option *option =
		sonde_config_option_find(section->path, (const char *)key->data.scalar.value);
	unsigned *line;
	int r;

	if (!option)
		return unknown_key(reader, key, section);
	line = &section->lines[option - sonde_config_options];
	if (*line)
		return duplicate(reader, key, *line);
	*line = (unsigned)key->start_mark.line + 1;
	switch (option->type) {
	case SONDE_CONFIG_SECTION:
		below.path = option->name;
		return mapping_read(reader, value, option->name, option_entry, &below);
	case SONDE_CONFIG_PROGRAMS:
		return mapping_read(reader, value, option->name, program_entry, NULL);
	case SONDE_CONFIG_SETTINGS:
		return mapping_read(reader, value, option->name, setting_entry, section->base);
	default:
		r = value_read(reader, option, value, section);
		if (r == 0 && !strcmp(option->name, "enabled"))
			((struct sonde_config_program *)section->base)->enabled_given = true;
		return r;
	}
}

static int document_read(struct reader *reader)
{
	yaml_event_t event CLEANUP(yaml_event_delete) = {0};
	struct section top = {.path = "", .shown = "the file", .base = reader->config};
	int r;

	r = next(reader, &event); /* stream start */
	if (r == 0)
		r = next(reader, &event);
	if (r < 0 || event.type == YAML_STREAM_END_EVENT)
		return r;
	r = next(reader, &event);
	if (r == 0)
		r = mapping_read(reader, &event, "the file", option_entry, &top);
	if (r == 0)
		r = next(reader, &event); /* document end */
	if (r == 0)
		r = next(reader, &event);
	if (r == 0 && event.type != YAML_STREAM_END_EVENT)
		return fault(reader, &event.start_mark, "a second document begins; allowed is one in a file");
	return r;
}

int sonde_config_parse(struct sonde_config *config, const char *name, const char *bytes, size_t length, char *ret_error,
		       size_t error_size)
{
	struct sonde_config *fresh CLEANUP_FREE = malloc(sizeof(*fresh));
	struct reader reader = {.config = fresh, .name = name, .ret_error = ret_error, .error_size = error_size};
	struct sonde_text_fault text;
	int r;

	if (length > SONDE_CONFIG_BYTES_MAX) {
		snprintf(ret_error, error_size, "%s:1:1: the file is too large; allowed is 1MiB", name);
		return -EINVAL;
	}
	if (length >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) { /* a byte order mark is no text */
		bytes += 3;
		length -= 3;
	}
	if (sonde_text_check(bytes, length, &text) < 0) {
		snprintf(ret_error, error_size, "%s:%u:%u: %s; allowed is text in UTF-8", name, text.line, text.column, text.what);
		return -EINVAL;
	}
	if (!fresh || !yaml_parser_initialize(&reader.parser)) {
		snprintf(ret_error, error_size, "%s: no memory left", name);
		return -ENOMEM;
	}
	*fresh = *config;
	snprintf(fresh->file, sizeof(fresh->file), "%s", name);
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, length);
	r = document_read(&reader);
	yaml_parser_delete(&reader.parser);
	if (r == 0)
		*config = *fresh;
	return r;
}
