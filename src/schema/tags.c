/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of one field. A tag that is not known is an error: a typing mistake must not lose its meaning in silence. */
#include <schema/builder.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A plain number, as SONDE_ABSENT(number) writes it: decimal, 0x..., with the suffixes of C. */
static int absent_read(const char *field, const char *text, struct sonde_member_tags *tags)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	char *end;

	errno = 0;
	tags->absent = strtoull(digits, &end, 0);
	if (errno || digits[0] < '0' || digits[0] > '9' || end[strspn(end, "uUlL")])
		return sonde_builder_fail("%s: SONDE_ABSENT(%.40s): write a plain number, e.g. 0 or -1", field, text);
	tags->absent_is_negative = text[0] == '-' && tags->absent;
	if (tags->absent_is_negative)
		tags->absent = -tags->absent;
	tags->has_absent = true;
	return 0;
}

static int flags_read(const char *field, const char *text, struct sonde_member_tags *tags)
{
	char *end;

	errno = 0;
	tags->flags_mask = strtoull(text, &end, 0);
	if (errno || text[0] < '0' || text[0] > '9' || end[strspn(end, "uUlL")])
		return sonde_builder_fail("%s: SONDE_FLAGS(%.40s): write a plain number, 0 if there is no mask", field, text);
	tags->is_flags = true;
	return 0;
}

int sonde_member_tags_read(const struct sonde_builder *builder, const char *field, uint32_t type, uint32_t member,
			   struct sonde_member_tags *ret_tags)
{
	struct sonde_member_tags tags = {0};
	const struct {
		const char *key;
		const char **value;
	} texts[] = {
		{"doc=", &tags.doc}, {"enum=", &tags.kernel_enum}, {"prefix=", &tags.prefix}, {"length=", &tags.length}};
	const char *tag;
	uint32_t cursor = 0;
	int r;

	while ((tag = sonde_builder_tag(builder, type, (int32_t)member, &cursor))) {
		size_t i = 0;

		while (i < sizeof(texts) / sizeof(texts[0]) && strncmp(tag, texts[i].key, strlen(texts[i].key)))
			i++;
		if (i < sizeof(texts) / sizeof(texts[0])) {
			if (*texts[i].value)
				return sonde_builder_fail("%s: has two tags 'sonde:%s': keep one", field, texts[i].key);
			*texts[i].value = tag + strlen(texts[i].key);
		} else if (!strcmp(tag, "hidden")) {
			tags.hidden = true;
		} else if (!strcmp(tag, "top")) {
			tags.top = true;
		} else if (!strcmp(tag, "measure")) {
			tags.measure = true;
		} else if (!strcmp(tag, "main")) {
			tags.main = true;
		} else if (!strcmp(tag, "named")) {
			tags.named = true;
		} else if (!strncmp(tag, "absent=", 7)) {
			r = absent_read(field, tag + 7, &tags);
			if (r)
				return r;
		} else if (!strncmp(tag, "flags=", 6)) {
			r = flags_read(field, tag + 6, &tags);
			if (r)
				return r;
		} else {
			return sonde_builder_fail("%s: the tag 'sonde:%.80s' is not known: see sonde/types.h for those that "
						  "are (or this program needs a newer sonde)",
						  field, tag);
		}
	}
	*ret_tags = tags;
	return 0;
}
