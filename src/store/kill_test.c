/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer that is killed at any moment, a thousand times. The oracle is a counter in shared memory that the writer raises after
 * each commit, as a reader would move its ring: what the store says afterwards is at least that, and the events that it has are
 * exactly those that its checkpoint names, each once.
 */
#include <store/store_test.h>

#include <base/log.h>

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define KILLS 125 /* of each of the processes */
#define PROCESSES 8
#define RING 9
#define BATCH_MAX 40
#define SHARED_BYTES 16384

struct oracle {
	_Atomic uint64_t committed; /* events whose commit returned */
	atomic_bool opened;
	_Alignas(8) char checkpoints[SHARED_BYTES];
};

static struct oracle *oracle;

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "writer: %s: %s\n", what, sonde_store_error(NULL));
	_exit(3);
}

/* Goes on where the checkpoint says, until it is killed. */
static void writer_main(const char *path, int64_t start_ns, unsigned seed)
{
	struct sonde_store_opts opts = {.path = path, .checkpoints = oracle->checkpoints, .checkpoints_size = SHARED_BYTES,
					.merge_cpu_pct = 100};
	struct sonde_checkpoint checkpoint;
	struct sonde_store *store;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	check(!sonde_store_open(&opts, &store), "open");
	check(!sonde_store_add_type(store, &test_type), "type");
	check(!sonde_store_checkpoint(store, TEST_PROGRAM, RING, &checkpoint), "checkpoint");
	check(checkpoint.stored >= oracle->committed, "what was committed is not there");
	/* The one before may have been killed between its commit and its word of it; so may this one. */
	oracle->committed = checkpoint.stored;
	oracle->opened = true;
	for (;;) {
		uint64_t n = 1 + (uint64_t)rand_r(&seed) % BATCH_MAX;
		int64_t at_ns = start_ns + (int64_t)checkpoint.stored;

		check(!test_append(store, &test_type, checkpoint.stored, n, at_ns, 1), "append");
		checkpoint.stored += n;
		checkpoint.consumed = checkpoint.position = checkpoint.stored;
		check(!sonde_store_commit(store, &checkpoint, 1), "commit");
		oracle->committed = checkpoint.stored;
		if (rand_r(&seed) % 16 == 0)
			check(!sonde_store_expire(store, sonde_clock_wall_ns()), "expire");
	}
}

static void kill_writer(const char *path, int64_t start_ns, unsigned seed)
{
	bool while_opening = seed % 8 == 0;
	int status;
	pid_t pid;

	oracle->opened = false;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		writer_main(path, start_ns, seed);
	while (!while_opening && !oracle->opened && !waitpid(pid, &status, WNOHANG))
		usleep(200);
	usleep((useconds_t)rand_r(&seed) % 12000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status))
		fail_msg("the writer ended by itself");
}

static int check_number(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	uint64_t *next = userdata;

	if (values[SONDE_COLUMN_COMMON_MAX].u != (*next)++)
		fail_msg("event %lu stands where %lu should", (unsigned long)values[SONDE_COLUMN_COMMON_MAX].u,
			 (unsigned long)*next - 1);
	return 0;
}

/* @param from Rows before it were checked by an earlier look. */
static uint64_t check_store(const char *path, int64_t start_ns, uint64_t from)
{
	struct sonde_store_opts opts = {.path = path};
	struct sonde_query query = {.since_ns = start_ns + (int64_t)from, .until_ns = INT64_MAX, .pid = -1, .oldest_first = true};
	struct sonde_store_status status;
	struct sonde_checkpoint checkpoint;
	struct sonde_answer answer;
	struct sonde_store *store;
	uint64_t next = from;

	assert_int_equal(sonde_store_open(&opts, &store), 0);
	assert_int_equal(sonde_store_checkpoint(store, TEST_PROGRAM, RING, &checkpoint), 0);
	assert_true(checkpoint.stored >= oracle->committed);
	assert_true(checkpoint.stored <= oracle->committed + BATCH_MAX);
	assert_int_equal(sonde_store_query(store, &query, check_number, &next, &answer), 0);
	assert_int_equal(next, checkpoint.stored); /* none lost, none twice */
	sonde_store_status(store, &status);
	assert_int_equal(status.stored, checkpoint.stored);
	assert_int_equal(status.readable, checkpoint.stored);
	assert_string_equal(status.set_aside, "");
	sonde_store_close(&store);
	return next;
}

static void oracle_new(void)
{
	oracle = mmap(NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(oracle != MAP_FAILED);
}

static void kill_sqlite(unsigned process, void *userdata)
{
	int64_t start_ns = sonde_clock_wall_ns();
	uint64_t checked = 0;
	char path[128];

	oracle_new();
	snprintf(path, sizeof(path), "%s/events-%u.db", (const char *)userdata, process);
	for (unsigned i = 0; i < KILLS; i++) {
		kill_writer(path, start_ns, process * KILLS + i);
		if (i % 3 == 0) /* between the other two the next writer recovers */
			checked = check_store(path, start_ns, checked);
	}
	check_store(path, start_ns, 0);
	assert_true(oracle->committed > KILLS);
}

static void test_sqlite(void **state)
{
	char folder[64];

	snprintf(folder, sizeof(folder), "%s", test_folder());
	test_in_parallel(PROCESSES, kill_sqlite, folder);
	test_remove(folder);
}

/* Events die with the process, their positions do not. */
static void kill_memory(unsigned process, void *userdata)
{
	struct sonde_store_opts opts = {.path = "memory", .checkpoints_size = SHARED_BYTES};
	struct sonde_checkpoint checkpoint;
	struct sonde_store *store;

	oracle_new();
	opts.checkpoints = oracle->checkpoints;
	for (unsigned i = 0; i < KILLS; i++) {
		kill_writer("memory", sonde_clock_wall_ns(), process * KILLS + i);
		assert_int_equal(sonde_store_open(&opts, &store), 0);
		assert_int_equal(sonde_store_checkpoint(store, TEST_PROGRAM, RING, &checkpoint), 0);
		assert_true(checkpoint.stored >= oracle->committed);
		assert_true(checkpoint.stored <= oracle->committed + BATCH_MAX);
		assert_int_equal(checkpoint.position, checkpoint.stored); /* not half of one and half of another */
		assert_int_equal(checkpoint.consumed, checkpoint.stored);
		assert_int_equal(checkpoint.expired, checkpoint.stored);
		sonde_store_close(&store);
	}
	assert_true(oracle->committed > KILLS);
}

static void test_memory(void **state)
{
	test_in_parallel(PROCESSES, kill_memory, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sqlite), cmocka_unit_test(test_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
