/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file sqlite.h
 * Inside of the SQLite back end: one connection that writes, owned by the writer's thread, and a few that read, each used by one
 * query at a time. Write-ahead logging lets them not wait for each other.
 *
 * The file:
 *	sonde_blocks		the events: a row is a block of one type (block.h)
 *	sonde_types		types, their programs and how many events were stored, expired, are readable
 *	sonde_columns		their columns
 *	sonde_checkpoints, sonde_gaps, sonde_runs
 * In SQL each type is a virtual table (vtab.h). The sequence of an event is the number of events of its type that were stored
 * before it: a block has those from `first` on, so no event needs to carry it.
 */

#include <store/backend.h>
#include <store/checkpoints.h>
#include <store/description.h>
#include <store/gaps.h>
#include <store/block_index.h>
#include <store/block_scan.h>
#include <store/intake.h>
#include <store/query.h>
#include <store/retention.h>
#include <store/temporary.h>
#include <store/types.h>
#include <store/vtab.h>

#include <base/cleanup.h>

#include <sqlite3.h>

#define SQLITE_READERS_MAX 4
#define SQLITE_RINGS_MAX 256

struct sqlite_reader {
	sqlite3 *db; /* NULL: not open yet */
	unsigned generation;
	bool busy;
	int64_t deadline_ns; /* boot clock */
	const atomic_bool *interrupted;
	struct sonde_vtab_use uses[SONDE_TYPES_MAX]; /* of a statement, by slot */
	struct sonde_waiting waiting; /* when it was lent */
};

struct sqlite_slot {
	struct sonde_block_index index; /* the writer's */
	bool unsynced; /* the file does not describe the type as it is yet */
	bool changed;  /* totals since the last commit */
	uint64_t stored, expired, readable;
	int64_t dropped_until_ns;
};

struct sqlite_ring {
	struct sonde_checkpoint checkpoint;
	int64_t base; /* sonde_checkpoint_expired() */
	bool loaded;  /* written by an earlier process, not by this one yet */
	bool early;   /* read on before there was a file to ask: from where shared memory says */
	bool joined;  /* found in the file that is being read */
};

/* The time this process writes. */
struct sqlite_own_run {
	int64_t id, started_ns, written_ns;
	int64_t previous_id, previous_started_ns; /* id 0: there was none */
	bool continues; /* a ring was kept in between: the two runs are one */
	bool changed;
	char boot_id[40];
};

/* Merges small blocks, in a thread of its own. */
struct sqlite_compactor {
	unsigned cpu_pct; /* of one CPU at most; 0: never */
	bool running;
	pthread_t thread;
	pthread_mutex_t lock; /* of the next two; never held together with another one */
	bool asked;
	atomic_bool stopping;
	pthread_cond_t work;
	/* The thread's. */
	struct sqlite_reader reader;
	struct sonde_block_encoder *encoder;
};

/* Which files SQLite keeps beside the database. */
struct sqlite_log {
	dev_t device;
	ino_t log, index; /* -wal, -shm */
};

struct sqlite_store {
	struct sonde_store base;
	char *path;
	bool read_only;
	uint64_t max_bytes;
	int64_t max_age_ns;
	struct sonde_types types;
	struct sonde_temporary *temporary; /* of all that read */

	/* The writer's. */
	sqlite3 *db; /* NULL: there is none now, events wait */
	int lock_fd; /* -1: not locked. Nobody else writes to the file */
	struct sqlite_log log; /* of `db` */
	bool log_lost_said; /* and waits for readers: nothing is merged */
	sqlite3_stmt *insert, *delete; /* of a block */
	struct sonde_intake intake;
	struct sonde_checkpoints shared;
	struct sonde_retention retention;
	struct sonde_gaps gaps; /* all that the file has, and what it will have; changed under the lock */
	bool gaps_changed;
	bool log_kept; /* by a reader: the last write was not begun for that */
	unsigned room_factor; /* how generous to make room: doubles while the limit is hit */
	struct sqlite_own_run run;
	bool rings_unwritten; /* the file is new: all of them are to be written, not only those of a commit */
	struct sqlite_slot slots[SONDE_TYPES_MAX];

	struct sqlite_compactor compactor;
	atomic_bool ring_kept; /* a ring of an earlier process is read on */
	pthread_mutex_t status_lock; /* of status_reader: asking how it goes never waits for queries */
	struct sqlite_reader status_reader;

	pthread_mutex_t lock; /* of the rest, and of totals and rings where others than the writer look */
	pthread_cond_t reader_free;
	struct sqlite_reader readers[SQLITE_READERS_MAX];
	unsigned generation; /* of the file: readers of an older one are closed */
	struct sqlite_ring rings[SQLITE_RINGS_MAX];
	size_t n_rings;
	int64_t oldest_ns, newest_ns; /* of all blocks that the writer knows; 0: there is none */
	uint64_t commits, failed_commits;
	char error[256];
	char set_aside[512];
	atomic_bool damaged;
	bool has_file; /* what the file knows is in memory */
	bool salvages; /* the next new file takes over what can be read of the one that was set aside */
	bool starting; /* in open: nobody else sees the store */
};

