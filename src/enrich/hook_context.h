/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file hook_context.h What stands behind the functions of include/sonde/program.h. */

#include <enrich/addresses.h>
#include <enrich/cgroups.h>
#include <enrich/processes.h>

struct sonde_hook_context {
	struct sonde_processes *processes;
	struct sonde_cgroups *cgroups;
	struct sonde_addresses *addresses;
	/* Set by the reader whose program is called. */
	void *state;
	int (*emit)(void *userdata, const struct sonde_header *record, size_t length, const char *source);
	int64_t (*setting)(void *userdata, const char *name);
	void *userdata; /* of both */
};
