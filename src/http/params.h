/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file params.h
 * Parameters of a request, from the query string or from a JSON body, and their readings. No parameter is ignored: an
 * unknown one, a second one of a name and a value that is not of its kind are refused by name.
 *
 * Threads: as the request they belong to.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <schema/filter.h>
#include <schema/schema.h>
#include <runtime/view.h>

#define SONDE_PARAMS_MAX 16

struct sonde_request;

struct sonde_param {
	char name[32];
	char *value; /* without NUL inside */
};

struct sonde_params {
	unsigned n;
	struct sonde_param list[SONDE_PARAMS_MAX];
};

void sonde_params_free(struct sonde_params *params);
/**
 * @brief Take the parameters of the query string and of the body, checked against the route's names.
 * @return 0; 1: refused, the request's answer says why.
 */
int sonde_params_read(struct sonde_request *request);
/** The value, or NULL: not given. */
const char *sonde_param(const struct sonde_request *request, const char *name);

/* Each reading returns 0 (ret_x is the fallback if not given) or 1: refused, the answer says why. */
int sonde_param_u64(struct sonde_request *request, const char *name, uint64_t min, uint64_t max, uint64_t fallback,
		    uint64_t *ret_value);
/** One of the words (between spaces: " json ndjson "): index. */
int sonde_param_word(struct sonde_request *request, const char *name, const char *const *words, unsigned *ret_index);
/** RFC 3339, Unix seconds, or a span back from now ("5m", "2h30m"). ns since 1970. */
int sonde_param_time(struct sonde_request *request, const char *name, int64_t now_ns, int64_t fallback, int64_t *ret_ns);

/** Which events are meant: the parameters type, pid, command, container, since, until, where. Borrows from the request. */
struct sonde_selection {
	struct sonde_query query;
	const struct sonde_type *type; /* of query.type, or NULL */
	struct sonde_filter *where;
};

int sonde_selection_read(struct sonde_request *request, int64_t default_since_ns, struct sonde_selection *ret_selection);
void sonde_selection_free(struct sonde_selection *selection);
/** Does an event that is not from the store match (all but the time)? */
bool sonde_selection_match(const struct sonde_selection *selection, const struct sonde_type *type,
			   const struct sonde_value *values);

/** All types: of the programs, then those that only the store knows. @return number. */
size_t sonde_types(const struct sonde_view *view, const struct sonde_type **types, size_t max);
const struct sonde_type *sonde_type_find(const struct sonde_view *view, const char *name);

/** Text to ns since 1970. @return 0 or -EINVAL. */
int sonde_time_parse(const char *text, int64_t now_ns, int64_t *ret_ns);
