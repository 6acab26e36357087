/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Causes an exact number of real events and says how many, and what each cost, as one line of JSON. Bounded: it ends by itself.
 *
 *	generate syscalls COUNT [RATE [TAG]]  calls of system call 1023 (tests/flood); RATE a second, 0: as fast as it can
 *	generate udp ADDRESS PORT COUNT [RATE [SPREAD]]  datagrams of 8 bytes; to SPREAD IPv4 addresses from that one on, in turn
 *	generate questions ADDRESS COUNT      questions to a DNS server, each for a name of its own, of all types in turn
 *	generate answers ADDRESS COUNT        the same asked of itself, and answered
 *	generate tcp ADDRESS PORT COUNT       connections, each opened and closed; a closed port is fine
 *	generate connections ADDRESS COUNT    connections to itself: opened, accepted and closed at both ends
 *	generate exec COUNT                   processes: fork, exec of /bin/true, exit
 *	generate processes COUNT              processes: fork, one call of system call 1022, exit
 *	generate open PATH COUNT [RATE]       the file opened and closed
 *	generate read PATH COUNT [RATE]       its first 64 bytes read
 *	generate pages PATH COUNT [RATE]      4 KiB of the file written and read in turn; it is made, and removed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static struct sockaddr_storage address_of(const char *address, const char *port, socklen_t *length)
{
	struct sockaddr_storage storage = {};
	struct sockaddr_in *v4 = (void *)&storage;
	struct sockaddr_in6 *v6 = (void *)&storage;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		*length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		*length = sizeof(*v6);
	} else {
		fprintf(stderr, "'%s' is not an address\n", address);
		exit(2);
	}
	return storage;
}

#define LISTENERS 16 /* so that a fast series does not wait for a free port of its own */

struct work {
	struct sockaddr_storage to;
	socklen_t length;
	uint64_t count, tag, spread;
	uint32_t first_address; /* of the spread */
	int fd, server;
	const char *path;
	int listeners[LISTENERS];
};

static void work_syscall(struct work *work, uint64_t i)
{
	syscall(1023, i, work->tag);
}

static void work_udp(struct work *work, uint64_t i)
{
	if (work->spread)
		((struct sockaddr_in *)&work->to)->sin_addr.s_addr = htonl(work->first_address + (uint32_t)(i % work->spread));
	/* A refusal of an earlier datagram comes back as an error of this call, before it sends: send again. */
	while (sendto(work->fd, &i, sizeof(i), 0, (void *)&work->to, work->length) < 0 && errno == ECONNREFUSED)
		;
}

static void work_question(struct work *work, uint64_t i)
{
	uint8_t message[64] = {(uint8_t)(i >> 8), (uint8_t)i, 1, 0, 0, 1}; /* id, recursion desired, one question */
	int length = 12 + 1 + snprintf((char *)message + 13, 32, "n%014lu", i);

	message[12] = 15;
	memcpy(message + length, "\7example\0", 9);
	length += 9;
	message[length++] = (uint8_t)(i >> 8);
	message[length++] = (uint8_t)i;
	message[length++] = 0;
	message[length++] = 1;
	if (sendto(work->fd, message, (size_t)length, 0, (void *)&work->to, work->length) != length) {
		perror("question");
		exit(1);
	}
}

/* With one address. */
static void work_answer(struct work *work, uint64_t i)
{
	static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
	uint8_t message[128], answer[128];
	struct sockaddr_storage from;
	socklen_t from_length = sizeof(from);
	ssize_t length;

	work_question(work, i);
	length = recvfrom(work->server, message, sizeof(message) - sizeof(record), 0, (void *)&from, &from_length);
	if (length > 12) {
		message[2] |= 0x80;
		message[7] = 1;
		memcpy(message + length, record, sizeof(record));
		length += (ssize_t)sizeof(record);
	}
	if (length <= 12 || sendto(work->server, message, (size_t)length, 0, (void *)&from, from_length) != length ||
	    recv(work->fd, answer, sizeof(answer), 0) != length) {
		perror("answer");
		exit(1);
	}
}

static void server_open(struct work *work)
{
	work->server = socket(work->to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(work->server, (void *)&work->to, work->length)) {
		perror("bind");
		exit(1);
	}
}

static void work_tcp(struct work *work, uint64_t i)
{
	int fd = socket(work->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)!connect(fd, (void *)&work->to, work->length);
	close(fd);
}

