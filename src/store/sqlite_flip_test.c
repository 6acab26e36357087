/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each byte of a file changed, each length that it can be cut to, whole pages of garbage: the store starts, takes events, and
 * gives no event that never was. Every event of these files follows whole from its number.
 */
#include <store/sqlite_fixture.h>

#include <stdatomic.h>
#include <sys/mman.h>

#define SMALL_EVENTS 90u
#define LARGE_EVENTS 30000u
#define BLOCKS 3u
#define MANY_BLOCKS 60u /* too many for one page to list them all */
#define PAGE 4096u
#define LIST 40u /* bytes at both ends of a page, where it says which rows or pages it has */
#define LARGE_FLIPS 1000u
#define FILE_MAX (8u << 20)

/* One for all processes of a test. */
struct damage {
	struct fixture *f;
	int64_t start_ns;
	uint64_t n; /* events of the original */
	size_t size;
	unsigned processes;
	size_t step;
	/* What became of the files. */
	_Atomic uint64_t whole, partly, refused, set_aside;
	uint8_t original[FILE_MAX];
};

/* Noise, so that a large file is large. */
static struct test_record known_record(uint64_t number)
{
	struct test_record record = test_record(number);

	record.offset = (int64_t)(number * 0x9e3779b97f4a7c15);
	memcpy(record.address + 8, &record.offset, sizeof(record.offset));
	return record;
}

static int append_known(struct sonde_store *store, uint64_t first, uint64_t n, int64_t start_ns)
{
	int r = 0;

	for (uint64_t i = first; !r && i < first + n; i++) {
		struct test_record record = known_record(i);
		struct sonde_event event = test_event(&test_type, &record, start_ns + (int64_t)i);

		r = sonde_store_append(store, &event, 1);
	}
	return r ?: sonde_store_commit(store, NULL, 0);
}

struct seen {
	int64_t start_ns;
	uint64_t rows;
};

static int check_known(const struct sonde_type *type, const struct sonde_value *values, void *userdata)
{
	struct test_record record = known_record(values[SONDE_COLUMN_COMMON_MAX].u);
	struct seen *seen = userdata;
	struct sonde_event event = test_event(&test_type, &record, seen->start_ns + (int64_t)record.number);
	struct sonde_value expected[SONDE_COLUMNS_MAX];

	sonde_event_values(&event, NULL, expected);
	if (strcmp(type->name, test_type.name) || type->n_columns != test_type.n_columns || !test_same_row(type, values, expected))
		return -EPROTO;
	seen->rows++;
	return 0;
}

/* Of the open store. @return events that are served, or an error. */
static int64_t served(struct sonde_store *store, int64_t start_ns, struct sonde_answer *ret_answer)
{
	struct seen seen = {.start_ns = start_ns};
	struct sonde_query query = test_query(TEST_PROGRAM);
	int r = sonde_store_query(store, &query, check_known, &seen, ret_answer);

	assert_int_not_equal(r, -EPROTO); /* a false event */
	return r ? r : (int64_t)seen.rows;
}

static unsigned processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 16 ? 16 : (unsigned)n;
}

