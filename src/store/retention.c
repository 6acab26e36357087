/* SPDX-License-Identifier: Apache-2.0 */
/* The trail of retention.h. */
#include <store/retention.h>

#include <base/clock.h>

/* Clocks are slewed and read one after the other; a step of more than this is a jump. */
#define TOLERANCE_NS (60 * SONDE_NS_PER_S)

void sonde_retention_init(struct sonde_retention *retention, int64_t last_seen_ns)
{
	*retention = (struct sonde_retention){.wall_ns = last_seen_ns};
}

/*
 * While the store was closed nobody watched the clock. A pause within max_age is believed; a longer one may be a clock that
 * is wrong after boot, and is treated as a jump.
 */
static int64_t trail_start(struct sonde_retention *retention, int64_t now_ns, int64_t boot_ns, int64_t max_age_ns)
{
	bool jumped = retention->wall_ns != INT64_MIN && now_ns - retention->wall_ns > max_age_ns;

	if (!jumped)
		retention->wall_ns = now_ns;
	else
		retention->jumps++;
	retention->jumped_at_ns = jumped ? boot_ns : 0;
	retention->boot_ns = boot_ns;
	return retention->wall_ns - max_age_ns;
}

int64_t sonde_retention_cutoff(struct sonde_retention *retention, int64_t now_ns, int64_t boot_ns, int64_t max_age_ns)
{
	int64_t trail;

	if (!retention->boot_ns)
		return trail_start(retention, now_ns, boot_ns, max_age_ns);
	trail = retention->wall_ns + (boot_ns - retention->boot_ns);
	if (now_ns <= trail + TOLERANCE_NS || (retention->jumped_at_ns && boot_ns - retention->jumped_at_ns >= max_age_ns)) {
		trail = now_ns;
		retention->jumped_at_ns = 0;
	} else if (!retention->jumped_at_ns) {
		retention->jumped_at_ns = boot_ns;
		retention->jumps++;
	}
	retention->wall_ns = trail;
	retention->boot_ns = boot_ns;
	return trail - max_age_ns;
}
