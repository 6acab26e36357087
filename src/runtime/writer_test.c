/* SPDX-License-Identifier: Apache-2.0 */
/* From the hook to the store with real events: everything arrives, and what cannot is counted and told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <base/clock.h>
#include <runtime/attachment.h>
#include <runtime/writer.h>

#define RING_BYTES 65536
#define COMMIT_NS (20 * SONDE_NS_PER_MS)

struct fixture {
	struct sonde_manager *manager;
	struct sonde_enrich *enrich;
	struct sonde_store *store;
	struct sonde_writer *writer;
	struct sonde_source *source;
	struct sonde_noted noted[SONDE_NOTED_MAX];
	_Atomic bool gives_up; /* as the writer does when the time to stop is over */
	char folder[64], path[96];
};

static void deliver(struct sonde_source *source, struct sonde_batch_full *batch, void *userdata)
{
	struct fixture *f = userdata;

	if (f->gives_up)
		sonde_batch_unref(&batch->batch);
	else
		sonde_writer_deliver(f->writer, source, batch);
}

static void source_begin(struct fixture *f, uint64_t ring_id, const struct sonde_checkpoint *resume)
{
	struct sonde_source_opts opts;

	assert_int_equal(sonde_attachment_fds(f->manager, "flood", &opts), 0);
	opts.enrich = f->enrich;
	opts.deliver = deliver;
	opts.userdata = f;
	opts.ring_id = ring_id;
	assert_int_equal(sonde_source_new(&opts, &f->source), 0);
	if (resume)
		sonde_source_resume(f->source, resume);
	assert_int_equal(sonde_writer_add(f->writer, f->source), 0);
	assert_int_equal(sonde_source_start(f->source), 0);
}

static int setup_at(void **state, bool on_disk)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sonde_enrich_opts enrich = {.kallsyms_fd = -1};
	struct sonde_store_opts store = {.path = "memory", .max_bytes = 64 << 20};
	struct sonde_writer_opts writer = {.commit_interval_ns = COMMIT_NS, .max_queue_batches = 2};
	struct sonde_object_setting ours = {"tag", getpid()};
	struct sonde_program_spec spec = {
		.name = "flood", .object_path = SONDE_BUILD_DIR "/flood.bpf.o", .enabled = true, .ring_bytes = RING_BYTES,
		.settings = &ours, .n_settings = 1,
	};

	*state = NULL;
	if (geteuid() != 0) {
		free(f);
		return 0;
	}
	if (on_disk) {
		snprintf(f->folder, sizeof(f->folder), "/tmp/sonde-writer-test-XXXXXX");
		assert_non_null(mkdtemp(f->folder));
		snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
		store.path = f->path;
	}
	assert_int_equal(sonde_enrich_new(&enrich, &f->enrich), 0);
	assert_int_equal(sonde_store_open(&store, &f->store), 0);
	writer.store = f->store;
	writer.noted = f->noted;
	assert_int_equal(sonde_writer_new(&writer, &f->writer), 0);
	assert_int_equal(sonde_manager_new(&f->manager), 0);
	assert_int_equal(sonde_manager_register(f->manager, &spec), 0);
	assert_int_equal(sonde_manager_load(f->manager, "flood"), 0);
	assert_int_equal(sonde_store_add_schema(f->store, sonde_manager_schema(f->manager, "flood")), 0);
	source_begin(f, 1, NULL);
	assert_int_equal(sonde_manager_attach(f->manager, "flood"), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_at(state, false);
}