static struct damage *damage_new(struct fixture *f, uint64_t n, uint64_t blocks)
{
	struct damage *damage = mmap(NULL, sizeof(*damage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ssize_t size;
	int fd;

	assert_true(damage != MAP_FAILED);
	damage->f = f;
	damage->start_ns = sonde_clock_wall_ns();
	damage->n = n;
	damage->processes = processors();
	open_store(f);
	for (uint64_t i = 0; i < blocks; i++)
		assert_int_equal(append_known(f->store, i * (n / blocks), n / blocks, damage->start_ns), 0);
	sonde_store_close(&f->store);
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	size = read(fd, damage->original, sizeof(damage->original));
	close(fd);
	assert_true(size > 20000 && size < (ssize_t)sizeof(damage->original));
	damage->size = (size_t)size;
	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	return damage;
}

static void damage_free(struct damage *damage, const char *what)
{
	print_message("%s, %zu bytes: %lu times all events, %lu times some, %lu times refused, %lu times set aside\n", what, damage->size,
		      damage->whole, damage->partly, damage->refused, damage->set_aside);
	munmap(damage, sizeof(*damage));
}

/* A process's own folder inside the test's. */
static struct fixture fixture_of(const struct damage *damage, unsigned process)
{
	struct fixture f = {};

	snprintf(f.folder, sizeof(f.folder), "%s/%u", damage->f->folder, process);
	assert_int_equal(mkdir(f.folder, 0700), 0);
	snprintf(f.path, sizeof(f.path), "%s/events.db", f.folder);
	return f;
}

/* A start costs some milliseconds: each of many only with SONDE_TEST_ALL set (make test-full), else every seventh. */
static size_t step_of_many(void)
{
	return getenv("SONDE_TEST_ALL") ? 1 : 7;
}

/* ---- what is read ---- */

/* What is still served is right, and what is missing is said. */
static void check_read(struct damage *damage, struct fixture *f, size_t at)
{
	struct sonde_answer answer;
	int64_t rows;

	f->opts = (struct sonde_store_opts){.path = f->path, .read_only = true};
	if (sonde_store_open(&f->opts, &f->store)) {
		damage->refused++;
		return;
	}
	rows = served(f->store, damage->start_ns, &answer);
	sonde_store_close(&f->store);
	if (rows > (int64_t)damage->n ||
	    (rows >= 0 && rows < (int64_t)damage->n && (answer.complete || answer.lost < damage->n - (uint64_t)rows)))
		fail_msg("at %zu: %ld events, %lu lost: %s", at, (long)rows, (unsigned long)answer.lost, answer.reason);
	if (rows < 0)
		damage->refused++;
	else if (rows < (int64_t)damage->n)
		damage->partly++;
	else
		damage->whole++;
}

static void flip(int fd, uint8_t byte, size_t at)
{
	byte ^= (uint8_t)(1u << at % 8);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

static void read_flips(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	int fd;

	write_file(f.path, damage->original, damage->size);
	fd = open(f.path, O_RDWR | O_CLOEXEC);
	for (size_t at = process; at < damage->size; at += damage->processes) {
		flip(fd, damage->original[at], at);
		check_read(damage, &f, at);
		assert_int_equal(pwrite(fd, &damage->original[at], 1, (off_t)at), 1);
	}
	close(fd);
}

static void test_read_flips(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS, BLOCKS);

	test_in_parallel(damage->processes, read_flips, damage);
	assert_int_equal(damage->whole + damage->partly + damage->refused, damage->size);
	assert_true(damage->partly > 1000);
	damage_free(damage, "read, each byte changed");
}

static void read_cuts(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	size_t at = damage->size - 1 - process;

	write_file(f.path, damage->original, damage->size);
	for (; at < damage->size; at -= damage->processes) { /* wraps at 0 */
		assert_int_equal(truncate(f.path, (off_t)at), 0);
		check_read(damage, &f, at);
	}
}

static void test_read_cuts(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS, BLOCKS);

	test_in_parallel(damage->processes, read_cuts, damage);
	assert_int_equal(damage->whole + damage->partly + damage->refused, damage->size);
	damage_free(damage, "read, cut to each length");
}

static void read_large(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	unsigned seed = 3 + process;
	int fd;

	write_file(f.path, damage->original, damage->size);
	fd = open(f.path, O_RDWR | O_CLOEXEC);
	for (unsigned i = process; i < LARGE_FLIPS; i += damage->processes) {
		size_t at = (size_t)rand_r(&seed) % damage->size;

		flip(fd, damage->original[at], at);
		check_read(damage, &f, at);
		assert_int_equal(pwrite(fd, &damage->original[at], 1, (off_t)at), 1);
	}
	close(fd);
}

static void test_read_large(void **state)
{
	struct damage *damage = damage_new(*state, LARGE_EVENTS, BLOCKS);

	test_in_parallel(damage->processes, read_large, damage);
	assert_int_equal(damage->whole + damage->partly + damage->refused, LARGE_FLIPS);
	assert_true(damage->partly > 100);
	damage_free(damage, "read, random bytes changed");
}

/* The bits of both ends of the pages, as numbers: which byte, and which bit of it. */
static size_t list_bits(const struct damage *damage)
{
	return damage->size / PAGE * 2 * LIST * 8;
}

static size_t list_bit(size_t i, uint8_t *ret_bit)
{
	size_t place = i / 8 % (2 * LIST);

	*ret_bit = (uint8_t)(1u << i % 8);
	return i / (2 * LIST * 8) * PAGE + (place < LIST ? place : PAGE - 2 * LIST + place);
}

static void read_lists(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	int fd;

	write_file(f.path, damage->original, damage->size);
	fd = open(f.path, O_RDWR | O_CLOEXEC);
	for (size_t i = process * damage->step; i < list_bits(damage); i += damage->processes * damage->step) {
		uint8_t bit;
		size_t at = list_bit(i, &bit);
		uint8_t byte = damage->original[at] ^ bit;

		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		check_read(damage, &f, at);
		assert_int_equal(pwrite(fd, &damage->original[at], 1, (off_t)at), 1);
	}
	close(fd);
}

/* A page that names another one, or a row of before: blocks are there twice, and others are not. */
static void test_read_lists(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS * 2, MANY_BLOCKS);

	damage->step = step_of_many();
	test_in_parallel(damage->processes, read_lists, damage);
	assert_int_equal(damage->whole + damage->partly + damage->refused, (list_bits(damage) + damage->step - 1) / damage->step);
	assert_true(damage->partly > 500);
	damage_free(damage, "read, each bit of pages' ends changed");
}

/* ---- what is written to ---- */

static void remove_all(const struct fixture *f)
{
	char pattern[160];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s*", f->path);
	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
}

