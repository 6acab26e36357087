/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter language: text to a tree, and the tree against a type. The text comes from users and from the network: its
 * length, the number of values and the depth are bounded before anything grows with them.
 */
#include <schema/filter.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/units.h>
#include <schema/encode.h>
#include <schema/encode_text.h>
#include <schema/filter_term.h>

struct parser {
	const char *text;
	size_t at; /* behind the token */
	struct filter_token token;
	unsigned depth;
	struct sonde_filter *filter;
};

static _Thread_local char error_text[256];

/* "character 14: ..." of what the user typed: characters, not bytes. */
static int fail(const char *text, size_t at, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));
static int fail(const char *text, size_t at, int error, const char *format, ...)
{
	size_t character = 1;
	va_list args;
	int n;

	for (size_t i = 0; i < at; i++)
		character += ((unsigned char)text[i] & 0xc0) != 0x80;
	n = snprintf(error_text, sizeof(error_text), "character %zu: ", character);
	va_start(args, format);
	vsnprintf(error_text + n, sizeof(error_text) - (size_t)n, format, args);
	va_end(args);
	return error;
}

/* A piece of the user's text for a message: safe and short. */
static const char *quote(const char *bytes, size_t length, char ret[64])
{
	CLEANUP(sonde_buffer_free) struct sonde_buffer safe = SONDE_BUFFER_INIT;
	size_t fit;

	sonde_encode_terminal_text(bytes, length < 256 ? length : 256, &safe);
	fit = sonde_text_fit(safe.data, safe.length, 32);
	while (fit > 56)
		fit = sonde_text_fit(safe.data, fit - 1, 32);
	snprintf(ret, 64, "'%.*s%s'", (int)fit, safe.length ? safe.data : "", fit < safe.length ? "..." : "");
	return ret;
}

static int fail_expected(struct parser *parser, const char *expected)
{
	const struct filter_token *token = &parser->token;
	char found[64];

	if (token->type == FILTER_INVALID)
		return fail(parser->text, token->at, -EINVAL, "%s", token->error);
	if (token->type == FILTER_END)
		return fail(parser->text, token->at, -EINVAL, "expected %s, found the end", expected);
	return fail(parser->text, token->at, -EINVAL, "expected %s, found %s", expected,
		    quote(parser->text + token->at, token->length, found));
}

static void next(struct parser *parser)
{
	parser->token = filter_lex(parser->text, &parser->at);
}

static bool is_keyword(const struct parser *parser, const char *keyword)
{
	return parser->token.type == FILTER_WORD && parser->token.length == strlen(keyword) &&
	       !strncasecmp(parser->text + parser->token.at, keyword, parser->token.length);
}

static bool is_any_keyword(const struct parser *parser)
{
	return is_keyword(parser, "and") || is_keyword(parser, "or") || is_keyword(parser, "not") || is_keyword(parser, "in");
}

static int add_node(struct parser *parser, struct filter_node node)
{
	parser->filter->nodes[parser->filter->n_nodes] = node;
	return parser->filter->n_nodes++;
}

/* The inside of a string, its escapes resolved, in place. */
static int unescape(struct parser *parser, struct filter_value *value)
{
	size_t out = 0;

	for (size_t i = 0; i < value->length; i++) {
		const char *c = value->text + i;

		if (*c != '\\') {
			value->text[out++] = *c;
		} else if (c[1] == '"' || c[1] == '\'' || c[1] == '\\') {
			value->text[out++] = c[1];
			i++;
		} else if (c[1] == 'x' && sonde_hex_digit(c[2]) >= 0 && sonde_hex_digit(c[3]) >= 0) {
			value->text[out++] = (char)(sonde_hex_digit(c[2]) << 4 | sonde_hex_digit(c[3]));
			i += 3;
		} else {
			return fail(parser->text, value->at + 1 + i, -EINVAL,
				    "a backslash in a string begins \\\", \\', \\\\ or \\xNN");
		}
	}
	value->length = out;
	value->text[out] = '\0';
	return 0;
}

static int parse_value(struct parser *parser)
{
	struct filter_token token = parser->token;
	bool is_string = token.type == FILTER_STRING;
	struct filter_value *value;
	int r;

	if ((!is_string && token.type != FILTER_WORD) || is_any_keyword(parser))
		return fail_expected(parser, "a value");
	if (parser->filter->n_values == SONDE_FILTER_VALUES_MAX)
		return fail(parser->text, token.at, -EINVAL, "more than %d values", SONDE_FILTER_VALUES_MAX);
	value = &parser->filter->values[parser->filter->n_values];
	value->at = token.at;
	value->length = token.length - (is_string ? 2 : 0);
	value->text = strndup(parser->text + token.at + is_string, value->length);
	if (!value->text)
		return -ENOMEM;
	parser->filter->n_values++;
	if (is_string) {
		r = unescape(parser, value);
		if (r < 0)
			return r;
	}
	filter_value_read(value, !is_string);
	next(parser);
	return 0;
}

