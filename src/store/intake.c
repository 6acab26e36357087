/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events are borrowed during append, so they become columns here at once. Invariant: a batch is in the columns whole or not at
 * all: until it is, nothing of it is encoded, so that it can be taken back.
 */
#include <store/intake.h>

#include <store/backend.h>

#include <sonde/types.h>

#include <errno.h>
#include <stdlib.h>

#define SOURCES_MAX 4096
#define KEEP_ROWS 4096u
/* What open columns have place for when they are full: a row more would double their memory. */
#define OPEN_ROWS_MAX 16384u

int sonde_intake_init(struct sonde_intake *intake)
{
	intake->end = &intake->blocks;
	return sonde_block_encoder_new(&intake->encoder);
}

static void full_free(struct sonde_intake_source *source)
{
	while (source->full) {
		struct sonde_columns *next = source->full->next;

		sonde_columns_free(&source->full);
		source->full = next;
	}
}

void sonde_intake_free(struct sonde_intake *intake)
{
	for (size_t i = 0; i < intake->n_sources; i++) {
		full_free(&intake->sources[i]);
		sonde_columns_free(&intake->sources[i].open);
		sonde_columns_free(&intake->sources[i].spare);
	}
	free(intake->sources);
	intake->sources = NULL;
	intake->n_sources = 0;
	sonde_intake_clear(intake);
	sonde_block_encoder_free(&intake->encoder);
}

static struct sonde_intake_source *source_find(struct sonde_intake *intake, const struct sonde_type *type)
{
	if (intake->last_source < intake->n_sources && intake->sources[intake->last_source].type == type)
		return &intake->sources[intake->last_source];
	for (size_t i = intake->n_sources; i-- > 0;)
		if (intake->sources[i].type == type) {
			intake->last_source = i;
			return &intake->sources[i];
		}
	return NULL;
}

