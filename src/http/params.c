/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: gathered once, checked against the names of the route, then read by kind. The texts are foreign bytes. */
#include <http/params.h>

#include <http/request.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sonde_params_free(struct sonde_params *params)
{
	for (unsigned i = 0; i < params->n; i++)
		free(params->list[i].value);
	params->n = 0;
}

const char *sonde_param(const struct sonde_request *request, const char *name)
{
	for (unsigned i = 0; i < request->params.n; i++)
		if (!strcmp(request->params.list[i].name, name))
			return request->params.list[i].value;
	return NULL;
}

static bool param_known(const struct sonde_route *route, const char *name)
{
	char wanted[40];

	if (!*name || strchr(name, ' ') || snprintf(wanted, sizeof(wanted), " %s ", name) >= (int)sizeof(wanted))
		return false;
	return strstr(route->params, wanted);
}

static int param_add(struct sonde_request *request, const char *name, const char *value, size_t length)
{
	struct sonde_params *params = &request->params;
	struct sonde_param *param;

	if (!param_known(request->route, name))
		return !sonde_request_bad(request, name, "unknown parameter; this route takes:%s",
					  request->route->params[1] ? request->route->params : " none");
	if (sonde_param(request, name))
		return !sonde_request_bad(request, name, "given twice");
	if (memchr(value, '\0', length))
		return !sonde_request_bad(request, name, "a NUL byte cannot stand in a parameter");
	/* Names are known and unique, so they cannot be more than a route has. */
	if (params->n == SONDE_PARAMS_MAX)
		return !sonde_request_bad(request, name, "too many parameters");
	param = &params->list[params->n];
	snprintf(param->name, sizeof(param->name), "%s", name);
	param->value = strndup(value, length);
	if (!param->value)
		return !sonde_request_failed(request, -ENOMEM, "read the parameters");
	params->n++;
	return 0;
}

static enum MHD_Result param_from_query(void *userdata, enum MHD_ValueKind kind, const char *name, size_t name_size,
					const char *value, size_t value_size)
{
	struct sonde_request *request = userdata;
	int r;

	if (strlen(name) != name_size)
		r = !sonde_request_bad(request, NULL, "a NUL byte cannot stand in a parameter's name");
	else if (!value)
		r = !sonde_request_bad(request, name, "has no value");
	else
		r = param_add(request, name, value, value_size);
	return r ? MHD_NO : MHD_YES;
}

static int params_from_json(struct sonde_request *request)
{
	json_error_t error;
	json_t *object, *value;
	const char *name;
	char number[32];
	int r = 0;

	object = json_loadb(request->body.data, request->body.length, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return !sonde_request_bad(request, "body", "not JSON: line %d column %d: %s", error.line, error.column,
					  error.text);
	if (!json_is_object(object)) {
		json_decref(object);
		return !sonde_request_bad(request, "body", "must be a JSON object of parameters");
	}
	json_object_foreach(object, name, value) {
		if (json_is_integer(value)) {
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
			r = param_add(request, name, number, strlen(number));
		} else if (json_is_string(value)) {
			r = param_add(request, name, json_string_value(value), json_string_length(value));
		} else if (!json_is_null(value)) {
			r = !sonde_request_bad(request, name, "must be a text or a whole number");
		}
		if (r)
			break;
	}
	json_decref(object);
	return r;
}

/* Is this body JSON, by its type or by its looks? Only asked where plain text is taken too. */
static bool params_body_is_json(struct sonde_request *request)
{
	const char *type = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);

	if (type && !strncasecmp(type, "application/json", 16))
		return true;
	for (size_t i = 0; i < request->body.length; i++)
		if (!isspace((unsigned char)request->body.data[i]))
			return request->body.data[i] == '{';
	return false;
}

int sonde_params_read(struct sonde_request *request)
{
	MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, param_from_query, request);
	if (request->status)
		return 1;
	if (!request->body.length)
		return 0;
	if (!(request->route->methods & SONDE_METHOD_POST))
		return !sonde_request_bad(request, "body", "this route takes no body");
	if (request->route->raw_body && !params_body_is_json(request))
		return param_add(request, "sql", request->body.data, request->body.length);
	return params_from_json(request);
}

int sonde_param_u64(struct sonde_request *request, const char *name, uint64_t min, uint64_t max, uint64_t fallback,
		    uint64_t *ret_value)
{
	const char *text = sonde_param(request, name);
	uint64_t value;
	char *end;

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, 10);
	/* strtoull() also takes spaces, signs and wraps negative numbers. */
	if (!isdigit((unsigned char)text[0]) || *end || errno || value < min || value > max)
		return !sonde_request_bad(request, name, "must be a whole number from %" PRIu64 " to %" PRIu64, min, max);
	*ret_value = value;
	return 0;
}

int sonde_param_word(struct sonde_request *request, const char *name, const char *const *words, unsigned *ret_index)
{
	const char *text = sonde_param(request, name);
	char all[128] = "";

	for (unsigned i = 0; words[i]; i++) {
		if (!text || !strcmp(text, words[i])) {
			*ret_index = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", words[i]);
	}
	return !sonde_request_bad(request, name, "must be one of: %s", all);
}

int sonde_param_time(struct sonde_request *request, const char *name, int64_t now_ns, int64_t fallback, int64_t *ret_ns)
{
	const char *text = sonde_param(request, name);

	if (!text) {
		*ret_ns = fallback;
		return 0;
	}
	if (sonde_time_parse(text, now_ns, ret_ns))
		return !sonde_request_bad(request, name,
					  "must be a time (2026-01-31T12:00:00Z), Unix seconds, or a span back from now (5m, 2h30m)");
	return 0;
}
