/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration at run time: the programs' sections are taken over, all or nothing. If one of the changed programs does not
 * start with its new section, all get their old ones back. What had failed before is tried again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <agent/loader_private.h>
#include <base/cleanup.h>
#include <bpf/embedded.h>

/* Two sections that ask for the same; where they stand in the file does not matter. */
static bool section_equals(const struct sonde_config_program *a, const struct sonde_config_program *b)
{
	if (!a || !b)
		return a == b;
	if (a->enabled_given != b->enabled_given || a->enabled != b->enabled || a->required != b->required ||
	    a->ring_bytes != b->ring_bytes || a->attach != b->attach || strcmp(a->object, b->object) ||
	    strcmp(a->refused, b->refused) ||
	    a->n_settings != b->n_settings)
		return false;
	for (unsigned i = 0; i < a->n_settings; i++) {
		const struct sonde_object_setting *x = &a->settings[i].given, *y = &b->settings[i].given;

		if (strcmp(x->name, y->name) || x->value != y->value || strcmp(x->interface, y->interface))
			return false;
	}
	return true;
}

/* What only a new start can change; NULL: nothing of it did. */
static const char *changed_for_good(const struct sonde_config *a, const struct sonde_config *b)
{
	if (strcmp(a->user, b->user))
		return "user";
	if (strcmp(a->programs_directory, b->programs_directory))
		return "programs_directory";
	if (a->log_level != b->log_level)
		return "log_level";
	if (a->shutdown_timeout_ns != b->shutdown_timeout_ns)
		return "shutdown_timeout";
	if (strcmp(a->store.path, b->store.path) || a->store.max_bytes != b->store.max_bytes ||
	    a->store.max_age_ns != b->store.max_age_ns || a->store.commit_interval_ns != b->store.commit_interval_ns ||
	    a->store.merge_cpu_pct != b->store.merge_cpu_pct)
		return "store";
	if (strcmp(a->listen.metrics, b->listen.metrics) || strcmp(a->listen.health, b->listen.health) ||
	    strcmp(a->listen.api, b->listen.api) || strcmp(a->listen.socket, b->listen.socket))
		return "listen";
	return NULL;
}

/* Command line options stand above the file, at a reload as at the start. */
static void keep_command_line(const struct loader *loader, struct sonde_config *fresh)
{
	if (loader->given.store)
		memcpy(fresh->store.path, loader->config->store.path, sizeof(fresh->store.path));
	if (loader->given.socket)
		memcpy(fresh->listen.socket, loader->config->listen.socket, sizeof(fresh->listen.socket));
	if (loader->given.log_level)
		fresh->log_level = loader->config->log_level;
	for (unsigned i = 0; i < loader->given.n_programs; i++) {
		const struct sonde_config_program *program =
			&loader->config->programs[loader->config->n_programs - loader->given.n_programs + i];

		if (fresh->n_programs < ARRAY_SIZE(fresh->programs) && !sonde_config_program(fresh, program->name))
			fresh->programs[fresh->n_programs++] = *program;
	}
}

/* A user's own program that is no longer named: its events stay, so the worker still knows it. */
static void tell_gone(struct loader *loader, const char *name)
{
	struct sonde_message message = {.kind = SONDE_MESSAGE_STATUS, .status = {.state = SONDE_PROGRAM_DISABLED, .source = "ebpf"}};

	snprintf(message.status.name, sizeof(message.status.name), "%s", name);
	loader_send(loader, &message, NULL, 0);
}

/* Give a program another section: stopped, registered again, started if it is to run. */
static int program_replace(struct loader *loader, const char *name, const struct sonde_config_program *section)
{
	int r;

	loader_program_stop(loader, name);
	(void)sonde_manager_unregister(loader->manager, name);
	if (!section && !sonde_embedded_find(name)) {
		tell_gone(loader, name);
		return 0;
	}
	r = loader_program_register(loader, name, section);
	if (r < 0)
		return r;
	if (sonde_manager_status(loader->manager, name)->state != SONDE_PROGRAM_DISABLED)
		return loader_program_start(loader, name);
	loader_tell_status(loader, name);
	return 0;
}

