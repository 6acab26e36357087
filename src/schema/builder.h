/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file builder.h
 * What the parts of sonde_schema_new() share: the object, its tags, and the error. Inner header of src/schema.
 *
 * Threads: one.
 */

#include <schema/arena.h>
#include <schema/btf.h>
#include <schema/object.h>
#include <schema/schema.h>

/* Far above what a program needs; they bound the work that a hostile object can ask for. */
#define SCHEMA_TYPES_MAX 64
#define SCHEMA_SETTINGS_MAX 64
#define SCHEMA_METRICS_MAX 64
#define SCHEMA_MEMBERS_MAX 512 /* fields of one event, hidden and nested ones included */
#define SCHEMA_ENUMERATORS_MAX 1024
#define SCHEMA_NAME_MAX 47 /* the store and the configuration have room for that */
#define SCHEMA_DOC_MAX 512

/** A declaration tag that begins with "sonde:". */
struct sonde_tag {
	uint32_t type;
	int32_t component; /* index of the member; -1: the declaration itself */
	uint32_t id;
	const char *text; /* without "sonde:" */
};

struct sonde_builder {
	struct sonde_object object;
	struct sonde_btf btf;
	struct sonde_tag *tags; /* sorted by what they belong to */
	uint32_t n_tags;
	struct sonde_arena arena; /* becomes the schema's */
	const struct sonde_names *names;
};

/** Keeps the text for the caller of sonde_schema_new(). @return -EINVAL */
int sonde_builder_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** The text of the last failure in this thread. */
const char *sonde_builder_error(void);

/** Sort the object's tags. @return 0, -ENOMEM */
int sonde_builder_find_tags(struct sonde_builder *builder);
/** The next tag of a declaration, without "sonde:". @param cursor Starts at 0. @return NULL: no more. */
const char *sonde_builder_tag(const struct sonde_builder *builder, uint32_t type, int32_t component, uint32_t *cursor);
/** The variable after number *id, which begins at 0; it is in *id then. @return NULL: no more. */
const struct btf_type *sonde_builder_next_variable(const struct sonde_builder *builder, uint32_t *id);
/** The text behind `key` (e.g. "event=") of a variable's tag; NULL: it has no such tag. */
const char *sonde_builder_variable_tag(const struct sonde_builder *builder, uint32_t variable, const char *key);

/** Lower-case identifier: the name is used as it is in SQL, JSON and Prometheus. */
int sonde_builder_check_name(const char *what, const char *name);
/** One line of readable text. */
int sonde_builder_check_doc(const char *what, const char *name, const char *doc);

/** Columns while a struct is walked. */
struct sonde_columns {
	const char *what; /* "event demo", for errors */
	uint32_t n, n_members;
	struct sonde_column columns[SONDE_COLUMNS_MAX];
};

/** Append the columns of struct `type`, from its member `first` on; `first_offset` is where that one must stand. */
int sonde_columns_walk(struct sonde_builder *builder, struct sonde_columns *columns, uint32_t type, uint32_t first,
		       uint32_t first_offset);
/** A copy with the schema's life. */
int sonde_columns_take(struct sonde_builder *builder, const struct sonde_columns *columns,
		       const struct sonde_column **ret_columns);
/** The nine columns of every event. */
void sonde_common_columns(struct sonde_columns *columns);
/** Does the event begin with the header of this version? */
int sonde_common_check(const struct sonde_builder *builder, const char *what, const struct btf_type *event);
/** Read the settings into `schema`. */
int sonde_settings_build(struct sonde_builder *builder, struct sonde_schema *schema);
/** Read the metric maps into `schema`. */
int sonde_metrics_build(struct sonde_builder *builder, struct sonde_schema *schema);

/** What the tags of a member say. */
struct sonde_member_tags {
	const char *doc, *kernel_enum, *prefix, *length;
	bool hidden, top, measure, main, named, has_absent, absent_is_negative, is_flags;
	uint64_t flags_mask;
	uint64_t absent; /* two's complement */
};
int sonde_member_tags_read(const struct sonde_builder *builder, const char *field, uint32_t type, uint32_t member,
			   struct sonde_member_tags *ret_tags);
