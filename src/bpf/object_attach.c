/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded object's hooks and iterators: attached one by one, run, detached. Invariant: a hook without a link is not attached.
 */
#include <bpf/object_private.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/libbpf_log.h>
#include <bpf/mounts.h>
#include <bpf/tags.h>

/*
 * Tries of 1 ms. At an interval fewer than sonde/flush.bpf.h has patience for: what finds no room stays counted in its map, and is told
 * at the next one. What the last word finds no room for is lost: more, so that it is counted. None holds up the agent for ever.
 */
#define INTERVAL_AGAIN_MAX 500
#define ITERATOR_AGAIN_MAX 5000

/* An iterator over the elements of a map says which (SONDE_OVER). */
static struct bpf_link *iterator_attach(struct bpf_object *object, struct bpf_program *program)
{
	const char *name = sonde_btf_tag(bpf_object__btf(object), bpf_program__name(program), "sonde:over=");
	struct bpf_map *map = name ? bpf_object__find_map_by_name(object, name) : NULL;
	union bpf_iter_link_info info = {};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts);

	if (map) {
		info.map.map_fd = (__u32)bpf_map__fd(map);
		opts.link_info = &info;
		opts.link_info_len = sizeof(info);
	}
	return bpf_program__attach_iter(program, &opts);
}

static struct bpf_link *hook_attach(struct bpf_object *object, struct bpf_program *program, const char *section,
				    bool is_iterator)
{
	CLEANUP_CLOSE int cgroup = -1;

	if (is_iterator)
		return iterator_attach(object, program);
	if (strncmp(section, "cgroup/", 7) && strncmp(section, "cgroup_", 7) && strcmp(section, "sockops"))
		return bpf_program__attach(program);
	cgroup = sonde_cgroup2_open();
	if (cgroup < 0) {
		errno = -cgroup;
		return NULL;
	}
	return bpf_program__attach_cgroup(program, cgroup);
}

/* One hook on one interface, as it has to be. @return 1: it is attached now and was not; 0: it was; -ENXIO: no such interface yet. */
static int interface_mend(struct sonde_object *object, size_t i, unsigned n)
{
	struct sonde_interface_link *link = &object->interface_links[i][n];
	uint32_t number;
	int r;

	(void)sonde_object_interface(object, n, &number);
	if (number && number == link->interface && sonde_interface_is_attached(link))
		return 0;
	sonde_interface_detach(link);
	if (!number)
		return -ENXIO;
	r = sonde_interface_attach(object->hooks[i].program_fd, object->hooks[i].name, number, object->attach, link);
	if (r == -ENODEV && object->interfaces[n].name[0]) /* it went just now */
		r = -ENXIO;
	return r < 0 ? r : 1;
}

/* On each interface that the settings name. @return How many were attached; *ret_error: why one could not be. */
static unsigned hook_mend(struct sonde_object *object, size_t i, int *ret_error)
{
	struct sonde_object_hook *hook = &object->hooks[i];
	unsigned attached = 0, n_wanted = 0;

	hook->reason[0] = '\0';
	hook->waits = false;
	for (unsigned n = 0; n < SONDE_INTERFACES_MAX; n++) {
		int r;

		if (!object->interfaces[n].number)
			continue;
		n_wanted++;
		r = interface_mend(object, i, n);
		attached += r == 1;
		if (r == -ENXIO)
			snprintf(hook->reason, sizeof(hook->reason), "waits for the network interface '%s'", object->interfaces[n].name);
		else if (r < 0)
			snprintf(hook->reason, sizeof(hook->reason), "%s", sonde_attach_reason(hook->name, *ret_error = r));
		else if (!hook->waits && object->interface_links[i][n].filter.life)
			snprintf(hook->reason, sizeof(hook->reason), "by clsact");
		hook->waits |= r < 0;
	}
	if (!n_wanted)
		*ret_error = -ENODEV;
	hook->attached = n_wanted && !hook->waits;
	return attached;
}

unsigned sonde_object_mend(struct sonde_object *object)
{
	unsigned attached = 0;
	int ignored = 0;

	for (size_t i = 0; i < object->n_hooks; i++)
		if (object->hooks[i].program_fd >= 0 && sonde_interface_is_hook(object->hooks[i].name))
			attached += hook_mend(object, i, &ignored);
	return attached;
}

