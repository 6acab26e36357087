/* SPDX-License-Identifier: Apache-2.0 */
/* sonde status: one screen that says whether the agent can be trusted right now. Exit code 1: it is not ready. */
#include <cli/command.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <cli/ask.h>
#include <cli/moment.h>
#include <cli/output.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>

struct screen {
	const json_t *status;
	struct sonde_buffer out;
	unsigned width;
	bool color;
};

static void add_safe(struct sonde_buffer *out, const char *text)
{
	sonde_encode_terminal_text(text, strlen(text), out);
}

static void add_human(struct sonde_buffer *out, enum sonde_semantic semantic, uint64_t number)
{
	const struct sonde_column column = {.name = "", .type = SONDE_UINT, .semantic = semantic};
	const struct sonde_value value = {.type = SONDE_UINT, .u = number};

	sonde_encode_human(&column, &value, out);
}

/* A number of the agent itself, by its name; of all labels together. 0: there is none. */
static double budget(const json_t *status, const char *name)
{
	const json_t *number;
	double sum = 0;
	size_t i;

	json_array_foreach(json_object_get(status, "budgets"), i, number)
		if (!strcmp(sonde_json_text_of(number, "name"), name))
			sum += json_number_value(json_object_get(number, "value"));
	return sum;
}

/* "2026-05-01 12:00:00 UTC" of ns since 1970. */
static void add_time(struct sonde_buffer *out, int64_t ns)
{
	char text[SONDE_MOMENT_TEXT_MAX];

	sonde_moment_text(ns, text);
	sonde_buffer_printf(out, "%.10s %.8s UTC", text, text + 11);
}

static void add_colored(struct screen *screen, bool good, const char *text)
{
	if (screen->color)
		sonde_buffer_add_text(&screen->out, good ? "\033[32m" : "\033[31m");
	add_safe(&screen->out, text);
	if (screen->color)
		sonde_buffer_add_text(&screen->out, "\033[0m");
}

static void screen_agent(struct screen *screen)
{
	bool ready = json_is_true(json_object_get(screen->status, "ready"));
	bool alive = json_is_true(json_object_get(screen->status, "alive"));
	const char *reason = sonde_json_text_of(screen->status, "reason");
	double started = budget(screen->status, "process_start_time_seconds");
	double memory = budget(screen->status, "process_resident_memory_bytes");

	sonde_buffer_add_text(&screen->out, "agent    ");
	add_colored(screen, alive && ready, !alive ? "stuck" : ready ? "ready" : "not ready");
	if (*reason) {
		sonde_buffer_add_text(&screen->out, ": ");
		add_safe(&screen->out, reason);
	}
	sonde_buffer_add_text(&screen->out, "\n         version ");
	add_safe(&screen->out, sonde_json_text_of(screen->status, "version"));
	if (started > 0 && started < 9e9) {
		sonde_buffer_add_text(&screen->out, ", up since ");
		add_time(&screen->out, (int64_t)(started * 1e9));
	}
	if (memory > 0 && memory < 1e18) {
		sonde_buffer_add_text(&screen->out, ", memory ");
		add_human(&screen->out, SONDE_SEMANTIC_BYTES, (uint64_t)memory);
	}
	sonde_buffer_add_char(&screen->out, '\n');
}

static void screen_store(struct screen *screen)
{
	const json_t *store = json_object_get(screen->status, "store");
	int64_t oldest = sonde_json_number_of(store, "oldest_ns");
	const char *error = sonde_json_text_of(store, "error"), *set_aside = sonde_json_text_of(store, "set_aside");

	sonde_buffer_add_text(&screen->out, "store    ");
	add_safe(&screen->out, sonde_json_text_of(store, "path"));
	sonde_buffer_add_text(&screen->out, ", ");
	add_human(&screen->out, SONDE_SEMANTIC_BYTES, (uint64_t)sonde_json_number_of(store, "bytes"));
	sonde_buffer_printf(&screen->out, ", %" PRId64 " events", sonde_json_number_of(store, "readable"));
	if (oldest) {
		sonde_buffer_add_text(&screen->out, " since ");
		add_time(&screen->out, oldest);
	}
	sonde_buffer_add_char(&screen->out, '\n');
	if (*error) {
		sonde_buffer_add_text(&screen->out, "         ");
		add_colored(screen, false, error);
		sonde_buffer_add_char(&screen->out, '\n');
	}
	if (*set_aside) {
		sonde_buffer_add_text(&screen->out, "         a damaged file was set aside: ");
		add_safe(&screen->out, set_aside);
		sonde_buffer_add_char(&screen->out, '\n');
	}
}

