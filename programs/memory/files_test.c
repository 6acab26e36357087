/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are kept open: read anew each time, given up when what they tell of is gone, and never all descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"

static void test_a_kept_file_is_read_anew(void **state)
{
	struct sonde_memory_kept kept = SONDE_MEMORY_NOT_KEPT;
	char path[] = "/tmp/sonde-kept-XXXXXX", text[4];
	int fd = mkstemp(path), first;

	assert_true(fd >= 0);
	assert_int_equal(sonde_memory_kept_read(&kept, AT_FDCWD, path, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	first = kept.fd;
	assert_true(first >= 0);
	assert_int_equal(write(fd, "abcde", 5), 5);
	assert_int_equal(sonde_memory_kept_read(&kept, AT_FDCWD, path, text, sizeof(text)), 0);
	assert_string_equal(text, "abc");
	assert_int_equal(kept.fd, first);
	sonde_memory_kept_close(&kept);
	assert_int_equal(kept.fd, -1);
	assert_int_equal(unlink(path), 0);
	assert_true(sonde_memory_kept_read(&kept, AT_FDCWD, path, text, sizeof(text)) < 0);
	close(fd);
}

static void test_what_is_gone_is_closed(void **state)
{
	struct sonde_memory_kept kept = SONDE_MEMORY_NOT_KEPT;
	char path[64], text[256];
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(ends[1]);
		_exit((int)read(ends[0], text, 1));
	}
	snprintf(path, sizeof(path), "/proc/%d/statm", child);
	assert_int_equal(sonde_memory_kept_read(&kept, AT_FDCWD, path, text, sizeof(text)), 0);
	assert_true(kept.fd >= 0);
	close(ends[1]);
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(sonde_memory_kept_read(&kept, AT_FDCWD, path, text, sizeof(text)) < 0);
	assert_int_equal(kept.fd, -1);
}

static void test_half_of_the_descriptors_stay_free(void **state)
{
	struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
	struct sonde_memory_kept kept[1024];
	char text[4096];
	int n = 0;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 1024; i++) {
		kept[i] = SONDE_MEMORY_NOT_KEPT;
		assert_int_equal(sonde_memory_kept_read(&kept[i], AT_FDCWD, "/proc/self/status", text, sizeof(text)), 0);
		n += kept[i].fd >= 0;
	}
	assert_in_range(n, 400, 512);
	for (int i = 0; i < 1024; i++)
		sonde_memory_kept_close(&kept[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_kept_file_is_read_anew), cmocka_unit_test(test_what_is_gone_is_closed),
		cmocka_unit_test(test_half_of_the_descriptors_stay_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
