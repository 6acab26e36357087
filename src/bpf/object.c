/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's BPF object. Loading is all or nothing in the kernel's eyes, so optional hooks are found by trying: all of them,
 * then without those that it refuses. What happens to a loaded object is in object_attach.c.
 */
#include <bpf/object.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <bpf/libbpf_log.h>
#include <bpf/object_private.h>
#include <bpf/shared.h>
#include <bpf/tags.h>

#define DEFAULT_RING_BYTES (4u << 20)

/* ---- settings: variables of .rodata, set before load ---- */

struct bpf_map *object_section(const struct bpf_object *object, const char *section)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map), *dot = strchr(name, '.');

		if (dot && !strcmp(dot, section))
			return map;
	}
	return NULL;
}

/* Where a variable of .rodata stands. */
static int object_variable(const struct bpf_object *object, const char *name, uint32_t *ret_offset, uint32_t *ret_size)
{
	const struct btf *btf = bpf_object__btf(object);
	const struct btf_var_secinfo *info;
	const struct btf_type *section;
	int id;

	id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	if (id < 0)
		return -ENOENT;
	section = btf__type_by_id(btf, (__u32)id);
	info = btf_var_secinfos(section);
	for (__u32 i = 0; i < btf_vlen(section); i++, info++) {
		const struct btf_type *variable = btf__type_by_id(btf, info->type);

		if (strcmp(btf__name_by_offset(btf, variable->name_off), name))
			continue;
		*ret_offset = info->offset;
		*ret_size = info->size;
		return 0;
	}
	return -ENOENT;
}

/* `set` NULL: only read the value. One that is set fits (sonde_setting_check()). */
int object_value(struct bpf_object *object, const char *name, const int64_t *set, int64_t *ret_value)
{
	struct bpf_map *map = object_section(object, ".rodata");
	CLEANUP_FREE char *copy = NULL;
	uint32_t offset, length;
	const void *data;
	size_t size;
	int r;

	r = object_variable(object, name, &offset, &length);
	if (r < 0)
		return r;
	data = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!data || (uint64_t)offset + length > size || length > sizeof(int64_t))
		return -EINVAL;
	if (ret_value) {
		*ret_value = 0;
		memcpy(ret_value, (const char *)data + offset, length); /* little endian, like every target of ours */
	}
	if (!set)
		return 0;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, size);
	memcpy(copy + offset, set, length);
	return bpf_map__set_initial_value(map, copy, size);
}

static int object_setting(struct sonde_object *object, const struct sonde_schema *schema,
			  const struct sonde_object_setting *wanted, char *error, size_t error_size)
{
	int64_t value = wanted->interface[0] ? if_nametoindex(wanted->interface) : wanted->value;
	int r;

	/* A hook that hangs on this setting is wanted also while its interface is not there. */
	if (wanted->interface[0] && !value)
		value = INT32_MAX;
	if (sonde_setting_check(schema, wanted->name, value, error, error_size) < 0)
		return -EINVAL;
	r = object_value(object->object, wanted->name, &value, NULL);
	if (r < 0)
		snprintf(error, error_size, "cannot set the setting '%s'", wanted->name);
	return r < 0 ? -EINVAL : 0;
}

static void object_interfaces(struct sonde_object *object, const struct sonde_object_opts *opts)
{
	char setting[] = SONDE_INTERFACE_SETTING "0";

	for (unsigned n = 0; n < SONDE_INTERFACES_MAX; n++) {
		struct object_interface *interface = &object->interfaces[n];
		int64_t number = 0;

		setting[sizeof(setting) - 2] = (char)('1' + n);
		(void)object_value(object->object, setting, NULL, &number);
		*interface = (struct object_interface){.number = (uint32_t)number};
		for (size_t i = 0; i < opts->n_settings; i++)
			if (!strcmp(opts->settings[i].name, setting))
				memcpy(interface->name, opts->settings[i].interface, sizeof(interface->name));
	}
}

