/* SPDX-License-Identifier: Apache-2.0 */
/* sonde store: what the store's file holds, and whether all of it can be read. */
#include <cli/command.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <jansson.h>
#include <base/cleanup.h>
#include <cli/local.h>
#include <cli/result.h>
#include <cli/say.h>
#include <schema/encode.h>
#include <store/inspect.h>


static void size_cell(struct sonde_grid *grid, uint64_t bytes)
{
	static const struct sonde_column column = {.type = SONDE_UINT, .semantic = SONDE_SEMANTIC_BYTES};
	const struct sonde_value value = {.type = SONDE_UINT, .u = bytes};
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	sonde_encode_human(&column, &value, &text);
	sonde_grid_add(grid, text.length ? text.data : "");
}

static void time_text(int64_t time_ns, struct sonde_buffer *out)
{
	static const struct sonde_column column = {.type = SONDE_INT, .semantic = SONDE_SEMANTIC_TIME};
	const struct sonde_value value = {.type = SONDE_INT, .i = time_ns};

	if (time_ns)
		sonde_encode_csv(&(struct sonde_type){.name = "", .n_columns = 1, .columns = &column}, &value, out);
	if (out->length && out->data[out->length - 1] == '\n')
		out->data[--out->length] = '\0';
}

static void time_cell(struct sonde_grid *grid, int64_t time_ns)
{
	struct sonde_buffer text CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	time_text(time_ns, &text);
	sonde_grid_add(grid, text.length ? text.data : "-");
}

static uint64_t lost_of(const struct sonde_store_type_report *type)
{
	return type->bad_events + (type->readable > type->events ? type->readable - type->events : 0);
}

static int show_info(const struct sonde_options *options, const char *path, const struct sonde_store_report *report)
{
	static const char *const headings[] = {"TYPE", "EVENTS", "EXPIRED", "BLOCKS", "SIZE", "BYTES/EVENT", "RATIO", "OLDEST", "NEWEST", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	uint64_t events = 0;

	sonde_grid_begin(&grid, headings, 0x7e);
	for (size_t i = 0; i < report->n; i++) {
		const struct sonde_store_type_report *type = &report->types[i];

		events += type->events;
		sonde_grid_add(&grid, type->name);
		sonde_grid_addf(&grid, "%" PRIu64, type->events);
		sonde_grid_addf(&grid, "%" PRIu64, type->expired);
		sonde_grid_addf(&grid, "%" PRIu64, type->blocks);
		size_cell(&grid, type->bytes);
		sonde_grid_addf(&grid, "%.1f", type->events ? (double)type->bytes / (double)type->events : 0);
		sonde_grid_addf(&grid, "%.1f", type->bytes ? (double)type->raw_bytes / (double)type->bytes : 0);
		time_cell(&grid, type->oldest_ns);
		time_cell(&grid, type->newest_ns);
	}
	if (events)
		sonde_say_note("%" PRIu64 " events in %s of %" PRIu64 " bytes: %.1f bytes an event", events, path, report->file_bytes,
			       (double)report->file_bytes / (double)events);
	return sonde_result_grid(options, &grid);
}

static int show_verify(const struct sonde_options *options, const struct sonde_store_report *report)
{
	static const char *const headings[] = {"TYPE", "GOOD", "LOST", "DAMAGED BLOCKS", NULL};
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};

	sonde_grid_begin(&grid, headings, 0xe);
	for (size_t i = 0; i < report->n; i++) {
		const struct sonde_store_type_report *type = &report->types[i];

		sonde_grid_add(&grid, type->name);
		sonde_grid_addf(&grid, "%" PRIu64, type->events - type->bad_events);
		sonde_grid_addf(&grid, "%" PRIu64, lost_of(type));
		sonde_grid_addf(&grid, "%" PRIu64, type->bad_blocks);
	}
	return sonde_result_grid(options, &grid);
}