static void screen_grid(struct screen *screen, const struct sonde_grid *grid)
{
	sonde_buffer_add_char(&screen->out, '\n');
	if (sonde_grid_write(grid, screen->width, screen->color, &screen->out) < 0)
		screen->out.failed = true;
}

static void screen_programs(struct screen *screen)
{
	static const char *const headings[] = {"PROGRAM", "STATE", "HOOKS", "REASON", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	const json_t *program;
	size_t i;

	sonde_grid_begin(&grid, headings, 0);
	json_array_foreach(json_object_get(screen->status, "programs"), i, program) {
		sonde_grid_add(&grid, sonde_json_text_of(program, "name"));
		sonde_grid_add(&grid, sonde_json_text_of(program, "state"));
		sonde_result_hooks(&grid, program);
		sonde_grid_add(&grid, sonde_json_text_of(program, "reason"));
	}
	screen_grid(screen, &grid);
}

/* One column a program, one row a counter: the eye adds downwards. */
static void screen_ledger(struct screen *screen)
{
	static const char *const counters[] = {
		"recursion_misses", "entered", "denied", "throttled", "sampled_out", "map_full", "ring_full", "submitted", "in_ring",
		"consumed", "made", "invalid", "limited", "queue_dropped", "pending", "stored", "expired", "readable", "overflowed", "residual",
	};
	json_t *ledger = json_object_get(screen->status, "ledger"), *program;
	const char *headings[SONDE_GRID_COLUMNS_MAX + 1] = {"LEDGER"}, *name;
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	size_t n = 1;

	json_object_foreach(ledger, name, program)
		if (n < SONDE_GRID_COLUMNS_MAX)
			headings[n++] = name;
	sonde_grid_begin(&grid, headings, ~1ull);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		sonde_grid_add(&grid, counters[i]);
		for (size_t j = 1; j < n; j++)
			sonde_grid_addf(&grid, "%" PRId64, sonde_json_number_of(json_object_get(ledger, headings[j]), counters[i]));
	}
	screen_grid(screen, &grid);
}

static void note_lost(const char *program, const json_t *counters)
{
	static const struct {
		const char *cause, *words;
	} causes[] = {
		{"ring_full", "found its ring full: a larger ring_bytes may help"},
		{"map_full", "found a table of the program full: its size is fixed, see the page of the program"},
		{"queue_dropped", "could not be kept: the store did not take them"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		int64_t lost = sonde_json_number_of(counters, causes[i].cause);

		if (lost)
			sonde_say_note("%s: %" PRId64 " event%s %s", program, lost, lost == 1 ? "" : "s", causes[i].words);
	}
}

static void screen_notes(struct screen *screen)
{
	json_t *ledger = json_object_get(screen->status, "ledger"), *program;
	int64_t residual = sonde_json_number_of(screen->status, "residual");
	const char *name;

	json_object_foreach(ledger, name, program) {
		note_lost(name, program);
		if (!json_is_true(json_object_get(program, "settled")))
			sonde_say_note("%s: its counters moved while they were read: its residual means nothing this time", name);
	}
	if (residual)
		sonde_say_note("the ledger does not add up: the residual is %" PRId64 " (moving counters aside, that is a defect)",
			       residual);
}

static int run(const struct sonde_options *options)
{
	struct screen screen = {.width = sonde_output_width(), .color = sonde_output_wants_color(options->color)};
	json_t *status CLEANUP(json_decrefp) = NULL;
	int r, code;

	r = sonde_ask(options, "/api/v1/status", &status);
	if (r < 0)
		return sonde_ask_exit(r);
	if (options->json) {
		code = sonde_result_json(status);
	} else {
		screen.status = status;
		screen_agent(&screen);
		screen_store(&screen);
		screen_programs(&screen);
		screen_ledger(&screen);
		code = sonde_result_text(&screen.out);
		sonde_buffer_free(&screen.out);
		if (fflush(stdout) == 0) /* the notes below what they explain */
			screen_notes(&screen);
	}
	if (code == SONDE_EXIT_DONE && !json_is_true(json_object_get(status, "ready")))
		code = SONDE_EXIT_FAILED;
	return code;
}

const struct sonde_command sonde_command_status = {
	.name = "status",
	.summary = "health of the agent, its programs, its ledger and its store",
	.help = "One screen: is the agent ready, which programs run and why the others do not, what\n"
		"became of every event since they started (the ledger), and the store. A residual\n"
		"of 0 says that every event is accounted for.\n"
		"\n"
		"Exit code 0: the agent is ready, 1: it is not, or it cannot be reached.",
	.examples = "sonde status\n"
		    "sonde status --json | jq .ledger",
	.options = SONDE_TAKES(JSON) | SONDE_TAKES(COLOR) | SONDE_TAKES(SOCKET),
	.run = run,
};
