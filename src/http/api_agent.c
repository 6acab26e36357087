/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent says about itself (programs, schema, ledger, status), and the few requests that change it. */
#include <http/health.h>
#include <http/request.h>
#include <schema/encode.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void program_json(const struct sonde_program_status *program, struct sonde_buffer *out)
{
	sonde_buffer_add_char(out, '{');
	sonde_json_text(out, "name", program->name);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "doc", program->doc);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "source", program->source);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "state", sonde_program_state_name(program->state));
	sonde_buffer_add_char(out, ',');
	sonde_json_bool(out, "required", program->required);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "reason", program->reason);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "started_ns", program->started_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "reattached", program->reattached);
	sonde_buffer_add_text(out, ",\"hooks\":[");
	for (uint32_t i = 0; i < program->n_hooks && i < SONDE_HOOKS_MAX; i++) {
		const struct sonde_hook_status *hook = &program->hooks[i];

		sonde_buffer_add_text(out, i ? ",{" : "{");
		sonde_json_text(out, "name", hook->name);
		sonde_buffer_add_char(out, ',');
		sonde_json_bool(out, "attached", hook->attached);
		sonde_buffer_add_char(out, ',');
		sonde_json_bool(out, "wanted", !hook->unwanted);
		sonde_buffer_add_char(out, ',');
		sonde_json_text(out, "reason", hook->reason);
		sonde_buffer_add_char(out, ',');
		sonde_json_u64(out, "runs", hook->runs);
		sonde_buffer_add_char(out, ',');
		sonde_json_u64(out, "run_time_ns", hook->run_time_ns);
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_char(out, ']');
}

struct settings {
	const struct sonde_program_status *program;
	struct sonde_buffer *out;
};

/* Of a setting that names a network interface; NULL: it does not. */
static const struct sonde_interface_status *interface_of(const struct sonde_program_status *program, const char *setting)
{
	size_t n = sonde_is_interface_setting(setting) ? (size_t)(setting[strlen(SONDE_INTERFACE_SETTING)] - '1') : SONDE_INTERFACES_MAX;

	return n < SONDE_INTERFACES_MAX && program->interfaces[n].name[0] ? &program->interfaces[n] : NULL;
}

static void setting_json(const struct sonde_setting *setting, int64_t value, void *userdata)
{
	const struct settings *settings = userdata;
	const struct sonde_interface_status *interface = interface_of(settings->program, setting->name);
	char text[SONDE_SETTING_TEXT_MAX];
	struct sonde_buffer *out = settings->out;

	sonde_buffer_add_text(out, out->data[out->length - 1] == '[' ? "{" : ",{");
	sonde_json_text(out, "name", setting->name);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "value", interface ? interface->number : value);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "text", interface ? interface->name : sonde_setting_text(setting, value, text));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "default", sonde_setting_text(setting, setting->value, text));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "doc", setting->doc);
	sonde_buffer_add_char(out, '}');
}

/* `"programs":[...]`, only the one of the name unless it is NULL. @return how many, or -ENOMEM. */
static int programs_json(const struct sonde_view *view, const char *name, struct sonde_buffer *out)
{
	struct sonde_program_status *programs = calloc(SONDE_PROGRAMS_MAX, sizeof(*programs));
	size_t n;
	int found = 0;

	if (!programs)
		return -ENOMEM;
	n = view->programs(view->userdata, programs, SONDE_PROGRAMS_MAX);
	sonde_buffer_add_text(out, name ? "" : "\"programs\":[");
	for (size_t i = 0; i < n; i++) {
		if (name && strcmp(name, programs[i].name))
			continue;
		if (found++)
			sonde_buffer_add_char(out, ',');
		program_json(&programs[i], out);
		if (name) {
			struct settings settings = {.program = &programs[i], .out = out};

			sonde_buffer_add_text(out, ",\"settings\":[");
			view->settings(view->userdata, name, setting_json, &settings);
			sonde_buffer_add_char(out, ']');
		}
		sonde_buffer_add_char(out, '}');
	}
	sonde_buffer_add_text(out, name ? "" : "]");
	free(programs);
	return found;
}

int sonde_api_programs(struct sonde_request *request)
{
	int r;

	sonde_buffer_add_char(&request->out, '{');
	r = programs_json(request->view, NULL, &request->out);
	sonde_buffer_add_text(&request->out, "}\n");
	return r < 0 ? r : 0;
}

