/* SPDX-License-Identifier: Apache-2.0 */
/* A list of programs and their states. Invariant: an object exists exactly in the states starting and running. */
#include <runtime/manager.h>

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <bpf/embedded.h>
#include <bpf/kernel_types.h>
#include <bpf/netlink.h>
#include <bpf/object_file.h>
#include <bpf/trial.h>
#include <bpf/shared.h>
#include <runtime/taken.h>

#define SETTINGS_MAX 16
#define LOAD_THREADS_MAX 4
#define LOOK_INTERVAL_NS (100 * SONDE_NS_PER_MS) /* at least between two looks at the interfaces: another tool may not cease */

/* No names of its own: enums are asked of the running kernel. */
static const struct sonde_names kernel_names = {0};

struct managed {
	struct managed *next;
	struct sonde_program_status status;
	char *refused; /* why it is never loaded; NULL: it may be */
	char *path;    /* user's own object */
	bool roots_alone;
	void *image;   /* its bytes */
	const void *object;
	size_t object_size;
	uint64_t ring_bytes;
	enum sonde_attach attach;
	size_t n_settings;
	struct sonde_object_setting settings[SETTINGS_MAX];
	struct sonde_schema *schema;
	struct sonde_object *bpf;
	int64_t next_run_ns; /* boot time; 0: has no interval */
};

struct sonde_manager {
	struct managed *programs; /* in the order of registration */
	struct sonde_shared_maps *shared;
	int watch_fd;	   /* what changes with network interfaces; -1 */
	bool has_changed;  /* and nobody looked since */
	int64_t looked_ns; /* boot time */
};

const char *sonde_program_state_name(enum sonde_program_state state)
{
	static const char *const names[] = {"disabled", "stopped", "starting", "running", "failed"};

	return names[state];
}

static struct managed *manager_find(const struct sonde_manager *manager, const char *name)
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
	for (; p->n_settings < spec->n_settings && p->n_settings < SETTINGS_MAX; p->n_settings++)
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
	if (manager_find(manager, spec->name))
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
	struct managed *p = manager_find(manager, name), **at;

	if (!p)
		return -ENOENT;
	for (at = &manager->programs; *at != p;)
		at = &(*at)->next;
	*at = p->next;
	managed_free(p);
	return 0;
}

static int managed_fail(struct managed *p, int r)
{
	p->status.state = SONDE_PROGRAM_FAILED;
	p->status.waits = false;
	sonde_object_free(&p->bpf);
	return r;
}

/* Its object in memory, and the schema in it. */
static int managed_read(struct managed *p)
{
	const char *error = "";
	void *image;
	int r;

	p->status.reason[0] = '\0';
	if (p->refused) {
		snprintf(p->status.reason, sizeof(p->status.reason), "%s", p->refused);
		return -EINVAL;
	}
	if (p->path) {
		r = sonde_object_file_read(p->path, p->roots_alone, &image, &p->object_size, p->status.reason,
					   sizeof(p->status.reason));
		if (r < 0)
			return r;
		free(p->image);
		p->object = p->image = image;
	}
	sonde_schema_free(&p->schema);
	r = sonde_schema_new(p->status.name, p->object, p->object_size, &kernel_names, &error, &p->schema);
	if (r < 0)
		snprintf(p->status.reason, sizeof(p->status.reason), "its schema cannot be read: %s", error);
	else
		snprintf(p->status.doc, sizeof(p->status.doc), "%s", p->schema->types[0].doc);
	return r;
}

static void managed_hooks(struct managed *p)
{
	const struct sonde_object_hook *hooks;
	size_t n = sonde_object_hooks(p->bpf, &hooks), used = 0;

	p->status.n_hooks = (uint32_t)n;
	p->status.waits = false;
	p->status.reason[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		struct sonde_hook_status *to = &p->status.hooks[i];

		memcpy(to->name, hooks[i].name, sizeof(to->name));
		memcpy(to->reason, hooks[i].reason, sizeof(to->reason));
		to->attached = hooks[i].attached;
		to->unwanted = hooks[i].unwanted;
		if (hooks[i].waits && used < sizeof(p->status.reason) && !strstr(p->status.reason, to->reason)) /* of both directions */
			used += (size_t)snprintf(p->status.reason + used, sizeof(p->status.reason) - used, "%s%s",
						 used ? "; " : "", to->reason);
		else if (!hooks[i].waits && !to->attached && !to->unwanted && to->reason[0] && used < sizeof(p->status.reason))
			used += (size_t)snprintf(p->status.reason + used, sizeof(p->status.reason) - used, "%swithout %s (%s)",
						 used ? "; " : "", to->name, to->reason);
		p->status.waits |= hooks[i].waits;
	}
	for (unsigned i = 0; i < SONDE_INTERFACES_MAX; i++) {
		struct sonde_interface_status *to = &p->status.interfaces[i];

		snprintf(to->name, sizeof(to->name), "%s", sonde_object_interface(p->bpf, i, &to->number));
	}
}

