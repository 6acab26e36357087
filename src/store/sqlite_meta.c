/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the file knows about its events: totals, checkpoints, gaps, and the times when somebody wrote. Written in the same
 * transaction as the events, so that they never disagree. Memory follows the file only after the commit.
 */
#include <store/sqlite.h>

#include <base/clock.h>

#include <errno.h>
#include <string.h>

#define BEAT_NS (5 * SONDE_NS_PER_S)
#define RUNS_MAX 256
#define RINGS_OF_PROGRAM_MAX "4"

/* Runs one statement with integers and, first, texts. */
static int run(sqlite3 *db, const char *sql, const char *const *texts, int n_texts, const int64_t *numbers, int n_numbers)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	for (int i = 0; !code && i < n_texts; i++)
		code = sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
	for (int i = 0; !code && i < n_numbers; i++)
		code = sqlite3_bind_int64(statement, n_texts + i + 1, numbers[i]);
	if (!code)
		code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* ---- checkpoints ---- */

static struct sqlite_ring *ring_find(struct sqlite_store *store, const char *program, uint64_t ring_id)
{
	for (size_t i = 0; i < store->n_rings; i++)
		if (store->rings[i].checkpoint.ring_id == ring_id && !strcmp(store->rings[i].checkpoint.program, program))
			return &store->rings[i];
	return NULL;
}

static void program_totals(struct sqlite_store *store, const char *program, uint64_t *ret_stored, uint64_t *ret_expired)
{
	*ret_stored = *ret_expired = 0;
	for (size_t i = 0; i < sonde_types_count(&store->types); i++)
		if (!strcmp(sonde_types_get(&store->types, i)->program, program)) {
			*ret_stored += store->slots[i].stored;
			*ret_expired += store->slots[i].expired;
		}
}

/* See sonde_checkpoint_expired(): fixed when a ring is first seen, when its events are already in the totals. */
static int64_t ring_base(struct sqlite_store *store, const struct sonde_checkpoint *checkpoint)
{
	const struct sqlite_ring *ring = ring_find(store, checkpoint->program, checkpoint->ring_id);
	uint64_t stored, expired;

	if (ring)
		return ring->base;
	program_totals(store, checkpoint->program, &stored, &expired);
	return (int64_t)(stored - checkpoint->stored);
}

