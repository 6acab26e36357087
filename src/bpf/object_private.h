/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file object_private.h What object.c (open, load) and object_attach.c (attach, run, detach) share; nobody else includes it. */

#include <bpf/libbpf.h>
#include <bpf/object.h>

/* One that the settings name. */
struct object_interface {
	char name[16];	 /* "": they give its number */
	uint32_t number; /* 0: there is none; of one with a name: when the object was loaded */
};

struct sonde_object {
	struct bpf_object *object;
	const struct sonde_schema *schema;
	int64_t interval_ns;
	size_t n_hooks;
	struct sonde_object_hook hooks[SONDE_OBJECT_HOOKS_MAX];
	struct bpf_program *programs[SONDE_OBJECT_HOOKS_MAX];
	struct bpf_link *links[SONDE_OBJECT_HOOKS_MAX];
	enum sonde_attach attach;
	struct object_interface interfaces[SONDE_INTERFACES_MAX];
	struct sonde_interface_link interface_links[SONDE_OBJECT_HOOKS_MAX][SONDE_INTERFACES_MAX]; /* of hooks on interfaces, instead */
};

/** The map of a section, e.g. ".rodata"; NULL: it has none. */
struct bpf_map *object_section(const struct bpf_object *object, const char *section);
/** Whether an open object's maps are those that we read, and of a bounded size. @return 0, -EINVAL, -E2BIG with `error` in words. */
int object_check_maps(const struct bpf_object *object, char *error, size_t error_size);
/** Value of a setting in .rodata; `set` NULL: only read it. @return 0, -ENOENT, ... */
int object_value(struct bpf_object *object, const char *name, const int64_t *set, int64_t *ret_value);
