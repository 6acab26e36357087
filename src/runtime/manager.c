/* SPDX-License-Identifier: Apache-2.0 */
/* A list of programs and their states. Invariant: an object exists exactly in the states starting and running. */
#include <runtime/manager_private.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <bpf/shared.h>

const char *sonde_program_state_name(enum sonde_program_state state)
{
	static const char *const names[] = {"disabled", "stopped", "starting", "running", "failed"};

	return names[state];
}

struct managed *sonde_manager_find(const struct sonde_manager *manager, const char *name)
{
	for (struct managed *p = manager->programs; p; p = p->next)
		if (!strcmp(p->status.name, name))
			return p;
	return NULL;
}

static void managed_free(struct managed *p)
{
	sonde_object_free(&p->bpf);
	sonde_schema_free(&p->schema);
	free(p->refused);
	free(p->path);
	free(p->image);
	free(p);
}

int sonde_manager_new(struct sonde_manager **ret_manager)
{
	struct sonde_manager *manager = calloc(1, sizeof(*manager));
	int r;

	if (!manager)
		return -ENOMEM;
	manager->watch_fd = -1;
	r = sonde_shared_maps_new(&manager->shared);
	if (r < 0) {
		free(manager);
		return r;
	}
	*ret_manager = manager;
	return 0;
}

int sonde_manager_pin_maps(struct sonde_manager *manager, const char *directory, bool keep, char *error, size_t error_size)
{
	return sonde_shared_maps_pin(manager->shared, directory, keep, error, error_size);
}

void sonde_manager_free(struct sonde_manager **pointer)
{
	struct sonde_manager *manager = TAKE_PTR(*pointer);

	if (!manager)
		return;
	while (manager->programs) {
		struct managed *p = manager->programs;

		manager->programs = p->next;
		managed_free(p);
	}
	sonde_shared_maps_free(&manager->shared);
	if (manager->watch_fd >= 0)
		close(manager->watch_fd);
	free(manager);
}

static int managed_fill(struct managed *p, const struct sonde_program_spec *spec)
{
	const struct sonde_embedded *e;

	snprintf(p->status.name, sizeof(p->status.name), "%s", spec->name);
	strcpy(p->status.source, "ebpf");
	p->status.state = spec->enabled ? SONDE_PROGRAM_STOPPED : SONDE_PROGRAM_DISABLED;
	p->status.required = spec->required;
	p->ring_bytes = spec->ring_bytes;
	p->attach = spec->attach;
	p->roots_alone = spec->roots_alone;
	if (spec->refused && spec->refused[0]) {
		p->refused = strdup(spec->refused);
		return p->refused ? 0 : -ENOMEM;
	}
	for (; p->n_settings < spec->n_settings && p->n_settings < SONDE_MANAGED_SETTINGS_MAX; p->n_settings++)
		p->settings[p->n_settings] = spec->settings[p->n_settings];
	if (spec->object_path) {
		p->path = strdup(spec->object_path);
		return p->path ? 0 : -ENOMEM;
	}
	e = sonde_embedded_find(spec->name);
	if (!e)
		return -ENOENT;
	p->object = e->object;
	p->object_size = (size_t)(e->object_end - e->object);
	return 0;
}

int sonde_manager_register(struct sonde_manager *manager, const struct sonde_program_spec *spec)
{
	struct managed *p, **end;
	int r;

	if (!sonde_program_name_is_good(spec->name) && !(spec->refused && spec->refused[0]))
		return -EINVAL;
	if (sonde_manager_find(manager, spec->name))
		return -EEXIST;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	r = managed_fill(p, spec);
	if (r < 0) {
		managed_free(p);
		return r;
	}
	for (end = &manager->programs; *end;)
		end = &(*end)->next;
	*end = p;
	return 0;
}

int sonde_manager_unregister(struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name), **at;

	if (!p)
		return -ENOENT;
	for (at = &manager->programs; *at != p;)
		at = &(*at)->next;
	*at = p->next;
	managed_free(p);
	return 0;
}

int sonde_managed_fail(struct managed *p, int r)
{
	p->status.state = SONDE_PROGRAM_FAILED;
	p->status.waits = false;
	sonde_object_free(&p->bpf);
	return r;
}

int sonde_manager_unload(struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);

	if (!p)
		return -ENOENT;
	sonde_object_free(&p->bpf);
	p->next_run_ns = 0;
	p->status.n_hooks = 0;
	p->status.state = SONDE_PROGRAM_STOPPED;
	return 0;
}

size_t sonde_manager_list(const struct sonde_manager *manager, const char **ret_names, size_t max)
{
	size_t n = 0;

	for (struct managed *p = manager->programs; p && n < max; p = p->next)
		ret_names[n++] = p->status.name;
	return n;
}

const struct sonde_program_status *sonde_manager_status(const struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);

	return p ? &p->status : NULL;
}

struct sonde_object *sonde_manager_object(const struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);

	return p ? p->bpf : NULL;
}

const struct sonde_schema *sonde_manager_schema(const struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);

	return p ? p->schema : NULL;
}

const void *sonde_manager_image(const struct sonde_manager *manager, const char *name, size_t *ret_size)
{
	struct managed *p = sonde_manager_find(manager, name);

	if (!p || !p->image)
		return NULL;
	*ret_size = p->object_size;
	return p->image;
}