static int write_ring(struct sqlite_store *store, const struct sonde_checkpoint *checkpoint)
{
	const char *texts[] = {checkpoint->program};
	const int64_t numbers[] = {
		(int64_t)checkpoint->ring_id, sonde_clock_wall_ns(), (int64_t)checkpoint->position,
		(int64_t)checkpoint->consumed, (int64_t)checkpoint->stored, (int64_t)checkpoint->invalid,
		(int64_t)checkpoint->limited, (int64_t)checkpoint->queue_dropped, ring_base(store, checkpoint),
	};
	bool is_new = !ring_find(store, checkpoint->program, checkpoint->ring_id);
	int code = run(store->db, "INSERT OR REPLACE INTO sonde_checkpoints (program, ring_id, updated, position, consumed,"
				  " stored, invalid, limited, queue_dropped, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       texts, 1, numbers, ARRAY_SIZE(numbers));

	if (code || !is_new)
		return code;
	return run(store->db, "DELETE FROM sonde_checkpoints WHERE program = ?1 AND ring_id NOT IN (SELECT ring_id FROM"
			      " sonde_checkpoints WHERE program = ?1 ORDER BY updated DESC LIMIT " RINGS_OF_PROGRAM_MAX ")",
		   texts, 1, NULL, 0);
}

static void ring_keep(struct sqlite_store *store, const struct sonde_checkpoint *checkpoint, int64_t base)
{
	struct sqlite_ring *ring = ring_find(store, checkpoint->program, checkpoint->ring_id);

	if (!ring) {
		if (store->n_rings == SQLITE_RINGS_MAX) /* the oldest is of a program that was replaced long ago */
			memmove(store->rings, store->rings + 1, --store->n_rings * sizeof(*ring));
		ring = &store->rings[store->n_rings++];
	}
	*ring = (struct sqlite_ring){.checkpoint = *checkpoint, .base = base};
}

/* One of the file's. */
static void ring_take(struct sqlite_store *store, const struct sonde_checkpoint *checkpoint, int64_t base)
{
	struct sqlite_ring *ring = ring_find(store, checkpoint->program, checkpoint->ring_id);

	if (!ring) {
		ring_keep(store, checkpoint, base);
		ring_find(store, checkpoint->program, checkpoint->ring_id)->loaded = true;
		return;
	}
	ring->joined = true;
	/* What we committed since is not in this file. */
	ring->base = base + (int64_t)(checkpoint->stored - ring->checkpoint.stored);
	if (ring->early && ring->checkpoint.position == checkpoint->position && ring->checkpoint.stored == checkpoint->stored)
		ring->loaded = store->ring_kept = true;
}

static int load_rings(struct sqlite_store *store, sqlite3 *db)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT program, ring_id, position, consumed, stored, invalid, limited, queue_dropped,"
					  " base FROM sonde_checkpoints ORDER BY updated", -1, &statement, NULL);

	while (!code && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *program = (const char *)sqlite3_column_text(statement, 0);
		struct sonde_checkpoint checkpoint = {
			.ring_id = (uint64_t)sqlite3_column_int64(statement, 1),
			.position = (uint64_t)sqlite3_column_int64(statement, 2),
			.consumed = (uint64_t)sqlite3_column_int64(statement, 3),
			.stored = (uint64_t)sqlite3_column_int64(statement, 4),
			.invalid = (uint64_t)sqlite3_column_int64(statement, 5),
			.limited = (uint64_t)sqlite3_column_int64(statement, 6),
			.queue_dropped = (uint64_t)sqlite3_column_int64(statement, 7),
		};

		code = SQLITE_OK;
		if (!program || strlen(program) >= sizeof(checkpoint.program))
			return SQLITE_CORRUPT;
		strcpy(checkpoint.program, program);
		ring_take(store, &checkpoint, sqlite3_column_int64(statement, 8));
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/*
 * A ring that was read before there was a file: if the file knows of it, it must say the same as shared memory said, else events that
 * are in it would be stored twice. Shared memory is behind only if the process before us died between the two.
 */
bool sqlite_rings_join(struct sqlite_store *store, size_t n)
{
	uint64_t stored, expired;
	size_t kept = 0;

	for (size_t i = 0; i < store->n_rings; i++) {
		struct sqlite_ring *ring = &store->rings[i];

		if (i < n && ring->early && ring->joined && !ring->loaded)
			return false;
		if (i < n && ring->early && !ring->joined)
			continue; /* its first commit makes it known */
		if (i < n && !ring->joined) {
			program_totals(store, ring->checkpoint.program, &stored, &expired);
			ring->base = (int64_t)(stored - ring->checkpoint.stored);
		}
		ring->early = ring->joined = false;
		store->rings[kept++] = *ring;
	}
	store->n_rings = kept;
	return true;
}

int sqlite_checkpoint(struct sonde_store *base, const char *program, uint64_t ring_id,
		      struct sonde_checkpoint *ret_checkpoint)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	struct sonde_checkpoint checkpoint = {.ring_id = ring_id};
	const struct sqlite_ring *ring;
	uint64_t stored, expired;

	snprintf(checkpoint.program, sizeof(checkpoint.program), "%s", program);
	pthread_mutex_lock(&store->lock);
	ring = ring_find(store, program, ring_id);
	if (ring && ring->early) {
		checkpoint = ring->checkpoint;
		checkpoint.expired = checkpoint.stored;
	} else if (ring) {
		checkpoint = ring->checkpoint;
		program_totals(store, program, &stored, &expired);
		checkpoint.expired = sonde_checkpoint_expired(checkpoint.stored, ring->base, expired);
		if (ring->loaded) /* it is older than this process: it kept what came while nobody wrote */
			store->ring_kept = true;
	} else {
		if (sonde_checkpoints_find(&store->shared, program, ring_id, &checkpoint))
			checkpoint.expired = checkpoint.stored;
		if (!store->has_file && !store->read_only) {
			ring_keep(store, &checkpoint, 0);
			ring_find(store, program, ring_id)->early = true;
		}
	}
	pthread_mutex_unlock(&store->lock);
	*ret_checkpoint = checkpoint;
	return 0;
}