static int setup_on_disk(void **state)
{
	return setup_at(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	if (!f)
		return 0;
	sonde_source_stop(f->source);
	sonde_writer_free(&f->writer, sonde_clock_boot_ns() + SONDE_NS_PER_S);
	sonde_source_free(&f->source);
	sonde_store_close(&f->store);
	sonde_manager_free(&f->manager);
	sonde_enrich_free(&f->enrich);
	snprintf(command, sizeof(command), "rm -rf -- '%s'", f->folder);
	assert_int_equal(f->folder[0] ? system(command) : 0, 0);
	free(f);
	return 0;
}

/* Waits until nothing is on its way, for a minute at most; not a measure of time but a bound. */
static struct sonde_ledger settle(struct fixture *f)
{
	struct sonde_ledger ledger = {};

	for (int i = 0; i < 6000; i++) {
		sonde_source_ledger(f->source, &ledger);
		if (ledger.settled && !ledger.in_ring && !ledger.pending)
			break;
		usleep(10000);
	}
	return ledger;
}

static int count_row(const struct sonde_group *group, void *userdata)
{
	*(uint64_t *)userdata = group->count;
	return 0;
}

static uint64_t stored(struct fixture *f, struct sonde_answer *answer)
{
	struct sonde_query query = {.type = "flood", .since_ns = INT64_MIN, .until_ns = INT64_MAX, .pid = -1};
	uint64_t n = 0;

	assert_int_equal(sonde_store_count(f->store, &query, NULL, count_row, &n, answer), 0);
	return n;
}

static void test_all_arrive(void **state)
{
	struct fixture *f = *state;
	struct sonde_answer answer;
	struct sonde_ledger ledger;

	if (!f)
		skip();
	for (long i = 0; i < 5000; i++) {
		syscall(1023, i, (long)getpid());
		if (i % 100 == 0)
			usleep(1000); /* the ring is small: let the reader keep up */
	}
	ledger = settle(f);
	assert_int_equal(ledger.residual, 0);
	assert_int_equal(ledger.entered, 5000);
	assert_int_equal(ledger.stored + ledger.ring_full, 5000);
	assert_int_equal(stored(f, &answer), ledger.stored);
}

/* A reader that has nothing to do shows no sign of life by itself; it is well, and wakes for an event. */
static void test_asleep(void **state)
{
	struct fixture *f = *state;
	int64_t before;

	if (!f)
		skip();
	for (long i = 0; i < 3; i++) {
		for (int tries = 0, seen = 0; !seen; tries++) { /* it sleeps soon; a minute is a bound */
			usleep(10000);
			before = sonde_clock_boot_ns();
			seen = sonde_source_look(f->source) >= before;
			assert_true(tries < 6000);
		}
		syscall(1023, i, (long)getpid());
		assert_int_equal(settle(f).stored, i + 1);
	}
}

/* A burst that the ring cannot hold: the sum is exact, and the store says that its answer is not complete. */
static void test_losses_are_told(void **state)
{
	struct fixture *f = *state;
	struct sonde_answer answer;
	struct sonde_ledger ledger;

	if (!f)
		skip();
	for (long i = 0; i < 300000; i++)
		syscall(1023, i, (long)getpid());
	ledger = settle(f);
	assert_int_equal(ledger.residual, 0);
	assert_int_equal(ledger.entered, 300000);
	assert_int_equal(ledger.stored + ledger.ring_full, 300000);
	if (!ledger.ring_full)
		skip(); /* a reader that keeps up with this leaves nothing to tell */
	/* once a second the writer looks and notes */
	for (int i = 0; i < 500 && (stored(f, &answer), answer.lost != ledger.ring_full); i++)
		usleep(10000);
	assert_int_equal(stored(f, &answer), ledger.stored);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, ledger.ring_full);
	assert_non_null(strstr(answer.reason, "ring_full"));
}

/* A reader that went and one that goes on where the checkpoint says: nothing is lost, nothing is there twice. */
static void test_another_reader(void **state)
{
	struct sonde_checkpoint checkpoint;
	struct fixture *f = *state;
	struct sonde_answer answer;
	struct sonde_ledger ledger;

	if (!f)
		skip();
	for (long i = 0; i < 200; i++)
		syscall(1023, i, (long)getpid());
	sonde_source_stop(f->source);
	sonde_writer_remove(f->writer, f->source);
	sonde_source_free(&f->source);
	for (long i = 200; i < 400; i++)
		syscall(1023, i, (long)getpid());
	assert_int_equal(sonde_store_checkpoint(f->store, "flood", 1, &checkpoint), 0);
	source_begin(f, 1, &checkpoint);
	ledger = settle(f);
	assert_int_equal(ledger.residual, 0);
	assert_int_equal(ledger.consumed, 400);
	assert_int_equal(stored(f, &answer), 400);
}

/* What waits when the time to stop is over is lost, and the store says so. */
static void test_backlog_is_told(void **state)
{
	struct fixture *f = *state;
	struct sonde_query query = {.type = "flood", .since_ns = INT64_MIN, .pid = -1};
	struct sonde_answer answer;
	uint64_t n;

	if (!f)
		skip();
	for (long i = 0; i < 100; i++)
		syscall(1023, i, (long)getpid());
	assert_int_equal(settle(f).stored, 100);
	f->gives_up = true;
	for (long i = 100; i < 150; i++)
		syscall(1023, i, (long)getpid());
	query.until_ns = sonde_clock_wall_ns();
	usleep(10000);
	sonde_source_stop(f->source);
	sonde_writer_free(&f->writer, sonde_clock_boot_ns());
	assert_int_equal(stored(f, &answer), 100);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, 50);
	assert_non_null(strstr(answer.reason, "50 events of flood lost (shutdown)"));
	/* it says when they happened, not when they were given up */
	assert_int_equal(sonde_store_count(f->store, &query, NULL, count_row, &n, &answer), 0);
	assert_int_equal(answer.lost, 50);
}

