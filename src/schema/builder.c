/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, tags and the rules for names and docs that events, settings and metrics share. */
#include <schema/builder.h>
#include <schema/encode_text.h>

#include <base/identifier.h>
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

static int tag_compare(const void *left, const void *right)
{
	const struct sonde_tag *a = left, *b = right;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->component != b->component)
		return a->component < b->component ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

int sonde_builder_find_tags(struct sonde_builder *builder)
{
	const struct sonde_btf *btf = &builder->btf;
	struct sonde_tag *tags = calloc(btf->n_types, sizeof(*tags));
	uint32_t n = 0;

	if (!tags)
		return -ENOMEM;
	for (uint32_t id = 1; id < btf->n_types; id++) {
		const struct btf_type *tag = sonde_btf_type(btf, id);
		const char *text = sonde_btf_text(btf, tag->name_off);

		if (sonde_btf_kind(tag) == BTF_KIND_DECL_TAG && !strncmp(text, "sonde:", 6))
			tags[n++] = (struct sonde_tag){tag->type, ((const struct btf_decl_tag *)(tag + 1))->component_idx,
						       id, text + 6};
	}
	qsort(tags, n, sizeof(*tags), tag_compare);
	builder->tags = tags;
	builder->n_tags = n;
	return 0;
}

const char *sonde_builder_tag(const struct sonde_builder *builder, uint32_t type, int32_t component, uint32_t *cursor)
{
	const struct sonde_tag wanted = {.type = type, .component = component};
	uint32_t low = *cursor, high = *cursor ? *cursor : builder->n_tags;
	const struct sonde_tag *tag;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (tag_compare(&builder->tags[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == builder->n_tags)
		return NULL;
	tag = &builder->tags[low];
	if (tag->type != type || tag->component != component)
		return NULL;
	*cursor = low + 1;
	return tag->text;
}

const struct btf_type *sonde_builder_next_variable(const struct sonde_builder *builder, uint32_t *id)
{
	while (++*id < builder->btf.n_types) {
		const struct btf_type *type = sonde_btf_type(&builder->btf, *id);

		if (sonde_btf_kind(type) == BTF_KIND_VAR)
			return type;
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
	if (sonde_identifier_is_good(name, SCHEMA_NAME_MAX))
		return 0;
	return sonde_builder_fail("%s: the name '%.80s' cannot be used: take 1 to %d of " SONDE_IDENTIFIER_RULE, what, name,
				  SCHEMA_NAME_MAX);
}

/* Docs are shown on terminals and in pages as they are. */
static bool doc_is_clean(const char *doc)
{
	size_t left = strlen(doc);
	uint32_t code;

	while (left) {
		size_t n = sonde_text_decode(doc, left, &code);

		if (!n || sonde_text_unsafe(code))
			return false;
		doc += n;
		left -= n;
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
