/* SPDX-License-Identifier: Apache-2.0 */
/* Programs become objects in the kernel, several at once. What a program of the user may not do is found before the kernel is asked. */
#include <runtime/manager_private.h>

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/kernel_types.h>
#include <bpf/object_file.h>
#include <bpf/trial.h>
#include <runtime/taken.h>

#define LOAD_THREADS_MAX 4

/* No names of its own: enums are asked of the running kernel. */
static const struct sonde_names kernel_names = {0};

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
	return r < 0 ? sonde_managed_fail(p, r) : 0;
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
		return sonde_managed_fail(p, r);
	p->status.state = SONDE_PROGRAM_STARTING;
	sonde_managed_hooks(p);
	return 0;
}

int sonde_manager_load(struct sonde_manager *manager, const char *name)
{
	CLEANUP(sonde_kernel_types_close) struct sonde_kernel_types types = SONDE_KERNEL_TYPES_NONE;
	struct managed *p = sonde_manager_find(manager, name);
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
		programs[i] = sonde_manager_find(manager, names[i]);
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
