/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks in the order of their first rows, opened when their time comes and closed behind their last row; where the times of
 * several overlap they are merged. Invariant: no unopened block has a row before the current one.
 */
#include <store/block_scan.h>

#include <base/cleanup.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of more than these that overlap, only times and rows stay in memory. */
#define LOADED_MAX 8

void sonde_block_scan_init(struct sonde_block_scan *scan, struct sonde_block_source *source,
			   const struct sonde_block_want *want)
{
	*scan = (struct sonde_block_scan){.source = source, .want = *want};
	if (want->pid >= 0)
		scan->pid_hash = sonde_block_hash_number((uint64_t)want->pid);
	if (want->command)
		scan->command_hash = sonde_block_hash(want->command, strlen(want->command));
	if (want->container)
		scan->container_hash = sonde_block_hash_container(want->container, strlen(want->container));
}

void sonde_block_scan_free(struct sonde_block_scan *scan)
{
	for (size_t i = 0; i < scan->n_open; i++)
		sonde_block_part_free(&scan->open[i]);
	free(scan->open);
	free(scan->refs);
	scan->open = NULL;
	scan->refs = NULL;
	scan->n_open = 0;
}

static bool may_have(const struct sonde_block_scan *scan, const struct sonde_block_facts *facts)
{
	const struct sonde_block_want *want = &scan->want;

	if (facts->newest_ns < want->span.since_ns || facts->oldest_ns >= want->span.until_ns)
		return false;
	if (want->pid >= 0 && (want->pid < facts->pid_min || want->pid > facts->pid_max ||
			       !sonde_block_filter_holds(facts, SONDE_BLOCK_PID, scan->pid_hash)))
		return false;
	if (want->command && !sonde_block_filter_holds(facts, SONDE_BLOCK_COMMAND, scan->command_hash))
		return false;
	return !want->container || sonde_block_filter_holds(facts, SONDE_BLOCK_CONTAINER, scan->container_hash);
}

int sonde_block_scan_offer(struct sonde_block_scan *scan, const struct sonde_block_facts *facts)
{
	if (!may_have(scan, facts))
		return 0;
	if (scan->n == scan->capacity) {
		size_t more = scan->capacity ? scan->capacity * 2 : 64;
		struct sonde_block_ref *refs = reallocarray(scan->refs, more, sizeof(*refs));

		if (!refs)
			return -ENOMEM;
		scan->refs = refs;
		scan->capacity = more;
	}
	sonde_block_ref_set(&scan->refs[scan->n++], facts);
	return 0;
}

void sonde_block_scan_drop(struct sonde_block_scan *scan, const struct sonde_block_place *place)
{
	for (size_t i = 0; i < scan->n; i++) {
		const struct sonde_block_ref *ref = &scan->refs[i];

		if (ref->id != place->id || ref->first != place->first || ref->count != place->count)
			continue;
		scan->refs[i] = scan->refs[--scan->n];
		return;
	}
}

static int ref_order(const void *a, const void *b)
{
	const struct sonde_block_ref *x = a, *y = b;

	return x->oldest_ns < y->oldest_ns ? -1 : x->oldest_ns > y->oldest_ns;
}

static int ref_order_newest(const void *a, const void *b)
{
	const struct sonde_block_ref *x = a, *y = b;

	return x->newest_ns > y->newest_ns ? -1 : x->newest_ns < y->newest_ns;
}

void sonde_block_scan_start(struct sonde_block_scan *scan)
{
	if (scan->n)
		qsort(scan->refs, scan->n, sizeof(*scan->refs), scan->want.oldest_first ? ref_order : ref_order_newest);
}

/* ---- walking ---- */

/* Index in the part's rows of its next one. */
static uint32_t part_row(const struct sonde_block_scan *scan, const struct sonde_block_part *part)
{
	uint32_t i = scan->want.oldest_first || scan->want.unordered ? part->next : part->n - 1 - part->next;

	return sonde_block_part_row(part, i);
}