/* sqlite.c */
/** @return errno of a result; keeps its text for this thread. */
int sqlite_fail(sqlite3 *db, int code, const char *what);
int sqlite_errno(int code);
bool sqlite_is_damage(int code);
/** Note that the file is damaged if `code` says so: the next commit begins a new one. */
void sqlite_note(struct sqlite_store *store, int code);
int sqlite_run(sqlite3 *db, const char *sql); /* SQLite's code */
/** First column of the first row. @return SQLite's code; SQLITE_DONE: no row. */
int sqlite_number(sqlite3 *db, const char *sql, int64_t *ret_number);
void sqlite_finalize(sqlite3_stmt **statement);

/* sqlite_file.c: the file as a whole. Negative errno. */
/** Refuse what is not a plain file of our own. -ENOENT: there is nothing. */
int sqlite_file_check(const char *path);
/** @param from A file that was set aside: what can be read of it is taken over. NULL: nothing. */
int sqlite_file_create(const char *path, const char *from);
/** Can a file be made beside it now? */
int sqlite_file_probe(const char *path);
int sqlite_file_set_aside(const char *path, const char *reason, char *ret_name, size_t size);
/** Be the only one who writes to the file, until the descriptor is closed. @return it; -EBUSY after some seconds. */
int sqlite_file_lock(const char *path);
/** Is the open file still the one at the path? */
bool sqlite_file_is(const char *path, int fd);
/** The same for what SQLite keeps beside it. */
void sqlite_file_log(const char *path, struct sqlite_log *ret_log);
bool sqlite_file_log_is(const char *path, const struct sqlite_log *log);
/**
 * @brief A file that was at the path went away: what SQLite kept beside it goes too, before another file is opened there.
 * @param log_is_ours The log still has pages: it is set aside.
 */
int sqlite_file_clean(const char *path, bool log_is_ours);
/** Database and log. */
uint64_t sqlite_file_bytes(const char *path);
uint64_t sqlite_file_log_bytes(const char *path);
/** @return a process that reads the file now, beside this one; 0: nobody knows. */
int sqlite_file_reader(const char *path);

/** What can be read of a damaged file into a new one. SQLite's code: not 0: the new one is to be made again. */
int sqlite_salvage(const char *from, const char *to);

/* sqlite_schema.c. SQLite's codes, SQLITE_CORRUPT for contents that cannot be. */
int sqlite_schema_create(sqlite3 *db);
int sqlite_schema_migrate(sqlite3 *db);
int sqlite_schema_load(struct sqlite_store *store, sqlite3 *db); /* the text kept */
/** Describe all unsynced types; inside a transaction. */
int sqlite_schema_sync(struct sqlite_store *store);

/* sqlite_open.c: SQLite's codes, the text kept; SQLITE_NOTADB also for a file that is not one of ours. */
int sqlite_open_writer(struct sqlite_store *store);
/**
 * @param unchanging Nobody here writes to it: a file that was closed in order may stand where nothing can be written.
 * @param temporary For what its statements sort and group; NULL: nothing large, in memory. It outlives the connection.
 */
int sqlite_open_reader(const char *path, bool unchanging, const struct sonde_temporary *temporary, sqlite3 **ret_db);
void sqlite_close_writer(struct sqlite_store *store);
/** The log into the file, without waiting. SQLITE_BUSY: a reader needs it still. */
int sqlite_log_empty(struct sqlite_store *store);

/* sqlite_begin.c. Negative errno, the text kept. */
/** Open the file that is at the path, or begin a new one; a damaged one is set aside. */
int sqlite_begin(struct sqlite_store *store);
/** Move the file, which is closed, away; a new one begins, with what can be read of the old one. */
int sqlite_replace(struct sqlite_store *store, const char *reason);
/** The open file is no longer at its path: say so, note what went with it, and leave it. */
int sqlite_lost(struct sqlite_store *store);
/** The same of its log (-wal) or the log's index (-shm): nothing is lost, all is opened anew as soon as no reader is in the way. */
int sqlite_log_lost(struct sqlite_store *store);
/** Close the file, for another one to begin; what is in memory waits for it. */
void sqlite_leave(struct sqlite_store *store);

/* sqlite_write.c */
int sqlite_commit(struct sonde_store *base, const struct sonde_checkpoint *checkpoints, size_t n);
/** May something be written? SQLITE_FULL: file and log are at the limit, as a reader keeps the log. */
int sqlite_log_check(struct sqlite_store *store);
/** A transaction of its own for `write`. SQLite's code. */
int sqlite_transaction(struct sqlite_store *store, int (*write)(struct sqlite_store *store, void *userdata), void *userdata);
/** Note a failure for status and error. @return errno */
int sqlite_failed(struct sqlite_store *store, int code, const char *what);
/** The same for an error whose text is kept. @return r */
int sqlite_failed_now(struct sqlite_store *store, int r);

