/* SPDX-License-Identifier: Apache-2.0 */
/* The trail of retention.h. */
#include <store/retention.h>

#include <base/clock.h>

/* Clocks are slewed and read one after the other; a step of more than this is a jump. */
#define TOLERANCE_NS (60 * SONDE_NS_PER_S)

void sonde_retention_init(struct sonde_retention *retention, int64_t last_seen_ns)
{
	*retention = (struct sonde_retention){.wall_ns = last_seen_ns, .clock_ns = last_seen_ns, .waited_ns = -1};
}

/*
 * How much time has gone by. While the node was off only the wall clock can tell. A pause within max_age is believed; a longer
 * one may be a clock that is wrong after boot, and is treated as a jump.
 */
static int64_t passed(const struct sonde_retention *retention, int64_t now_ns, int64_t boot_ns, int64_t max_age_ns)
{
	if (retention->boot_ns && boot_ns >= retention->boot_ns)
		return boot_ns - retention->boot_ns;
	if (now_ns < retention->clock_ns || now_ns - retention->clock_ns > max_age_ns)
		return 0;
	return now_ns - retention->clock_ns;
}

/* Behind the clock. A second jump begins a new wait: what came after the first has a time that only looks old. */
static void trail_wait(struct sonde_retention *retention, int64_t now_ns, int64_t passed_ns, int64_t max_age_ns)
{
	if (retention->waited_ns < 0 || now_ns - retention->clock_ns > passed_ns + TOLERANCE_NS) {
		retention->waited_ns = 0;
		retention->jumps++;
		return;
	}
	retention->waited_ns += passed_ns;
	if (retention->waited_ns < max_age_ns)
		return;
	retention->wall_ns = now_ns;
	retention->waited_ns = -1;
}

int64_t sonde_retention_cutoff(struct sonde_retention *retention, int64_t now_ns, int64_t boot_ns, int64_t max_age_ns)
{
	int64_t passed_ns = 0;

	if (retention->wall_ns == INT64_MIN)
		retention->wall_ns = now_ns;
	else
		passed_ns = passed(retention, now_ns, boot_ns, max_age_ns);
	retention->wall_ns += passed_ns;
	if (now_ns <= retention->wall_ns + TOLERANCE_NS) {
		retention->wall_ns = now_ns;
		retention->waited_ns = -1;
	} else {
		trail_wait(retention, now_ns, passed_ns, max_age_ns);
	}
	retention->clock_ns = now_ns;
	retention->boot_ns = boot_ns;
	return retention->wall_ns - max_age_ns;
}
