/* SPDX-License-Identifier: Apache-2.0 */
/* Losses are the kernel's counters now less those that were noted. */
#include <runtime/noted.h>

#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/clock.h>

static const char *const causes[SONDE_WAITING_CAUSES_MAX] = {"ring_full", "map_full", "throttled", "recursion"};

struct losses {
	uint64_t n[ARRAY_SIZE(causes)];
};

static struct losses losses_of(const struct sonde_noted *noted)
{
	const struct sonde_counters *counters = &noted->counters;

	return (struct losses){{counters->ring_full, counters->map_full, counters->throttled, noted->recursion_misses}};
}

struct sonde_noted *sonde_noted_of(struct sonde_noted *all, const struct sonde_checkpoint *checkpoint)
{
	struct sonde_noted *free_one = NULL;
	int64_t now_ns = sonde_clock_wall_ns();

	for (size_t i = 0; i < SONDE_NOTED_MAX; i++) {
		if (all[i].ring_id == checkpoint->ring_id)
			return &all[i];
		if (!all[i].ring_id && !free_one)
			free_one = &all[i];
	}
	if (free_one) {
		*free_one = (struct sonde_noted){.ring_id = checkpoint->ring_id, .until_ns = now_ns, .waits_since_ns = now_ns};
		snprintf(free_one->program, sizeof(free_one->program), "%s", checkpoint->program);
	}
	return free_one;
}

int64_t sonde_noted_waits_since_ns(const struct sonde_source *source)
{
	int64_t since_ns = sonde_source_waits_since_ns(source);

	return since_ns == INT64_MAX ? since_ns : since_ns + sonde_clock_wall_offset_ns();
}

size_t sonde_noted_look(const struct sonde_noted *noted, const struct sonde_source *source, struct sonde_gap *ret_gaps,
			struct sonde_noted *ret_now)
{
	struct sonde_noted now = *noted;
	struct losses before = losses_of(noted), after;
	size_t n = 0;

	now.waits_since_ns = sonde_noted_waits_since_ns(source); /* before the counters: who reads goes on */
	if (sonde_source_counters(source, &now.counters) < 0)
		now.counters = noted->counters;
	now.recursion_misses = sonde_source_recursion_misses(source);
	now.until_ns = sonde_clock_wall_ns();
	if (now.waits_since_ns > now.until_ns)
		now.waits_since_ns = now.until_ns;
	after = losses_of(&now);
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		struct sonde_gap *gap = &ret_gaps[n];

		if (after.n[i] <= before.n[i])
			continue;
		*gap = (struct sonde_gap){.from_ns = noted->until_ns, .to_ns = now.until_ns, .count = after.n[i] - before.n[i]};
		if (gap->from_ns > gap->to_ns) /* the clock was set back */
			gap->from_ns = gap->to_ns;
		snprintf(gap->program, sizeof(gap->program), "%s", noted->program);
		snprintf(gap->cause, sizeof(gap->cause), "%s", causes[i]);
		n++;
	}
	*ret_now = now;
	return n;
}

void sonde_noted_gone(const struct sonde_noted *noted, struct sonde_gap *ret_gap)
{
	struct sonde_gap gap = {.cause = "ring_lost", .from_ns = noted->waits_since_ns, .to_ns = sonde_clock_wall_ns()};

	if (gap.from_ns > gap.to_ns)
		gap.from_ns = gap.to_ns;
	memcpy(gap.program, noted->program, sizeof(gap.program));
	gap.program[sizeof(gap.program) - 1] = '\0';
	*ret_gap = gap;
}
