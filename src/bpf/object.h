/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file object.h
 * One program's BPF object: opened, fitted with settings, loaded, attached hook by hook, run.
 *
 * Hooks are chosen by trying, never by kernel version: an optional one (SEC("?...")) that the kernel refuses is left out with
 * its reason, a mandatory one fails the object. Needs CAP_BPF, CAP_PERFMON and, for cgroup hooks, CAP_NET_ADMIN.
 *
 * Threads: an object belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/interface.h>
#include <schema/schema.h>

#define SONDE_OBJECT_HOOKS_MAX 24

struct sonde_object;
struct sonde_shared_maps; /* maps that several objects use (SONDE_SHARED) */

int sonde_shared_maps_new(struct sonde_shared_maps **ret_maps);
void sonde_shared_maps_free(struct sonde_shared_maps **maps);

struct sonde_object_hook {
	char name[64];	  /* as in SEC() */
	char reason[128]; /* why it is not attached; of one that is: how, if not in the usual way */
	bool attached, optional, iterator;
	bool waits; /* of one on network interfaces: for one that is not there, or for a place on it */
	bool unwanted; /* a setting switches it off */
	int program_fd; /* owned by the object; -1 */
};

/** A setting by name; unknown names fail the open. */
struct sonde_object_setting {
	char name[48];
	int64_t value;
	char interface[16]; /* the name of a network interface, which stands for its number; "": the value counts */
};

struct sonde_object_opts {
	const char *name;
	const void *object; /* ELF file; borrowed until the object is loaded */
	size_t size;
	const struct sonde_schema *schema;  /* borrowed for the object's life */
	uint64_t ring_bytes;		    /* 0: 4 MiB */
	enum sonde_attach attach;	    /* of hooks on interfaces */
	const struct sonde_object_setting *settings;
	size_t n_settings;
	struct sonde_shared_maps *shared; /* NULL: every map is the object's own */
	const char *kernel_types; /* path of a file with those of the kernel's types that it asks for (kernel_types.h); NULL: all of them */
};

/**
 * @brief Open and load; nothing is attached yet.
 * @param error Filled on failure: what failed and, where known, what to do.
 * @return 0; -EINVAL a setting or map is wrong; -EPERM, -ESRCH, ... as the kernel says.
 */
int sonde_object_new(const struct sonde_object_opts *opts, char *error, size_t error_size, struct sonde_object **ret_object);
void sonde_object_free(struct sonde_object **object);

/** The setting interface_1 (`n` 0) to interface_4: its name ("" where its number was given), and its number, 0: not there. */
const char *sonde_object_interface(const struct sonde_object *object, unsigned n, uint32_t *ret_number);

/**
 * Attach all hooks, but those whose network interface is not there (they wait), then run the at_start_ iterators. On failure
 * everything is detached again.
 */
int sonde_object_attach(struct sonde_object *object, char *error, size_t error_size);
/**
 * Attach to network interfaces that came or were made anew, and where somebody has removed the hook; what cannot be attached now
 * waits for the next call.
 * @return How many were attached.
 */
unsigned sonde_object_mend(struct sonde_object *object);
/** Detach all hooks; maps and ring stay, so that the rest can be read. */
void sonde_object_detach(struct sonde_object *object);
/** Run the iterators of an interval. What finds no room in the ring for half a second is left to the next one. */
int sonde_object_run_interval(struct sonde_object *object);
/** ns between two of these runs (setting update_interval_ns); 0: the object has none. */
int64_t sonde_object_interval_ns(const struct sonde_object *object);

size_t sonde_object_hooks(const struct sonde_object *object, const struct sonde_object_hook **ret_hooks);

/** Whether each CPU has values of its own in maps of this type (BPF_MAP_TYPE_...). */
bool sonde_map_is_percpu(uint32_t type);

/** Descriptors; owned by the object. */
int sonde_object_ring_fd(const struct sonde_object *object);
int sonde_object_counters_fd(const struct sonde_object *object);
int sonde_object_control_fd(const struct sonde_object *object);
/** The map of .rodata: what the settings are. */
int sonde_object_settings_fd(const struct sonde_object *object);
/** Map of schema->metrics[i]. */
int sonde_object_metric_fd(const struct sonde_object *object, uint32_t metric);
