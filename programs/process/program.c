/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user side of `process`: hides secrets, feeds the process table, and names the executable of what ended.
 * Invariant: nothing behind this hook sees arguments that were not redacted.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <sonde/program.h>

#include "event.h"

static void remember(struct sonde_hook_context *context, const struct process *e, const char *path,
		     const char *arguments, __u32 arguments_length)
{
	const struct sonde_known_process known = {
		.start_time_ns = e->header.start_time_ns,
		.pid = e->header.pid,
		.parent_pid = e->parent_pid,
		.uid = e->header.uid,
		.command = e->header.command,
		.path = path,
		.arguments = arguments,
		.arguments_length = arguments_length,
	};

	sonde_known_process_set(context, &known);
}

/* Until it calls exec, a process runs what the one runs that it is a copy of. */
static void record_fork(struct sonde_hook_context *context, const struct process *e)
{
	struct sonde_known_process origin;

	if (sonde_known_process_get(context, e->origin_pid, e->origin_start_time_ns, &origin) == 0)
		remember(context, e, origin.path, origin.arguments, origin.arguments_length);
	else
		remember(context, e, "", "", 0);
}

/* exec, running */
static int record_program(struct sonde_hook_context *context, struct process *e, size_t *length)
{
	if (*length < sizeof(*e) || e->arguments_kept > sizeof(e->arguments))
		return -EINVAL;
	e->path[sizeof(e->path) - 1] = '\0';
	e->arguments_kept = sonde_redact_arguments(e->arguments, e->arguments_kept, sizeof(e->arguments));
	remember(context, e, e->path, e->arguments, e->arguments_kept);
	/* What is not known is null, not empty: the record ends before it. */
	if (!e->path[0])
		*length = offsetof(struct process, path);
	else if (!e->arguments_kept)
		*length = offsetof(struct process, arguments);
	return 1;
}

/* The kernel has let go of the executable by now; the table has not. */
static void record_exit(struct sonde_hook_context *context, struct process *e, size_t *length)
{
	struct sonde_known_process known;

	if (sonde_known_process_get(context, e->header.pid, e->header.start_time_ns, &known) == 0 && known.path[0]) {
		strncpy(e->path, known.path, sizeof(e->path) - 1);
		e->path[sizeof(e->path) - 1] = '\0';
		*length = offsetof(struct process, arguments);
	}
	sonde_known_process_exit(context, e->header.pid, e->header.start_time_ns, e->header.time_ns);
}

static int record_process(struct sonde_hook_context *context, struct process *e, size_t *length)
{
	if (*length < offsetof(struct process, path))
		return -EINVAL;
	switch (e->kind) {
	case PROCESS_KIND_FORK:
		record_fork(context, e);
		return 1;
	case PROCESS_KIND_EXEC:
	case PROCESS_KIND_RUNNING:
		return record_program(context, e, length);
	case PROCESS_KIND_EXIT:
		record_exit(context, e, length);
		return 1;
	}
	return -EINVAL;
}

static int record_control_group(struct sonde_hook_context *context, struct control_group *e, size_t length)
{
	if (length < sizeof(*e))
		return -EINVAL;
	e->path[sizeof(e->path) - 1] = '\0';
	if (e->kind == CONTROL_GROUP_KIND_CREATE)
		sonde_known_cgroup_set(context, e->version == 1 ? e->id | SONDE_CGROUP_V1 : e->id, e->path);
	return 1;
}

static int record(struct sonde_hook_context *context, struct sonde_header *header, size_t *length)
{
	switch (header->type) {
	case PROCESS_TYPE_PROCESS:
		return record_process(context, (struct process *)header, length);
	case PROCESS_TYPE_CONTROL_GROUP:
		return record_control_group(context, (struct control_group *)header, *length);
	}
	return -EINVAL;
}

const struct sonde_program_hooks sonde_program_process_hooks = {.record = record};
