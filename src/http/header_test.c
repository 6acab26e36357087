/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <base/clock.h>
#include <http/access.h>
#include <http/metrics.h>
#include <http/params.h>

#define NOW_NS (2000000000ll * SONDE_NS_PER_S)

static void times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"0s", NOW_NS},
		{"5m", NOW_NS - 300 * SONDE_NS_PER_S},
		{"2h30m", NOW_NS - 9000 * SONDE_NS_PER_S},
		{"300s", NOW_NS - 300 * SONDE_NS_PER_S},
		{"250ms", NOW_NS - 250 * SONDE_NS_PER_MS},
		{"1w1d", NOW_NS - 8 * 86400 * SONDE_NS_PER_S},
		{"1700000000", 1700000000 * SONDE_NS_PER_S},
		{"1700000000.5", 1700000000 * SONDE_NS_PER_S + 500 * SONDE_NS_PER_MS},
		{"0", 0},
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-20T22:52:54.000000123Z", 1795215174000000123ll},
		{"2026-11-21t00:52:54+02:00", 1795215174 * SONDE_NS_PER_S},
		{"2026-11-21T00:52:54 02:00", 1795215174 * SONDE_NS_PER_S}, /* + of a query string, not escaped */
		{"2026-11-20T20:22:54-02:30", 1795215174 * SONDE_NS_PER_S},
		{"2024-02-29 12:00:00Z", 1709208000 * SONDE_NS_PER_S},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t ns = -1;

		if (sonde_time_parse(good[i].text, NOW_NS, &ns) || ns != good[i].ns)
			fail_msg("'%s': %lld", good[i].text, (long long)ns);
	}
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "m", "5x", "-5m", "5m ", " 5m", "5 m", "+5m", "5mm", "1e9s", "99999999999999999999s", "9999999999w",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00Zx",
		"2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z", "1700000000.", "now", "99999999999999999999",
		"2026-01-01T00:00:00+99:00", "2026-1-1T0:0:0Z", "\xff", "100000000h",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t ns = 42;

		if (!sonde_time_parse(bad[i], NOW_NS, &ns) || ns != 42)
			fail_msg("'%s' was taken: %lld", bad[i], (long long)ns);
	}
}

static void hosts_of_this_machine(void **state)
{
	static const char *const ours[] = {"localhost", "LocalHost:8090", "127.0.0.1", "127.0.0.1:8090", "[::1]", "[::1]:8090",
					   "10.1.2.3:1", "node7", "NODE7:8090"},
				 *const foreign[] = {"", ":8090", "evil.example", "evil.example:8090", "localhost.evil.example",
						     "127.0.0.1.evil.example", "localhost:", "localhost:80x", "localhost:80:80",
						     "10.1.2.4", "[::1", "::1", "[::2]", "user@localhost", "localhost/", "localhost ",
						     "127.1", "0x7f000001", "2130706433"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!sonde_access_host(ours[i], "10.1.2.3", "node7"))
			fail_msg("refused: '%s'", ours[i]);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (sonde_access_host(foreign[i], "10.1.2.3", "node7"))
			fail_msg("taken: '%s'", foreign[i]);
	/* No name known: the empty one is still not ours. */
	assert_false(sonde_access_host("", "", ""));
	assert_false(sonde_access_host(":80", "", ""));
}

static void accept_chooses_the_format(void **state)
{
	static const struct {
		const char *accept;
		bool open;
	} cases[] = {
		{NULL, false},
		{"", false},
		{"*/*", false},
		{"text/plain", false},
		{"text/html, */*;q=0.1", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text; version=1.0.0; charset=utf-8", true},
		{"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", true},
		{"application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.9", false},
		{"text/plain;q=0.5, application/openmetrics-text;q=0.5", true},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=0.000", false},
		{",,,;q=,", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (sonde_metrics_accept(cases[i].accept) != cases[i].open)
			fail_msg("Accept: %s", cases[i].accept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(hosts_of_this_machine),
		cmocka_unit_test(accept_chooses_the_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
