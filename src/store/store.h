/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file store.h
 * Where events are kept and asked for. One interface, several back ends (const tables of functions), one
 * conformance test for all.
 *
 * Exactness: sonde_store_commit() makes all appended events durable together with a checkpoint for each
 * program: how far its ring was read, and its counters. Only after that does the reader move the ring's
 * position. Whoever opens the store again gets the checkpoints back, so an event is never lost and never there twice.
 *
 * Threads: append, commit, gap, expire: one writer thread. Everything else: any thread at any time, they never stop the writer.
 * Errors:  negative errno; an I/O error, a full or read-only disk leaves the appended events in memory (bounded):
 *          call commit again. sonde_store_error() has the text (of this thread's last error).
 */

#include <base/identifier.h>
#include <schema/filter.h>
#include <schema/schema.h>

#define SONDE_CURSOR_MAX 96

struct sonde_store;
struct sonde_damage;

struct sonde_store_opts {
	const char *path;	    /* a file, or "memory" */
	uint64_t max_bytes;	    /* on disk with WAL, at least 8 MiB, 0: no limit; in memory the rows, 0: 64 MiB */
	int64_t max_age_ns;	    /* 0: no limit */
	unsigned merge_cpu_pct;	    /* a file's small blocks become large ones beside the writer, for this share of a CPU; 0: never */
	bool read_only;		    /* for the command line beside a running agent */
	const struct sonde_names *names;
	void *checkpoints;	    /* shared memory, zero at first, that outlives the worker, or NULL (checkpoints.h) */
	size_t checkpoints_size;
};

/** How far one program's ring has been taken, and what became of it. All numbers count from the ring's creation. */
struct sonde_checkpoint {
	char program[SONDE_PROGRAM_NAME_MAX];
	uint64_t ring_id;   /* which ring: random, made with the ring; another id starts from zero */
	uint64_t position;  /* of the ring's consumer, bytes */
	uint64_t consumed;  /* records read up to position */
	uint64_t stored;    /* events stored; consumed = stored + invalid + limited + queue_dropped (+ derived, later) */
	uint64_t invalid;
	uint64_t limited;
	uint64_t queue_dropped;
	uint64_t expired;   /* filled by the store: of `stored`, no longer kept; readable = stored - expired */
};

/** A span in which events of a program are missing, and why. */
struct sonde_gap {
	char program[SONDE_PROGRAM_NAME_MAX];
	char cause[32]; /* "ring_full", "map_full", "recursion", "shutdown", "stopped", ... */
	int64_t from_ns, to_ns; /* to_ns INT64_MAX: it lasts, until sonde_store_gap_end() */
	uint64_t count; /* 0: unknown */
};

/** The causes of a program that does not run: for something else than the configuration; as the configuration says. */
#define SONDE_GAP_STOPPED "stopped"
#define SONDE_GAP_DISABLED "disabled" /* who asks for all types does not miss it */

#define SONDE_WAITING_MAX 64 /* programs */
#define SONDE_WAITING_CAUSES_MAX 4

/** What happened and is not stored, as who brings the events knows it. */
struct sonde_waiting {
	bool starting; /* not all who bring events are there: what waits is not known */
	int64_t usual_ns; /* so long an event may wait without a word */
	size_t n, n_gaps;
	struct {
		char program[SONDE_PROGRAM_NAME_MAX];
		int64_t since_ns; /* the oldest event that waits */
	} programs[SONDE_WAITING_MAX];
	/* Losses that sonde_store_gap() will be told: since the last one it was told of the same program and cause. */
	struct sonde_gap gaps[SONDE_WAITING_MAX * SONDE_WAITING_CAUSES_MAX];
	char error[128]; /* the store's own: why it cannot write, or "" */
};

/** Fills all but the error; what it gets is zero but for the gaps. Any thread; it never waits for the store. */
typedef void (*sonde_waiting_fn)(void *userdata, struct sonde_waiting *waiting);

#define SONDE_QUERY_NS (60 * SONDE_NS_PER_S) /* time of a query */

struct sonde_query {
	const char *type;	/* NULL: all */
	int64_t since_ns;	/* inclusive; INT64_MIN: from the start */
	int64_t until_ns;	/* exclusive; INT64_MAX: to the end */
	int64_t pid;		/* -1: any */
	const char *command;	/* NULL: any; exact */
	const char *container;	/* NULL: any; exact, or a prefix of at least 12 characters of an id */
	const struct sonde_filter *where;
	uint32_t limit;		/* 0: no limit */
	const char *cursor;	/* where an earlier answer stopped, or NULL */
	bool oldest_first;	/* default: newest first */
	struct sonde_damage *damage; /* of sonde_store_query(): NULL, or shared by the pages of one answer (damage.h) */
	int64_t deadline_ns; /* boot clock; 0: SONDE_QUERY_NS from now on */
};

/** Does a row have the query's pid, command and container? For whoever looks at events on their way, like the store does. */
bool sonde_query_match(const struct sonde_query *query, const struct sonde_value *values);

/** What an answer is worth. */
struct sonde_answer {
	uint64_t rows;			 /* given to the callback, or counted */
	bool more;			 /* the limit ended it: go on with cursor */
	char cursor[SONDE_CURSOR_MAX];
	bool complete;			 /* nothing is missing in the asked span, as far as it is known */
	uint64_t lost;			 /* events known to be missing in the span; 0 with !complete: number unknown */
	char reason[384];		 /* if not complete: why, in words */
	/* Of a count: all together, also of the groups beyond the limit, and how many groups there are. */
	uint64_t count, groups;
	int64_t sum;
};

/** @return 0 to go on, 1 to stop, negative: error, passed through. `values` is valid during the call. */
typedef int (*sonde_row_fn)(const struct sonde_type *type, const struct sonde_value *values, void *userdata);

#define SONDE_COUNT_BY_MAX 3
#define SONDE_COUNT_GROUPS_MAX 65536

/** What to count beside the number of events. */
struct sonde_count_opts {
	const char *by[SONDE_COUNT_BY_MAX]; /* groups with the same values in these columns, up to the first NULL */
	const char *sum; /* a column of quantities to add up, and to rank groups by; NULL: they are ranked by number */
	uint32_t limit;	 /* of the groups that are given, the largest; 0: SONDE_COUNT_GROUPS_MAX, which is also the most */
	uint32_t bytes;	 /* of memory for the groups of one pass; 0: SONDE_GROUPS_BYTES */
};

struct sonde_group {
	const struct sonde_value *values; /* of the columns `by`, in this order; NULL without */
	uint64_t count; /* events: the weights of the rows */
	int64_t sum;	/* of the column `sum`: each value as often as its row's weight says. It ends at the limits of its type */
};

/** @return as sonde_row_fn. */
typedef int (*sonde_group_fn)(const struct sonde_group *group, void *userdata);

struct sonde_store_status {
	const char *backend; /* "sqlite", "memory" */
	const char *path;
	uint64_t bytes;		/* size now */
	uint64_t stored;	/* events ever stored in this file (memory: since its start) */
	uint64_t expired;	/* of these, dropped by retention */
	uint64_t readable;	/* rows there now, counted independently of the two above */
	int64_t oldest_ns, newest_ns; /* 0: empty */
	uint64_t commits, failed_commits;
	uint64_t clock_jumps;	/* of the wall clock, seen by expire, that deleted nothing */
	char error[256];	/* what is wrong now, or "" */
	char set_aside[512];	/* the damaged file that was moved away at start, or "" */
};

struct sonde_store_ops {
	const char *name;
	int (*open)(const struct sonde_store_opts *opts, struct sonde_store **ret_store);
	void (*close)(struct sonde_store *store);
	int (*add_type)(struct sonde_store *store, const struct sonde_type *type, const char *program);
	size_t (*types)(struct sonde_store *store, const struct sonde_type **types, size_t max);
	int (*append)(struct sonde_store *store, const struct sonde_event *events, size_t n);
	int (*commit)(struct sonde_store *store, const struct sonde_checkpoint *checkpoints, size_t n);
	int (*checkpoint)(struct sonde_store *store, const char *program, uint64_t ring_id,
			  struct sonde_checkpoint *ret_checkpoint);
	int (*gap)(struct sonde_store *store, const struct sonde_gap *gap);
	int (*gap_end)(struct sonde_store *store, const char *program, const char *cause, int64_t to_ns);
	int (*expire)(struct sonde_store *store, int64_t now_ns);
	void (*seen_from)(struct sonde_store *store, int64_t from_ns);
	int (*query)(struct sonde_store *store, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		     struct sonde_answer *ret_answer);
	int (*count)(struct sonde_store *store, const struct sonde_query *query, const struct sonde_count_opts *opts,
		     sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer);
	int (*sql)(struct sonde_store *store, const char *sql, uint32_t limit, int64_t timeout_ns,
		   int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
		   void *userdata, struct sonde_answer *ret_answer);
	void (*status)(struct sonde_store *store, struct sonde_store_status *ret_status);
};

/**
 * @brief Open a store: "memory" or a file. A damaged file is set aside (renamed with the reason logged) and a new one begun.
 * If the disk is full, read-only or broken, the store is open without its file: commits fail until one can open it, as at a start.
 * @return 0; -EACCES, -ENOENT, -EBUSY ... the file cannot be used: the text is logged.
 */
int sonde_store_open(const struct sonde_store_opts *opts, struct sonde_store **ret_store);
void sonde_store_close(struct sonde_store **store);

/**
 * @brief Make a type known before its first event: creates or extends its table. Idempotent; `type` must outlive the store.
 * The type belongs to the program of its own name. If that cannot be written now, it is with the first commit that can.
 */
int sonde_store_add_type(struct sonde_store *store, const struct sonde_type *type);
/** The same for all types of a program, which they then belong to: needed where the names differ, for gaps and `expired`. */
int sonde_store_add_schema(struct sonde_store *store, const struct sonde_schema *schema);
/** The types that have been stored, also those of no running program. */
size_t sonde_store_types(struct sonde_store *store, const struct sonde_type **types, size_t max);
/** The program that a type of sonde_store_types() belongs to. */
const char *sonde_store_program(const struct sonde_type *type);
/** @return 0; -ENOBUFS: too much is waiting for a commit that fails; nothing of the batch was taken. */
int sonde_store_append(struct sonde_store *store, const struct sonde_event *events, size_t n);
/**
 * @brief All appended events and these checkpoints, in one transaction. The checkpoints' `stored` is the caller's count.
 * @return also -ESTALE, from then on always: the file could not be read when the store was opened, and now says that a ring was read
 * further than sonde_store_checkpoint() knew. Nothing of it may be stored: the process must end and begin anew.
 */
int sonde_store_commit(struct sonde_store *store, const struct sonde_checkpoint *checkpoints, size_t n);
/**
 * @brief The last committed checkpoint of a program's ring, all zero (with the ids filled in) if there is none. Any thread.
 * `expired` is as of now: the ledger asks here. Asking for a ring that has one says that nothing was missed since the store was
 * last written (the ring kept it).
 */
int sonde_store_checkpoint(struct sonde_store *store, const char *program, uint64_t ring_id,
			   struct sonde_checkpoint *ret_checkpoint);
int sonde_store_gap(struct sonde_store *store, const struct sonde_gap *gap);
/** One that lasts ends; there need not be one. */
int sonde_store_gap_end(struct sonde_store *store, const char *program, const char *cause, int64_t to_ns);
/**
 * @brief Apply the limits of size and age, and note gaps and that the writer lives: call it every few seconds, and once a
 * second while events come.
 * `now_ns` wall clock; a clock that jumps forward deletes nothing (retention.h).
 */
int sonde_store_expire(struct sonde_store *store, int64_t now_ns);

/**
 * @brief Each answer's worth is judged by what `fn` says too: events that wait longer than usual, or while nothing can be written, are
 * missing. `fn` NULL: nothing waits. Not while anybody asks.
 */
void sonde_store_set_waiting(struct sonde_store *store, sonde_waiting_fn fn, void *userdata);
/**
 * @brief Before `from_ns` nobody saw all that happened, though the store was open: programs were being started. Nothing to say if a
 * ring of an earlier process is read on (sonde_store_checkpoint()): its program was never away.
 */
void sonde_store_seen_from(struct sonde_store *store, int64_t from_ns);
/** @return 0 or what `fn` returned below zero; -ENOENT no such type, -EINVAL not its cursor, -EBUSY, -ETIMEDOUT, -EIO. */
int sonde_store_query(struct sonde_store *store, const struct sonde_query *query, sonde_row_fn fn, void *userdata,
		      struct sonde_answer *ret_answer);
/**
 * @brief Number of matching events, weights added up; in groups if opts has `by`, the largest first (equal ones in the order of
 * their values), else with one call. The query's limit and cursor have no meaning here; answer.rows are the rows without their
 * weights. An event of a type without a column counts as null. Very many groups take several passes (groups.h): time, not memory.
 * @param opts NULL: only the number.
 * @return also -ENOENT no type has the column, -EINVAL its values cannot be added up, -E2BIG the values of one group are longer
 * than the memory for all.
 */
int sonde_store_count(struct sonde_store *store, const struct sonde_query *query, const struct sonde_count_opts *opts,
		      sonde_group_fn fn, void *userdata, struct sonde_answer *ret_answer);
/**
 * @brief One read-only SQL statement with an authorizer, a limit of rows (0: none) and of time (0: 10 s). A number
 * with a fraction is SONDE_REAL. `ret_error` is borrowed until the next call in this thread.
 * @param fn Gets each row; without rows it is called once with the names, and `values` NULL.
 * The answer's worth is that of the tables and spans of time that the statement names; if its time ends when it has given rows,
 * these are the answer, and it is not complete.
 * @return 0; -EINVAL with SQLite's message, -EPERM not a query, -ETIMEDOUT, -ENOTSUP: the memory store has none.
 */
int sonde_store_sql(struct sonde_store *store, const char *sql, uint32_t limit, int64_t timeout_ns,
		    int (*fn)(int n, const char *const *names, const struct sonde_value *values, void *userdata),
		    void *userdata, struct sonde_answer *ret_answer, const char **ret_error);
/** Queries and SQL that run, and those that come, end with -ECANCELED: the agent stops. Any thread, also a signal handler. */
void sonde_store_interrupt(struct sonde_store *store);
void sonde_store_status(struct sonde_store *store, struct sonde_store_status *ret_status);
const char *sonde_store_error(struct sonde_store *store);
