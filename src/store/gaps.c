/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completeness of answers. The rule: an answer is complete only if every moment of its span is known to be covered; what is
 * not known counts as missing.
 */
#include <store/gaps.h>

#include <base/clock.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JOIN_NS SONDE_NS_PER_S
/* A worker that is restarted, or a run written a moment late, is no hole worth a word. */
#define RUN_TOLERANCE_NS (100 * SONDE_NS_PER_MS)

static bool gap_same(const struct sonde_gap *a, const struct sonde_gap *b)
{
	return !strcmp(a->program, b->program) && !strcmp(a->cause, b->cause);
}

static void gap_join(struct sonde_gap *gap, const struct sonde_gap *more)
{
	if (more->from_ns < gap->from_ns)
		gap->from_ns = more->from_ns;
	if (more->to_ns > gap->to_ns)
		gap->to_ns = more->to_ns;
	/* A number that is unknown in part is unknown. */
	gap->count = gap->count && more->count ? gap->count + more->count : 0;
}

static void gaps_remove(struct sonde_gaps *gaps, size_t i)
{
	memmove(&gaps->items[i], &gaps->items[i + 1], (gaps->n - i - 1) * sizeof(gaps->items[0]));
	gaps->n--;
}

/* There are far fewer programs and causes than places, so two of a kind are always found. */
static void gaps_make_room(struct sonde_gaps *gaps)
{
	for (size_t i = 0; i < gaps->n; i++)
		for (size_t j = i + 1; j < gaps->n; j++)
			if (gap_same(&gaps->items[i], &gaps->items[j])) {
				gap_join(&gaps->items[i], &gaps->items[j]);
				gaps_remove(gaps, j);
				return;
			}
	gaps_remove(gaps, 0);
}

void sonde_gaps_add(struct sonde_gaps *gaps, const struct sonde_gap *gap)
{
	for (size_t i = gaps->n; i-- > 0;) {
		struct sonde_gap *item = &gaps->items[i];

		if (gap_same(item, gap) && gap->from_ns - JOIN_NS <= item->to_ns &&
		    gap->to_ns >= item->from_ns - JOIN_NS) {
			gap_join(item, gap);
			return;
		}
	}
	if (gaps->n == SONDE_GAPS_MAX)
		gaps_make_room(gaps);
	gaps->items[gaps->n++] = *gap;
}

static bool gaps_reach_into(const struct sonde_gaps *gaps, const struct sonde_gap *gap)
{
	for (size_t i = 0; i < gaps->n; i++)
		if (gap_same(&gaps->items[i], gap) && gaps->items[i].to_ns > gap->from_ns)
			return true;
	return false;
}

void sonde_gaps_add_waiting(struct sonde_gaps *gaps, const struct sonde_waiting *waiting)
{
	for (size_t i = 0; i < waiting->n_gaps; i++)
		if (!gaps_reach_into(gaps, &waiting->gaps[i]))
			sonde_gaps_add(gaps, &waiting->gaps[i]);
}

bool sonde_gaps_end(struct sonde_gaps *gaps, const char *program, const char *cause, int64_t to_ns)
{
	bool found = false;

	for (size_t i = 0; i < gaps->n; i++) {
		struct sonde_gap *gap = &gaps->items[i];

		if (gap->to_ns != INT64_MAX || strcmp(gap->program, program) || strcmp(gap->cause, cause))
			continue;
		gap->to_ns = to_ns > gap->from_ns ? to_ns : gap->from_ns;
		found = true;
	}
	return found;
}

struct span {
	int64_t since_ns, until_ns;
};

static bool is_asked(const struct sonde_coverage *coverage, const struct sonde_gap *gap)
{
	return coverage->program ? !strcmp(coverage->program, gap->program) : strcmp(gap->cause, SONDE_GAP_DISABLED);
}

static bool is_not_running(const struct sonde_gap *gap)
{
	return !strcmp(gap->cause, SONDE_GAP_STOPPED) || !strcmp(gap->cause, SONDE_GAP_DISABLED);
}