static void work_connections(struct work *work, uint64_t i)
{
	struct sockaddr_storage to;
	socklen_t length = sizeof(to);
	int server, client = socket(work->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (getsockname(work->listeners[i % LISTENERS], (void *)&to, &length) || connect(client, (void *)&to, length) ||
	    (server = accept(work->listeners[i % LISTENERS], NULL, NULL)) < 0) {
		perror("connection");
		exit(1);
	}
	close(client);
	close(server);
}

static void listeners_open(struct work *work)
{
	for (int i = 0; i < LISTENERS; i++) {
		work->listeners[i] = socket(work->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(work->listeners[i], (void *)&work->to, work->length) || listen(work->listeners[i], 16)) {
			perror("listen");
			exit(1);
		}
	}
}

static void work_exec(struct work *work, uint64_t i)
{
	char *const arguments[] = {(char *)"true", NULL};
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ)) {
		perror("posix_spawn");
		exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void work_process(struct work *work, uint64_t i)
{
	pid_t pid = fork();

	if (!pid) {
		syscall(1022);
		_exit(0);
	}
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	/* To wait for each would be to sleep for each. */
	if (i % 64 == 63 || i + 1 == work->count)
		while (waitpid(-1, NULL, 0) > 0)
			;
}

static void work_open(struct work *work, uint64_t i)
{
	int fd = open(work->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		perror(work->path);
		exit(1);
	}
	close(fd);
}

static void work_read(struct work *work, uint64_t i)
{
	char bytes[64];

	if (pread(work->fd, bytes, sizeof(bytes), 0) < 0) {
		perror(work->path);
		exit(1);
	}
}

static void work_pages(struct work *work, uint64_t i)
{
	static char page[4096];
	ssize_t n = i & 1 ? pread(work->fd, page, sizeof(page), 0) : pwrite(work->fd, page, sizeof(page), 0);

	if (n != sizeof(page)) {
		perror(work->path);
		exit(1);
	}
}

/* Bursts of 20, so that the pace does not cost more than the work. */
static void pace(int64_t start, uint64_t done, uint64_t rate)
{
	int64_t due = start + (int64_t)((double)done / (double)rate * 1e9);
	struct timespec until = {due / 1000000000, due % 1000000000};

	if (rate && done % 20 == 0)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

#define SLICE 1000
#define SLICES 4096

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

/* Also what an operation took of the CPU in the quieter slices (the first quartile of them): what other work takes is in the others. */
static void run(struct work *work, void (*function)(struct work *, uint64_t), uint64_t rate)
{
	static int64_t slices[SLICES];
	int64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), began = cpu, now;
	uint64_t done = 0, n = 0;

	while (done < work->count) {
		uint64_t end = work->count - done < SLICE ? work->count : done + SLICE;

		for (uint64_t i = done; i < end; i++) {
			pace(wall, i, rate);
			function(work, i);
		}
		now = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		slices[n++ % SLICES] = (now - began) / (int64_t)(end - done);
		began = now;
		done = end;
	}
	n = n < SLICES ? n : SLICES;
	qsort(slices, n, sizeof(*slices), compare);
	printf("{\"count\": %lu, \"wall_ns\": %ld, \"cpu_ns\": %ld, \"quiet_cpu_ns\": %ld}\n", done,
	       clock_ns(CLOCK_MONOTONIC) - wall, began - cpu, slices[n / 4]);
}

int main(int argc, char *argv[])
{
	void (*function)(struct work *, uint64_t) = NULL;
	struct work work = {.fd = -1};
	uint64_t count = 0, rate = 0;

	if (argc >= 3 && !strcmp(argv[1], "syscalls")) {
		function = work_syscall;
		count = strtoull(argv[2], NULL, 10);
		rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
		work.tag = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	} else if (argc >= 5 && (!strcmp(argv[1], "udp") || !strcmp(argv[1], "tcp"))) {
		function = argv[1][0] == 'u' ? work_udp : work_tcp;
		work.to = address_of(argv[2], argv[3], &work.length);
		work.fd = function == work_udp ? socket(work.to.ss_family, SOCK_DGRAM, 0) : -1;
		count = strtoull(argv[4], NULL, 10);
		rate = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
		work.spread = argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
		work.first_address = ntohl(((struct sockaddr_in *)&work.to)->sin_addr.s_addr);
	} else if (argc >= 4 && (!strcmp(argv[1], "questions") || !strcmp(argv[1], "answers"))) {
		function = argv[1][0] == 'q' ? work_question : work_answer;
		work.to = address_of(argv[2], "53", &work.length);
		work.fd = socket(work.to.ss_family, SOCK_DGRAM, 0);
		if (function == work_answer)
			server_open(&work);
		count = strtoull(argv[3], NULL, 10);
	} else if (argc >= 4 && !strcmp(argv[1], "connections")) {
		function = work_connections;
		work.to = address_of(argv[2], "0", &work.length);
		listeners_open(&work);
		count = strtoull(argv[3], NULL, 10);
	} else if (argc >= 4 && (!strcmp(argv[1], "open") || !strcmp(argv[1], "read"))) {
		function = argv[1][0] == 'o' ? work_open : work_read;
		work.path = argv[2];
		work.fd = function == work_read ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
		count = strtoull(argv[3], NULL, 10);
		rate = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	} else if (argc >= 4 && !strcmp(argv[1], "pages")) {
		function = work_pages;
		work.path = argv[2];
		work.fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		unlink(argv[2]); /* it is there until it is closed */
		count = strtoull(argv[3], NULL, 10);
		rate = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	} else if (argc >= 3 && (!strcmp(argv[1], "exec") || !strcmp(argv[1], "processes"))) {
		function = argv[1][0] == 'e' ? work_exec : work_process;
		count = strtoull(argv[2], NULL, 10);
	} else {
		fprintf(stderr, "usage: generate syscalls|udp|questions|answers|tcp|connections|exec|processes|open|read|pages ... (see the source's first lines)\n");
		return 2;
	}
	work.count = count;
	run(&work, function, rate);
	return 0;
}
