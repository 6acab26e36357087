// SPDX-License-Identifier: Apache-2.0
/*
 * What hooks at system calls cost a call, in turns of some milliseconds: no hook, one that does nothing, no hook, one that does its
 * work, and again. Without an agent, whose start would put seconds between two figures that are compared. While a turn is measured all
 * other CPUs wait, for some milliseconds, so that their work costs nothing here; and of a turn the cheapest slice counts.
 *
 *	hooks WORK ROUNDS [OBJECT[,SETTING=VALUE...]]...	WORK: syscalls, pages or open
 *
 * A line of JSON for each object: ns of CPU time that an operation took in each round without it (bare: right before or after,
 * whatever is more) and with it.
 */
#include <bpf/object.h>
#include <bpf/object_file.h>
#include <bpf/ring.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLICES 4
#define ROUNDS_MAX 1000
#define CONTESTANTS_MAX 16
#define CPUS_MAX 8 /* of more the others are too many to wait */

struct contestant {
	const char *what;
	struct sonde_schema *schema;
	struct sonde_object *object;
	struct sonde_ring *ring;
	double bare[ROUNDS_MAX], ns[ROUNDS_MAX];
};

struct work {
	const char *name;
	void (*run)(unsigned times);
	unsigned times; /* in a slice */
};

static int page_file = -1;
static char this_file[4096];

static void run_syscalls(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		syscall(1023); /* there is none */
}

static void run_pages(unsigned times)
{
	static char page[4096];

	for (unsigned i = 0; i < times; i++)
		if ((i & 1 ? pread(page_file, page, sizeof(page), 0) : pwrite(page_file, page, sizeof(page), 0)) != sizeof(page))
			abort();
}

static void run_open(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		close(open(this_file, O_RDONLY | O_CLOEXEC));
}

static const struct work works[] = {{"syscalls", run_syscalls, 3000}, {"pages", run_pages, 1500}, {"open", run_open, 500}};

/* Whether the other CPUs wait, and how many of them do. */
static volatile bool quiet;
static unsigned waiting;

static void be_alone(int cpu, int priority)
{
	struct sched_param parameter = {.sched_priority = priority};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_FIFO, &parameter))
		perror("hooks: the figures include other work");
}

static void *wait_while_quiet(void *cpu)
{
	const struct timespec pause = {.tv_nsec = 50000};

	be_alone((int)(long)cpu, 2);
	for (;;) {
		while (!quiet)
			nanosleep(&pause, NULL);
		__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
		while (quiet)
#if defined(__x86_64__)
			__builtin_ia32_pause();
#else
			;
#endif
		__atomic_sub_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* The others come within a millisecond, or not at all. */
static void become_quiet(unsigned others)
{
	int64_t end = now_ns(CLOCK_MONOTONIC) + 2000000;

	quiet = true;
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < others && now_ns(CLOCK_MONOTONIC) < end)
		;
}

static double cheapest_slice(const struct work *work, unsigned others)
{
	double best = 0;

	become_quiet(others);
	work->run(work->times / 4);
	for (int i = 0; i < SLICES; i++) {
		int64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID);
		double ns;

		work->run(work->times);
		ns = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - began) / work->times;
		best = i && best < ns ? best : ns;
	}
	quiet = false;
	return best;
}

static void turn(struct contestant *c, const struct work *work, unsigned round, unsigned others)
{
	const void *record;
	char error[256];
	size_t length;
	double after;

	c->bare[round] = cheapest_slice(work, others);
	if (sonde_object_attach(c->object, error, sizeof(error))) {
		fprintf(stderr, "hooks: %s: %s\n", c->what, error);
		exit(1);
	}
	c->ns[round] = cheapest_slice(work, others);
	sonde_object_detach(c->object);
	after = cheapest_slice(work, others);
	c->bare[round] = after > c->bare[round] ? after : c->bare[round];
	while (sonde_ring_next(c->ring, &record, &length) > 0)
		;
	sonde_ring_commit(c->ring, sonde_ring_position(c->ring));
}

/* OBJECT[,SETTING=VALUE...] */
static void contestant_open(struct contestant *c, const char *what)
{
	struct sonde_object_setting settings[8] = {};
	struct sonde_object_opts opts = {.settings = settings, .ring_bytes = 4 << 20};
	char error[512] = "", *words = strdup(what), *path = strtok(words, ","), *word, name[64];
	const char *wrong = error;
	void *bytes = NULL;
	int r;

	while ((word = strtok(NULL, ",")) && opts.n_settings < 8) {
		struct sonde_object_setting *setting = &settings[opts.n_settings++];

		snprintf(setting->name, sizeof(setting->name), "%.*s", (int)strcspn(word, "="), word);
		setting->value = atoll(word + strcspn(word, "=") + 1);
	}
	snprintf(name, sizeof(name), "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	*strchrnul(name, '.') = '\0';
	opts.name = name;
	c->what = what;
	r = sonde_object_file_read(path, false, &bytes, &opts.size, error, sizeof(error));
	r = r ?: sonde_schema_new(name, bytes, opts.size, NULL, &wrong, &c->schema);
	opts.object = bytes;
	opts.schema = c->schema;
	r = r ?: sonde_object_new(&opts, error, sizeof(error), &c->object);
	r = r ?: sonde_ring_new(sonde_object_ring_fd(c->object), -1, &c->ring);
	if (r) {
		fprintf(stderr, "hooks: %s: %s (%d)\n", what, wrong, r);
		exit(1);
	}
	free(bytes);
	free(words);
}

static void print_rounds(const char *name, const double *ns, unsigned rounds)
{
	printf("\"%s\": [", name);
	for (unsigned round = 0; round < rounds; round++)
		printf("%s%.1f", round ? ", " : "", ns[round]);
	printf("]");
}

int main(int argc, char *argv[])
{
	static struct contestant contestants[CONTESTANTS_MAX];
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 0, n = 0, others = 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const struct work *work = works;
	pthread_t thread;

	while (argc > 1 && work < works + 3 && strcmp(work->name, argv[1]))
		work++;
	if (readlink("/proc/self/exe", this_file, sizeof(this_file) - 1) < 0 || argc < 3 || work == works + 3 || !rounds || rounds > ROUNDS_MAX || argc - 3 > CONTESTANTS_MAX) {
		fprintf(stderr, "usage: hooks syscalls|pages|open ROUNDS [OBJECT[,SETTING=VALUE...]]...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		contestant_open(&contestants[n++], argv[i]);
	page_file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	for (long cpu = 1; cpu < cpus && cpus <= CPUS_MAX; cpu++)
		others += !pthread_create(&thread, NULL, wait_while_quiet, (void *)cpu);
	be_alone(0, 1);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < n; i++)
			turn(&contestants[i], work, round, others);
	for (unsigned i = 0; i < n; i++) {
		printf("{\"what\": \"%s\", ", contestants[i].what);
		print_rounds("bare", contestants[i].bare, rounds);
		printf(", ");
		print_rounds("ns", contestants[i].ns, rounds);
		printf("}\n");
		sonde_ring_free(&contestants[i].ring);
		sonde_object_free(&contestants[i].object);
		sonde_schema_free(&contestants[i].schema);
	}
	return 0;
}