struct changes {
	unsigned n;
	char names[SONDE_PROGRAMS_MAX][SONDE_PROGRAM_NAME_MAX];
};

static bool changes_have(const struct changes *changes, const char *name)
{
	for (unsigned i = 0; i < changes->n; i++)
		if (!strcmp(changes->names[i], name))
			return true;
	return false;
}

static void changes_add(struct changes *changes, const struct loader *loader, const struct sonde_config *to, const char *name)
{
	if (changes->n == SONDE_PROGRAMS_MAX || changes_have(changes, name) ||
	    section_equals(sonde_config_program(loader->config, name), sonde_config_program(to, name)))
		return;
	snprintf(changes->names[changes->n++], SONDE_PROGRAM_NAME_MAX, "%s", name);
}

static int changes_apply(struct loader *loader, const struct changes *changes, const struct sonde_config *config,
			 char *ret_text, size_t size)
{
	int r = 0;

	for (unsigned i = 0; i < changes->n && r >= 0; i++) {
		const char *name = changes->names[i];
		const struct sonde_config_program *section = sonde_config_program(config, name);
		const struct sonde_program_status *status;

		r = program_replace(loader, name, section);
		if (section && section->from_directory)
			r = 0; /* as at the start: a bad file is nobody else's fault */
		status = sonde_manager_status(loader->manager, name);
		if (r < 0)
			snprintf(ret_text, size, "program %s: %s; the old configuration is back", name,
				 status && status->reason[0] ? status->reason : strerror(-r));
	}
	return r;
}

/* What failed before may have what it lacked now: its file, a place on its interface. @return how many run now. */
static unsigned failed_start(struct loader *loader, const struct changes *changes)
{
	const char *names[SONDE_PROGRAMS_MAX];
	size_t n = sonde_manager_list(loader->manager, names, SONDE_PROGRAMS_MAX);
	unsigned running = 0;

	for (size_t i = 0; i < n; i++)
		if (sonde_manager_status(loader->manager, names[i])->state == SONDE_PROGRAM_FAILED &&
		    !changes_have(changes, names[i]) && loader_program_start(loader, names[i]) >= 0)
			running++;
	return running;
}

int loader_reload(struct loader *loader, char *ret_text, size_t size)
{
	CLEANUP_FREE struct sonde_config *fresh = calloc(1, sizeof(*fresh));
	CLEANUP_FREE struct changes *changes = calloc(1, sizeof(*changes));
	const char *for_good;
	unsigned n;
	int r;

	if (!fresh || !changes)
		return -ENOMEM;
	r = sonde_config_load(fresh, loader->config->file[0] ? loader->config->file : NULL, ret_text, size);
	if (r < 0)
		return r;
	keep_command_line(loader, fresh);
	for_good = changed_for_good(loader->config, fresh);
	if (for_good) {
		snprintf(ret_text, size, "'%s' changed: that needs a restart of the agent; nothing was changed", for_good);
		return -EINVAL;
	}
	for (unsigned i = 0; i < loader->config->n_programs; i++)
		changes_add(changes, loader, fresh, loader->config->programs[i].name);
	for (unsigned i = 0; i < fresh->n_programs; i++)
		changes_add(changes, loader, fresh, fresh->programs[i].name);
	r = changes_apply(loader, changes, fresh, ret_text, size);
	if (r < 0) {
		char ignored[256];

		(void)changes_apply(loader, changes, loader->config, ignored, sizeof(ignored));
		return r;
	}
	*loader->config = *fresh;
	n = failed_start(loader, changes);
	snprintf(ret_text, size, n ? "%u programs changed, and %u that had failed run" : "%u programs changed", changes->n, n);
	return 0;
}