/* The agent starts, with this file or a new one; it takes events; it serves them, and of the others none that never was. */
static void check_start(struct damage *damage, struct fixture *f, const char *what, size_t at)
{
	struct sonde_answer answer;
	int64_t rows, more = 5;
	int r;

	f->opts = (struct sonde_store_opts){.path = f->path};
	r = sonde_store_open(&f->opts, &f->store);
	if (!r)
		r = sonde_store_add_type(f->store, &test_type);
	if (r)
		fail_msg("%s at %zu: %s", what, at, sonde_store_error(NULL));
	(void)served(f->store, damage->start_ns, &answer);
	r = append_known(f->store, damage->n, (uint64_t)more, damage->start_ns);
	if (r)
		r = sonde_store_commit(f->store, NULL, 0); /* damage found while writing: the next one has a new file */
	if (r)
		fail_msg("%s at %zu: no commit: %s", what, at, sonde_store_error(NULL));
	rows = served(f->store, damage->start_ns, &answer);
	sonde_store_close(&f->store);
	if (rows > (int64_t)damage->n + more)
		fail_msg("%s at %zu: %ld events", what, at, (long)rows);
	if (rows >= 0 && rows < (int64_t)damage->n + more && answer.complete && !set_aside_count(f))
		fail_msg("%s at %zu: %ld events, and that is said to be all", what, at, (long)rows);
	if (set_aside_count(f))
		damage->set_aside++;
	else if (rows < 0)
		damage->refused++;
	else if (rows < (int64_t)damage->n + more)
		damage->partly++;
	else
		damage->whole++;
	remove_all(f);
}

static void start_flips(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	uint8_t *copy CLEANUP_FREE = malloc(damage->size);

	memcpy(copy, damage->original, damage->size);
	for (size_t at = process * damage->step; at < damage->size; at += damage->processes * damage->step) {
		copy[at] ^= (uint8_t)(1u << at % 8);
		write_file(f.path, copy, damage->size);
		check_start(damage, &f, "changed byte", at);
		copy[at] = damage->original[at];
	}
}

static void start_lists(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	uint8_t *copy CLEANUP_FREE = malloc(damage->size);

	memcpy(copy, damage->original, damage->size);
	for (size_t i = process * damage->step; i < list_bits(damage); i += damage->processes * damage->step) {
		uint8_t bit;
		size_t at = list_bit(i, &bit);

		copy[at] ^= bit;
		write_file(f.path, copy, damage->size);
		check_start(damage, &f, "changed bit of a list", at);
		copy[at] = damage->original[at];
	}
}

static void test_start_lists(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS * 2, MANY_BLOCKS);

	damage->step = step_of_many();
	test_in_parallel(damage->processes, start_lists, damage);
	assert_true(damage->set_aside > 100);
	damage_free(damage, "start, each bit of pages' ends changed");
}

static void check_all(const struct damage *damage)
{
	assert_int_equal(damage->whole + damage->partly + damage->refused + damage->set_aside,
			 (damage->size + damage->step - 1) / damage->step);
}

static void test_start_flips(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS, BLOCKS);

	damage->step = step_of_many();
	test_in_parallel(damage->processes, start_flips, damage);
	check_all(damage);
	assert_true(damage->partly > 100);
	damage_free(damage, "start, each byte changed");
}

static void start_cuts(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);

	for (size_t at = process * damage->step; at < damage->size; at += damage->processes * damage->step) {
		write_file(f.path, damage->original, at);
		check_start(damage, &f, "cut", at);
	}
}

static void test_start_cuts(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS, BLOCKS);

	damage->step = step_of_many();
	test_in_parallel(damage->processes, start_cuts, damage);
	check_all(damage);
	damage_free(damage, "start, cut to each length");
}

static void start_garbage(unsigned process, void *userdata)
{
	struct damage *damage = userdata;
	struct fixture f = fixture_of(damage, process);
	uint8_t *copy CLEANUP_FREE = malloc(damage->size);
	unsigned seed = 7 + process;

	for (unsigned i = process; i < 200; i += damage->processes) {
		size_t at = (size_t)rand_r(&seed) % (damage->size / 4096) * 4096;

		memcpy(copy, damage->original, damage->size);
		for (size_t j = 0; j < 4096; j++)
			copy[at + j] = (uint8_t)rand_r(&seed);
		write_file(f.path, copy, damage->size);
		check_start(damage, &f, "page of garbage", at);
	}
}

static void test_start_garbage(void **state)
{
	struct damage *damage = damage_new(*state, SMALL_EVENTS, BLOCKS);

	test_in_parallel(damage->processes, start_garbage, damage);
	damage_free(damage, "start, a page of garbage");
}

/* Files that are set aside do not fill the disk. */
static void test_set_aside_few(void **state)
{
	struct fixture *f = *state;

	sonde_log_set_level(SONDE_LOG_ERROR - 1);
	for (int i = 0; i < 12; i++) {
		write_file(f->path, "not a store", 11);
		open_store(f);
		sonde_store_close(&f->store);
	}
	assert_true(set_aside_count(f) > 0 && set_aside_count(f) <= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_flips, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_flips, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_aside_few, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
