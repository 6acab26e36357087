/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file manager.h
 * The programs of the privileged side: registered, loaded, attached, stopped, each on its own. What fails says why in
 * its status and leaves the others alone.
 *
 * States: disabled | stopped -> load -> starting -> attach -> running; any step -> failed. stop: detach, unload -> stopped.
 *
 * Threads: a manager belongs to one thread.
 */

#include <bpf/object.h>
#include <runtime/view.h>

struct sonde_manager;

struct sonde_program_spec {
	const char *name;
	const char *object_path; /* a user's own object; NULL: built in */
	bool roots_alone;	 /* an object that somebody else than root could change is not loaded */
	const char *refused;	 /* it is never loaded, for this reason: then any name will do; NULL or "": it may be */
	bool enabled, required;
	uint64_t ring_bytes; /* 0: default */
	enum sonde_attach attach;
	const struct sonde_object_setting *settings; /* copied */
	size_t n_settings;
};

int sonde_manager_new(struct sonde_manager **ret_manager);
/** Before the first load: pin the shared maps. @return As sonde_shared_maps_pin(). */
int sonde_manager_pin_maps(struct sonde_manager *manager, const char *directory, bool keep, char *error, size_t error_size);
/** Detaches and unloads everything. */
void sonde_manager_free(struct sonde_manager **manager);

/** @return 0; -EEXIST the name is taken; -EINVAL no name for a program (base/identifier.h); -ENOENT no such built-in program. */
int sonde_manager_register(struct sonde_manager *manager, const struct sonde_program_spec *spec);
/** Stops it first if it runs. @return 0, -ENOENT */
int sonde_manager_unregister(struct sonde_manager *manager, const char *name);

/**
 * @brief Read the schema, open, load. On failure the status says why.
 * @return 0, -ENOENT, -EALREADY, -ENODEV a required one's network interface is not there, -EEXIST the name of an event or metric is another program's,
 * or the load's error.
 */
int sonde_manager_load(struct sonde_manager *manager, const char *name);
/**
 * The same for several, at most SONDE_PROGRAMS_MAX, at once (the kernel's verifier takes most of a start). `ret_results`: of each,
 * as above.
 */
void sonde_manager_load_all(struct sonde_manager *manager, const char *const *names, size_t n, int *ret_results);
/** Attach the hooks of a loaded program and run its at_start_ iterators. */
int sonde_manager_attach(struct sonde_manager *manager, const char *name);
/** Hooks off; ring and maps stay until unload, so that what is in them can be read. */
int sonde_manager_detach(struct sonde_manager *manager, const char *name);
int sonde_manager_unload(struct sonde_manager *manager, const char *name);

size_t sonde_manager_list(const struct sonde_manager *manager, const char **ret_names, size_t max);
/** NULL: no such program. Valid until the program is unregistered; changes with its state. */
const struct sonde_program_status *sonde_manager_status(const struct sonde_manager *manager, const char *name);
/** NULL: not loaded. */
struct sonde_object *sonde_manager_object(const struct sonde_manager *manager, const char *name);
const struct sonde_schema *sonde_manager_schema(const struct sonde_manager *manager, const char *name);
/** The ELF file of a user's own program (borrowed); NULL for a built-in one. */
const void *sonde_manager_image(const struct sonde_manager *manager, const char *name, size_t *ret_size);

/** Readable when it is time for sonde_manager_mend(); -1: no program has hooks on network interfaces. Stays the same. */
int sonde_manager_watch_fd(const struct sonde_manager *manager);
/** The status of a program has changed. */
typedef void (*sonde_changed_fn)(const char *name, void *userdata);
/**
 * @brief Look after hooks on network interfaces: those that came, were made anew, or from which somebody removed a hook.
 * @return ns until the next look, -1: when the descriptor is readable.
 */
int64_t sonde_manager_mend(struct sonde_manager *manager, sonde_changed_fn changed, void *userdata);

/** Run the interval iterators that are due. @return ns until the next one, -1: none. */
int64_t sonde_manager_run_due(struct sonde_manager *manager);
