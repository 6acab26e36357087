/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the look-ups of a statement with one plan have in common. Invariant: all that any of them wanted so far meets the common
 * conditions. These become fewer with each look-up that differs, so rows are read anew a few times at most.
 */
#include <store/vtab_rows.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sonde_vtab_lookup *sonde_vtab_lookup_get(struct sonde_vtab_lookup **list, int terms, const char *plan)
{
	struct sonde_vtab_lookup *lookup = *list;

	while (lookup && (lookup->terms != terms || strcmp(lookup->plan, plan)))
		lookup = lookup->next;
	if (lookup)
		return lookup;
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return NULL;
	lookup->plan = strdup(plan);
	if (!lookup->plan) {
		free(lookup);
		return NULL;
	}
	lookup->terms = terms;
	lookup->next = *list;
	*list = lookup;
	return lookup;
}

void sonde_vtab_lookups_free(struct sonde_vtab_lookup **list)
{
	struct sonde_vtab_lookup *lookup;

	while ((lookup = *list)) {
		*list = lookup->next;
		sonde_vtab_rows_unref(&lookup->rows);
		free(lookup->command);
		free(lookup->container);
		free(lookup->plan);
		free(lookup);
	}
}

static int text_keep(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return text && !*ret_copy ? -ENOMEM : 0;
}

static bool drop_text(char **common, const char *text)
{
	if (!*common || (text && !strcmp(*common, text)))
		return false;
	free(*common);
	*common = NULL;
	return true;
}

/* What differs once, like an end of the span, will differ again. */
static bool drop_number(int64_t *common, int64_t number, int64_t any)
{
	if (*common == any || *common == number)
		return false;
	*common = any;
	return true;
}

int sonde_vtab_lookup_ask(struct sonde_vtab_lookup *lookup, const struct sonde_block_want *want)
{
	bool dropped = false;

	if (!lookup->asked) {
		lookup->span = want->span;
		lookup->pid = want->pid;
		lookup->asked = true;
		return text_keep(want->command, &lookup->command) ?: text_keep(want->container, &lookup->container);
	}
	dropped |= drop_number(&lookup->span.since_ns, want->span.since_ns, INT64_MIN);
	dropped |= drop_number(&lookup->span.until_ns, want->span.until_ns, INT64_MAX);
	dropped |= drop_number(&lookup->pid, want->pid, -1);
	dropped |= drop_text(&lookup->command, want->command);
	dropped |= drop_text(&lookup->container, want->container);
	if (dropped)
		sonde_vtab_rows_unref(&lookup->rows);
	return 0;
}

void sonde_vtab_lookup_want(const struct sonde_vtab_lookup *lookup, struct sonde_block_want *want)
{
	want->span = lookup->span;
	want->pid = lookup->pid;
	want->command = lookup->command;
	want->container = lookup->container;
	want->unordered = true;
	want->oldest_first = false;
	want->whole_columns = 0; /* each is read, and so checked */
}
