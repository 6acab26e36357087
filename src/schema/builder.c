/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, tags and the rules for names and docs that events, settings and metrics share. */
#include <schema/builder.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char error_text[1024];

int sonde_builder_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	/* Names of a foreign object may stand in the text. */
	for (char *c = error_text; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	return -EINVAL;
}

const char *sonde_builder_error(void)
{
	return error_text;
}

const char *sonde_builder_tag(const struct sonde_builder *builder, uint32_t type, int32_t component, uint32_t *cursor)
{
	while (*cursor < builder->n_tags) {
		const struct btf_type *tag = sonde_btf_type(&builder->btf, builder->tags[(*cursor)++]);
		const char *text = sonde_btf_text(&builder->btf, tag->name_off);

		if (tag->type == type && ((const struct btf_decl_tag *)(tag + 1))->component_idx == component &&
		    !strncmp(text, "sonde:", 6))
			return text + 6;
	}
	return NULL;
}

const char *sonde_builder_variable_tag(const struct sonde_builder *builder, uint32_t variable, const char *key)
{
	uint32_t cursor = 0;
	const char *tag;

	while ((tag = sonde_builder_tag(builder, variable, -1, &cursor)))
		if (!strncmp(tag, key, strlen(key)))
			return tag + strlen(key);
	return NULL;
}

int sonde_builder_check_name(const char *what, const char *name)
{
	size_t length = strlen(name);

	if (!length || length > SCHEMA_NAME_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length ||
	    name[0] < 'a' || name[0] > 'z')
		return sonde_builder_fail("%s: the name '%.80s' cannot be used: take 1 to %d of a-z, 0-9 and _, "
					  "the first a letter",
					  what, name, SCHEMA_NAME_MAX);
	return 0;
}

/* UTF-8 without control characters (C0, DEL, C1): the text is shown on terminals and in pages as it is. */
static bool doc_is_clean(const char *doc)
{
	const unsigned char *c = (const unsigned char *)doc;

	while (*c) {
		unsigned more = *c >= 0xf0 ? 3 : *c >= 0xe0 ? 2 : *c >= 0xc0 ? 1 : 0;

		if (*c < 0x20 || *c == 0x7f || (*c >= 0x80 && *c < 0xc2) || *c > 0xf4 ||
		    (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) || (*c == 0xe0 && c[1] < 0xa0) ||
		    (*c == 0xed && c[1] >= 0xa0) || (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] >= 0x90))
			return false;
		for (c++; more; more--, c++)
			if ((*c & 0xc0) != 0x80)
				return false;
	}
	return true;
}

int sonde_builder_check_doc(const char *what, const char *name, const char *doc)
{
	if (!doc || !*doc)
		return sonde_builder_fail("%s: '%.80s' has no doc: say in one short sentence what it means", what, name);
	if (strlen(doc) > SCHEMA_DOC_MAX || !doc_is_clean(doc))
		return sonde_builder_fail("%s: the doc of '%.80s' must be one line of readable text, at most %d bytes", what,
					  name, SCHEMA_DOC_MAX);
	return 0;
}