/* ---- gaps ---- */

/* Memory may have one already, and know more of it. */
static bool gap_known(const struct sqlite_store *store, const struct sonde_gap *gap)
{
	for (size_t i = 0; i < store->gaps.n; i++) {
		const struct sonde_gap *known = &store->gaps.items[i];

		if (known->from_ns == gap->from_ns && !strcmp(known->program, gap->program) && !strcmp(known->cause, gap->cause))
			return true;
	}
	return false;
}

static int load_gaps(struct sqlite_store *store, sqlite3 *db)
{
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT program, cause, from_ns, to_ns, count FROM sonde_gaps ORDER BY rowid", -1,
				      &statement, NULL);

	while (!code && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct sonde_gap gap = {.from_ns = sqlite3_column_int64(statement, 2),
					.to_ns = sqlite3_column_int64(statement, 3),
					.count = (uint64_t)sqlite3_column_int64(statement, 4)};

		code = SQLITE_OK;
		snprintf(gap.program, sizeof(gap.program), "%s", (const char *)sqlite3_column_text(statement, 0) ?: "");
		snprintf(gap.cause, sizeof(gap.cause), "%s", (const char *)sqlite3_column_text(statement, 1) ?: "");
		if (gap.from_ns <= gap.to_ns && !gap_known(store, &gap))
			sonde_gaps_add(&store->gaps, &gap);
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* They are few and change rarely: all are written again. */
static int write_gaps(struct sqlite_store *store)
{
	int code = sqlite_run(store->db, "DELETE FROM sonde_gaps");

	for (size_t i = 0; !code && i < store->gaps.n; i++) {
		const struct sonde_gap *gap = &store->gaps.items[i];
		const char *texts[] = {gap->program, gap->cause};
		const int64_t numbers[] = {gap->from_ns, gap->to_ns, (int64_t)gap->count};

		code = run(store->db, "INSERT INTO sonde_gaps (program, cause, from_ns, to_ns, count) VALUES (?, ?, ?, ?, ?)",
			   texts, 2, numbers, 3);
	}
	return code;
}

/* So that who asks now knows; events that wait are committed with their checkpoints, soon. */
static void write_now(struct sqlite_store *store)
{
	if (!store->intake.n)
		(void)sqlite_commit(&store->base, NULL, 0);
}

int sqlite_gap(struct sonde_store *base, const struct sonde_gap *gap)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	pthread_mutex_lock(&store->lock);
	sonde_gaps_add(&store->gaps, gap);
	pthread_mutex_unlock(&store->lock);
	store->gaps_changed = true;
	if (gap->to_ns == INT64_MAX)
		write_now(store);
	return 0;
}

int sqlite_gap_end(struct sonde_store *base, const char *program, const char *cause, int64_t to_ns)
{
	struct sqlite_store *store = (struct sqlite_store *)base;
	bool found;

	if (store->read_only)
		return sonde_store_fail(-EROFS, "the store was opened for reading");
	pthread_mutex_lock(&store->lock);
	found = sonde_gaps_end(&store->gaps, program, cause, to_ns);
	pthread_mutex_unlock(&store->lock);
	if (found) {
		store->gaps_changed = true;
		write_now(store);
	}
	return 0;
}

/* ---- runs ---- */

static void read_boot_id(char *out, size_t size)
{
	FILE *file CLEANUP_FCLOSE = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file || !fgets(out, (int)size, file))
		snprintf(out, size, "unknown");
	out[strcspn(out, "\n")] = '\0';
}

