/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blocks, one for each commit, become large ones, in a thread beside the writer: it reads and encodes on its own, and only to
 * choose blocks and to put the new one in the place of the old ones does it hold the writer's lock. That is one short
 * transaction, so that a reader sees either; the events keep their sequences. Totals do not change.
 *
 * Invariant: a merged block takes a place only if all blocks that it was made of are still there, side by side.
 */
#include <store/block_merge.h>
#include <store/sqlite.h>

#include <base/clock.h>
#include <base/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Credit is given by the time that went by, so that a merge that took long is paid off before the next. */
#define CREDIT_SPAN_NS SONDE_NS_PER_S

struct merge {
	size_t slot, n;
	unsigned generation; /* of the file: another one may have blocks of the same ids */
	struct sonde_indexed_block blocks[SONDE_BLOCK_RUN_MAX];
	int64_t unlike_id; /* a block that is not to be merged; 0: none */
	struct sonde_block_source source;
	struct sonde_block_merge *rows;
	struct sonde_block *block;
	struct sonde_indexed_block indexed;
};

/* ---- choose: under the writer's lock ---- */

static unsigned generation_now(struct sqlite_store *store)
{
	unsigned generation;

	pthread_mutex_lock(&store->lock);
	generation = store->generation;
	pthread_mutex_unlock(&store->lock);
	return generation;
}

static bool choose(struct sqlite_store *store, struct merge *merge)
{
	bool found = false;

	pthread_mutex_lock(&store->base.writing);
	merge->generation = generation_now(store);
	for (size_t i = 0; !found && store->db && !store->log_lost_said && i < store->types.n; i++) {
		const struct sonde_block_index *index = &store->slots[i].index;
		size_t at;

		merge->slot = i;
		merge->n = sonde_block_index_run(index, store->intake.max_span_ns, &at);
		found = merge->n;
		if (found)
			memcpy(merge->blocks, &index->items[at], merge->n * sizeof(*merge->blocks));
	}
	pthread_mutex_unlock(&store->base.writing);
	return found;
}

/* ---- read and encode ---- */

static int take_facts(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct sonde_block_ref *ref = userdata;

	if (facts)
		sonde_block_ref_set(ref, facts);
	return 0;
}

static int gather(struct sqlite_store *store, struct merge *merge, const struct sonde_type *stored)
{
	size_t taken = 0;
	int r = 0;

	while (taken < merge->n && sonde_block_merge_bytes(merge->rows) < store->intake.block_bytes) {
		const struct sonde_indexed_block *block = &merge->blocks[taken];
		struct sonde_block_ref ref = {};

		merge->source.code = sonde_block_facts_of(merge->source.db, block->id, take_facts, &ref);
		if (merge->source.code)
			return -EIO;
		r = ref.id == block->id && ref.first == block->first && ref.count == block->count ?
		    sonde_block_merge_take(merge->rows, &merge->source, stored, &ref) : -EBADMSG;
		if (r != 1)
			break;
		taken++;
	}
	if (r == -EBADMSG)
		merge->unlike_id = merge->blocks[taken].id;
	else if (r < 0)
		return r;
	/* Nothing to gain here, now and later: the first one is passed over. */
	if (taken < 2)
		merge->unlike_id = merge->unlike_id ?: merge->blocks[0].id;
	merge->n = taken; /* what was before one that is unlike may be merged */
	return 0;
}

/* @return SQLite's code. */
static int make(struct sqlite_store *store, struct merge *merge)
{
	int r = gather(store, merge, &sonde_types_get(&store->types, merge->slot)->type);

	sonde_block_source_close(&merge->source);
	if (!r && merge->n >= 2)
		r = sonde_block_merge_end(merge->rows, store->compactor.encoder, &merge->block);
	if (r == -EIO)
		return merge->source.code;
	return r ? SQLITE_NOMEM : SQLITE_OK;
}

/* ---- replace: under the writer's lock ---- */

static struct sonde_indexed_block *find(struct sonde_block_index *index, int64_t id)
{
	for (size_t i = 0; i < index->n; i++)
		if (index->items[i].id == id)
			return &index->items[i];
	return NULL;
}

/* The place of the first one, if all are there. */
static bool is_there(struct sonde_block_index *index, const struct merge *merge, size_t *ret_at)
{
	const struct sonde_indexed_block *first = find(index, merge->blocks[0].id);

	if (!first || (size_t)(first - index->items) + merge->n > index->n)
		return false;
	for (size_t i = 0; i < merge->n; i++)
		if (first[i].id != merge->blocks[i].id)
			return false;
	*ret_at = (size_t)(first - index->items);
	return true;
}

static int replace(struct sqlite_store *store, void *userdata)
{
	struct merge *merge = userdata;
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < merge->n; i++)
		code = sqlite_block_delete(store, merge->blocks[i].id);
	return code ? code : sqlite_block_insert(store, merge->block, &merge->indexed);
}

static int put(struct sqlite_store *store, struct merge *merge)
{
	struct sonde_block_index *index = &store->slots[merge->slot].index;
	struct sonde_indexed_block *unlike = merge->unlike_id ? find(index, merge->unlike_id) : NULL;
	size_t at;
	int code;

	if (unlike)
		unlike->stays = true;
	if (!merge->block || !is_there(index, merge, &at))
		return SQLITE_OK;
	code = sqlite_transaction(store, replace, merge);
	if (code)
		return code;
	sonde_block_index_remove(index, at, merge->n);
	(void)sonde_block_index_add(index, &merge->indexed);
	return SQLITE_OK;
}

