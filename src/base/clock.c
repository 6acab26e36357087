/* SPDX-License-Identifier: Apache-2.0 */
#include <base/clock.h>

#include <stdatomic.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SONDE_NS_PER_S + now.tv_nsec;
}

int64_t sonde_clock_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

int64_t sonde_clock_awake_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t sonde_clock_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t sonde_clock_wall_offset_ns(void)
{
	static _Atomic int64_t offset, measured_at;
	int64_t now = sonde_clock_boot_ns(), best = INT64_MAX, before, wall, after, result = 0;

	if (measured_at && now - measured_at < SONDE_NS_PER_S)
		return offset;
	/* The two clocks cannot be read at once: take the closest of three readings. */
	for (int i = 0; i < 3; i++) {
		before = sonde_clock_boot_ns();
		wall = sonde_clock_wall_ns();
		after = sonde_clock_boot_ns();
		if (after - before < best) {
			best = after - before;
			result = wall - before - (after - before) / 2;
		}
	}
	offset = result;
	measured_at = now;
	return result;
}