/* A required program has all of its interfaces at the start, others wait for them. */
static int managed_interfaces(struct managed *p)
{
	for (size_t i = 0; p->status.required && i < p->n_settings; i++) {
		const char *interface = p->settings[i].interface;

		if (!interface[0] || if_nametoindex(interface))
			continue;
		snprintf(p->status.reason, sizeof(p->status.reason), "there is no network interface '%s'", interface);
		return -ENODEV;
	}
	return 0;
}

/* An own object must not use a name of others: it would write into their tables. */
static int managed_check_names(const struct sonde_manager *manager, struct managed *p)
{
	int r = sonde_taken(p->schema, p->status.reason, sizeof(p->status.reason));

	for (const struct managed *other = manager->programs; other && !r; other = other->next)
		if (other != p && other->path && other->schema)
			r = sonde_taken_by(p->schema, other->schema, p->status.reason, sizeof(p->status.reason));
	if (r < 0)
		sonde_schema_free(&p->schema); /* it has no names */
	return r;
}

/* All that comes before the kernel is asked. Own objects one after the other: they are compared. */
static int managed_prepare(const struct sonde_manager *manager, struct managed *p)
{
	int r;

	if (p->bpf)
		return -EALREADY;
	r = managed_read(p);
	if (!r && p->path)
		r = managed_check_names(manager, p);
	r = r ?: managed_interfaces(p);
	return r < 0 ? managed_fail(p, r) : 0;
}

/* For the built-in ones of these programs. Those of a user may ask for types of the kernel's modules. */
static void kernel_types_open(struct managed *const *programs, size_t n, struct sonde_kernel_types *ret_types)
{
	struct sonde_image images[SONDE_PROGRAMS_MAX];
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (programs[i] && !programs[i]->path)
			images[used++] = (struct sonde_image){programs[i]->object, programs[i]->object_size};
	(void)sonde_kernel_types_open(images, used, ret_types);
}

static int managed_open(const struct sonde_manager *manager, const struct sonde_kernel_types *types, struct managed *p)
{
	struct sonde_object_opts opts = {
		.name = p->status.name, .object = p->object, .size = p->object_size, .schema = p->schema,
		.ring_bytes = p->ring_bytes, .attach = p->attach, .settings = p->settings, .n_settings = p->n_settings,
		.shared = manager->shared, .kernel_types = !p->path && types->fd >= 0 ? types->path : NULL,
	};
	int r = 0;

	if (p->path)
		r = sonde_object_try(&opts, p->status.reason, sizeof(p->status.reason));
	r = r ?: sonde_object_new(&opts, p->status.reason, sizeof(p->status.reason), &p->bpf);
	if (r < 0)
		return managed_fail(p, r);
	p->status.state = SONDE_PROGRAM_STARTING;
	managed_hooks(p);
	return 0;
}

int sonde_manager_load(struct sonde_manager *manager, const char *name)
{
	CLEANUP(sonde_kernel_types_close) struct sonde_kernel_types types = SONDE_KERNEL_TYPES_NONE;
	struct managed *p = manager_find(manager, name);
	int r = p ? managed_prepare(manager, p) : -ENOENT;

	if (r < 0)
		return r;
	kernel_types_open(&p, 1, &types);
	return managed_open(manager, &types, p);
}

struct load_work {
	const struct sonde_manager *manager;
	struct sonde_kernel_types types;
	struct managed **programs;
	size_t n;
	_Atomic size_t next;
	int *results;
};

static void *load_main(void *userdata)
{
	struct load_work *work = userdata;
	size_t i;

	while ((i = work->next++) < work->n) {
		struct managed *p = work->programs[i];

		if (p && !p->path)
			work->results[i] = managed_prepare(work->manager, p);
		if (!work->results[i])
			work->results[i] = managed_open(work->manager, &work->types, p);
	}
	return NULL;
}

void sonde_manager_load_all(struct sonde_manager *manager, const char *const *names, size_t n, int *ret_results)
{
	struct managed *programs[SONDE_PROGRAMS_MAX];
	struct load_work work = {.manager = manager, .types = SONDE_KERNEL_TYPES_NONE, .programs = programs, .n = n, .results = ret_results};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[LOAD_THREADS_MAX];
	size_t started = 0;

	for (size_t i = 0; i < n; i++) {
		programs[i] = manager_find(manager, names[i]);
		ret_results[i] = !programs[i] ? -ENOENT : programs[i]->path ? managed_prepare(manager, programs[i]) : 0;
	}
	kernel_types_open(programs, n, &work.types);
	/* Each holds the kernel's BTF while it loads, some 12 MB: not more of them than can run. */
	while (started < LOAD_THREADS_MAX && started + 1 < n && (long)started + 1 < cpus &&
	       !pthread_create(&threads[started], NULL, load_main, &work))
		started++;
	load_main(&work);
	while (started)
		pthread_join(threads[--started], NULL);
	sonde_kernel_types_close(&work.types);
}

