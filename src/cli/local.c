/* SPDX-License-Identifier: Apache-2.0 */
/* A store's file as the source of an answer: only ever read. */
#include <cli/local.h>

#include <cli/command.h>
#include <cli/say.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <base/buffer.h>
#include <base/cleanup.h>
#include <store/damage.h>

#define TYPES_MAX 256
#define PAGE_BYTES_LEAST (64u << 10)
#define PAGE_BYTES_MOST (16u << 20)

static size_t local_types(struct sonde_local *local, const struct sonde_type *types[TYPES_MAX])
{
	size_t n = sonde_store_types(local->store, types, TYPES_MAX);

	return n < TYPES_MAX ? n : TYPES_MAX;
}

const struct sonde_type *sonde_local_type(struct sonde_local *local, const char *name)
{
	const struct sonde_type *types[TYPES_MAX];
	size_t n = local_types(local, types);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(types[i]->name, name))
			return types[i];
	return NULL;
}

static int say_unknown_type(struct sonde_local *local, const char *path, const char *name)
{
	struct sonde_buffer known CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	const struct sonde_type *types[TYPES_MAX];
	size_t n = local_types(local, types);

	for (size_t i = 0; i < n; i++)
		sonde_buffer_printf(&known, "%s%s", i ? ", " : "", types[i]->name);
	return sonde_say_error(SONDE_EXIT_USAGE, "there are no events of type '%s' in %s; there are: %s", name, path,
			       known.length ? known.data : "none");
}

static int local_where(struct sonde_local *local, const struct sonde_options *options, const char *type)
{
	const char *error = "";

	if (!options->where)
		return 0;
	if (sonde_filter_new(options->where, &error, &local->where) < 0 ||
	    (type && sonde_filter_check(local->where, sonde_local_type(local, type), &error) < 0))
		return sonde_say_error(SONDE_EXIT_USAGE, "--where: %s", error);
	local->query.where = local->where;
	return 0;
}

int sonde_local_open(const struct sonde_options *options, const char *type, struct sonde_local *local)
{
	const struct sonde_store_opts opts = {.path = options->store, .read_only = true};
	int r;

	*local = (struct sonde_local){.query = {
		.type = type,
		.since_ns = options->since_ns,
		.until_ns = options->until_ns,
		.pid = options->pid,
		.command = options->command,
		.container = options->container,
		.limit = (uint32_t)options->limit,
		.oldest_first = options->oldest_first,
	}};
	if (!strcmp(options->store, "memory"))
		return sonde_say_error(SONDE_EXIT_USAGE, "a store in memory can only be asked through its agent: leave --store out");
	if (access(options->store, R_OK) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s cannot be read: %s", options->store, strerror(errno));
	r = sonde_store_open(&opts, &local->store);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s cannot be opened as a store: %s", options->store,
				       *sonde_store_error(NULL) ? sonde_store_error(NULL) : strerror(-r));
	if (type && !sonde_local_type(local, type))
		return say_unknown_type(local, options->store, type);
	return local_where(local, options, type);
}

int sonde_local_pages(struct sonde_local *local, sonde_row_fn row, int (*write)(void *userdata), void *userdata,
		      struct sonde_answer *ret_answer)
{
	struct sonde_damage damage CLEANUP(sonde_damage_free) = {};
	struct sonde_query query = local->query;
	struct sonde_answer answer;
	char cursor[SONDE_CURSOR_MAX];
	uint64_t rows = 0;
	int r;

	query.damage = &damage;
	local->page_bytes = PAGE_BYTES_LEAST;
	do {
		query.limit = local->query.limit ? local->query.limit - (uint32_t)rows : 0;
		r = sonde_store_query(local->store, &query, row, userdata, &answer);
		if (!r)
			r = write(userdata);
		if (r)
			return r;
		rows += answer.rows;
		strcpy(cursor, answer.cursor);
		query.cursor = cursor;
		if (local->page_bytes < PAGE_BYTES_MOST)
			local->page_bytes *= 2;
	} while (answer.more && (!query.limit || rows < local->query.limit));
	answer.rows = rows; /* the last answer is worth what all are: each is judged for the whole span */
	*ret_answer = answer;
	return 0;
}

void sonde_local_close(struct sonde_local *local)
{
	sonde_filter_free(&local->where);
	if (local->store)
		sonde_store_close(&local->store);
}
