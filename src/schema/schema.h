/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file schema.h
 * Types of events and their columns, derived from the BTF of a program's object and from nothing else.
 *
 * Every type has the nine common columns first (enum sonde_common_column, in that order), then its own. A nested
 * struct is flattened under its members' names. sonde_errno gives two columns (<name>: text, "errno": number),
 * sonde_signal two (<name>: number, <name>_name: text), SONDE_FLAGS too (<name>: text, <name>_number). Two columns of the same name in one type: -EINVAL.
 *
 * Threads: a schema does not change after it is made; any number of threads may read it.
 * Errors:  an `int` below zero is a negative errno; `error` texts say what is wrong with which field.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sonde_header;

enum sonde_value_type {
	SONDE_NULL, /* absent or unknown */
	SONDE_INT,
	SONDE_UINT,
	SONDE_BOOL,
	SONDE_TEXT,    /* bytes, not necessarily UTF-8; encoders make them safe */
	SONDE_ADDRESS, /* 16 bytes: IPv6 or IPv4-mapped */
	SONDE_REAL,    /* of an answer to SQL only: no column has it */
};

/** One value. Text and addresses are borrowed: from the record, from an intern table, or from the answering store row. */
struct sonde_value {
	enum sonde_value_type type;
	uint32_t length; /* bytes of text */
	union {
		int64_t i;
		uint64_t u;
		bool b;
		const char *text; /* not NUL-terminated */
		const uint8_t *address;
		double real;
	};
};

/** What a column means; decides how a terminal shows it. JSON, CSV and SQL show the plain value. */
enum sonde_semantic {
	SONDE_SEMANTIC_NONE,
	SONDE_SEMANTIC_TIME,	     /* INT, ns since 1970 UTC; text in JSON (RFC 3339) */
	SONDE_SEMANTIC_DURATION_NS,
	SONDE_SEMANTIC_BYTES,
	SONDE_SEMANTIC_COUNT,
	SONDE_SEMANTIC_PID,
	SONDE_SEMANTIC_UID,
	SONDE_SEMANTIC_PORT,
	SONDE_SEMANTIC_PROTOCOL,     /* TEXT */
	SONDE_SEMANTIC_ADDRESS,
	SONDE_SEMANTIC_COOKIE,
	SONDE_SEMANTIC_ENUM,	     /* TEXT: enum of the program */
	SONDE_SEMANTIC_KERNEL_ENUM,  /* TEXT: enum of the running kernel */
	SONDE_SEMANTIC_FLAGS,	     /* TEXT: names of an enum of the program, '|' between them */
	SONDE_SEMANTIC_FLAGS_NUMBER, /* UINT */
	SONDE_SEMANTIC_SYMBOL,	     /* TEXT */
	SONDE_SEMANTIC_ERRNO_NAME,   /* TEXT */
	SONDE_SEMANTIC_ERRNO,	     /* UINT */
	SONDE_SEMANTIC_SIGNAL,	     /* UINT */
	SONDE_SEMANTIC_SIGNAL_NAME,  /* TEXT */
	SONDE_SEMANTIC_ARGUMENTS,    /* TEXT: words, NUL-separated; shown shell-quoted in every encoder */
	SONDE_SEMANTIC_ADDRESS_NAME, /* TEXT: what the process knew the address by */
	SONDE_SEMANTIC_PERCENT,
	SONDE_SEMANTIC_ESCAPED,	     /* TEXT that an encoder wrote, as in an agent's JSON: its backslashes stay as they are */
	SONDE_SEMANTIC_MAX,
};

/** "duration_ns", "port", ...: in the schema's JSON; "none" for a number that is none of them. */
const char *sonde_semantic_word(enum sonde_semantic semantic);
/** @return 0, -EINVAL: no such word. */
int sonde_semantic_parse(const char *name, enum sonde_semantic *ret_semantic);
/** The reverse; SONDE_SEMANTIC_NONE for a word that is not known (a newer agent's). */
enum sonde_semantic sonde_semantic_from_word(const char *name);

