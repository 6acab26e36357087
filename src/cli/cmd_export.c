/* SPDX-License-Identifier: Apache-2.0 */
/* sonde export: events out of the store's file into one that other programs read. */
#include <cli/command.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/local.h>
#include <cli/say.h>
#include <schema/encode.h>
#include <store/inspect.h>

#define DEFAULT_STORE "/var/lib/sonde/events.db"
#define FLUSH_BYTES 65536

struct export {
	struct sonde_buffer buffer;
	bool csv;
	int fd;
	int64_t rows;
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && !strcmp(text + length - end_length, end);
}

static int flush(struct export *export)
{
	size_t done = 0;

	while (done < export->buffer.length) {
		ssize_t n = write(export->fd, export->buffer.data + done, export->buffer.length - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	sonde_buffer_clear(&export->buffer);
	return 0;
}

static int take_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct export *export = userdata;
	int r = 0;

	if (export->csv) {
		r = export->rows ? 0 : sonde_encode_csv_header(type, &export->buffer);
		r = r ?: sonde_encode_csv(type, values, &export->buffer);
	} else {
		r = sonde_encode_json(type, values, &export->buffer);
		sonde_buffer_add_char(&export->buffer, '\n');
	}
	export->rows++;
	if (!r && export->buffer.length >= FLUSH_BYTES)
		r = flush(export);
	return r;
}

static int export_text(const struct sonde_options *options, const char *file, const char *type, bool csv)
{
	struct export export = {.csv = csv, .fd = -1};
	struct sonde_local local CLEANUP(sonde_local_close) = {0};
	struct sonde_answer answer = {.complete = true};
	int r = sonde_local_open(options, type, &local);

	if (r > 0)
		return r;
	export.fd = strcmp(file, "-") ? open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640) : dup(STDOUT_FILENO);
	if (export.fd < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: %s", file, strerror(errno));
	local.query.oldest_first = true;
	r = sonde_store_query(local.store, &local.query, take_row, &export, &answer);
	r = r ?: flush(&export);
	sonde_buffer_free(&export.buffer);
	if (close(export.fd) && !r)
		r = -errno;
	if (r == -EPIPE)
		return SONDE_EXIT_DONE;
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", file, strerror(-r));
	sonde_say_note("%" PRId64 " events", export.rows);
	if (!answer.complete)
		sonde_say_note("not complete: %s", answer.reason);
	return SONDE_EXIT_DONE;
}

static int export_sqlite(const struct sonde_options *options, const char *file, const char *type)
{
	const struct sonde_query query = {.type = type, .since_ns = options->since_ns, .until_ns = options->until_ns,
					  .pid = options->pid, .command = options->command, .container = options->container};
	int r;

	if (options->where)
		return sonde_say_error(SONDE_EXIT_USAGE, "--where does not go with a SQLite file: ask it in SQL afterwards");
	r = sonde_store_export(options->store, file, &query);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s", sonde_store_error(NULL));
	return SONDE_EXIT_DONE;
}

static int run(const struct sonde_options *options)
{
	const char *file = options->arguments[0], *type = options->n_arguments > 1 ? options->arguments[1] : NULL;
	bool csv = ends_with(file, ".csv") || (!strcmp(file, "-") && options->format == SONDE_FORMAT_CSV);
	struct sonde_options copy = *options;

	copy.store = options->store ? options->store : DEFAULT_STORE;
	if (ends_with(file, ".db") || ends_with(file, ".sqlite"))
		return export_sqlite(&copy, file, type);
	if (csv && !type)
		return sonde_say_error(SONDE_EXIT_USAGE, "a CSV file has the columns of one type: sonde export %s TYPE", file);
	if (!csv && strcmp(file, "-") && !ends_with(file, ".json") && !ends_with(file, ".jsonl"))
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' ends neither in .jsonl, .json, .csv, .db nor .sqlite", file);
	return export_text(&copy, file, type, csv);
}

const struct sonde_command sonde_command_export = {
	.name = "export",
	.arguments = "FILE [TYPE]",
	.summary = "events of the store's file into one for other programs",
	.help = "The end of FILE says what it becomes: .jsonl or .json, one object a line; .csv;\n"
		".db or .sqlite, a SQLite file with a plain table for each type. '-' is standard\n"
		"output (JSON lines, or -o csv). FILE must not be there yet. The oldest events come\n"
		"first. An agent may be running. Without --store: /var/lib/sonde/events.db.",
	.examples = "sonde export events.jsonl --since 1h         # the last hour, all types\n"
		    "sonde export drops.csv packet_drop\n"
		    "sonde export incident.db --since 22:00 --until 23:00",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES(STORE) | SONDE_TAKES(LIMIT) | SONDE_TAKES(OUTPUT),
	.min_arguments = 1,
	.max_arguments = 2,
	.run = run,
};