/* The columns of the last run. */
static void trail_load(struct sqlite_store *store, sqlite3_stmt *row)
{
	struct sonde_retention *retention = &store->retention;
	const char *boot_id = (const char *)sqlite3_column_text(row, 3);

	sonde_retention_init(retention, sqlite3_column_int64(row, 2));
	if (sqlite3_column_type(row, 4) != SQLITE_INTEGER) /* an older sonde, or no limit of age */
		return;
	retention->wall_ns = sqlite3_column_int64(row, 4);
	retention->waited_ns = sqlite3_column_int64(row, 6);
	if (boot_id && !strcmp(boot_id, store->run.boot_id))
		retention->boot_ns = sqlite3_column_int64(row, 5);
}

/* What could be taken over from a damaged file, or the file itself came back. */
static bool is_own(const struct sqlite_own_run *own, sqlite3_stmt *row)
{
	const char *boot_id = (const char *)sqlite3_column_text(row, 3);

	return own->id && own->id == sqlite3_column_int64(row, 0) && boot_id && !strcmp(boot_id, own->boot_id);
}

int sqlite_meta_start_run(struct sqlite_store *store)
{
	struct sqlite_own_run *own = &store->run;
	sqlite3_stmt *statement CLEANUP(sqlite_finalize) = NULL;
	int code = sqlite3_prepare_v2(store->db, "SELECT id, started_ns, last_seen_ns, boot_id, trail_ns, boot_ns, waited_ns,"
						 " stopped_ns FROM sonde_runs ORDER BY id DESC LIMIT 1", -1, &statement, NULL);

	read_boot_id(own->boot_id, sizeof(own->boot_id));
	if (!code)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return code;
	own->changed = true;
	if (code == SQLITE_ROW && is_own(own, statement)) {
		own->started_ns = sqlite3_column_int64(statement, 1);
		return SQLITE_OK;
	}
	if (code == SQLITE_ROW) {
		own->previous_id = sqlite3_column_int64(statement, 0);
		own->previous_started_ns = sqlite3_column_int64(statement, 1);
	}
	if (code == SQLITE_ROW && !own->id)
		trail_load(store, statement);
	own->id = own->previous_id > 0 && own->previous_id < INT64_MAX ? own->previous_id + 1 : 1;
	/* Now: whatever is written from here on says where the trail is. */
	if (store->max_age_ns)
		(void)sonde_retention_cutoff(&store->retention, sonde_clock_wall_ns(), sonde_clock_boot_ns(), store->max_age_ns);
	return SQLITE_OK;
}

/* This run is to be joined with the one before it. */
static bool run_joins(const struct sqlite_store *store)
{
	return store->ring_kept && store->run.previous_id && !store->run.continues;
}

static int write_run(struct sqlite_store *store, bool stopped)
{
	struct sqlite_own_run *own = &store->run;
	bool joins = run_joins(store);
	int64_t now = sonde_clock_wall_ns();
	const char *texts[] = {own->boot_id};
	const struct sonde_retention *trail = &store->retention;
	const int64_t numbers[] = {own->id, joins ? own->previous_started_ns : own->started_ns, now, trail->wall_ns, trail->boot_ns,
				   trail->waited_ns}, old = own->id - RUNS_MAX;
	int code = run(store->db, "INSERT OR REPLACE INTO sonde_runs (boot_id, id, started_ns, last_seen_ns, trail_ns, boot_ns,"
				  " waited_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
		       texts, 1, numbers, store->max_age_ns ? 6 : 3);

	if (!code && stopped)
		code = run(store->db, "UPDATE sonde_runs SET stopped_ns = last_seen_ns WHERE id = ?", NULL, 0, &own->id, 1);
	if (!code && joins)
		code = run(store->db, "DELETE FROM sonde_runs WHERE id = ?", NULL, 0, &own->previous_id, 1);
	if (!code && own->changed)
		code = run(store->db, "DELETE FROM sonde_runs WHERE id <= ?", NULL, 0, &old, 1);
	return code;
}