/* A store that cannot write does not keep its readers from being stopped; nothing is there that was counted as lost. */
static void test_stop_while_locked(void **state)
{
	struct fixture *f = *state;
	struct sonde_counters counters;
	struct sonde_answer answer;
	uint64_t n;
	sqlite3 *lock;

	if (!f)
		skip();
	assert_int_equal(sqlite3_open(f->path, &lock), SQLITE_OK);
	assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (long i = 0; i < 100000; i++)
		syscall(1023, i, (long)getpid());
	sonde_writer_stop(f->writer, sonde_clock_boot_ns());
	sonde_source_stop(f->source);
	assert_int_equal(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(lock);
	assert_int_equal(sonde_source_counters(f->source, &counters), 0);
	sonde_writer_free(&f->writer, sonde_clock_boot_ns() + 10 * SONDE_NS_PER_S);
	n = stored(f, &answer);
	assert_true(n > 0);
	assert_int_equal(n + answer.lost, counters.submitted + counters.ring_full);
}

/*
 * While nothing can be committed, the answer says what is missing: what waits, and what was lost since. When all is written, the same
 * losses are said by the file.
 */
static void test_answers_while_locked(void **state)
{
	struct fixture *f = *state;
	struct sonde_counters counters = {};
	struct sonde_answer answer;
	struct sonde_ledger ledger;
	sqlite3 *lock;

	if (!f)
		skip();
	syscall(1023, 0l, (long)getpid());
	settle(f);
	assert_int_equal(stored(f, &answer), 1);
	assert_true(answer.complete);
	assert_int_equal(sqlite3_open(f->path, &lock), SQLITE_OK);
	assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (long i = 1; counters.ring_full < 1000; i++) {
		syscall(1023, i, (long)getpid());
		if (i % 1000 == 0)
			assert_int_equal(sonde_source_counters(f->source, &counters), 0);
	}
	sonde_source_counters(f->source, &counters);
	for (int i = 0; i < 6000 && (stored(f, &answer), !strstr(answer.reason, "locked")); i++)
		usleep(10000); /* that it is locked is known when the writer has tried long enough */
	assert_int_equal(stored(f, &answer), 1);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, counters.ring_full);
	assert_non_null(strstr(answer.reason, "events since "));
	assert_non_null(strstr(answer.reason, "UTC wait (store: cannot write: another program keeps the file locked)"));
	assert_int_equal(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(lock);
	ledger = settle(f);
	assert_int_equal(ledger.residual, 0);
	for (int i = 0; i < 6000 && (stored(f, &answer), strstr(answer.reason, "wait")); i++)
		usleep(10000);
	assert_int_equal(stored(f, &answer), ledger.stored);
	assert_false(answer.complete);
	assert_int_equal(answer.lost, ledger.ring_full);
}

/* A program that is stopped meanwhile: its last events wait all the same. */
static void test_removed_while_locked(void **state)
{
	struct fixture *f = *state;
	struct sonde_answer answer;
	sqlite3 *lock;

	if (!f)
		skip();
	assert_int_equal(sqlite3_open(f->path, &lock), SQLITE_OK);
	assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (long i = 0; i < 100; i++)
		syscall(1023, i, (long)getpid());
	sonde_source_stop(f->source);
	sonde_writer_remove(f->writer, f->source);
	assert_int_equal(stored(f, &answer), 0);
	assert_false(answer.complete);
	assert_non_null(strstr(answer.reason, "UTC wait (store: cannot write"));
	assert_int_equal(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(lock);
	for (int i = 0; i < 6000 && (stored(f, &answer), !answer.complete); i++)
		usleep(10000);
	assert_true(answer.complete);
	assert_int_equal(stored(f, &answer), 100);
}

/* A worker ended, and when the next one begins, a ring is gone: nobody knows what was in it, but that it is missing. */
static void test_ring_gone(void **state)
{
	struct fixture *f = *state;
	struct sonde_writer_opts opts = {.store = f ? f->store : NULL, .noted = f ? f->noted : NULL, .commit_interval_ns = COMMIT_NS,
					 .starting = true};
	struct sonde_answer answer;

	if (!f)
		skip();
	syscall(1023, 0l, (long)getpid());
	assert_int_equal(settle(f).stored, 1);
	stored(f, &answer);
	assert_true(answer.complete);
	sonde_source_stop(f->source);
	sonde_writer_free(&f->writer, sonde_clock_boot_ns() + SONDE_NS_PER_S);
	assert_int_equal(sonde_writer_new(&opts, &f->writer), 0);
	stored(f, &answer);
	assert_string_equal(answer.reason, "programs are being started");
	sonde_writer_started(f->writer);
	assert_int_equal(stored(f, &answer), 1);
	assert_false(answer.complete);
	assert_non_null(strstr(answer.reason, "an unknown number of events of flood lost (ring_lost)"));
	for (size_t i = 0; i < SONDE_NOTED_MAX; i++)
		assert_int_equal(f->noted[i].ring_id, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_losses_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_while_locked, setup_on_disk, teardown),
		cmocka_unit_test_setup_teardown(test_answers_while_locked, setup_on_disk, teardown),
		cmocka_unit_test_setup_teardown(test_removed_while_locked, setup_on_disk, teardown),
		cmocka_unit_test_setup_teardown(test_ring_gone, setup_on_disk, teardown),
		cmocka_unit_test_setup_teardown(test_ring_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