/* Nobody else closes the reader (sqlite_log_lost()). */
static void set_busy(struct sqlite_store *store, bool busy)
{
	pthread_mutex_lock(&store->lock);
	store->compactor.reader.busy = busy;
	pthread_mutex_unlock(&store->lock);
}

/* @return false: enough for now. */
static bool finish(struct sqlite_store *store, struct merge *merge, int code)
{
	pthread_mutex_lock(&store->base.writing);
	if (!store->db || merge->generation != generation_now(store))
		code = SQLITE_OK; /* another file by now */
	else if (code)
		sqlite_note(store, code);
	else
		code = put(store, merge);
	/* A full disk stops commits too, which say so; small blocks alone are no reason to. */
	if (code && code != SQLITE_FULL)
		(void)sqlite_failed(store, code, "cannot merge old events");
	pthread_mutex_unlock(&store->base.writing);
	return !code;
}

/* ---- the thread ---- */

static bool merge_one(struct sqlite_store *store)
{
	struct merge *merge CLEANUP_FREE = calloc(1, sizeof(*merge));
	struct sqlite_reader *reader = &store->compactor.reader;
	bool more = false;

	if (!merge)
		return false;
	set_busy(store, true);
	sqlite_reader_renew(store, reader);
	if (choose(store, merge) && !sonde_block_merge_new(&merge->rows) && !sqlite_reader_ready(store, reader, SONDE_NS_PER_S * 10)) {
		merge->source.db = reader->db;
		more = finish(store, merge, make(store, merge));
		sqlite_reader_done(reader);
	}
	set_busy(store, false);
	sonde_block_merge_free(&merge->rows);
	free(merge->block);
	return more;
}

static int64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * SONDE_NS_PER_S + now.tv_nsec;
}

/* Merges while there is credit. */
static void work(struct sqlite_store *store, int64_t *credit_ns)
{
	while (*credit_ns > 0 && !store->compactor.stopping && !store->base.interrupted) {
		int64_t start_ns = thread_cpu_ns();
		bool more = merge_one(store);

		*credit_ns -= thread_cpu_ns() - start_ns;
		if (!more)
			return;
	}
}

static bool wait_for_work(struct sqlite_compactor *compactor)
{
	pthread_mutex_lock(&compactor->lock);
	while (!compactor->asked && !compactor->stopping)
		pthread_cond_wait(&compactor->work, &compactor->lock);
	compactor->asked = false;
	pthread_mutex_unlock(&compactor->lock);
	return !compactor->stopping;
}

static void *compactor_main(void *userdata)
{
	struct sqlite_store *store = userdata;
	struct sqlite_compactor *compactor = &store->compactor;
	int64_t most_ns = CREDIT_SPAN_NS / 100 * compactor->cpu_pct;
	int64_t credit_ns = most_ns, then_ns = sonde_clock_boot_ns();

	while (wait_for_work(compactor)) {
		int64_t now_ns = sonde_clock_boot_ns();

		credit_ns += (now_ns - then_ns) / 100 * compactor->cpu_pct;
		credit_ns = credit_ns < most_ns ? credit_ns : most_ns;
		then_ns = now_ns;
		work(store, &credit_ns);
	}
	return NULL;
}

static int start(struct sqlite_store *store)
{
	struct sqlite_compactor *compactor = &store->compactor;
	int r = compactor->encoder ? 0 : sonde_block_encoder_new(&compactor->encoder);

	if (!r)
		r = -pthread_create(&compactor->thread, NULL, compactor_main, store);
	if (r)
		return r;
	compactor->running = true;
	(void)pthread_setname_np(compactor->thread, "compactor");
	return 0;
}

void sqlite_compactor_init(struct sqlite_compactor *compactor, unsigned cpu_pct)
{
	compactor->cpu_pct = cpu_pct;
	pthread_mutex_init(&compactor->lock, NULL);
	pthread_cond_init(&compactor->work, NULL);
}

void sqlite_compactor_ask(struct sqlite_store *store)
{
	struct sqlite_compactor *compactor = &store->compactor;
	int r;

	if (!compactor->cpu_pct)
		return;
	if (!compactor->running) {
		r = start(store);
		if (r) { /* the next one tries again */
			sonde_log_debug("small blocks are not merged: %s", strerror(-r));
			return;
		}
	}
	pthread_mutex_lock(&compactor->lock);
	compactor->asked = true;
	pthread_cond_signal(&compactor->work);
	pthread_mutex_unlock(&compactor->lock);
}

void sqlite_compactor_stop(struct sqlite_compactor *compactor)
{
	if (compactor->running) {
		pthread_mutex_lock(&compactor->lock);
		compactor->stopping = true;
		pthread_cond_signal(&compactor->work);
		pthread_mutex_unlock(&compactor->lock);
		pthread_join(compactor->thread, NULL);
	}
	sonde_block_encoder_free(&compactor->encoder);
	sqlite3_close(compactor->reader.db);
	pthread_cond_destroy(&compactor->work);
	pthread_mutex_destroy(&compactor->lock);
}
