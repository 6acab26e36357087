/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file filter_term.h
 * What the parts of the filter share: its words and the tree that is made of them. For schema/filter*.c only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <schema/filter.h>

enum filter_token_type {
	FILTER_END,
	FILTER_WORD,
	FILTER_STRING,
	FILTER_OPEN,
	FILTER_CLOSE,
	FILTER_COMMA,
	FILTER_OPERATOR,
	FILTER_INVALID, /* `error` says why */
};

enum filter_operator {
	FILTER_EQUAL,
	FILTER_NOT_EQUAL,
	FILTER_LESS,
	FILTER_LESS_EQUAL,
	FILTER_MORE,
	FILTER_MORE_EQUAL,
	FILTER_CONTAINS,
	FILTER_CONTAINS_NOT,
};

struct filter_token {
	enum filter_token_type type;
	enum filter_operator operator_;
	size_t at, length;   /* in the filter's text, quotes included */
	const char *error;
};

/** The token at `*at` or behind blanks after it; moves `*at` behind the token. */
struct filter_token filter_lex(const char *text, size_t *at);

enum filter_unit { FILTER_UNIT_NONE, FILTER_UNIT_DURATION, FILTER_UNIT_BYTES };

/** A literal, with everything that its text can mean: only the row says which is meant. */
struct filter_value {
	size_t at;
	char *text; /* owned; NUL-terminated for convenience, may hold NUL */
	size_t length;
	bool is_null, is_bool, bool_value; /* bare words only */
	bool is_number, is_fraction;	   /* is_fraction: the number is between `number` and `number` + 1 */
	__int128 number;
	enum filter_unit unit;
	bool is_time;
	int64_t time_ns;
	bool is_network;
	uint8_t network[16];
	unsigned prefix; /* of 128 bits */
};

/** Find out what a text can mean. `bare`: not in quotes, so null, true and false are themselves. */
void filter_value_read(struct filter_value *value, bool bare);

enum filter_node_type { FILTER_AND, FILTER_OR, FILTER_COMPARE };

struct filter_node {
	enum filter_node_type type;
	bool negated;		   /* by `not`: what comes out is turned around */
	uint16_t left, right;	   /* FILTER_AND, FILTER_OR: nodes */
	uint16_t first, n_values;  /* FILTER_COMPARE: with this value; in a list: with any of these */
	enum filter_operator operator_; /* in a list: FILTER_EQUAL (in) or FILTER_NOT_EQUAL (not in) */
	bool is_list;
	size_t at;    /* of the column's name */
	char *column; /* owned */
	/* Where the column stood in the type that was matched last. Checked before use, so any old value will do. */
	_Atomic uint32_t guess;
};

struct sonde_filter {
	uint16_t n_nodes, n_values, root;
	char *text; /* owned, for messages */
	struct filter_node nodes[SONDE_FILTER_VALUES_MAX * 2]; /* a comparison has a value; two of them have one joint */
	struct filter_value values[SONDE_FILTER_VALUES_MAX];
};

/** @return index, -1: the type has no such column. */
int filter_find_column(const struct sonde_type *type, const struct filter_node *node);