/** The columns that every type has, in this order, before its own. */
enum sonde_common_column {
	SONDE_COLUMN_TIME,
	SONDE_COLUMN_TYPE,
	SONDE_COLUMN_PID,
	SONDE_COLUMN_TID,
	SONDE_COLUMN_UID,
	SONDE_COLUMN_COMMAND,
	SONDE_COLUMN_CONTAINER,
	SONDE_COLUMN_SOURCE,
	SONDE_COLUMN_WEIGHT,
	SONDE_COLUMN_COMMON_MAX,
};

#define SONDE_COLUMNS_MAX 64

struct sonde_enum; /* number -> name */

struct sonde_column {
	const char *name;
	const char *doc;
	const char *unit; /* "ns", "bytes", "1/sample", ... or NULL */
	enum sonde_value_type type;
	enum sonde_semantic semantic;
	/* Where the value stands in a record; columns of a type that was read from a store have size 0. */
	uint32_t offset, size;
	bool is_signed;
	bool has_absent;
	int64_t absent;
	int length_offset; /* of the field that holds the number of valid bytes; -1: NUL-terminated */
	int length_size;
	const struct sonde_enum *names;
	bool is_top;	 /* SONDE_TOP, see sonde_type_has_top() */
	bool is_measure; /* SONDE_MEASURE; at most one of a type */
	bool is_main;	 /* SONDE_MAIN, and all arguments */
	/* For sonde_event_value() alone. */
	bool is_plain; /* the number is the value */
	bool is_chars; /* text that stands in the record */
	const char *prefix; /* of the names, not shown */
	uint32_t prefix_length;
	uint64_t flags_mask; /* SONDE_FLAGS: bits that are one number */
};

struct sonde_type {
	const char *name; /* "connection" */
	const char *doc;
	uint16_t number;    /* sonde_header.type */
	uint32_t size;	    /* bytes of a whole record; 0: read from a store */
	uint32_t n_columns; /* common ones included */
	const struct sonde_column *columns;
};

/** A setting of the program (SONDE_SETTING) and where it stands in .rodata. */
struct sonde_setting {
	const char *name, *doc;
	uint32_t offset, size;
	int64_t value; /* the default */
	int64_t least, most; /* with is_bounded */
	bool is_signed, is_bool, is_bounded;
};

/** A metric map (SONDE_COUNTER, SONDE_GAUGE, SONDE_HISTOGRAM): the key's fields are the labels. */
struct sonde_metric {
	const char *name; /* without "sonde_" */
	const char *doc;
	const char *map; /* name of the BPF map */
	bool is_counter, is_histogram;
	uint32_t key_size, n_labels;
	uint32_t bucket_offset; /* of a histogram: where `le`, which is no label here, stands in the key */
	const struct sonde_column *labels; /* offsets count from the start of the key */
};

struct sonde_schema {
	const char *program;
	uint32_t n_types, n_settings, n_metrics;
	const struct sonde_type *types;
	const struct sonde_setting *settings;
	const struct sonde_metric *metrics;
};

struct btf;

/**
 * @brief Names that come from outside the object. Where there is none, the number is shown (as text).
 * The texts live as long as the process (interned) where nothing else is said.
 */
struct sonde_names {
	void *userdata;
	const char *(*symbol)(void *userdata, uint64_t address);	   /* kernel function, or NULL */
	/* What the process of `record` knew these 16 bytes by at that time, or NULL. Valid until this thread has been given 256 more. */
	const char *(*address)(void *userdata, const struct sonde_header *record, const uint8_t *address);
	/* May these bytes have a name? False: nobody has one for them now. NULL: they may. */
	bool (*has_name)(void *userdata, const uint8_t *address);
	/* NULL: sonde_enum_of_kernel() is asked. */
	const struct sonde_enum *(*kernel_enum)(void *userdata, const char *name);
};

/**
 * @brief Numbers and names (as the kernel spells them) of one enum of the running kernel, read once and kept for good.
 * @return NULL: this kernel has no BTF or no such enum.
 */
const struct sonde_enum *sonde_enum_of_kernel(const char *name);
/** @return NULL: the number has no name, or `names` is NULL. */
const char *sonde_enum_name(const struct sonde_enum *names, int64_t number);

