/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time from a hook to a client of /api/v1/stream: compares the `time` of each event with the wall clock when its line has
 * arrived, and prints true percentiles (of all values, sorted) as one line of JSON.
 *
 * Usage: latency SOCKET TYPE SECONDS     (at most; it ends when no more come)
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VALUES_MAX (8u << 20)
#define QUIET_ROUNDS 10 /* of 100 ms without an event, after the first: that was all */

static char buffer[1 << 20];
static int64_t *values;
static size_t n_values;
static uint64_t skipped;

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* RFC 3339 in UTC with nine digits. A day's start is kept: timegm() for each event would cost more than the rest. */
static int64_t parse_time(const char *text)
{
	static char day[11];
	static int64_t day_s;
	int hour, minute, second, nanosecond;

	if (memcmp(text, day, 10)) {
		struct tm tm = {};

		if (!strptime(text, "%Y-%m-%d", &tm))
			return -1;
		memcpy(day, text, 10);
		day_s = timegm(&tm);
	}
	hour = (text[11] - '0') * 10 + text[12] - '0';
	minute = (text[14] - '0') * 10 + text[15] - '0';
	second = (text[17] - '0') * 10 + text[18] - '0';
	nanosecond = 0;
	for (int i = 20; i < 29; i++)
		nanosecond = nanosecond * 10 + text[i] - '0';
	return (day_s + hour * 3600 + minute * 60 + second) * 1000000000ll + nanosecond;
}

static void take_line(const char *line, const char *end, int64_t now)
{
	const char *at;

	if (end - line > 12 && !memcmp(line, "{\"skipped\":", 11)) {
		skipped += strtoull(line + 11, NULL, 10);
		return;
	}
	at = memmem(line, (size_t)(end - line), "\"time\":\"", 8);
	if (at && end - at > 38 && n_values < VALUES_MAX)
		values[n_values++] = now - parse_time(at + 8);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t percentile(double part)
{
	return n_values ? values[(size_t)((double)(n_values - 1) * part)] : -1;
}

static int stream_open(const char *path, const char *type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[256];
	int length;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	/* HTTP/1.0: the answer comes without chunks. */
	length = snprintf(request, sizeof(request), "GET /api/v1/stream?type=%s&format=ndjson HTTP/1.0\r\n\r\n",
			  type);
	if (connect(fd, (void *)&address, sizeof(address)) || write(fd, request, (size_t)length) != length) {
		perror(path);
		exit(1);
	}
	return fd;
}

int main(int argc, char *argv[])
{
	unsigned quiet = 0;
	bool ready = false;
	size_t used = 0;
	int64_t end;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: latency SOCKET TYPE SECONDS\n");
		return 2;
	}
	values = malloc(VALUES_MAX * sizeof(*values));
	fd = stream_open(argv[1], argv[2]);
	end = clock_ns(CLOCK_MONOTONIC) + (int64_t)(atof(argv[3]) * 1e9);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 100000}, sizeof(struct timeval));
	while (clock_ns(CLOCK_MONOTONIC) < end && used < sizeof(buffer)) {
		ssize_t n = read(fd, buffer + used, sizeof(buffer) - used);
		int64_t now = clock_ns(CLOCK_REALTIME);
		char *line = buffer, *newline;

		if (!n || (n < 0 && n_values && ++quiet == QUIET_ROUNDS))
			break;
		quiet = n > 0 ? 0 : quiet;
		if (n > 0 && !ready) { /* the stream begins with an empty line: from now on no event is missed */
			ready = true;
			puts("ready");
			fflush(stdout);
		}
		used += n > 0 ? (size_t)n : 0;
		for (; (newline = memchr(line, '\n', used - (size_t)(line - buffer))); line = newline + 1)
			take_line(line, newline, now);
		used -= (size_t)(line - buffer);
		memmove(buffer, line, used);
	}
	qsort(values, n_values, sizeof(*values), compare);
	printf("{\"events\": %zu, \"skipped\": %lu, \"p50_ns\": %ld, \"p99_ns\": %ld, \"p999_ns\": %ld, \"max_ns\": %ld}\n", n_values,
	       skipped, percentile(0.5), percentile(0.99), percentile(0.999), percentile(1));
	return 0;
}
