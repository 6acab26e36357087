/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a row fulfil a filter? Nothing is allocated and nothing is changed but a guess, so any number of threads may match
 * with one filter. The depth of the recursion is bounded by the parser.
 */
#include <schema/filter_term.h>

#include <stdatomic.h>
#include <string.h>

#include <schema/encode_text.h>

int filter_find_column(const struct sonde_type *type, const struct filter_node *node)
{
	uint32_t guess = atomic_load_explicit(&node->guess, memory_order_relaxed);
	int index;

	if (guess < type->n_columns && !strcmp(type->columns[guess].name, node->column))
		return (int)guess;
	index = sonde_type_find_column(type, node->column);
	if (index < 0)
		return -1;
	/* The filter is const to its users; the guess is no part of what it means. */
	atomic_store_explicit((_Atomic uint32_t *)&node->guess, (uint32_t)index, memory_order_relaxed);
	return index;
}

static bool order_fits(int order, enum filter_operator operator_)
{
	switch (operator_) {
	case FILTER_EQUAL:
		return order == 0;
	case FILTER_NOT_EQUAL:
		return order != 0;
	case FILTER_LESS:
		return order < 0;
	case FILTER_LESS_EQUAL:
		return order <= 0;
	case FILTER_MORE:
		return order > 0;
	case FILTER_MORE_EQUAL:
		return order >= 0;
	default:
		return false;
	}
}

static bool match_number(__int128 number, bool is_time, enum filter_operator operator_, const struct filter_value *value)
{
	__int128 other = value->number;

	if (is_time && value->is_time)
		return order_fits(number < value->time_ns ? -1 : number > value->time_ns, operator_);
	if (!value->is_number)
		return false;
	if (number == other)
		return order_fits(value->is_fraction ? -1 : 0, operator_);
	return order_fits(number < other ? -1 : 1, operator_);
}

/* A byte of the row as it is compared: the words of arguments have blanks between them. */
static unsigned char row_byte(char c, bool arguments)
{
	return (unsigned char)(arguments && !c ? ' ' : c);
}

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static bool contains(const char *text, size_t length, bool arguments, const struct filter_value *value)
{
	for (size_t start = 0; start + value->length <= length; start++) {
		size_t i = 0;

		while (i < value->length &&
		       lower(row_byte(text[start + i], arguments)) == lower((unsigned char)value->text[i]))
			i++;
		if (i == value->length)
			return true;
	}
	return false;
}

static int compare_text(const char *text, size_t length, bool arguments, const struct filter_value *value)
{
	size_t shorter = length < value->length ? length : value->length;

	for (size_t i = 0; i < shorter; i++) {
		int order = row_byte(text[i], arguments) - (unsigned char)value->text[i];

		if (order)
			return order;
	}
	return length < value->length ? -1 : length > value->length;
}

static bool match_text(const struct sonde_value *row, bool arguments, enum filter_operator operator_,
		       const struct filter_value *value)
{
	if (operator_ == FILTER_CONTAINS || operator_ == FILTER_CONTAINS_NOT)
		return contains(row->text, row->length, arguments, value) == (operator_ == FILTER_CONTAINS);
	return order_fits(compare_text(row->text, row->length, arguments, value), operator_);
}

static bool is_in_network(const uint8_t address[16], const struct filter_value *value)
{
	unsigned bytes = value->prefix / 8, bits = value->prefix % 8;

	/* ::/0 means IPv6, although IPv4 is kept inside of it. */
	if (sonde_address_is_ipv4(address) != sonde_address_is_ipv4(value->network))
		return false;
	return !memcmp(address, value->network, bytes) &&
	       (!bits || !((address[bytes] ^ value->network[bytes]) >> (8 - bits)));
}

static bool match_address(const uint8_t address[16], enum filter_operator operator_, const struct filter_value *value)
{
	if (!value->is_network)
		return false;
	switch (operator_) {
	case FILTER_EQUAL:
	case FILTER_CONTAINS:
		return is_in_network(address, value);
	case FILTER_NOT_EQUAL:
	case FILTER_CONTAINS_NOT:
		return !is_in_network(address, value);
	default:
		return false;
	}
}

static bool match_value(const struct sonde_column *column, const struct sonde_value *row, enum filter_operator operator_,
			const struct filter_value *value)
{
	if (value->is_null)
		return order_fits(row->type != SONDE_NULL, operator_) &&
		       (operator_ == FILTER_EQUAL || operator_ == FILTER_NOT_EQUAL);
	switch (row->type) {
	case SONDE_INT:
		return match_number(row->i, column->semantic == SONDE_SEMANTIC_TIME, operator_, value);
	case SONDE_UINT:
		return match_number(row->u, false, operator_, value);
	case SONDE_BOOL:
		return value->is_bool && (operator_ == FILTER_EQUAL || operator_ == FILTER_NOT_EQUAL) &&
		       order_fits(row->b != value->bool_value, operator_);
	case SONDE_TEXT:
		return match_text(row, column->semantic == SONDE_SEMANTIC_ARGUMENTS, operator_, value);
	case SONDE_ADDRESS:
		return match_address(row->address, operator_, value);
	case SONDE_NULL:
	case SONDE_REAL:
		break;
	}
	return false;
}

static bool match_compare(const struct sonde_filter *filter, const struct filter_node *node, const struct sonde_type *type,
			  const struct sonde_value *values)
{
	static const struct sonde_value null = {.type = SONDE_NULL};
	int index = filter_find_column(type, node);
	const struct sonde_value *row = index < 0 ? &null : &values[index];
	const struct sonde_column *column = index < 0 ? NULL : &type->columns[index];

	if (!node->is_list)
		return match_value(column, row, node->operator_, &filter->values[node->first]);
	for (uint16_t i = node->first; i < node->first + node->n_values; i++)
		if (match_value(column, row, FILTER_EQUAL, &filter->values[i]))
			return node->operator_ == FILTER_EQUAL;
	/* `not in` a list, like !=, is false for null. */
	return node->operator_ == FILTER_NOT_EQUAL && row->type != SONDE_NULL;
}

static bool match_node(const struct sonde_filter *filter, uint16_t index, const struct sonde_type *type,
		       const struct sonde_value *values)
{
	const struct filter_node *node = &filter->nodes[index];
	bool match;

	if (node->type == FILTER_COMPARE)
		match = match_compare(filter, node, type, values);
	else if (match_node(filter, node->left, type, values) == (node->type == FILTER_AND))
		match = match_node(filter, node->right, type, values);
	else
		match = node->type == FILTER_OR;
	return match != node->negated;
}

bool sonde_filter_match(const struct sonde_filter *filter, const struct sonde_type *type, const struct sonde_value *values)
{
	return match_node(filter, filter->root, type, values);
}

uint64_t sonde_filter_columns(const struct sonde_filter *filter, const struct sonde_type *type)
{
	uint64_t columns = 0;

	for (uint16_t i = 0; i < filter->n_nodes; i++) {
		int index = filter->nodes[i].type == FILTER_COMPARE ? filter_find_column(type, &filter->nodes[i]) : -1;

		if (index >= 0)
			columns |= 1ull << index;
	}
	return columns;
}