void sonde_answer_incomplete(struct sonde_answer *answer, const char *text)
{
	size_t n = strlen(answer->reason);

	answer->complete = false;
	snprintf(answer->reason + n, sizeof(answer->reason) - n, "%s%s", n ? "; " : "", text);
}

static void number_text(uint64_t number, char *out, size_t size)
{
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), n = 0;

	for (size_t i = 0; i < length && n + 2 < size; i++) {
		if (i && (length - i) % 3 == 0)
			out[n++] = ',';
		out[n++] = digits[i];
	}
	out[n] = '\0';
}

/* The day only where it is not today. */
static void time_text(int64_t time_ns, int64_t now_ns, char *out, size_t size)
{
	int64_t day_ns = 86400 * SONDE_NS_PER_S;
	time_t seconds = (time_t)(time_ns / SONDE_NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(out, size, time_ns / day_ns == now_ns / day_ns ? "%T" : "%F %T", &tm))
		snprintf(out, size, "?");
}

/* Events that were never stored are not lost, but missing all the same. */
static void judge_waiting(const struct sonde_coverage *coverage, struct span span, struct sonde_answer *answer)
{
	const struct sonde_waiting *waiting = coverage->waiting;
	int64_t since_ns = INT64_MAX;
	char since[32], text[200];

	if (waiting && waiting->starting)
		sonde_answer_incomplete(answer, "programs are being started");
	for (size_t i = 0; waiting && i < waiting->n; i++)
		if ((!coverage->program || !strcmp(coverage->program, waiting->programs[i].program)) &&
		    waiting->programs[i].since_ns < since_ns)
			since_ns = waiting->programs[i].since_ns;
	if (since_ns >= span.until_ns || (!waiting->error[0] && coverage->now_ns - since_ns <= waiting->usual_ns))
		return;
	time_text(since_ns, coverage->now_ns, since, sizeof(since));
	if (waiting->error[0])
		snprintf(text, sizeof(text), "events since %s UTC wait (store: %s)", since, waiting->error);
	else
		snprintf(text, sizeof(text), "events since %s UTC wait to be stored", since);
	sonde_answer_incomplete(answer, text);
}

static void gap_text(const struct sonde_gap *gap, int64_t now_ns, char *text, size_t size)
{
	char count[32], from[32], to[32];
	int n;

	number_text(gap->count, count, sizeof(count));
	time_text(gap->from_ns, now_ns, from, sizeof(from));
	time_text(gap->to_ns, now_ns, to, sizeof(to));
	if (is_not_running(gap))
		n = snprintf(text, size, "%s did not run (%s)", gap->program, gap->cause);
	else
		n = snprintf(text, size, "%s event%s of %s lost (%s)", gap->count ? count : "an unknown number of",
			     gap->count == 1 ? "" : "s", gap->program, gap->cause);
	if (gap->to_ns == INT64_MAX)
		snprintf(text + n, size - (size_t)n, " since %s UTC", from);
	else
		snprintf(text + n, size - (size_t)n, " between %s and %s UTC", from, to);
}

static void judge_gaps(const struct sonde_coverage *coverage, struct span span, struct sonde_answer *answer)
{
	const struct sonde_gap *worst = NULL;
	char text[200];
	size_t n = 0;
	bool unknown = false;

	for (size_t i = 0; i < coverage->n_gaps; i++) {
		const struct sonde_gap *gap = &coverage->gaps[i];

		if (gap->from_ns >= span.until_ns || gap->to_ns < span.since_ns || !is_asked(coverage, gap))
			continue;
		n++;
		answer->lost += gap->count;
		unknown |= !gap->count;
		if (!worst || (worst->count && (!gap->count || gap->count > worst->count)))
			worst = gap;
	}
	if (!worst)
		return;
	if (unknown)
		answer->lost = 0;
	gap_text(worst, coverage->now_ns, text, sizeof(text));
	sonde_answer_incomplete(answer, text);
	if (n > 1) {
		snprintf(text, sizeof(text), "and %zu more gap%s", n - 1, n > 2 ? "s" : "");
		sonde_answer_incomplete(answer, text);
	}
}

