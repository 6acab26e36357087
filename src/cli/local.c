/* SPDX-License-Identifier: Apache-2.0 */
/* A store's file as the source of an answer: only ever read. */
#include <cli/local.h>

#include <cli/command.h>
#include <cli/say.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
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
	const struct sonde_type *types[TYPES_MAX];
	const char *error = "";
	int r;

	if (!options->where)
		return 0;
	r = sonde_filter_new(options->where, &error, &local->where);
	if (!r && type)
		r = sonde_filter_check(local->where, sonde_local_type(local, type), &error);
	else if (!r)
		r = sonde_filter_check_any(local->where, types, local_types(local, types), &error);
	if (r < 0)
		return sonde_say_error(SONDE_EXIT_USAGE, "--where: %s", error);
	local->query.where = local->where;
	return 0;
}

int sonde_local_check(const char *path)
{
	struct stat st;
	int error = lstat(path, &st) < 0 ? errno : 0;

	if (!strcmp(path, "memory"))
		return sonde_say_error(SONDE_EXIT_USAGE, "a store in memory can only be asked through its agent: leave --store out");
	if (error == ENOENT)
		return sonde_say_error(SONDE_EXIT_FAILED, "there is no store %s: is the path right? An agent makes its store when it starts",
				       path);
	if (!error && !S_ISREG(st.st_mode))
		return sonde_say_error(SONDE_EXIT_FAILED, "%s is %s: give the store's file itself, such as " SONDE_DEFAULT_STORE, path,
				       S_ISLNK(st.st_mode) ? "a symbolic link" : S_ISDIR(st.st_mode) ? "a directory" : "no plain file");
	if (!error && access(path, R_OK) < 0)
		error = errno;
	if (error)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s cannot be read: %s%s", path, strerror(error),
				       error == EACCES ? "; ask as root, or as the user of the agent's worker" : "");
	return 0;
}

int sonde_local_say_unread(const char *path, int error)
{
	const char *why = sonde_store_error(NULL), *begins = "cannot open the store: ";

	if (!strncmp(why, begins, strlen(begins)))
		why += strlen(begins);
	return sonde_say_error(SONDE_EXIT_FAILED, "%s cannot be read as a store: %s%s", path, *why ? why : strerror(-error),
			       error == -EBUSY ? "; end that one, or ask again when it has ended" :
			       error == -EUCLEAN ? "; if it was one, docs/store.md says what can be saved (\"When the file is damaged\")" : "");
}

int sonde_local_open(const struct sonde_options *options, const char *type, struct sonde_local *local)
{
	const struct sonde_store_opts opts = {.path = options->store, .read_only = true};
	int r;

	*local = (struct sonde_local){.path = options->store, .query = {
		.type = type,
		.since_ns = options->since_ns,
		.until_ns = options->until_ns,
		.pid = options->pid,
		.command = options->command,
		.container = options->container,
		.limit = (uint32_t)options->limit,
		.oldest_first = options->oldest_first,
	}};
	r = sonde_local_check(options->store);
	if (r)
		return r;
	r = sonde_store_open(&opts, &local->store);
	if (r < 0)
		return sonde_local_say_unread(options->store, r);
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