int sonde_api_program(struct sonde_request *request)
{
	int r = programs_json(request->view, request->name, &request->out);

	if (r < 0)
		return r;
	if (!r)
		return sonde_request_error(request, MHD_HTTP_NOT_FOUND, "not_found", NULL,
					   "there is no program '%s'; /api/v1/programs lists them", request->name);
	sonde_buffer_add_char(&request->out, '\n');
	return 0;
}

static int control(struct sonde_request *request, const char *verb, const char *program)
{
	static const struct {
		int error;
		unsigned status;
		const char *name;
	} errors[] = {
		{-ENOENT, MHD_HTTP_NOT_FOUND, "not_found"}, {-EINVAL, MHD_HTTP_CONFLICT, "conflict"},
		{-ENODEV, MHD_HTTP_CONFLICT, "conflict"},   {-EEXIST, MHD_HTTP_CONFLICT, "conflict"},
		{-EBUSY, MHD_HTTP_CONFLICT, "conflict"},    {-EALREADY, MHD_HTTP_CONFLICT, "conflict"},
		{-ETIMEDOUT, MHD_HTTP_GATEWAY_TIMEOUT, "timeout"},
		{-EPERM, MHD_HTTP_FORBIDDEN, "forbidden"},
	};
	char error[512] = "";
	int r = request->view->control(request->view->userdata, verb, program, error, sizeof(error));
	size_t i;

	if (r < 0) {
		for (i = 0; i < sizeof(errors) / sizeof(errors[0]) && errors[i].error != r; i++)
			;
		if (i < sizeof(errors) / sizeof(errors[0]))
			return sonde_request_error(request, errors[i].status, errors[i].name, NULL, "%s%s%s", program ? program : "",
						   program ? ": " : "", error[0] ? error : strerror(-r));
		return sonde_request_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed", NULL, "%s",
					   error[0] ? error : strerror(-r));
	}
	sonde_buffer_add_text(&request->out, "{\"done\":true,");
	sonde_json_text(&request->out, "action", verb);
	sonde_buffer_add_char(&request->out, ',');
	sonde_json_text(&request->out, "program", program);
	sonde_buffer_add_text(&request->out, "}\n");
	return 0;
}

int sonde_api_program_start(struct sonde_request *request)
{
	return control(request, "start", request->name);
}

int sonde_api_program_stop(struct sonde_request *request)
{
	return control(request, "stop", request->name);
}

int sonde_api_program_reload(struct sonde_request *request)
{
	return control(request, "reload", request->name);
}

int sonde_api_reload(struct sonde_request *request)
{
	return control(request, "reload", NULL);
}

int sonde_api_schema(struct sonde_request *request)
{
	const struct sonde_type *types[256], *type;
	struct sonde_buffer *out = &request->out;
	size_t n;

	if (request->name[0]) {
		type = sonde_type_find(request->view, request->name);
		if (!type)
			return sonde_request_error(request, MHD_HTTP_NOT_FOUND, "not_found", "type",
						   "no such type; /api/v1/schema lists them");
		sonde_encode_schema_json(type, out);
		sonde_buffer_add_char(out, '\n');
		return 0;
	}
	n = sonde_types(request->view, types, 256);
	sonde_buffer_add_text(out, "{\"types\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		sonde_encode_schema_json(types[i], out);
	}
	sonde_buffer_add_text(out, "]}\n");
	return 0;
}

static void ledger_program_json(const struct sonde_ledger *ledger, struct sonde_buffer *out)
{
	const struct {
		const char *name;
		uint64_t count;
	} counts[] = {
		{"recursion_misses", ledger->recursion_misses},
		{"entered", ledger->entered},
		{"denied", ledger->denied},
		{"throttled", ledger->throttled},
		{"sampled_out", ledger->sampled_out},
		{"map_full", ledger->map_full},
		{"ring_full", ledger->ring_full},
		{"submitted", ledger->submitted},
		{"overflowed", ledger->overflowed},
		{"consumed", ledger->consumed},
		{"in_ring", ledger->in_ring},
		{"stored", ledger->stored},
		{"invalid", ledger->invalid},
		{"limited", ledger->limited},
		{"queue_dropped", ledger->queue_dropped},
		{"made", ledger->made},
		{"pending", ledger->pending},
		{"readable", ledger->readable},
		{"expired", ledger->expired},
	};

	sonde_encode_json_text(ledger->program, strlen(ledger->program), out);
	sonde_buffer_add_text(out, ":{");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		sonde_json_u64(out, counts[i].name, counts[i].count);
		sonde_buffer_add_char(out, ',');
	}
	sonde_json_i64(out, "residual", ledger->residual);
	sonde_buffer_add_char(out, ',');
	sonde_json_bool(out, "settled", ledger->settled);
	sonde_buffer_add_char(out, '}');
}