/* Before it looks for its interfaces, so that no change is missed. */
static int manager_watch(struct sonde_manager *manager, struct managed *p)
{
	bool is_wanted = false;
	int r;

	for (size_t i = 0; i < p->n_settings; i++)
		is_wanted |= sonde_is_interface_setting(p->settings[i].name);
	if (!is_wanted || manager->watch_fd >= 0)
		return 0;
	r = sonde_netlink_watch_open();
	if (r < 0)
		snprintf(p->status.reason, sizeof(p->status.reason), "cannot watch the network interfaces: %s", strerror(-r));
	else
		manager->watch_fd = r;
	return r < 0 ? r : 0;
}

int sonde_manager_attach(struct sonde_manager *manager, const char *name)
{
	struct managed *p = manager_find(manager, name);
	int64_t interval;
	int r;

	if (!p)
		return -ENOENT;
	if (p->status.state != SONDE_PROGRAM_STARTING)
		return -EINVAL;
	r = manager_watch(manager, p);
	r = r ?: sonde_object_attach(p->bpf, p->status.reason, sizeof(p->status.reason));
	if (r < 0)
		return managed_fail(p, r);
	managed_hooks(p);
	p->status.state = SONDE_PROGRAM_RUNNING;
	p->status.started_ns = sonde_clock_wall_ns();
	interval = sonde_object_interval_ns(p->bpf);
	p->next_run_ns = interval > 0 ? sonde_clock_boot_ns() + interval : 0;
	return 0;
}

int sonde_manager_detach(struct sonde_manager *manager, const char *name)
{
	struct managed *p = manager_find(manager, name);

	if (!p || !p->bpf)
		return -ENOENT;
	sonde_object_detach(p->bpf);
	managed_hooks(p);
	p->next_run_ns = 0;
	p->status.state = SONDE_PROGRAM_STARTING;
	return 0;
}

int sonde_manager_unload(struct sonde_manager *manager, const char *name)
{
	struct managed *p = manager_find(manager, name);

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
	struct managed *p = manager_find(manager, name);

	return p ? &p->status : NULL;
}

struct sonde_object *sonde_manager_object(const struct sonde_manager *manager, const char *name)
{
	struct managed *p = manager_find(manager, name);

	return p ? p->bpf : NULL;
}

const struct sonde_schema *sonde_manager_schema(const struct sonde_manager *manager, const char *name)
{
	struct managed *p = manager_find(manager, name);

	return p ? p->schema : NULL;
}

const void *sonde_manager_image(const struct sonde_manager *manager, const char *name, size_t *ret_size)
{
	struct managed *p = manager_find(manager, name);

	if (!p || !p->image)
		return NULL;
	*ret_size = p->object_size;
	return p->image;
}

int sonde_manager_watch_fd(const struct sonde_manager *manager)
{
	return manager->watch_fd;
}

static void managed_mend(struct managed *p, sonde_changed_fn changed, void *userdata)
{
	char before[sizeof(p->status.reason)];
	unsigned attached = sonde_object_mend(p->bpf);

	memcpy(before, p->status.reason, sizeof(before));
	managed_hooks(p);
	p->status.reattached += attached;
	if (attached || strcmp(before, p->status.reason))
		changed(p->status.name, userdata);
}

int64_t sonde_manager_mend(struct sonde_manager *manager, sonde_changed_fn changed, void *userdata)
{
	int64_t wait = manager->looked_ns + LOOK_INTERVAL_NS - sonde_clock_boot_ns();

	if (manager->watch_fd >= 0 && sonde_netlink_watch_take(manager->watch_fd))
		manager->has_changed = true;
	if (!manager->has_changed || wait > 0)
		return manager->has_changed ? wait : -1;
	manager->has_changed = false;
	manager->looked_ns = sonde_clock_boot_ns();
	for (struct managed *p = manager->programs; p; p = p->next)
		if (p->status.state == SONDE_PROGRAM_RUNNING)
			managed_mend(p, changed, userdata);
	return -1;
}

int64_t sonde_manager_run_due(struct sonde_manager *manager)
{
	int64_t now = sonde_clock_boot_ns(), next = INT64_MAX;
	int r;

	for (struct managed *p = manager->programs; p; p = p->next) {
		if (!p->next_run_ns)
			continue;
		if (p->next_run_ns <= now) {
			r = sonde_object_run_interval(p->bpf);
			if (r < 0)
				sonde_log_err(r, "program %s: its periodic run failed", p->status.name);
			p->next_run_ns = now + sonde_object_interval_ns(p->bpf);
		}
		if (p->next_run_ns < next)
			next = p->next_run_ns;
	}
	return next == INT64_MAX ? -1 : next - now;
}