static void judge_runs(const struct sonde_coverage *coverage, struct span span, struct sonde_answer *answer)
{
	int64_t covered = span.since_ns, hole_from = 0, hole_to = 0, first;
	char from[32], to[32], text[160];

	if (!coverage->n_runs) {
		answer->lost = 0;
		sonde_answer_incomplete(answer, "nothing was ever written here");
		return;
	}
	first = coverage->runs[0].from_ns;
	if (span.since_ns < first - RUN_TOLERANCE_NS) {
		answer->lost = 0;
		time_text(first, coverage->now_ns, from, sizeof(from));
		snprintf(text, sizeof(text), "nothing was recorded before %s UTC", from);
		sonde_answer_incomplete(answer, text);
		covered = first;
	}
	for (size_t i = 0; i < coverage->n_runs && covered < span.until_ns; i++) {
		const struct sonde_run *run = &coverage->runs[i];

		if (run->from_ns > covered + RUN_TOLERANCE_NS && run->from_ns - covered > hole_to - hole_from) {
			hole_from = covered;
			hole_to = run->from_ns < span.until_ns ? run->from_ns : span.until_ns;
		}
		if (run->to_ns > covered)
			covered = run->to_ns;
	}
	if (covered < span.until_ns - RUN_TOLERANCE_NS && span.until_ns - covered > hole_to - hole_from) {
		hole_from = covered;
		hole_to = span.until_ns;
	}
	if (hole_from == hole_to)
		return;
	answer->lost = 0;
	time_text(hole_from, coverage->now_ns, from, sizeof(from));
	time_text(hole_to, coverage->now_ns, to, sizeof(to));
	snprintf(text, sizeof(text), "nothing was recorded between %s and %s UTC", from, to);
	sonde_answer_incomplete(answer, text);
}

void sonde_coverage_judge(const struct sonde_coverage *coverage, const struct sonde_query *query,
			  struct sonde_answer *answer)
{
	struct span span = {.since_ns = query->since_ns, .until_ns = query->until_ns};
	int64_t first = coverage->n_runs ? coverage->runs[0].from_ns : INT64_MIN;
	char before[32], text[128];

	answer->complete = true;
	answer->lost = 0;
	answer->reason[0] = '\0';
	if (span.until_ns > coverage->now_ns)
		span.until_ns = coverage->now_ns; /* nobody expects what has not happened yet */
	if (span.since_ns >= span.until_ns)
		return;
	judge_waiting(coverage, span, answer);
	judge_gaps(coverage, span, answer);
	if (span.since_ns == INT64_MIN && first < span.until_ns)
		span.since_ns = first;
	if (coverage->dropped_until_ns != INT64_MIN && coverage->dropped_until_ns >= span.since_ns) {
		answer->lost = 0;
		time_text(coverage->dropped_until_ns, coverage->now_ns, before, sizeof(before));
		snprintf(text, sizeof(text), "events up to %s UTC are no longer kept", before);
		sonde_answer_incomplete(answer, text);
	}
	judge_runs(coverage, span, answer);
}

void sonde_answer_damaged(struct sonde_answer *answer, uint64_t lost)
{
	char text[96];

	snprintf(text, sizeof(text), "%" PRIu64 " events lost in damaged blocks of the file", lost);
	sonde_answer_incomplete(answer, text);
	answer->lost += lost;
}

void sonde_answer_join(struct sonde_answer *answer, const struct sonde_answer *other)
{
	if (other->complete)
		return;
	if (!strstr(answer->reason, other->reason)) /* of the same time, as a rule */
		sonde_answer_incomplete(answer, other->reason);
	answer->lost += other->lost;
}