/* The kernel would say "File exists" of the second one. */
static int object_interfaces_differ(const struct sonde_object *object, char *error, size_t error_size)
{
	char name[IF_NAMESIZE];

	for (unsigned n = 0; n < SONDE_INTERFACES_MAX; n++) {
		const struct object_interface *interface = &object->interfaces[n];

		for (unsigned before = 0; interface->number && before < n; before++) {
			const struct object_interface *other = &object->interfaces[before];

			/* Two that are not there have the same number. */
			if (interface->number != other->number || (interface->name[0] && other->name[0] &&
								   strcmp(interface->name, other->name)))
				continue;
			snprintf(error, error_size, SONDE_INTERFACE_SETTING "%u and " SONDE_INTERFACE_SETTING
				 "%u are the same network interface '%s'", before + 1, n + 1, interface->name[0] ? interface->name :
				 other->name[0] ? other->name : if_indextoname(interface->number, name) ?: "?");
			return -EINVAL;
		}
	}
	return 0;
}

static bool setting_is_given(const struct sonde_object_opts *opts, const char *name, size_t length)
{
	for (size_t i = 0; i < opts->n_settings; i++) {
		const struct sonde_object_setting *given = &opts->settings[i];

		if (strlen(given->name) == length && !strncmp(given->name, name, length) &&
		    (given->interface[0] || given->value != sonde_schema_setting(opts->schema, given->name)->value))
			return true;
	}
	return false;
}

/* SONDE_SETTING_NEEDS() */
static int object_needs(struct sonde_object *object, const struct sonde_object_opts *opts, char *error, size_t error_size)
{
	for (size_t i = 0; i < opts->n_settings; i++) {
		const char *name = opts->settings[i].name,
			   *needs = sonde_btf_tag(bpf_object__btf(object->object), name, "sonde:needs=");
		bool given = !needs || !setting_is_given(opts, name, strlen(name));

		for (const char *word = needs; !given && *word; word += strspn(word, " ")) {
			given = setting_is_given(opts, word, strcspn(word, " "));
			word += strcspn(word, " ");
		}
		if (given)
			continue;
		snprintf(error, error_size, "the setting '%s' needs one of these too: %s", name, needs);
		return -EINVAL;
	}
	return 0;
}

static int object_settings(struct sonde_object *object, const struct sonde_object_opts *opts, char *error, size_t error_size)
{
	char name[80];
	int r;

	for (uint32_t i = 0; i < opts->schema->n_types; i++) {
		int64_t number = opts->schema->types[i].number;

		snprintf(name, sizeof(name), "sonde_event_%s", opts->schema->types[i].name);
		r = object_value(object->object, name, &number, NULL);
		if (r < 0) {
			snprintf(error, error_size, "cannot number the event '%s': declare it with SONDE_EVENT()", name + 12);
			return r;
		}
	}
	for (size_t i = 0; i < opts->n_settings; i++) {
		r = object_setting(object, opts->schema, &opts->settings[i], error, error_size);
		if (r < 0)
			return r;
	}
	(void)object_value(object->object, SONDE_INTERVAL_SETTING, NULL, &object->interval_ns); /* most have none */
	object_interfaces(object, opts);
	r = object_interfaces_differ(object, error, error_size);
	return r ? r : object_needs(object, opts, error, error_size);
}

/* ---- hooks ---- */

static bool hook_is_iterator(const char *section)
{
	return !strncmp(section, "iter/", 5) || !strncmp(section, "iter.s/", 7);
}