/**
 * @brief Derive the schema of a program from its object.
 * @param program Name of the program, e.g. "connection".
 * @param object The whole ELF file in memory; borrowed for the call.
 * @param names Borrowed for the life of the schema. NULL: no outside names.
 * @param ret_error On failure a text (borrowed, until the next call in this thread) with the field and the remedy.
 * @return 0; -EINVAL the object breaks a rule of types.h or is damaged; -ENOENT it has no event; -ENOMEM.
 * Limits: 16 MiB of object, 64 each of events, settings and metrics, SONDE_COLUMNS_MAX columns, names of 47 bytes.
 * Types are numbered from 0 in the order of their SONDE_EVENT() in BTF: the loader writes these numbers to the
 * variables `sonde_event_NAME` before it loads the object.
 */
int sonde_schema_new(const char *program, const void *object, size_t size, const struct sonde_names *names,
		     const char **ret_error, struct sonde_schema **ret_schema);
void sonde_schema_free(struct sonde_schema **schema);
/** NULL: there is none. */
/** The setting of programs that report at intervals. */
#define SONDE_INTERVAL_SETTING "update_interval_ns"
const struct sonde_setting *sonde_schema_setting(const struct sonde_schema *schema, const char *name);
/**
 * @brief Can the program take this value?
 * @return 0; -ENOENT no such setting; -ERANGE; with `error`: what, and what is allowed.
 */
int sonde_setting_check(const struct sonde_schema *schema, const char *name, int64_t value, char *error, size_t error_size);
/** What it is in these bytes of .rodata; its default where they do not hold it. */
int64_t sonde_setting_value(const struct sonde_setting *setting, const void *rodata, size_t size);
#define SONDE_SETTING_TEXT_MAX 48 /* SONDE_UNITS_TEXT_MAX */
/** As the configuration takes it: 10s, 16MiB, true. The result is `text` or static. */
const char *sonde_setting_text(const struct sonde_setting *setting, int64_t value, char text[SONDE_SETTING_TEXT_MAX]);
const struct sonde_type *sonde_schema_type(const struct sonde_schema *schema, uint16_t number);
int sonde_type_find_column(const struct sonde_type *type, const char *name); /* index or -ENOENT */
/** Is it a number of which a sum means something: bytes, things, time spent, or a number that is nothing else? */
bool sonde_column_is_quantity(const struct sonde_column *column);
/** Are the column's most frequent values worth showing? What the program says, and command, container, enums and errors. */
bool sonde_type_has_top(const struct sonde_type *type, uint32_t column);
/** The quantity that an event of the type stands for. @return -ENOENT: each event is one thing. */
int sonde_type_measure(const struct sonde_type *type);

/** An event on its way through user space: the kernel's record and what was added to it. */
struct sonde_event {
	const struct sonde_type *type;
	const struct sonde_header *record;
	uint32_t length;	/* bytes of the record; may end before the type's last fields */
	int64_t time_ns;	/* wall clock, ns since 1970 UTC */
	const char *container;	/* interned, or NULL */
	const char *source;	/* "ebpf", "netlink", ... (static) */
};

/**
 * @brief One column of an event. Cheap for numbers; symbols and enums are looked up.
 * The value borrows from the event. A column beyond the record's end is SONDE_NULL; of a text that the record cuts, what
 * there is is the value. Arguments come without their last NUL. Other times than the event's own are moved to the wall
 * clock by the same distance. (Texts of numbers that have no name are kept; beyond 4,096 of them in a process they are
 * valid until this thread has been given 256 more. Names of addresses are that always.)
 */
void sonde_event_value(const struct sonde_event *event, uint32_t column, const struct sonde_names *names,
		       struct sonde_value *ret_value);
/** All columns at once; `values` has room for type->n_columns. */
void sonde_event_values(const struct sonde_event *event, const struct sonde_names *names, struct sonde_value *values);
/** The label `column` of a metric's key. */
void sonde_label_value(const struct sonde_column *column, const void *key, const struct sonde_names *names,
		       struct sonde_value *ret_value);