static int row_order(const struct sonde_block_scan *scan, const struct sonde_block_part *a, const struct sonde_block_part *b)
{
	uint32_t x = part_row(scan, a), y = part_row(scan, b);
	int64_t time_a = sonde_block_part_time(a, x), time_b = sonde_block_part_time(b, y);

	if (time_a != time_b)
		return time_a < time_b ? -1 : 1;
	return a->ref.first + x < b->ref.first + y ? -1 : 1;
}

static struct sonde_block_part *first_part(const struct sonde_block_scan *scan)
{
	struct sonde_block_part *first = NULL;

	if (scan->n_open == 1)
		return scan->open[0];
	for (size_t i = 0; i < scan->n_open; i++) {
		int order = first ? row_order(scan, scan->open[i], first) : 0;

		if (!first || (scan->want.oldest_first ? order < 0 : order > 0))
			first = scan->open[i];
	}
	return first;
}

static int lose(struct sonde_block_scan *scan, const struct sonde_block_ref *ref)
{
	scan->lost_blocks++;
	scan->lost_events += ref->count;
	return scan->want.damage ? sonde_damage_add(scan->want.damage, scan->want.type, ref->first, ref->count) : 0;
}

static void parts_shrink(struct sonde_block_scan *scan)
{
	size_t kept = 0;

	for (size_t i = 0; i < scan->n_open; i++) {
		if (scan->open[i]->next < scan->open[i]->n)
			scan->open[kept++] = scan->open[i];
		else
			sonde_block_part_free(&scan->open[i]);
	}
	scan->n_open = kept;
}

static int part_add(struct sonde_block_scan *scan, const struct sonde_block_ref *ref)
{
	struct sonde_block_part *part;
	int r;

	if (scan->n_open == scan->open_capacity) {
		size_t more = scan->open_capacity ? scan->open_capacity * 2 : 8;
		struct sonde_block_part **open = reallocarray(scan->open, more, sizeof(*open));

		if (!open)
			return -ENOMEM;
		scan->open = open;
		scan->open_capacity = more;
	}
	r = sonde_block_part_open(scan->source, &scan->want, ref, &part);
	if (r == -EBADMSG)
		return lose(scan, ref);
	if (r)
		return r;
	for (size_t i = 0; scan->n_open >= LOADED_MAX && i < scan->n_open; i++)
		sonde_block_part_trim(scan->open[i]);
	scan->open[scan->n_open++] = part;
	return 0;
}

/* A block that is not open may have the next row if its first row is not behind that of the open ones. */
static bool must_open(const struct sonde_block_scan *scan)
{
	const struct sonde_block_part *first = first_part(scan);
	const struct sonde_block_ref *ref = &scan->refs[scan->next];
	int64_t time_ns;

	if (!first)
		return true;
	if (scan->want.unordered)
		return false;
	time_ns = sonde_block_part_time(first, part_row(scan, first));
	return scan->want.oldest_first ? ref->oldest_ns <= time_ns : ref->newest_ns >= time_ns;
}

int sonde_block_scan_next(struct sonde_block_scan *scan)
{
	if (scan->current)
		scan->current->next++;
	if (!scan->current || scan->current->next >= scan->current->n)
		parts_shrink(scan);
	scan->current = NULL;
	while (scan->next < scan->n && must_open(scan)) {
		int r;

		if (sonde_block_want_late(&scan->want))
			return -ETIMEDOUT;
		r = part_add(scan, &scan->refs[scan->next]);
		if (r)
			return r;
		scan->next++;
		parts_shrink(scan);
	}
	scan->current = first_part(scan);
	if (!scan->current)
		return 0;
	scan->row = part_row(scan, scan->current);
	return 1;
}

int sonde_block_scan_value(struct sonde_block_scan *scan, uint32_t column, struct sonde_value *ret_value)
{
	int r = sonde_block_part_load(scan->source, scan->current, column);

	if (r == -EBADMSG) {
		/* The rows that it still has are lost with this column; the next one comes from elsewhere. */
		scan->current->n = 0;
		scan->current->next = 0;
		return lose(scan, &scan->current->ref) ?: 1;
	}
	if (!r)
		sonde_block_part_value(scan->current, scan->row, column, ret_value);
	return r;
}

int64_t sonde_block_scan_sequence(const struct sonde_block_scan *scan)
{
	return (int64_t)(scan->current->ref.first + scan->row);
}