static int object_list_hooks(struct sonde_object *object, char *error, size_t error_size)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object->object) {
		const char *section = bpf_program__section_name(program);
		struct sonde_object_hook *hook = &object->hooks[object->n_hooks];

		if (object->n_hooks == SONDE_OBJECT_HOOKS_MAX) {
			snprintf(error, error_size, "more than %d hooks in one program", SONDE_OBJECT_HOOKS_MAX);
			return -E2BIG;
		}
		/* libbpf takes the '?' off the name, and leaves such a program out until it is asked for. */
		hook->optional = !bpf_program__autoload(program);
		snprintf(hook->name, sizeof(hook->name), "%s", section);
		hook->iterator = hook_is_iterator(hook->name);
		if (sonde_interface_is_hook(hook->name))
			bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
		hook->program_fd = -1;
		object->programs[object->n_hooks++] = program;
	}
	return 0;
}

static int object_open(struct sonde_object *object, const struct sonde_object_opts *opts, char *error, size_t error_size)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_opts, .object_name = opts->name, .btf_custom_path = opts->kernel_types);
	uint64_t ring_bytes = opts->ring_bytes ?: DEFAULT_RING_BYTES;
	const char *why;
	int r;

	object->n_hooks = 0;
	object->object = bpf_object__open_mem(opts->object, opts->size, &open_opts);
	if (!object->object) {
		r = -errno;
		why = sonde_libbpf_message();
		snprintf(error, error_size, "not a usable BPF object: %s", *why ? why : "libbpf does not say why: build it anew");
		return r;
	}
	r = object_check_maps(object->object, error, error_size);
	if (r < 0)
		return r;
	r = bpf_map__set_max_entries(bpf_object__find_map_by_name(object->object, "sonde_ring"), (__u32)ring_bytes);
	if (r < 0) {
		snprintf(error, error_size, "ring_bytes %llu is not possible", (unsigned long long)ring_bytes);
		return r;
	}
	r = object_settings(object, opts, error, error_size);
	if (r < 0)
		return r;
	return object_list_hooks(object, error, error_size);
}

/* A hook may hang on a setting (SONDE_ONLY_IF, SONDE_OR_IF, SONDE_UNLESS): then it is not even loaded. */
static bool hook_is_wanted(struct sonde_object *object, size_t i)
{
	const struct btf *btf = bpf_object__btf(object->object);
	const char *name = bpf_program__name(object->programs[i]), *setting = sonde_btf_tag(btf, name, "sonde:only_if="),
		   *or = sonde_btf_tag(btf, name, "sonde:or_if="), *against = sonde_btf_tag(btf, name, "sonde:unless=");
	int64_t value = 1, other = 0;

	if (setting)
		(void)object_value(object->object, setting, NULL, &value);
	if (or && !value)
		(void)object_value(object->object, or, NULL, &value);
	if (against)
		(void)object_value(object->object, against, NULL, &other);
	if (!value || other)
		snprintf(object->hooks[i].reason, sizeof(object->hooks[i].reason), "switched off by the setting %s",
			 value ? against : setting);
	return value && !other;
}

/* One attempt; `allowed` has a bit for each optional hook that takes part. */
static int object_try(struct sonde_object *object, const struct sonde_object_opts *opts, uint32_t allowed, char *error,
		      size_t error_size)
{
	int r;

	if (object->object)
		bpf_object__close(object->object);
	object->object = NULL;
	r = object_open(object, opts, error, error_size);
	if (r < 0)
		return r;
	for (size_t i = 0; i < object->n_hooks; i++) {
		struct sonde_object_hook *hook = &object->hooks[i];

		hook->unwanted = !hook_is_wanted(object, i);
		bpf_program__set_autoload(object->programs[i], !hook->unwanted && (!hook->optional || allowed & 1u << i));
	}
	r = opts->shared ? sonde_shared_maps_use(opts->shared, object->object, error, error_size) : 0;
	if (r < 0)
		return r;
	r = bpf_object__load(object->object);
	if (r < 0) {
		const char *message = sonde_libbpf_message();

		/* What libbpf says of its own first try speaks of memory limits and of a kernel without BPF. */
		if (r == -EPERM && strstr(message, "bpf_object__probe_loading"))
			message = "not permitted: needs root or CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN";
		snprintf(error, error_size, "the kernel refuses it: %s", message);
		return r;
	}
	return 0;
}

