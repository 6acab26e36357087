/* SPDX-License-Identifier: Apache-2.0 */
/* sonde export: events out of the store's file into one that other programs read. */
#include <cli/command.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <cli/ask.h>
#include <cli/local.h>
#include <cli/say.h>
#include <schema/encode.h>
#include <store/inspect.h>


static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && !strcmp(text + length - end_length, end);
}

/* ---- the file ---- */

/* It has another name until it is whole. */
struct target {
	const char *file;
	char part[PATH_MAX];
};

static int target_name(const char *file, struct target *target)
{
	target->file = file;
	if ((size_t)snprintf(target->part, sizeof(target->part), "%s.part", file) >= sizeof(target->part))
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: the name is too long", file);
	if (!access(file, F_OK))
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: it is there already", file);
	if (!access(target->part, F_OK))
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: an export to it runs, or was killed: then remove %s", file,
				       target->part);
	return 0;
}

static int target_finish(const struct target *target, int code)
{
	int r = code ? 0 : renameat2(AT_FDCWD, target->part, AT_FDCWD, target->file, RENAME_NOREPLACE);

	if (r && errno == EINVAL) /* this file system cannot promise it */
		r = rename(target->part, target->file);
	if (r)
		code = sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: %s", target->file, strerror(errno));
	if (code)
		unlink(target->part);
	return code;
}

static void say_answer(const struct sonde_local *local, const struct sonde_answer *answer)
{
	sonde_say_note("%" PRIu64 " events of %s", answer->rows, local->path);
	sonde_note_incomplete(answer->complete, answer->lost, answer->reason);
}

static int say_store_error(const char *file, int error)
{
	const char *text = sonde_store_error(NULL);

	return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", file, *text ? text : strerror(-error));
}

/* ---- text ---- */

struct export {
	const struct sonde_local *local;
	struct sonde_buffer buffer;
	bool csv;
	int fd, write_error;
};

static int flush(void *userdata)
{
	struct export *export = userdata;
	size_t done = 0;

	while (done < export->buffer.length) {
		ssize_t n = write(export->fd, export->buffer.data + done, export->buffer.length - done);

		if (n < 0 && errno != EINTR)
			return export->write_error = -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	sonde_buffer_clear(&export->buffer);
	return 0;
}

static int take_row(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct export *export = userdata;
	int r;

	if (export->csv) {
		r = sonde_encode_csv(type, values, &export->buffer);
	} else {
		r = sonde_encode_json(type, values, &export->buffer);
		sonde_buffer_add_char(&export->buffer, '\n');
	}
	return r ?: export->buffer.length >= export->local->page_bytes;
}

static int write_pages(struct sonde_local *local, const char *file, struct export *export)
{
	struct sonde_answer answer = {.complete = true};
	int r;

	local->query.oldest_first = true;
	r = sonde_local_pages(local, take_row, flush, export, &answer);
	if (export->write_error)
		return export->write_error == -EPIPE ? SONDE_EXIT_DONE :
		       sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", file, strerror(-export->write_error));
	if (r)
		return say_store_error(file, r);
	say_answer(local, &answer);
	return SONDE_EXIT_DONE;
}

static int export_text(const struct sonde_options *options, const char *file, const char *type, bool csv)
{
	struct sonde_local local CLEANUP(sonde_local_close) = {0};
	struct export export = {.local = &local, .csv = csv};
	bool is_output = !strcmp(file, "-");
	struct target target;
	int r = sonde_local_open(options, type, &local);

	if (!r && !is_output)
		r = target_name(file, &target);
	if (r)
		return r;
	export.fd = is_output ? dup(STDOUT_FILENO) : open(target.part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (export.fd < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot make %s: %s", file, strerror(errno));
	if (csv)
		sonde_encode_csv_header(sonde_local_type(&local, type), &export.buffer);
	r = write_pages(&local, file, &export);
	sonde_buffer_free(&export.buffer);
	if (close(export.fd) && !r)
		r = sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", file, strerror(errno));
	return is_output ? r : target_finish(&target, r);
}

static int export_sqlite(const struct sonde_options *options, const char *file, const char *type)
{
	struct sonde_local local CLEANUP(sonde_local_close) = {0};
	struct sonde_answer answer;
	struct target target;
	int r;

	if (options->where)
		return sonde_say_error(SONDE_EXIT_USAGE, "--where does not go with a SQLite file: ask it in SQL afterwards");
	if (options->limit && !type)
		return sonde_say_error(SONDE_EXIT_USAGE, "--limit goes with a SQLite file of one type: sonde export %s TYPE -n %" PRId64,
				       file, options->limit);
	r = sonde_local_open(options, type, &local) ?: target_name(file, &target);
	if (r)
		return r;
	r = sonde_store_export(local.store, target.part, &local.query, &answer);
	if (r)
		return say_store_error(file, r);
	r = target_finish(&target, SONDE_EXIT_DONE);
	if (!r)
		say_answer(&local, &answer);
	return r;
}

static int run(const struct sonde_options *options)
{
	const char *file = options->arguments[0], *type = options->n_arguments > 1 ? options->arguments[1] : NULL;
	bool csv = ends_with(file, ".csv") || (!strcmp(file, "-") && options->format == SONDE_FORMAT_CSV);
	struct sonde_options copy = *options;

	copy.store = options->store ? options->store : SONDE_DEFAULT_STORE;
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
		"output (JSON lines, or -o csv). FILE must not be there yet, and is FILE.part until\n"
		"it is whole. The oldest events come first. An agent may be running. Without --store:\n"
		"/var/lib/sonde/events.db.",
	.examples = "sonde export events.jsonl --since 1h         # the last hour, all types\n"
		    "sonde export drops.csv packet_drop\n"
		    "sonde export incident.db --since 22:00 --until 23:00",
	.options = SONDE_TAKES_QUERY | SONDE_TAKES(STORE) | SONDE_TAKES(LIMIT) | SONDE_TAKES(OUTPUT),
	.min_arguments = 1,
	.max_arguments = 2,
	.run = run,
};