static int show_json(const struct sonde_store_report *report)
{
	json_t *json CLEANUP(json_decrefp) = json_object();
	json_t *types = json_array();

	for (size_t i = 0; i < report->n; i++) {
		const struct sonde_store_type_report *type = &report->types[i];

		json_array_append_new(types, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "type", type->name, "events",
						       (json_int_t)type->events, "expired", (json_int_t)type->expired, "blocks",
						       (json_int_t)type->blocks, "bytes", (json_int_t)type->bytes, "raw_bytes",
						       (json_int_t)type->raw_bytes, "damaged_blocks", (json_int_t)type->bad_blocks,
						       "lost", (json_int_t)lost_of(type), "oldest_ns", (json_int_t)type->oldest_ns,
						       "newest_ns", (json_int_t)type->newest_ns));
	}
	json_object_set_new(json, "file_bytes", json_integer((json_int_t)report->file_bytes));
	json_object_set_new(json, "types", types);
	return sonde_result_json(json);
}

static void say_bad(const struct sonde_store_type_report *type, int64_t id, int64_t oldest_ns, int64_t newest_ns, uint32_t events,
		    void *userdata)
{
	struct sonde_buffer from CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT, to CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	if (!events) {
		sonde_say_note("block %" PRId64 " of %s was deleted and is back by damage: its events are in another one", id, type->name);
		return;
	}
	time_text(oldest_ns, &from);
	time_text(newest_ns, &to);
	sonde_say_note("block %" PRId64 " of %s is damaged: %u events between %s and %s are lost", id, type->name, events,
		       from.length ? from.data : "?", to.length ? to.data : "?");
}

/* The walk over the blocks came to a page that SQLite cannot read: what is good before it, and why there is no more. */
static int say_unreadable(const struct sonde_options *options, const char *path, const struct sonde_store_report *report)
{
	char why[256];

	snprintf(why, sizeof(why), "%s", sonde_store_error(NULL));
	(void)(options->json ? show_json(report) : show_verify(options, report));
	return sonde_say_error(SONDE_EXIT_FAILED, "%s is damaged where it lists its blocks, and an agent would set it aside: %s", path, why);
}

static int run(const struct sonde_options *options)
{
	const char *verb = options->arguments[0], *path = options->store ? options->store : SONDE_DEFAULT_STORE;
	struct sonde_store_report *report CLEANUP_FREE = calloc(1, sizeof(*report));
	bool verify = !strcmp(verb, "verify");
	uint64_t lost, bad;
	int r;

	if (!verify && strcmp(verb, "info"))
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' is neither 'info' nor 'verify'", verb);
	if (!report)
		return sonde_say_error(SONDE_EXIT_FAILED, "no memory left");
	r = sonde_local_check(path);
	if (r)
		return r;
	report->on_bad = say_bad;
	r = sonde_store_inspect(path, verify, report);
	if (r == -EUCLEAN && verify && report->n)
		return say_unreadable(options, path, report);
	if (r < 0)
		return sonde_local_say_unread(path, r);
	lost = report->unknown_events;
	bad = report->bad_facts;
	for (size_t i = 0; i < report->n; i++) {
		lost += lost_of(&report->types[i]);
		bad += report->types[i].bad_blocks;
	}
	r = options->json ? show_json(report) : verify ? show_verify(options, report) : show_info(options, path, report);
	if (r || !verify || (!lost && !bad))
		return r;
	return sonde_say_error(SONDE_EXIT_FAILED, "%s is damaged: %" PRIu64 " events are lost; everything else is served", path, lost);
}

const struct sonde_command sonde_command_store = {
	.name = "store",
	.arguments = "info|verify",
	.summary = "what the store's file holds, and whether it is whole",
	.help = "'info' shows for each type the events, their blocks, how many bytes one takes\n"
		"and how well they pack. 'verify' reads every block and compares its checksums:\n"
		"it ends with 1 if events are lost and names the blocks. An agent may be running.\n"
		"Without --store: /var/lib/sonde/events.db.",
	.examples = "sonde store info                           # how large, how old, by type\n"
		    "sonde store verify --store /backup/events.db",
	.options = SONDE_TAKES(STORE) | SONDE_TAKES(JSON) | SONDE_TAKES(COLOR),
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
