/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <security/privileges.h>

static void test_users(void **state)
{
	struct sonde_user user;

	assert_int_equal(sonde_user_find("root", &user), 0);
	assert_int_equal(user.uid, 0);
	assert_int_equal(sonde_user_find("no-such-user-here", &user), -ENOENT);
	assert_int_equal(sonde_user_find("sonde", &user), 0);
	assert_int_not_equal(user.uid, 0);
}

/* @return 0, or the number of the line that is not as it should be. */
static int look_at_status(void)
{
	static const char *const wanted[] = {
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n",
	};
	char line[256];
	size_t found = 0;
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			found += !strcmp(line, wanted[i]);
	if (found != sizeof(wanted) / sizeof(wanted[0]))
		return __LINE__;
	if (getuid() == 0 || geteuid() == 0 || getegid() == 0 || getgroups(0, NULL) != 0)
		return __LINE__;
	if (open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 || setuid(0) == 0)
		return __LINE__;
	return 0;
}

static void test_drop_is_for_good(void **state)
{
	struct sonde_user user;
	int status;
	pid_t child;

	if (geteuid() != 0)
		skip();
	assert_int_equal(sonde_user_find("sonde", &user), 0);
	child = fork();
	if (!child)
		_exit(sonde_privileges_drop(&user) < 0 ? 1 : look_at_status() ? 2 : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_drop_is_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
