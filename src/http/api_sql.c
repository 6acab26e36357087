/* SPDX-License-Identifier: Apache-2.0 */
/* SQL over the store, read-only (the store sees to that). The answer is bounded in rows, bytes and time. */
#include <http/answer.h>
#include <http/request.h>
#include <schema/encode.h>

#include <base/clock.h>
#include <errno.h>
#include <string.h>

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 10000
#define TIMEOUT_DEFAULT_MS 5000
/* Within the time that the agent has to stop. */
#define TIMEOUT_MAX_MS 9000
#define ANSWER_MAX (8u * 1024 * 1024)

struct sql {
	struct sonde_request *request;
	uint64_t limit, rows;
	bool too_large, more;
};

static void columns_json(int n, const char *const *names, struct sonde_buffer *out)
{
	sonde_buffer_add_text(out, "{\"columns\":[");
	for (int i = 0; i < n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_encode_json_text(names[i], strlen(names[i]), out);
	}
	sonde_buffer_add_text(out, "],\"rows\":[");
}

static int sql_row(int n, const char *const *names, const struct sonde_value *values, void *userdata)
{
	struct sql *sql = userdata;
	struct sonde_buffer *out = &sql->request->out;

	if (sql->request->http->cancelled)
		return -ECANCELED;
	if (!sql->rows)
		columns_json(n, names, out);
	if (!values)
		return 0;
	if (sql->rows == sql->limit) {
		sql->more = true;
		return 1;
	}
	sonde_buffer_add_text(out, sql->rows++ ? ",[" : "[");
	for (int i = 0; i < n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_encode_json_value(NULL, &values[i], out);
	}
	sonde_buffer_add_char(out, ']');
	if (out->length > ANSWER_MAX || sonde_buffer_error(out)) {
		sql->too_large = true;
		return -E2BIG;
	}
	return 0;
}

int sonde_api_sql(struct sonde_request *request)
{
	const char *text = sonde_param(request, "sql"), *error = NULL;
	struct sql sql = {.request = request};
	struct sonde_answer answer;
	uint64_t timeout_ms;
	int r;

	if (!text || !*text)
		return sonde_request_bad(request, "sql", "send the statement as the body, or as {\"sql\": ...}");
	if (sonde_param_u64(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &sql.limit) ||
	    sonde_param_u64(request, "timeout_ms", 1, TIMEOUT_MAX_MS, TIMEOUT_DEFAULT_MS, &timeout_ms))
		return 0;
	request->out.limit = ANSWER_MAX + 1024 * 1024;
	/* One row more than asked for tells whether there are more. */
	r = sonde_store_sql(request->view->store, text, (uint32_t)sql.limit + 1, (int64_t)timeout_ms * SONDE_NS_PER_MS, sql_row,
			    &sql, &answer, &error);
	if (sql.too_large)
		return sonde_request_bad(request, "sql", "the answer is larger than %u MiB: ask for fewer columns or rows",
					 ANSWER_MAX >> 20);
	if (r == -ENOTSUP)
		return sonde_request_error(request, MHD_HTTP_NOT_IMPLEMENTED, "not_supported", NULL,
					   "the memory store has no SQL; start the agent with a file as store");
	if (r == -ETIMEDOUT || r == -ETIME)
		return sonde_request_error(request, MHD_HTTP_GATEWAY_TIMEOUT, "timeout", NULL, "the statement took longer than %llu ms: ask for a shorter span of time, or read "
					   "the file, which has more time: 'sonde sql --store PATH'", (unsigned long long)timeout_ms);
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return sonde_request_bad(request, "sql", "%s", error && *error ? error : strerror(-r));
	sonde_buffer_add_text(&request->out, "],");
	sonde_json_bool(&request->out, "more", sql.more);
	sonde_buffer_add_char(&request->out, ',');
	sonde_answer_json(&answer, false, &request->out);
	sonde_buffer_add_text(&request->out, "}\n");
	return 0;
}
