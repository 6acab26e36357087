/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading connections: a few, each lent to one query at a time. A query that finds none free waits, then is refused: so
 * many slow readers cost a bounded number of descriptors, and never the writer.
 */
#include <store/sqlite.h>

#include <base/wait.h>

#include <errno.h>
#include <string.h>

#define WAIT_NS (5 * SONDE_NS_PER_S)
#define STEPS 1000 /* of SQLite between two looks at the clock */

static int late(void *userdata)
{
	const struct sqlite_reader *reader = userdata;

	return *reader->interrupted || sonde_clock_boot_ns() > reader->deadline_ns;
}

static struct sqlite_reader *reader_free(struct sqlite_store *store)
{
	struct sqlite_reader *found = NULL;

	for (size_t i = 0; i < SQLITE_READERS_MAX; i++)
		if (!store->readers[i].busy && (!found || store->readers[i].db))
			found = &store->readers[i];
	return found;
}

static struct sqlite_reader *reader_wait(struct sqlite_store *store)
{
	int64_t until = sonde_clock_boot_ns() + WAIT_NS, left;
	struct sqlite_reader *reader;

	pthread_mutex_lock(&store->lock);
	while (!(reader = reader_free(store)) && (left = until - sonde_clock_boot_ns()) > 0)
		(void)sonde_cond_wait_for(&store->reader_free, &store->lock, left);
	if (reader)
		reader->busy = true;
	pthread_mutex_unlock(&store->lock);
	return reader;
}

void sqlite_reader_close(struct sqlite_reader *reader)
{
	sqlite3_close(reader->db);
	reader->db = NULL;
}

void sqlite_reader_renew(struct sqlite_store *store, struct sqlite_reader *reader)
{
	unsigned generation;

	pthread_mutex_lock(&store->lock);
	generation = store->generation;
	pthread_mutex_unlock(&store->lock);
	if (reader->generation != generation)
		sqlite_reader_close(reader);
	reader->generation = generation;
}

void sqlite_reader_watch(struct sqlite_reader *reader, int steps)
{
	sqlite3_progress_handler(reader->db, steps, late, reader);
}

int sqlite_reader_ready(struct sqlite_store *store, struct sqlite_reader *reader, int64_t timeout_ns)
{
	int code;

	sqlite_reader_renew(store, reader);
	reader->deadline_ns = sonde_clock_boot_ns() + timeout_ns;
	reader->interrupted = &store->base.interrupted;
	code = reader->db ? SQLITE_OK : sqlite_open_reader(store->path, store->read_only, store->temporary, &reader->db);
	if (code) {
		sqlite_note(store, code);
		return sqlite_errno(code);
	}
	sqlite_reader_watch(reader, STEPS);
	return 0;
}

void sqlite_reader_done(struct sqlite_reader *reader)
{
	if (!reader->db)
		return;
	sqlite3_progress_handler(reader->db, 0, NULL, NULL);
	if (!sqlite3_get_autocommit(reader->db))
		sqlite_run(reader->db, "ROLLBACK");
}

/* Before it begins to read. */
static void reader_look(struct sqlite_store *store, struct sqlite_reader *reader)
{
	sonde_store_waiting(&store->base, &reader->waiting);
	pthread_mutex_lock(&store->lock);
	snprintf(reader->waiting.error, sizeof(reader->waiting.error), "%.*s", (int)sizeof(reader->waiting.error) - 1, store->error);
	pthread_mutex_unlock(&store->lock);
}

int sqlite_reader_get(struct sqlite_store *store, int64_t timeout_ns, struct sqlite_reader **ret_reader)
{
	struct sqlite_reader *reader = reader_wait(store);
	int r;

	if (!reader)
		return sonde_store_fail(-EBUSY, "%d queries are running already; try again", SQLITE_READERS_MAX);
	r = sqlite_reader_ready(store, reader, timeout_ns);
	if (r) {
		sqlite_reader_put(store, reader);
		return r;
	}
	reader_look(store, reader);
	*ret_reader = reader;
	return 0;
}

void sqlite_reader_put(struct sqlite_store *store, struct sqlite_reader *reader)
{
	sqlite_reader_done(reader);
	pthread_mutex_lock(&store->lock);
	reader->busy = false;
	pthread_cond_signal(&store->reader_free);
	pthread_mutex_unlock(&store->lock);
}

void sqlite_readers_close(struct sqlite_store *store)
{
	for (size_t i = 0; i < SQLITE_READERS_MAX; i++)
		if (!store->readers[i].busy)
			sqlite_reader_close(&store->readers[i]);
}

/* ---- status ---- */

static int status_block(int64_t id, const struct sonde_block_facts *facts, size_t length, void *userdata)
{
	struct sonde_store_status *status = userdata;

	if (!facts)
		return 0;
	if (!status->oldest_ns || facts->oldest_ns < status->oldest_ns)
		status->oldest_ns = facts->oldest_ns;
	if (!status->newest_ns || facts->newest_ns > status->newest_ns)
		status->newest_ns = facts->newest_ns;
	return 0;
}

static int status_totals(sqlite3 *db, struct sonde_store_status *status)
{
	int64_t numbers[3] = {};
	static const char *const columns[] = {"stored", "expired", "readable"};
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < ARRAY_SIZE(columns); i++) {
		char sql[80];

		snprintf(sql, sizeof(sql), "SELECT coalesce(sum(%s), 0) FROM sonde_types", columns[i]);
		code = sqlite_number(db, sql, &numbers[i]);
	}
	status->stored = (uint64_t)numbers[0];
	status->expired = (uint64_t)numbers[1];
	status->readable = (uint64_t)numbers[2];
	return code;
}

/*
 * What the file says, read like any other query; the writer knows the span of its blocks without looking at each. @return false: it
 * cannot be read, the error is kept.
 */
static bool status_read(struct sqlite_store *store, struct sonde_store_status *status)
{
	struct sqlite_reader *reader = &store->status_reader;
	int code;

	if (sqlite_reader_ready(store, reader, SONDE_NS_PER_S))
		return false;
	code = sqlite_run(reader->db, "BEGIN");
	if (!code)
		code = status_totals(reader->db, status);
	if (!code && store->read_only)
		code = sonde_blocks_each(reader->db, status_block, NULL, status);
	if (code)
		sqlite_fail(reader->db, code, "cannot read");
	sqlite_note(store, code);
	sqlite_reader_done(reader);
	return !code;
}

void sqlite_status(struct sonde_store *base, struct sonde_store_status *ret_status)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct sonde_store_status status = {.backend = "sqlite", .path = store->path};
	bool readable;

	pthread_mutex_lock(&store->status_lock);
	status.bytes = sqlite_file_bytes(store->path);
	readable = status_read(store, &status);
	pthread_mutex_unlock(&store->status_lock);
	pthread_mutex_lock(&store->lock);
	if (!store->read_only) {
		status.oldest_ns = store->oldest_ns;
		status.newest_ns = store->newest_ns;
	}
	status.commits = store->commits;
	status.failed_commits = store->failed_commits;
	status.clock_jumps = store->retention.jumps;
	snprintf(status.error, sizeof(status.error), "%s",
		 store->error[0] || readable ? store->error : sonde_store_error(base));
	snprintf(status.set_aside, sizeof(status.set_aside), "%s", store->set_aside);
	pthread_mutex_unlock(&store->lock);
	*ret_status = status;
}