/* sqlite_meta.c: SQLite's codes. */
int sqlite_meta_load(struct sqlite_store *store, sqlite3 *db);
/** The run of this process, and the trail of the clock (retention.h), which goes on where the one before it was. */
int sqlite_meta_start_run(struct sqlite_store *store);
/** Anything to write although no event came? */
bool sqlite_meta_due(const struct sqlite_store *store);
/** Inside a transaction: totals, checkpoints, gaps, the run. */
int sqlite_meta_write(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n);
int sqlite_meta_write_totals(struct sqlite_store *store);
/** What was written is committed. */
void sqlite_meta_committed(struct sqlite_store *store, const struct sonde_checkpoint *checkpoints, size_t n);
/** Another file will come: everything is to be written again. */
void sqlite_meta_reset(struct sqlite_store *store);
/** No event is in the file, as far as it is known. */
void sqlite_slots_reset(struct sqlite_store *store);
/**
 * @brief When a file has been loaded: the first n rings are older, in memory.
 * @return false: a ring was read on from another place than the file says.
 */
bool sqlite_rings_join(struct sqlite_store *store, size_t n);
void sqlite_meta_stop_run(struct sqlite_store *store);
void sqlite_seen_from(struct sonde_store *base, int64_t from_ns);
int sqlite_checkpoint(struct sonde_store *base, const char *program, uint64_t ring_id,
		      struct sonde_checkpoint *ret_checkpoint);
int sqlite_gap(struct sonde_store *base, const struct sonde_gap *gap);
int sqlite_gap_end(struct sonde_store *base, const char *program, const char *cause, int64_t to_ns);

/** Put a block into the file; inside a transaction. SQLite's code. */
int sqlite_block_insert(struct sqlite_store *store, struct sonde_block *block, struct sonde_indexed_block *ret_indexed);
int sqlite_block_delete(struct sqlite_store *store, int64_t id);

/* sqlite_blocks.c: what the file has, when it is opened for writing. SQLite's code. */
int sqlite_blocks_load(struct sqlite_store *store);
/** Both under the lock: a block more; all blocks anew. */
void sqlite_span_add(struct sqlite_store *store, const struct sonde_indexed_block *block);
void sqlite_span_make(struct sqlite_store *store);
/** Note a gap for events that were readable and are no longer; under the lock. */
void sqlite_blocks_lose(struct sqlite_store *store, size_t slot, uint64_t lost, const char *cause);

/* sqlite_compact.c */
void sqlite_compactor_init(struct sqlite_compactor *compactor, unsigned cpu_pct);
/** The writer says that there may be something to merge; the first time starts the thread. Never waits. */
void sqlite_compactor_ask(struct sqlite_store *store);
/** Waits for the merge that is being done. */
void sqlite_compactor_stop(struct sqlite_compactor *compactor);

/* sqlite_expire.c */
int sqlite_expire(struct sonde_store *base, int64_t now_ns);
/** Delete the oldest events until `bytes` more fit below the limit. SQLite's code. */
int sqlite_make_room(struct sqlite_store *store, uint64_t bytes);
/** Bytes that the database may have, the log left out; 0: no limit. */
uint64_t sqlite_limit(const struct sqlite_store *store);

/* sqlite_read.c, sqlite_query.c, sqlite_sql.c */
/** Make a reader that is ours ready for one use. */
int sqlite_reader_ready(struct sqlite_store *store, struct sqlite_reader *reader, int64_t timeout_ns);
/** How many steps SQLite does between two looks at the clock and at whether the agent stops. */
void sqlite_reader_watch(struct sqlite_reader *reader, int steps);
/** Close it if it is of an older file, whose room on the disk it would keep. */
void sqlite_reader_renew(struct sqlite_store *store, struct sqlite_reader *reader);
void sqlite_reader_done(struct sqlite_reader *reader);
void sqlite_reader_close(struct sqlite_reader *reader);
int sqlite_reader_get(struct sqlite_store *store, int64_t timeout_ns, struct sqlite_reader **ret_reader);
void sqlite_reader_put(struct sqlite_store *store, struct sqlite_reader *reader);
/** Those that nobody uses; under the lock, or when nobody can. */
void sqlite_readers_close(struct sqlite_store *store);
int sqlite_query(struct sonde_store *base, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		 struct sonde_answer *ret_answer);
int sqlite_count(struct sonde_store *base, const struct sonde_query *query, const struct sonde_count_opts *opts,
		 sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer);
/**
 * @brief What an answer is worth that is read on this connection, but for damage. Negative errno.
 * @param waiting From before the connection's snapshot; NULL: of a store that is only read nobody knows it.
 */
int sqlite_judge(struct sqlite_store *store, sqlite3 *db, const struct sonde_waiting *waiting, const struct sonde_query *query,
		 struct sonde_answer *answer);
/** Add to what a table's use has lost the events that the file should have and that are in no block whose facts are right. SQLite's code. */
int sqlite_use_missing(sqlite3 *db, const char *type, struct sonde_vtab_use *use);
int sqlite_sql(struct sonde_store *base, const char *sql, uint32_t limit, int64_t timeout_ns,
	       int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
	       void *userdata, struct sonde_answer *ret_answer);
void sqlite_status(struct sonde_store *base, struct sonde_store_status *ret_status);