int sonde_intake_add_source(struct sonde_intake *intake, const struct sonde_type *type, size_t slot)
{
	struct sonde_intake_source *sources;

	if (source_find(intake, type))
		return 0;
	if (intake->n_sources == SOURCES_MAX)
		return sonde_store_fail(-ENOSPC, "more than %d versions of types", SOURCES_MAX);
	sources = reallocarray(intake->sources, intake->n_sources + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	intake->sources = sources;
	sources[intake->n_sources++] = (struct sonde_intake_source){.type = type, .slot = slot};
	return 0;
}

static size_t waiting_bytes(const struct sonde_intake *intake)
{
	size_t bytes = intake->bytes;

	for (size_t i = 0; i < intake->n_sources; i++) {
		const struct sonde_intake_source *source = &intake->sources[i];

		if (source->open && source->open->n)
			bytes += source->open->n * source->open->row_bytes;
		for (const struct sonde_columns *full = source->full; full; full = full->next)
			bytes += full->n * full->row_bytes;
	}
	return bytes;
}

/* ---- batches ---- */

static void mark(struct sonde_intake *intake)
{
	for (size_t i = 0; i < intake->n_sources; i++) {
		struct sonde_intake_source *source = &intake->sources[i];

		source->mark = source->open;
		source->mark_n = source->open ? source->open->n : 0;
	}
}

static void take_back(struct sonde_intake *intake)
{
	for (size_t i = 0; i < intake->n_sources; i++) {
		struct sonde_intake_source *source = &intake->sources[i];
		struct sonde_columns **at = &source->full;

		if (source->open != source->mark) {
			sonde_columns_free(&source->open);
			while (*at && *at != source->mark)
				at = &(*at)->next;
			source->open = *at;
			if (*at) {
				/* what is behind it is of this batch too */
				struct sonde_intake_source rest = {.full = (*at)->next};

				full_free(&rest);
				source->open->next = NULL;
			}
			*at = NULL;
		}
		source->n_chunk = 0; /* borrowed from the batch */
		if (source->open && source->open->n != source->mark_n)
			sonde_columns_cut(source->open, source->mark_n);
	}
}

static void close_open(struct sonde_intake_source *source)
{
	struct sonde_columns **at = &source->full;

	while (*at)
		at = &(*at)->next;
	*at = source->open;
	source->open = NULL;
}

/* The rows that were gathered become columns. */
static int flush(struct sonde_intake *intake, struct sonde_intake_source *source)
{
	int r = 0;

	if (!source->n_chunk)
		return 0;
	if (source->open && (source->open->n + source->n_chunk > OPEN_ROWS_MAX ||
			     sonde_columns_bytes(source->open) >= intake->block_bytes))
		close_open(source);
	if (!source->open && source->spare) {
		source->open = source->spare;
		source->spare = NULL;
	} else if (!source->open) {
		r = sonde_columns_new(source->type, &source->open);
	}
	if (!r)
		r = sonde_columns_add_events(source->open, source->chunk, source->n_chunk, intake->names);
	source->n_chunk = 0;
	return r;
}

/* Would the event make the block's span of time too long? */
static bool is_too_far(const struct sonde_intake *intake, const struct sonde_intake_source *source, int64_t time_ns)
{
	int64_t oldest_ns = INT64_MAX, newest_ns = INT64_MIN;

	if (source->n_chunk) {
		oldest_ns = source->chunk_oldest_ns;
		newest_ns = source->chunk_newest_ns;
	}
	if (source->open && source->open->n) {
		oldest_ns = source->open->oldest_ns < oldest_ns ? source->open->oldest_ns : oldest_ns;
		newest_ns = source->open->newest_ns > newest_ns ? source->open->newest_ns : newest_ns;
	}
	return oldest_ns <= newest_ns &&
	       (time_ns - oldest_ns > intake->max_span_ns || newest_ns - time_ns > intake->max_span_ns);
}

static int event_add(struct sonde_intake *intake, struct sonde_intake_source *source, const struct sonde_event *event)
{
	int r = 0;

	if (intake->max_span_ns && is_too_far(intake, source, event->time_ns)) {
		r = flush(intake, source);
		if (!r)
			close_open(source);
	} else if (source->n_chunk == SONDE_COLUMNS_CHUNK) {
		r = flush(intake, source);
	}
	if (!source->n_chunk || event->time_ns < source->chunk_oldest_ns)
		source->chunk_oldest_ns = event->time_ns;
	if (!source->n_chunk || event->time_ns > source->chunk_newest_ns)
		source->chunk_newest_ns = event->time_ns;
	source->chunk[source->n_chunk++] = event;
	return r;
}

static int seal_columns(struct sonde_intake *intake, const struct sonde_intake_source *source,
			const struct sonde_columns *columns)
{
	struct sonde_block *block;
	int r = sonde_block_encode(intake->encoder, columns, &block);

	if (r)
		return r;
	block->slot = source->slot;
	*intake->end = block;
	intake->end = &block->next;
	intake->bytes += block->length;
	intake->n_blocks++;
	return 0;
}

static void keep_spare(struct sonde_intake_source *source, struct sonde_columns *columns)
{
	source->filled = true;
	if (source->spare) {
		sonde_columns_free(&columns);
		return;
	}
	columns->next = NULL;
	sonde_columns_clear(columns);
	source->spare = columns;
}

static int seal_full(struct sonde_intake *intake, struct sonde_intake_source *source)
{
	while (source->full) {
		struct sonde_columns *next = source->full->next;
		int r = seal_columns(intake, source, source->full);

		if (r)
			return r;
		keep_spare(source, source->full);
		source->full = next;
	}
	return 0;
}

int sonde_intake_append(struct sonde_intake *intake, const struct sonde_event *events, size_t n)
{
	size_t waiting = waiting_bytes(intake);
	int r = 0;

	if (intake->n && waiting >= intake->max_bytes)
		return sonde_store_fail(-ENOBUFS, "%zu bytes of events wait for a commit that fails", waiting);
	for (size_t i = 0; i < n; i++)
		if (!source_find(intake, events[i].type))
			return sonde_store_fail(-EINVAL, "an event of a type that was not added");
	mark(intake);
	for (size_t i = 0; i < n && !r; i++)
		r = event_add(intake, source_find(intake, events[i].type), &events[i]);
	for (size_t i = 0; i < intake->n_sources; i++)
		r = r ?: flush(intake, &intake->sources[i]);
	if (r) {
		take_back(intake);
		return r;
	}
	intake->n += n;
	/* What cannot be encoded now waits as it is. */
	for (size_t i = 0; i < intake->n_sources && !r; i++)
		r = seal_full(intake, &intake->sources[i]);
	return 0;
}

int sonde_intake_seal(struct sonde_intake *intake)
{
	int r = 0;

	for (size_t i = 0; i < intake->n_sources && !r; i++) {
		struct sonde_intake_source *source = &intake->sources[i];

		r = seal_full(intake, source);
		if (!source->filled)
			sonde_columns_free(&source->spare);
		source->filled = false;
		if (!r && source->open && source->open->n) {
			r = seal_columns(intake, source, source->open);
			if (r)
				break;
			/* A burst's memory is given back. */
			if (source->open->capacity > KEEP_ROWS && source->open->n < source->open->capacity / 8)
				sonde_columns_free(&source->open);
			else
				sonde_columns_clear(source->open);
		}
	}
	return r;
}

void sonde_intake_clear(struct sonde_intake *intake)
{
	while (intake->blocks) {
		struct sonde_block *next = intake->blocks->next;

		free(intake->blocks);
		intake->blocks = next;
	}
	intake->end = &intake->blocks;
	intake->n_blocks = intake->bytes = 0;
	intake->n = 0;
}