static int hook_put_on(struct sonde_object *object, size_t i)
{
	struct sonde_object_hook *hook = &object->hooks[i];
	int r = 0;

	if (sonde_interface_is_hook(hook->name)) {
		(void)hook_mend(object, i, &r);
		return r;
	}
	object->links[i] = hook_attach(object->object, object->programs[i], hook->name, hook->iterator);
	hook->attached = object->links[i];
	return hook->attached ? 0 : -errno;
}

/* @return -EAGAIN: it waits for room in the ring still. */
static int object_run_iterator(struct bpf_link *link, unsigned again_max)
{
	CLEANUP_CLOSE int fd = bpf_iter_create(bpf_link__fd(link));
	unsigned again = 0;
	char output[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* The iterator runs inside read(2); what it has to say goes to the ring. */
	do {
		n = read(fd, output, sizeof(output));
		/* EAGAIN: it returned 1, because it waits for room in the ring (sonde/flush.bpf.h). */
		if (n < 0 && errno == EAGAIN && again++ < again_max)
			(void)usleep(1000);
		else if (n < 0 && errno != EINTR)
			break;
	} while (n);
	return n < 0 ? -errno : 0;
}

static bool hook_runs_at_start(const struct bpf_program *program)
{
	return !strncmp(bpf_program__name(program), "at_start_", 9);
}

static bool hook_runs_at_interval(const struct bpf_program *program)
{
	return !strncmp(bpf_program__name(program), "at_start_and_interval_", 22) ||
	       !strncmp(bpf_program__name(program), "at_interval_", 12);
}

int sonde_object_attach(struct sonde_object *object, char *error, size_t error_size)
{
	int r;

	for (size_t i = 0; i < object->n_hooks; i++) {
		struct sonde_object_hook *hook = &object->hooks[i];

		if (hook->program_fd < 0)
			continue;
		r = hook_put_on(object, i);
		if (!r)
			continue;
		snprintf(hook->reason, sizeof(hook->reason), "%s", sonde_attach_reason(hook->name, r));
		if (hook->optional)
			continue;
		snprintf(error, error_size, "cannot attach %s: %s", hook->name, hook->reason);
		sonde_object_detach(object);
		return r;
	}
	for (size_t i = 0; i < object->n_hooks; i++) {
		if (!object->hooks[i].iterator || !object->links[i] || !hook_runs_at_start(object->programs[i]))
			continue;
		r = object_run_iterator(object->links[i], ITERATOR_AGAIN_MAX);
		if (r < 0) {
			snprintf(error, error_size, "cannot run %s: %s", object->hooks[i].name, strerror(-r));
			sonde_object_detach(object);
			return r;
		}
	}
	return 0;
}

/* What is counted in maps until the next interval is told now, when nothing adds to it any more. */
static bool hook_is_last_word(const struct bpf_program *program)
{
	return !strncmp(bpf_program__name(program), "at_interval_", 12);
}

void sonde_object_detach(struct sonde_object *object)
{
	for (size_t i = 0; i < object->n_hooks; i++) {
		if (object->hooks[i].iterator)
			continue;
		bpf_link__destroy(object->links[i]);
		object->links[i] = NULL;
		for (unsigned n = 0; n < SONDE_INTERFACES_MAX; n++)
			sonde_interface_detach(&object->interface_links[i][n]);
	}
	for (size_t i = 0; i < object->n_hooks; i++) {
		if (object->links[i] && hook_is_last_word(object->programs[i]))
			(void)object_run_iterator(object->links[i], ITERATOR_AGAIN_MAX);
		bpf_link__destroy(object->links[i]);
		object->links[i] = NULL;
		object->hooks[i].attached = object->hooks[i].waits = false;
	}
}

int sonde_object_run_interval(struct sonde_object *object)
{
	int r = 0;

	for (size_t i = 0; (!r || r == -EAGAIN) && i < object->n_hooks; i++)
		if (object->links[i] && object->hooks[i].iterator && hook_runs_at_interval(object->programs[i]))
			r = object_run_iterator(object->links[i], INTERVAL_AGAIN_MAX);
	return r == -EAGAIN ? 0 : r;
}

int64_t sonde_object_interval_ns(const struct sonde_object *object)
{
	for (size_t i = 0; i < object->n_hooks; i++)
		if (object->hooks[i].iterator && hook_runs_at_interval(object->programs[i]))
			return object->interval_ns;
	return 0;
}