void sqlite_seen_from(struct sonde_store *base, int64_t from_ns)
{
	struct sqlite_store *store = (struct sqlite_store *)base;

	if (store->ring_kept || store->run.continues)
		return;
	pthread_mutex_lock(&store->lock);
	store->run.started_ns = from_ns;
	pthread_mutex_unlock(&store->lock);
	store->run.changed = true;
	write_now(store);
}

static int stop_run(struct sqlite_store *store, void *userdata)
{
	int code = store->gaps_changed ? write_gaps(store) : SQLITE_OK; /* one that came after the last commit */

	return code ? code : write_run(store, true);
}

void sqlite_meta_stop_run(struct sqlite_store *store)
{
	(void)sqlite_transaction(store, stop_run, NULL); /* else the last beat counts */
}

/* ---- all ---- */

int sqlite_meta_load(struct sqlite_store *store, sqlite3 *db)
{
	int code = load_rings(store, db);

	return code ? code : load_gaps(store, db);
}

bool sqlite_meta_due(const struct sqlite_store *store)
{
	int64_t since = sonde_clock_wall_ns() - store->run.written_ns;

	for (size_t i = 0; i < store->types.n; i++)
		if (store->slots[i].unsynced)
			return true;
	return run_joins(store) || store->gaps_changed || store->run.changed || store->rings_unwritten || since >= BEAT_NS || since < 0;
}

int sqlite_meta_write_totals(struct sqlite_store *store)
{
	int code = SQLITE_OK;

	for (size_t i = 0; !code && i < store->types.n; i++) {
		const struct sqlite_slot *slot = &store->slots[i];
		const char *texts[] = {store->types.items[i]->type.name};
		const int64_t numbers[] = {(int64_t)slot->stored, (int64_t)slot->expired, (int64_t)slot->readable,
					   slot->dropped_until_ns};

		if (!slot->changed)
			continue;
		code = run(store->db, slot->dropped_until_ns == INT64_MIN ?
			   "UPDATE sonde_types SET stored = ?2, expired = ?3, readable = ?4 WHERE name = ?1" :
			   "UPDATE sonde_types SET stored = ?2, expired = ?3, readable = ?4, dropped_until_ns = ?5 WHERE name = ?1",
			   texts, 1, numbers, slot->dropped_until_ns == INT64_MIN ? 3 : 4);
	}
	return code;
}

int sqlite_meta_write(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	int code = sqlite_meta_write_totals(store);

	for (size_t i = 0; !code && store->rings_unwritten && i < store->n_rings; i++)
		code = write_ring(store, &store->rings[i].checkpoint);
	for (size_t i = 0; !code && i < n; i++)
		code = write_ring(store, &checkpoints[i]);
	if (!code && store->gaps_changed)
		code = write_gaps(store);
	if (!code)
		code = write_run(store, false);
	return code;
}

void sqlite_meta_committed(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ring_keep(store, &checkpoints[i], ring_base(store, &checkpoints[i]));
	for (size_t i = 0; i < store->types.n; i++)
		store->slots[i].changed = store->slots[i].unsynced = false;
	if (run_joins(store)) {
		store->run.continues = true;
		store->run.started_ns = store->run.previous_started_ns;
	}
	store->rings_unwritten = store->gaps_changed = store->run.changed = false;
	store->run.written_ns = sonde_clock_wall_ns();
}

void sqlite_slots_reset(struct sqlite_store *store)
{
	for (size_t i = 0; i < SONDE_TYPES_MAX; i++) {
		sonde_block_index_free(&store->slots[i].index);
		store->slots[i] = (struct sqlite_slot){.unsynced = true, .dropped_until_ns = INT64_MIN};
	}
	store->oldest_ns = store->newest_ns = 0;
}

void sqlite_meta_reset(struct sqlite_store *store)
{
	store->rings_unwritten = true;
	store->gaps_changed = true;
	store->run.started_ns = sonde_clock_wall_ns();
	store->run.previous_id = 0; /* it is in the old file */
	store->run.continues = false;
	store->run.changed = true;
}