static int parse_list(struct parser *parser, struct filter_node *node)
{
	node->is_list = true;
	next(parser);
	if (parser->token.type != FILTER_OPEN)
		return fail_expected(parser, "'(' after 'in'");
	do {
		int r;

		next(parser);
		r = parse_value(parser);
		if (r < 0)
			return r;
	} while (parser->token.type == FILTER_COMMA);
	if (parser->token.type != FILTER_CLOSE)
		return fail_expected(parser, "',' or ')'");
	next(parser);
	return 0;
}

static int parse_operator(struct parser *parser, struct filter_node *node)
{
	if (is_keyword(parser, "in")) {
		node->operator_ = FILTER_EQUAL;
		return parse_list(parser, node);
	}
	if (is_keyword(parser, "not")) {
		next(parser);
		if (!is_keyword(parser, "in"))
			return fail_expected(parser, "'in' after 'not'");
		node->operator_ = FILTER_NOT_EQUAL;
		return parse_list(parser, node);
	}
	if (parser->token.type != FILTER_OPERATOR)
		return fail_expected(parser, "an operator (= != < <= > >= ~ !~ in)");
	node->operator_ = parser->token.operator_;
	next(parser);
	return parse_value(parser);
}

static int parse_compare(struct parser *parser)
{
	struct filter_token token = parser->token;
	struct filter_node node = {.type = FILTER_COMPARE, .at = token.at, .first = parser->filter->n_values};
	size_t letters = strspn(parser->text + token.at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	int r;

	if (token.type != FILTER_WORD || letters < token.length || is_any_keyword(parser))
		return fail_expected(parser, "the name of a column");
	next(parser);
	r = parse_operator(parser, &node);
	if (r < 0)
		return r;
	node.n_values = (uint16_t)(parser->filter->n_values - node.first);
	node.column = strndup(parser->text + token.at, token.length);
	if (!node.column)
		return -ENOMEM;
	return add_node(parser, node);
}

static int parse_or(struct parser *parser);

static int parse_group(struct parser *parser)
{
	int node;

	if (parser->depth == SONDE_FILTER_DEPTH_MAX)
		return fail(parser->text, parser->token.at, -EINVAL, "more than %d parentheses in each other",
			    SONDE_FILTER_DEPTH_MAX);
	parser->depth++;
	next(parser);
	node = parse_or(parser);
	if (node < 0)
		return node;
	if (parser->token.type != FILTER_CLOSE)
		return fail_expected(parser, "'and', 'or' or ')'");
	parser->depth--;
	next(parser);
	return node;
}

static int parse_not(struct parser *parser)
{
	bool negated = false;
	int node;

	for (; is_keyword(parser, "not"); negated = !negated)
		next(parser);
	node = parser->token.type == FILTER_OPEN ? parse_group(parser) : parse_compare(parser);
	if (node >= 0)
		parser->filter->nodes[node].negated ^= negated;
	return node;
}

static int parse_and(struct parser *parser)
{
	int left = parse_not(parser);

	while (left >= 0 && is_keyword(parser, "and")) {
		int right;

		next(parser);
		right = parse_not(parser);
		if (right < 0)
			return right;
		left = add_node(parser, (struct filter_node){.type = FILTER_AND, .left = (uint16_t)left,
							     .right = (uint16_t)right});
	}
	return left;
}

static int parse_or(struct parser *parser)
{
	int left = parse_and(parser);

	while (left >= 0 && is_keyword(parser, "or")) {
		int right;

		next(parser);
		right = parse_and(parser);
		if (right < 0)
			return right;
		left = add_node(parser, (struct filter_node){.type = FILTER_OR, .left = (uint16_t)left,
							     .right = (uint16_t)right});
	}
	return left;
}

static int parse(struct parser *parser)
{
	int root;

	if (strnlen(parser->text, SONDE_FILTER_TEXT_MAX + 1) > SONDE_FILTER_TEXT_MAX)
		return fail(parser->text, SONDE_FILTER_TEXT_MAX, -EINVAL, "a filter has at most %d bytes",
			    SONDE_FILTER_TEXT_MAX);
	next(parser);
	root = parse_or(parser);
	if (root < 0)
		return root;
	if (parser->token.type != FILTER_END)
		return fail_expected(parser, "'and', 'or' or the end");
	parser->filter->root = (uint16_t)root;
	return 0;
}

int sonde_filter_new(const char *text, const char **ret_error, struct sonde_filter **ret_filter)
{
	CLEANUP(sonde_filter_free) struct sonde_filter *filter = calloc(1, sizeof(*filter));
	struct parser parser = {.text = text, .filter = filter};
	int r = -ENOMEM;

	if (filter) {
		filter->text = strndup(text, SONDE_FILTER_TEXT_MAX);
		r = filter->text ? parse(&parser) : -ENOMEM;
	}
	if (r < 0) {
		*ret_error = r == -ENOMEM ? "out of memory" : error_text;
		return r;
	}
	*ret_filter = TAKE_PTR(filter);
	return 0;
}

void sonde_filter_free(struct sonde_filter **filter)
{
	struct sonde_filter *f = *filter;

	if (!f)
		return;
	for (uint16_t i = 0; i < f->n_nodes; i++)
		free(f->nodes[i].column);
	for (uint16_t i = 0; i < f->n_values; i++)
		free(f->values[i].text);
	free(f->text);
	free(f);
	*filter = NULL;
}

static bool unit_fits(enum sonde_semantic semantic, enum filter_unit unit)
{
	return unit == FILTER_UNIT_NONE || semantic == SONDE_SEMANTIC_NONE ||
	       semantic == (unit == FILTER_UNIT_BYTES ? SONDE_SEMANTIC_BYTES : SONDE_SEMANTIC_DURATION_NS);
}

/* @return what the column wants instead, NULL: the value will do. */
static const char *wrong_value(const struct sonde_column *column, const struct filter_value *value)
{
	bool is_time = column->semantic == SONDE_SEMANTIC_TIME;

	if (value->is_null)
		return NULL;
	switch (column->type) {
	case SONDE_INT:
	case SONDE_UINT:
		if ((is_time && value->is_time) || (value->is_number && unit_fits(column->semantic, value->unit)))
			return NULL;
		return is_time					       ? "a time (2026-11-20T22:52:54Z)" :
		       column->semantic == SONDE_SEMANTIC_DURATION_NS ? "a duration (10ms)" :
		       column->semantic == SONDE_SEMANTIC_BYTES	       ? "a size (10KiB)" :
									 "a number";
	case SONDE_BOOL:
		return value->is_bool ? NULL : "true or false";
	case SONDE_ADDRESS:
		return value->is_network ? NULL : "an address or a network (10.0.0.0/8)";
	default:
		return NULL;
	}
}

static bool operator_fits(const struct sonde_column *column, const struct filter_node *node, const struct filter_value *value)
{
	bool equality = node->operator_ == FILTER_EQUAL || node->operator_ == FILTER_NOT_EQUAL;
	bool contains = node->operator_ == FILTER_CONTAINS || node->operator_ == FILTER_CONTAINS_NOT;

	if (equality)
		return true;
	if (value->is_null || column->type == SONDE_BOOL)
		return false;
	if (contains)
		return column->type == SONDE_TEXT || column->type == SONDE_ADDRESS;
	return column->type != SONDE_ADDRESS;
}

static int check_node(const struct sonde_filter *filter, const struct filter_node *node, const struct sonde_type *type)
{
	const struct sonde_column *column;
	char name[64], text[64];
	int index = filter_find_column(type, node);

	if (index < 0)
		return fail(filter->text, node->at, -ENOENT, "'%s' has no column %s", type->name,
			    quote(node->column, strlen(node->column), name));
	column = &type->columns[index];
	quote(node->column, strlen(node->column), name);
	for (uint16_t i = node->first; i < node->first + node->n_values; i++) {
		const struct filter_value *value = &filter->values[i];
		const char *wanted = wrong_value(column, value);

		quote(value->text, value->length, text);
		if (wanted)
			return fail(filter->text, value->at, -EINVAL, "%s is compared with %s, not with %s", name, wanted, text);
		if (!operator_fits(column, node, value))
			return fail(filter->text, node->at, -EINVAL, "%s and %s cannot be compared in this way, only with = and !=",
				    name, text);
	}
	return 0;
}

int sonde_filter_check(const struct sonde_filter *filter, const struct sonde_type *type, const char **ret_error)
{
	for (uint16_t i = 0; i < filter->n_nodes; i++) {
		int r;

		if (filter->nodes[i].type != FILTER_COMPARE)
			continue;
		r = check_node(filter, &filter->nodes[i], type);
		if (r < 0) {
			*ret_error = error_text;
			return r;
		}
	}
	return 0;
}

/* @return 0: one of the types has such a column, and it can be compared so. */
static int check_node_any(const struct sonde_filter *filter, const struct filter_node *node, const struct sonde_type *const *types,
			  size_t n)
{
	char name[64];
	int r = -ENOENT;

	for (size_t i = 0; i < n && r; i++)
		r = check_node(filter, node, types[i]);
	for (size_t i = 0; i < n && r == -ENOENT; i++) /* of those that have it and are of another kind, the first says why */
		r = check_node(filter, node, types[i]);
	return r != -ENOENT ? r : fail(filter->text, node->at, -ENOENT, "no type of event has a column %s",
				       quote(node->column, strlen(node->column), name));
}

int sonde_filter_check_any(const struct sonde_filter *filter, const struct sonde_type *const *types, size_t n, const char **ret_error)
{
	for (uint16_t i = 0; n && i < filter->n_nodes; i++) {
		int r = filter->nodes[i].type == FILTER_COMPARE ? check_node_any(filter, &filter->nodes[i], types, n) : 0;

		if (r < 0) {
			*ret_error = error_text;
			return r;
		}
	}
	return 0;
}