/* `"ledger":{"NAME":{...}},"residual":0` */
static int ledger_json(const struct sonde_view *view, struct sonde_buffer *out)
{
	struct sonde_ledger *ledgers = calloc(SONDE_PROGRAMS_MAX, sizeof(*ledgers));
	int64_t residual = 0;
	size_t n;

	if (!ledgers)
		return -ENOMEM;
	n = view->ledger(view->userdata, ledgers, SONDE_PROGRAMS_MAX);
	sonde_buffer_add_text(out, "\"ledger\":{");
	for (size_t i = 0; i < n; i++) {
		if (i)
			sonde_buffer_add_char(out, ',');
		ledger_program_json(&ledgers[i], out);
		residual += ledgers[i].residual < 0 ? -ledgers[i].residual : ledgers[i].residual;
	}
	sonde_buffer_add_text(out, "},");
	sonde_json_i64(out, "residual", residual);
	free(ledgers);
	return 0;
}

int sonde_api_ledger(struct sonde_request *request)
{
	int r;

	sonde_buffer_add_char(&request->out, '{');
	r = ledger_json(request->view, &request->out);
	sonde_buffer_add_text(&request->out, "}\n");
	return r;
}

static void store_json(struct sonde_store *store, struct sonde_buffer *out)
{
	struct sonde_store_status status = {0};

	sonde_store_status(store, &status);
	sonde_buffer_add_text(out, "\"store\":{");
	sonde_json_text(out, "backend", status.backend);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "path", status.path);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "bytes", status.bytes);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "stored", status.stored);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "expired", status.expired);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "readable", status.readable);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "oldest_ns", status.oldest_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "newest_ns", status.newest_ns);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "commits", status.commits);
	sonde_buffer_add_char(out, ',');
	sonde_json_u64(out, "failed_commits", status.failed_commits);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "error", status.error);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "set_aside", status.set_aside);
	sonde_buffer_add_char(out, '}');
}

struct numbers {
	struct sonde_buffer *out;
	size_t n;
};

static void number_json(const char *name, const char *doc, bool is_counter, const char *labels, double value, void *userdata)
{
	struct numbers *numbers = userdata;

	/* A nan or inf is no JSON number. */
	if (value != value || value > 1e300 || value < -1e300)
		return;
	sonde_buffer_add_text(numbers->out, numbers->n++ ? ",{" : "{");
	sonde_json_text(numbers->out, "name", name);
	sonde_buffer_add_char(numbers->out, ',');
	sonde_json_text(numbers->out, "labels", labels);
	sonde_buffer_printf(numbers->out, ",\"value\":%.17g}", value);
}

int sonde_api_status(struct sonde_request *request)
{
	const struct sonde_view *view = request->view;
	struct sonde_buffer *out = &request->out;
	struct numbers numbers = {.out = out};
	struct sonde_health health = {0};
	int r;

	view->health(view->userdata, &health);
	sonde_buffer_add_char(out, '{');
	sonde_json_bool(out, "ready", health.ready);
	sonde_buffer_add_char(out, ',');
	sonde_json_bool(out, "alive", health.alive);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "status", sonde_health_status(&health));
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "reason", health.reason);
	sonde_buffer_add_char(out, ',');
	sonde_json_text(out, "version", view->version);
	sonde_buffer_add_char(out, ',');
	r = ledger_json(view, out);
	if (r < 0)
		return r;
	sonde_buffer_add_char(out, ',');
	store_json(view->store, out);
	sonde_buffer_add_char(out, ',');
	r = programs_json(view, NULL, out);
	sonde_buffer_add_text(out, ",\"budgets\":[");
	view->numbers(view->userdata, number_json, &numbers);
	sonde_buffer_add_text(out, "]}\n");
	return r < 0 ? r : 0;
}