/* The optional hook that libbpf's complaint is about, or -1. */
static int blamed_hook(const struct sonde_object *object, uint32_t allowed, const char *complaint)
{
	for (size_t i = 0; object->object && i < object->n_hooks; i++) {
		char mark[80];

		snprintf(mark, sizeof(mark), "prog '%s':", bpf_program__name(object->programs[i]));
		if (object->hooks[i].optional && allowed & 1u << i && strstr(complaint, mark))
			return (int)i;
	}
	return -1;
}

/* A kernel that refuses an optional hook is asked again without it, until it takes the rest. */
static int object_load(struct sonde_object *object, const struct sonde_object_opts *opts, char *error, size_t error_size)
{
	char reasons[SONDE_OBJECT_HOOKS_MAX][128] = {};
	uint32_t allowed = UINT32_MAX;
	int r, blamed;

	while ((r = object_try(object, opts, allowed, error, error_size)) < 0) {
		blamed = blamed_hook(object, allowed, error);
		if (blamed < 0)
			return r;
		allowed &= ~(1u << blamed);
		snprintf(reasons[blamed], sizeof(reasons[blamed]), "%s",
			 strstr(error, "failed to find kernel BTF type") ? "this kernel does not have it" : error);
	}
	for (size_t i = 0; i < object->n_hooks; i++)
		if (reasons[i][0])
			memcpy(object->hooks[i].reason, reasons[i], sizeof(reasons[i]));
	return 0;
}

int sonde_object_new(const struct sonde_object_opts *opts, char *error, size_t error_size, struct sonde_object **ret_object)
{
	struct sonde_object *object = calloc(1, sizeof(*object));
	int r;

	if (!object)
		return -ENOMEM;
	object->schema = opts->schema;
	object->attach = opts->attach;
	sonde_libbpf_log_init();
	r = object_load(object, opts, error, error_size);
	if (r < 0) {
		sonde_object_free(&object);
		return r;
	}
	for (size_t i = 0; i < object->n_hooks; i++)
		object->hooks[i].program_fd = bpf_program__fd(object->programs[i]);
	*ret_object = object;
	return 0;
}

void sonde_object_free(struct sonde_object **pointer)
{
	struct sonde_object *object = TAKE_PTR(*pointer);

	if (!object)
		return;
	sonde_object_detach(object);
	if (object->object)
		bpf_object__close(object->object);
	free(object);
}

size_t sonde_object_hooks(const struct sonde_object *object, const struct sonde_object_hook **ret_hooks)
{
	*ret_hooks = object->hooks;
	return object->n_hooks;
}

const char *sonde_object_interface(const struct sonde_object *object, unsigned n, uint32_t *ret_number)
{
	const struct object_interface *interface = &object->interfaces[n];

	*ret_number = interface->name[0] ? if_nametoindex(interface->name) : interface->number;
	return interface->name;
}

int sonde_object_ring_fd(const struct sonde_object *object)
{
	return bpf_map__fd(bpf_object__find_map_by_name(object->object, "sonde_ring"));
}

int sonde_object_counters_fd(const struct sonde_object *object)
{
	return bpf_map__fd(bpf_object__find_map_by_name(object->object, "sonde_counters"));
}

int sonde_object_control_fd(const struct sonde_object *object)
{
	return bpf_map__fd(object_section(object->object, ".data.sonde"));
}

int sonde_object_settings_fd(const struct sonde_object *object)
{
	return bpf_map__fd(object_section(object->object, ".rodata"));
}

int sonde_object_metric_fd(const struct sonde_object *object, uint32_t metric)
{
	return bpf_map__fd(bpf_object__find_map_by_name(object->object, object->schema->metrics[metric].map));
}
