/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file manager_private.h What the three parts of the manager share: manager.c, manager_load.c, manager_hooks.c; nobody else includes it. */

#include <runtime/manager.h>

#define SONDE_MANAGED_SETTINGS_MAX 16

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
	struct sonde_object_setting settings[SONDE_MANAGED_SETTINGS_MAX];
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

/** NULL: there is none of that name. */
struct managed *sonde_manager_find(const struct sonde_manager *manager, const char *name);
/** Its status is what its hooks say. */
void sonde_managed_hooks(struct managed *p);
/** @return `r` */
int sonde_managed_fail(struct managed *p, int r);
