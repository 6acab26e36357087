/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the back end by the path and passes the calls on. Checks of arguments that all back ends need stand here. */
#include <store/backend.h>
#include <store/types.h>

#include <base/cleanup.h>

#include <errno.h>
#include <string.h>

void sonde_store_init(struct sonde_store *store, const struct sonde_store_ops *ops)
{
	store->ops = ops;
	pthread_mutex_init(&store->writing, NULL);
}

void sonde_store_done(struct sonde_store *store)
{
	pthread_mutex_destroy(&store->writing);
}

int sonde_store_open(const struct sonde_store_opts *opts, struct sonde_store **ret_store)
{
	if (!opts->path || !*opts->path)
		return sonde_store_fail(-EINVAL, "no path for the store");
	sonde_store_fail(0, "%s", "");
	return (strcmp(opts->path, "memory") ? &sonde_store_sqlite : &sonde_store_memory)->open(opts, ret_store);
}

void sonde_store_close(struct sonde_store **store)
{
	if (*store)
		(*store)->ops->close(*store);
	*store = NULL;
}

static int add_type(struct sonde_store *store, const struct sonde_type *type, const char *program)
{
	int r;

	pthread_mutex_lock(&store->writing);
	r = store->ops->add_type(store, type, program);
	pthread_mutex_unlock(&store->writing);
	return r;
}

int sonde_store_add_type(struct sonde_store *store, const struct sonde_type *type)
{
	return add_type(store, type, NULL);
}

int sonde_store_add_schema(struct sonde_store *store, const struct sonde_schema *schema)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < schema->n_types; i++)
		r = add_type(store, &schema->types[i], schema->program);
	return r;
}

size_t sonde_store_types(struct sonde_store *store, const struct sonde_type **types, size_t max)
{
	return store->ops->types(store, types, max);
}

const char *sonde_store_program(const struct sonde_type *type)
{
	return ((const struct sonde_stored_type *)type)->program;
}

int sonde_store_append(struct sonde_store *store, const struct sonde_event *events, size_t n)
{
	int r;

	pthread_mutex_lock(&store->writing);
	r = store->ops->append(store, events, n);
	pthread_mutex_unlock(&store->writing);
	return r;
}

int sonde_store_commit(struct sonde_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	int r;

	for (size_t i = 0; i < n; i++)
		if (!memchr(checkpoints[i].program, '\0', sizeof(checkpoints[i].program)) || !checkpoints[i].program[0])
			return sonde_store_fail(-EINVAL, "a checkpoint without a program's name");
	pthread_mutex_lock(&store->writing);
	r = store->ops->commit(store, checkpoints, n);
	pthread_mutex_unlock(&store->writing);
	return r;
}

int sonde_store_checkpoint(struct sonde_store *store, const char *program, uint64_t ring_id,
			   struct sonde_checkpoint *ret_checkpoint)
{
	if (strlen(program) >= SONDE_PROGRAM_NAME_MAX)
		return sonde_store_fail(-EINVAL, "the program's name '%s' is too long", program);
	return store->ops->checkpoint(store, program, ring_id, ret_checkpoint);
}

int sonde_store_gap(struct sonde_store *store, const struct sonde_gap *gap)
{
	int r;

	if (!memchr(gap->program, '\0', sizeof(gap->program)) || !memchr(gap->cause, '\0', sizeof(gap->cause)) ||
	    gap->from_ns > gap->to_ns)
		return sonde_store_fail(-EINVAL, "not a gap");
	pthread_mutex_lock(&store->writing);
	r = store->ops->gap(store, gap);
	pthread_mutex_unlock(&store->writing);
	return r;
}

int sonde_store_gap_end(struct sonde_store *store, const char *program, const char *cause, int64_t to_ns)
{
	int r;

	pthread_mutex_lock(&store->writing);
	r = store->ops->gap_end(store, program, cause, to_ns);
	pthread_mutex_unlock(&store->writing);
	return r;
}

int sonde_store_expire(struct sonde_store *store, int64_t now_ns)
{
	int r;

	pthread_mutex_lock(&store->writing);
	r = store->ops->expire(store, now_ns);
	pthread_mutex_unlock(&store->writing);
	return r;
}

void sonde_store_seen_from(struct sonde_store *store, int64_t from_ns)
{
	pthread_mutex_lock(&store->writing);
	store->ops->seen_from(store, from_ns);
	pthread_mutex_unlock(&store->writing);
}

void sonde_store_set_waiting(struct sonde_store *store, sonde_waiting_fn fn, void *userdata)
{
	store->waiting = fn;
	store->waiting_userdata = userdata;
}

void sonde_store_waiting(const struct sonde_store *store, struct sonde_waiting *ret_waiting)
{
	ret_waiting->starting = false;
	ret_waiting->usual_ns = 0;
	ret_waiting->n = ret_waiting->n_gaps = 0;
	ret_waiting->error[0] = '\0';
	if (store->waiting)
		store->waiting(store->waiting_userdata, ret_waiting);
}

int sonde_store_query(struct sonde_store *store, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		      struct sonde_answer *ret_answer)
{
	return store->ops->query(store, query, fn, userdata, ret_answer);
}

int sonde_store_count(struct sonde_store *store, const struct sonde_query *query, const struct sonde_count_opts *opts,
		      sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer)
{
	return store->ops->count(store, query, opts, fn, userdata, ret_answer);
}

int sonde_store_sql(struct sonde_store *store, const char *sql, uint32_t limit, int64_t timeout_ns,
		    int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
		    void *userdata, struct sonde_answer *ret_answer, const char **ret_error)
{
	int r;

	sonde_store_fail(0, "%s", "");
	r = store->ops->sql(store, sql, limit, timeout_ns, fn, userdata, ret_answer);
	if (r < 0 && ret_error)
		*ret_error = *sonde_store_error(store) ? sonde_store_error(store) : strerror(-r);
	return r;
}

void sonde_store_interrupt(struct sonde_store *store)
{
	store->interrupted = true;
}

void sonde_store_status(struct sonde_store *store, struct sonde_store_status *ret_status)
{
	store->ops->status(store, ret_status);
}
